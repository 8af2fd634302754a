package direct

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxLines and maxMessage are how much of a command's message is passed on;
	// the latter in bytes.
	maxLines   = 8
	maxMessage = 1 << 10
)

// user is what may stand before the host of a URL, with a password.
var user = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s"']+@`)

// withoutUsers returns s with no credentials in its URLs.
func withoutUsers(s string) string { return user.ReplaceAllString(s, "$1") }

// scrubber shortens messages of the go command and git, and takes out what nobody
// is to read.
type scrubber struct {
	secrets []string
	// dirs are directories of this machine.
	dirs []string
}

// inDir is where the go command ran git.
var inDir = regexp.MustCompile(` in \S+(: exit status \d+:)`)

// said returns what a message says.
func (s scrubber) said(message string) string {
	for _, secret := range s.secrets {
		message = strings.ReplaceAll(message, secret, "***")
	}
	message = withoutUsers(message)
	message = inDir.ReplaceAllString(message, "$1")
	for _, dir := range s.dirs {
		message = strings.ReplaceAll(message, dir, "…")
	}
	var lines []string
	for line := range strings.Lines(message) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "go: ")
		switch {
		case line == "" || strings.HasPrefix(line, "downloading "):
			continue
		case strings.HasPrefix(line, "Confirm the import path was entered correctly"), len(lines) == maxLines:
			return cut(strings.Join(lines, "\n"))
		}
		lines = append(lines, upstream.Printable(line))
	}
	return cut(strings.Join(lines, "\n"))
}

func cut(s string) string {
	if len(s) > maxMessage {
		return strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// kinds of what the go command and git say, in lower case; the first that is
// found counts.
var kinds = []struct {
	code    fault.Code
	hint    string
	phrases []string
}{
	{fault.Unsupported, "install it where the module proxy runs", []string{"executable file not found", "command not found"}},
	{fault.Unsupported, "set GOVCS where the module proxy runs", []string{"govcs disallows"}},
	{fault.Denied, "give the module proxy credentials for this host: an ssh key, netrc, or the variable " + credential.GitTokenVar + "HOST", []string{
		"terminal prompts disabled", "could not read username", "could not read password", "authentication failed", "permission denied",
		"401 unauthorized", "403 forbidden", "access denied", "host key verification failed", "returned error: 401", "returned error: 403",
	}},
	{fault.Unavailable, "try again later", []string{
		"could not resolve host", "no such host", "connection refused", "timed out", "i/o timeout", "connection reset", "network is unreachable",
		"failed to connect", "couldn't connect", "early eof", "unexpected eof", "tls: ", "x509: ", "certificate problem", "server certificate", "ssl certificate",
		"500 internal", "502 bad", "503 service", "504 gateway", "returned error: 5", "no space left",
	}},
	{fault.Limit, "", []string{"too large"}},
	{fault.Invalid, "", []string{"create zip"}},
	{fault.NotFound, "", []string{
		"unknown revision", "no matching versions", "not found", "does not exist", "404 ", "410 gone", "unrecognized import path",
		"go-import", "invalid version", "no commits", "no secure protocol found", "does not appear to be a git repository", "missing go.mod", "/go.mod at revision",
		"malformed module path", "module path", "cannot find module",
	}},
}

// classify gives a message its code and hint.
func classify(message string) (fault.Code, string) {
	message = strings.ToLower(message)
	for _, kind := range kinds {
		if slices.ContainsFunc(kind.phrases, func(p string) bool { return strings.Contains(message, p) }) {
			return kind.code, kind.hint
		}
	}
	return fault.Unavailable, ""
}

// fault makes an error of a message.
func (s scrubber) fault(input, message string) error {
	code, hint := classify(message)
	said := s.said(message)
	if said == "" {
		said = "the go command failed and says nothing"
	}
	return &fault.Error{Code: code, Op: "get", Input: input, Err: errors.New(said), Hint: hint}
}
