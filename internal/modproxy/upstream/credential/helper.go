package credential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// get is what git calls the credential command with (gitcredentials(7)).
const get = "get"

// GoAuth is what the credential command is called with from GOAUTH
// (`go help goauth`), before the URL.
const GoAuth = "goauth"

// maxQuestion bounds what git says to a credential helper, in bytes.
const maxQuestion = 64 << 10

// Answer answers git and the go command when they ask for the credentials of
// a host: the command that they run calls it with its arguments and environment.
// It knows the variables GOPHERWOOD_GIT_TOKEN_HOST and
// GOPHERWOOD_GIT_USER_HOST (see EnvHost) and the netrc file, and answers for
// their hosts only, and only where the connection is encrypted. Where it knows
// nothing it writes nothing.
func Answer(env, args []string, stdin io.Reader, stdout io.Writer) error {
	known, err := Read(env)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == get:
		return answerGit(known, stdin, stdout)
	case len(args) == 2 && args[0] == GoAuth:
		return answerGo(known, args[1], stdout)
	case len(args) == 1:
		return nil // git may offer to store, and the go command asks for all in advance
	}
	return &fault.Error{Code: fault.Usage, Op: "answer", Input: strings.Join(args, " "), Err: errors.New("neither git nor the go command asks so")}
}

// answerGit reads attributes ("key=value" lines) and adds those that were
// asked for.
func answerGit(known *Logins, stdin io.Reader, stdout io.Writer) error {
	asked := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(stdin, maxQuestion))
	for lines.Scan() && lines.Text() != "" {
		key, value, _ := strings.Cut(lines.Text(), "=")
		asked[key] = value
	}
	if err := lines.Err(); err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "read", Input: "git's question", Err: err}
	}
	l, ok := known.Git(asked["host"])
	if !ok || asked["protocol"] != "https" {
		return nil
	}
	_, err := fmt.Fprintf(stdout, "username=%s\npassword=%s\n", l.User, l.Password)
	return err
}

// answerGo writes the header for the host of a URL.
func answerGo(known *Logins, raw string, stdout io.Writer) error {
	u, err := url.Parse(raw)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "read", Input: "the go command's question", Err: errors.New("it is no URL")}
	}
	l, ok := known.Git(u.Host)
	if !ok || u.Scheme != "https" {
		return nil
	}
	_, err = fmt.Fprintf(stdout, "https://%s\n\nAuthorization: %s\n\n", u.Host, l.Basic())
	return err
}
