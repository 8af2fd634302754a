package direct

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// passed are the variables that the go command, git and ssh get from the
// environment, besides those that begin with passedPrefixes. Others, such as
// GIT_DIR or the traces that show headers, would lead them astray.
var passed = []string{
	"HOME", "PATH", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "NETRC", "SSH_AUTH_SOCK", "SSH_AGENT_PID",
	"GOAUTH", "GOVCS", "GOINSECURE", "GOROOT",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_ALLOW_PROTOCOL", "GIT_PROTOCOL_FROM_USER",
	"GIT_PROXY_COMMAND", "GIT_PROXY_SSL_CAINFO", "GIT_EXEC_PATH",
	// Windows
	"SYSTEMROOT", "SystemRoot", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "ProgramData", "TEMP", "TMP", "PATHEXT", "COMSPEC", "ComSpec", "Path",
}

var passedPrefixes = []string{"SSL_", "XDG_", "GIT_SSL_", "GIT_HTTP_", "GIT_CONFIG", credential.GitTokenVar, credential.GitUserVar}

// environment returns what the go command and git run in, but for GOMODCACHE:
// what they write is under dir, there is no other source than version control, and
// nobody to answer prompts.
func environment(opt Options, known *credential.Logins, dir string) ([]string, error) {
	env := slices.DeleteFunc(slices.Clone(opt.Environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !slices.Contains(passed, name) && !slices.ContainsFunc(passedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
	env = append(env,
		"GOPROXY=direct", "GOSUMDB=off", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOPRIVATE="+opt.Private, "GONOPROXY=none",
		"GOFLAGS=-modcacherw -mod=mod", "GO111MODULE=on", "GOWORK=off", "GOTOOLCHAIN=local",
		"GOPATH="+filepath.Join(dir, "gopath"), "GOCACHE="+filepath.Join(dir, "build"),
		"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never",
	)
	if variable(env, "GIT_SSH") == "" && variable(env, "GIT_SSH_COMMAND") == "" {
		env = append(env, "GIT_SSH_COMMAND=ssh -o ControlMaster=no -o BatchMode=yes")
	}
	hosts := known.GitHosts()
	if len(hosts) == 0 {
		return env, nil
	}
	helper, err := credentialCommand(opt)
	if err != nil {
		return nil, err
	}
	if auth := cmp.Or(variable(env, "GOAUTH"), "netrc"); auth == "off" {
		env = append(env, "GOAUTH="+goQuoted(helper)+" "+credential.GoAuth)
	} else {
		env = append(env, "GOAUTH="+goQuoted(helper)+" "+credential.GoAuth+"; "+auth)
	}
	return gitConfig(env, hosts, "!"+shellQuoted(helper))
}

func credentialCommand(opt Options) ([]string, error) {
	if len(opt.CredentialCommand) > 0 {
		return opt.CredentialCommand, nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "find", Input: "this program", Err: err}
	}
	return []string{program, "modproxy", "credential"}, nil
}

// gitConfig adds settings to those that the environment gives git already. The
// empty helper takes other helpers off the list: for its host, the variable is
// what counts.
func gitConfig(env, hosts []string, helper string) ([]string, error) {
	count := 0
	if value := variable(env, "GIT_CONFIG_COUNT"); value != "" {
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "read the variable", Input: "GIT_CONFIG_COUNT", Err: fmt.Errorf("%.20q is no number of settings", value)}
		}
		count = int(n)
	}
	for _, host := range hosts {
		for _, value := range []string{"", helper} {
			env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=credential.https://%s.helper", count, host), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, value))
			count++
		}
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count)), nil
}

// shellQuoted writes words for the shell that git runs helpers with.
func shellQuoted(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// goQuoted writes words as the go command splits them: a word may be quoted as a
// whole, and has no escapes.
func goQuoted(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		switch {
		case !strings.ContainsAny(w, " \t'\""):
			quoted[i] = w
		case !strings.Contains(w, "'"):
			quoted[i] = "'" + w + "'"
		default:
			quoted[i] = `"` + w + `"`
		}
	}
	return strings.Join(quoted, " ")
}
