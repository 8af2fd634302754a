package route

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestProxyCredentials sends each upstream what is for it, from every place where
// that may stand.
func TestProxyCredentials(t *testing.T) {
	p := upstreamtest.PublishLib(t)
	server, other := upstreamtest.ServeProxy(t, p, nil), upstreamtest.ServeProxy(t, upstreamtest.Published{}, nil)
	host, otherHost := strings.TrimPrefix(server.URL, "http://"), strings.TrimPrefix(other.URL, "http://")
	home := t.TempDir()
	netrc := filepath.Join(home, ".netrc")
	if err := os.WriteFile(netrc, []byte("machine "+host+" login me password from-netrc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user string
		env  []string
		want string
	}{
		"none":                 {"", nil, ""},
		"netrc at home":        {"", []string{"HOME=" + home, "USERPROFILE=" + home}, basic("me", "from-netrc")},
		"netrc by name":        {"", []string{"NETRC=" + netrc}, basic("me", "from-netrc")},
		"a token":              {"", []string{"NETRC=" + netrc, "GOPHERWOOD_UPSTREAM_TOKEN_" + credential.EnvHost(host) + "=t0ken"}, "Bearer t0ken"},
		"a token of a user":    {"", []string{"GOPHERWOOD_UPSTREAM_TOKEN_" + credential.EnvHost(host) + "=t0ken", "GOPHERWOOD_UPSTREAM_USER_" + credential.EnvHost(host) + "=ci"}, basic("ci", "t0ken")},
		"the URL":              {"you:pw@", []string{"NETRC=" + netrc}, basic("you", "pw")},
		"the URL's user alone": {"t0ken@", nil, basic("t0ken", "")},
		"another port's token": {"", []string{"GOPHERWOOD_UPSTREAM_TOKEN_127_0_0_1=t0ken"}, ""},
	} {
		server.Forget()
		s := newSource(t, Options{Upstreams: "http://" + otherHost + ",http://" + c.user + host, Environ: append([]string{"X=1"}, c.env...)})
		d, err := s.Fetch(ctx, upstreamtest.Lib, t.TempDir(), upstream.Known{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d.Origin != server.URL {
			t.Errorf("%s: origin %s", name, d.Origin)
		}
		for _, r := range server.Requests() {
			if got := r.Header.Get("Authorization"); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
	for _, r := range other.Requests() {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the other upstream got %v", r.Header)
		}
	}
}

func TestCredentialMistakes(t *testing.T) {
	for _, c := range []struct{ upstreams, env string }{
		{"https://a.example.com", "GOPHERWOOD_UPSTREAM_TOKEN_A.EXAMPLE.COM=hunter22"},
		{"https://a.example.com", "GOPHERWOOD_GIT_TOKEN_a_example_com=hunter22"},
		{"https://a.example.com", "GOPHERWOOD_GIT_TOKEN_=hunter22"},
		{"https://a.example.com", "GOPHERWOOD_UPSTREAM_TOKEN_A_EXAMPLE_COM=hunter22\n"},
		{"http://a.example.com", "GOPHERWOOD_UPSTREAM_TOKEN_A_EXAMPLE_COM=hunter22"},
	} {
		_, err := New(Options{Upstreams: c.upstreams, Environ: []string{c.env}})
		upstreamtest.CheckCode(t, err, fault.Usage)
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "hunter22") {
			t.Error(err)
		}
	}
	_, err := New(Options{Upstreams: "off", Environ: []string{"NETRC=" + t.TempDir()}})
	if err == nil || !strings.Contains(err.Error(), "netrc") {
		t.Errorf("%v", err)
	}
	big := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{Upstreams: "off", Environ: []string{"NETRC=" + big}})
	upstreamtest.CheckCode(t, err, fault.Limit, "netrc")
	// In the clear, a netrc file's entry is for others than the upstream.
	if err := os.WriteFile(big, []byte("machine a.example.com login me password pw"), 0o600); err != nil {
		t.Fatal(err)
	}
	carrier := carrierFunc(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials in the clear")
		}
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
	})
	s, err := New(Options{Upstreams: "http://a.example.com", Environ: []string{"NETRC=" + big}, Transport: carrier})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Mod(ctx, upstreamtest.Lib)
	upstreamtest.CheckCode(t, err, fault.NotFound)
}
