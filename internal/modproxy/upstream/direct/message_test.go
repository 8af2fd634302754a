package direct

import (
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestMessages(t *testing.T) {
	s := scrubber{secrets: []string{"hunter22"}, dirs: []string{"/srv/cache"}}
	for _, c := range []struct {
		message string
		code    fault.Code
		want    string
	}{
		{"go: downloading a.example.com/x v1.0.0\ngo: a.example.com/x@v1.0.0: git ls-remote -q https://me:hunter22@a.example.com/x in /srv/cache/mod/cache/vcs/ab12: exit status 128:\n\tfatal: could not read Username for 'https://a.example.com': terminal prompts disabled\nConfirm the import path was entered correctly.\nIf this is a private repository, see https://golang.org/doc/faq#git_https for additional information.",
			fault.Denied, "a.example.com/x@v1.0.0: git ls-remote -q https://a.example.com/x: exit status 128:\nfatal: could not read Username for 'https://a.example.com': terminal prompts disabled"},
		{"go: x: invalid version: unknown revision v9", fault.NotFound, "x: invalid version: unknown revision v9"},
		{"fatal: unable to access 'https://git@a.example.com/x/': Could not resolve host: a.example.com", fault.Unavailable, "fatal: unable to access 'https://a.example.com/x/': Could not resolve host: a.example.com"},
		{"open /srv/cache/mod/x: no space left on device hunter22", fault.Unavailable, "open …/mod/x: no space left on device ***"},
		{"git@a.example.com: Permission denied (publickey).", fault.Denied, "git@a.example.com: Permission denied (publickey)."},
		{"something new", fault.Unavailable, "something new"},
		{"", fault.Unavailable, "the go command failed and says nothing"},
		{"\x1b[31mred", fault.Unavailable, "the go command failed and says nothing"},
	} {
		err := s.fault("x", c.message)
		upstreamtest.CheckCode(t, err, c.code, c.want)
		if got := strings.TrimPrefix(err.Error(), "get x: "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := s.said(strings.Repeat("long line é\n", 1000)); strings.Count(got, "\n") >= maxLines {
		t.Errorf("%q", got)
	}
	if got := s.said(strings.Repeat("é", 10000)); len(got) > maxMessage+len("…") || strings.Contains(got, "\uFFFD") {
		t.Errorf("%d bytes", len(got))
	}
}

// FuzzMessages prints what git may say, and expects no secret in it.
func FuzzMessages(f *testing.F) {
	f.Add("fatal: https://me:hunter22@a.example.com/x: nothing")
	f.Fuzz(func(t *testing.T, message string) {
		s := scrubber{secrets: []string{"hunter22"}}
		for _, text := range []string{message, message + "https://x:pass9word@a.example.com"} {
			got := s.said(text)
			if strings.Contains(got, "hunter22") || strings.Contains(got, "pass9word") && !strings.Contains(message, "pass9word") {
				t.Errorf("%q", got)
			}
		}
	})
}

func TestQuoting(t *testing.T) {
	words := []string{"/opt/my tools/gopherwood", "it's", `a"b`, "plain"}
	if got, want := shellQuoted(words), `'/opt/my tools/gopherwood' 'it'\''s' 'a"b' 'plain'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := goQuoted(words), `'/opt/my tools/gopherwood' "it's" 'a"b' plain`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestEnvironment passes on what is on the list and nothing else.
func TestEnvironment(t *testing.T) {
	known, err := credential.Read([]string{"GOPHERWOOD_GIT_TOKEN_A_EXAMPLE_COM=t"})
	if err != nil {
		t.Fatal(err)
	}
	env, err := environment(Options{Private: "corp.example.com", CredentialCommand: []string{"/bin/x y", "credential"}, Environ: []string{
		"HOME=/home/me", "SECRET=1", "AWS_SECRET_ACCESS_KEY=2", "GIT_TRACE_CURL=1", "GIT_DIR=/x", "GOFLAGS=-mod=vendor", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=a.b", "GIT_CONFIG_VALUE_0=c",
		"GOPHERWOOD_GIT_TOKEN_A_EXAMPLE_COM=t", "GOPHERWOOD_UPSTREAM_TOKEN_B_EXAMPLE_COM=t", "GOAUTH=git /x", "GIT_SSH_COMMAND=ssh -i key",
	}}, known, "/srv")
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"SECRET", "AWS_SECRET_ACCESS_KEY", "GIT_TRACE_CURL", "GIT_DIR", "GOPHERWOOD_UPSTREAM_TOKEN_B_EXAMPLE_COM"} {
		if variable(env, absent) != "" {
			t.Errorf("%s is passed on", absent)
		}
	}
	for name, want := range map[string]string{
		"HOME": "/home/me", "GOPROXY": "direct", "GOPRIVATE": "corp.example.com", "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -i key", "GOFLAGS": "-modcacherw -mod=mod",
		"GOAUTH": "'/bin/x y' credential goauth; git /x", "GIT_CONFIG_COUNT": "3", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c",
		"GIT_CONFIG_KEY_1": "credential.https://a.example.com.helper", "GIT_CONFIG_VALUE_1": "",
		"GIT_CONFIG_KEY_2": "credential.https://a.example.com.helper", "GIT_CONFIG_VALUE_2": "!'/bin/x y' 'credential'",
	} {
		if got := variable(env, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	_, err = environment(Options{Environ: []string{"GIT_CONFIG_COUNT=many"}}, known, "/srv")
	upstreamtest.CheckCode(t, err, fault.Usage, "GIT_CONFIG_COUNT")
}
