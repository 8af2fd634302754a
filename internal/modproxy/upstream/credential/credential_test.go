package credential

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestEnvHost(t *testing.T) {
	for host, want := range map[string]string{
		"git.example.com": "GIT_EXAMPLE_COM", "my-git.example.com": "MY__GIT_EXAMPLE_COM", "git.example.com:8443": "GIT_EXAMPLE_COM___8443",
		"a--b.com": "A____B_COM", "127.0.0.1:1": "127_0_0_1___1",
		"": "", "a_b.com": "", "-a.com": "", "a-.com": "", "a..com": "", "a.com:": "", "a.com:x": "", "[::1]": "", "a b": "", "A.com": "", "a.com\n": "",
	} {
		if got := EnvHost(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z0-9]{1,3}(-{1,3}[a-z0-9]{1,3}){0,2}(\.[a-z0-9]{1,3}(-{1,2}[a-z0-9]{1,2})?){0,3}(:[0-9]{1,5})?`).Draw(t, "host")
		name := EnvHost(host)
		if back, ok := hostOfEnv(name); name == "" || back != host || !ok {
			t.Fatalf("%q as %q is %q", host, name, back)
		}
	})
}

func FuzzHostOfEnv(f *testing.F) {
	f.Add("GIT_EXAMPLE_COM___8443")
	f.Add("A_____B")
	f.Fuzz(func(t *testing.T, name string) {
		if host, ok := hostOfEnv(name); ok && EnvHost(host) != name {
			t.Errorf("%q is %q, which is %q", name, host, EnvHost(host))
		}
	})
}

// FuzzNetrc reads netrc files of any content.
func FuzzNetrc(f *testing.F) {
	f.Add("machine a.example.com login me password pw\n\tdefault login you password x\n")
	f.Add("machine A.example.com\nlogin me\npassword pw\nmacdef init\ncd /\n\nmachine b login x password y")
	f.Fuzz(func(t *testing.T, data string) {
		for machine, l := range parseNetrc(data) {
			if machine == "" || l.User == "" || l.Password == "" || !strings.Contains(data, l.Password) {
				t.Errorf("%q: %+v", machine, l)
			}
		}
	})
}

func TestNetrc(t *testing.T) {
	got := parseNetrc(`
machine a.example.com login me password pw1
machine a.example.com login other password pw2
machine B.example.com
	login me
	password pw3
macdef init
machine c.example.com login macro password pw4

machine d.example.com password pw5 login me
machine e.example.com login only
default login anyone password pw6
machine f.example.com login late password pw7
`)
	want := map[string]Login{"a.example.com": {"me", "pw1"}, "b.example.com": {"me", "pw3"}, "d.example.com": {"me", "pw5"}}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for machine, l := range want {
		if got[machine] != l {
			t.Errorf("%s: %v, want %v", machine, got[machine], l)
		}
	}
}

func TestAnswer(t *testing.T) {
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine n.example.com login me password pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"NETRC=" + netrc, "GOPHERWOOD_GIT_TOKEN_GIT_EXAMPLE_COM=t0ken", "GOPHERWOOD_GIT_TOKEN_B_EXAMPLE_COM___8443=t2", "GOPHERWOOD_GIT_USER_B_EXAMPLE_COM___8443=ci"}
	question := func(protocol, host string) string {
		return "capability[]=authtype\nprotocol=" + protocol + "\nhost=" + host + "\nwwwauth[]=Basic\n\nhost=ignored.example.com\n"
	}
	for _, c := range []struct {
		args        []string
		stdin, want string
	}{
		{[]string{"get"}, question("https", "git.example.com"), "username=oauth2\npassword=t0ken\n"},
		{[]string{"get"}, question("https", "GIT.example.com"), "username=oauth2\npassword=t0ken\n"},
		{[]string{"get"}, question("https", "b.example.com:8443"), "username=ci\npassword=t2\n"},
		{[]string{"get"}, question("https", "n.example.com"), "username=me\npassword=pw\n"},
		{[]string{"get"}, question("http", "git.example.com"), ""},
		{[]string{"get"}, question("https", "b.example.com"), ""},
		{[]string{"get"}, question("https", "git.example.com.evil.example.net"), ""},
		{[]string{"get"}, question("https", "git-example.com"), ""},
		{[]string{"get"}, "", ""},
		{[]string{"store"}, question("https", "git.example.com"), ""},
		{[]string{"erase"}, question("https", "git.example.com"), ""},
		{[]string{"goauth"}, "", ""},
		{[]string{"goauth", "https://git.example.com/x?go-get=1"}, "HTTP/1.1 401", "https://git.example.com\n\nAuthorization: " + Login{"oauth2", "t0ken"}.Basic() + "\n\n"},
		{[]string{"goauth", "http://git.example.com/x"}, "", ""},
		{[]string{"goauth", "https://evil.example.com/git.example.com"}, "", ""},
	} {
		var out bytes.Buffer
		if err := Answer(env, c.args, strings.NewReader(c.stdin), &out); err != nil || out.String() != c.want {
			t.Errorf("%v %q: %q, %v; want %q", c.args, c.stdin, out.String(), err, c.want)
		}
	}
	err := Answer(env, nil, strings.NewReader(""), &bytes.Buffer{})
	upstreamtest.CheckCode(t, err, fault.Usage)
	err = Answer(env, []string{"goauth", ":"}, strings.NewReader(""), &bytes.Buffer{})
	upstreamtest.CheckCode(t, err, fault.Invalid)
	err = Answer(env, []string{"get"}, strings.NewReader(strings.Repeat("x", maxQuestion)), &bytes.Buffer{})
	upstreamtest.CheckCode(t, err, fault.Invalid)
}

// FuzzAnswer asks for hosts of any name and expects a token for its own only.
func FuzzAnswer(f *testing.F) {
	f.Add("https", "git.example.com")
	f.Add("https", "git-example.com")
	f.Add("http", "git.example.com")
	f.Fuzz(func(t *testing.T, protocol, host string) {
		env := []string{"GOPHERWOOD_GIT_TOKEN_GIT_EXAMPLE_COM=t0ken"}
		var out bytes.Buffer
		if err := Answer(env, []string{"get"}, strings.NewReader("protocol="+protocol+"\nhost="+host+"\n"), &out); err != nil {
			return
		}
		var goOut bytes.Buffer
		_ = Answer(env, []string{"goauth", protocol + "://" + host + "/x"}, nil, &goOut) // what is no URL has no answer
		asked, _, _ := strings.Cut(host, "\n")
		own := strings.EqualFold(strings.TrimSuffix(asked, "\r"), "git.example.com")
		if out.Len() > 0 && !own && !strings.Contains(host, "\nhost=") && !strings.Contains(protocol, "\nhost=") {
			t.Errorf("%q gets %q", host, out.String())
		}
		if goOut.Len() > 0 && !strings.HasPrefix(strings.ToLower(goOut.String()), "https://git.example.com\n") {
			t.Errorf("%q gets %q", host, goOut.String())
		}
	})
}
