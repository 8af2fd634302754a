package access_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"testing"
)

// The real go command signs in with ~/.netrc, with GOAUTH and with the URL. On Linux
// only it can be told to trust the server's certificate.
func TestGoCommand(t *testing.T) {
	rules := open(t, twoUsers(t))
	var mu sync.Mutex
	var names []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := rules.Identify(r)
		if err != nil || !id.MayRead("corp.example.com/lib") {
			w.Header().Set("WWW-Authenticate", `Basic realm="Go modules"`)
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		mu.Lock()
		names = append(names, id.Name)
		mu.Unlock()
		switch path.Ext(r.URL.Path) {
		case ".mod":
			fmt.Fprintln(w, "module corp.example.com/lib")
		case ".info":
			fmt.Fprintln(w, `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`)
		default:
			fmt.Fprintln(w, "v1.0.0")
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	authority := write(t, "ca.pem", pemOf(server.Certificate()))
	host := strings.TrimPrefix(server.URL, "https://")
	name, _, _ := strings.Cut(host, ":")
	// Up to 1.23 the go command looked for the name alone, since then with the port.
	netrc := write(t, "netrc", fmt.Sprintf("machine %s login ci password ci-token-1\nmachine %s login ci password ci-token-1\n", name, host))
	empty := write(t, "netrc", "")
	goauth := write(t, "goauth", fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n\\nAuthorization: Bearer ci-token-2\\n\\n' %s\n", server.URL))
	if err := os.Chmod(goauth, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, proxy string
		env         []string
		want        string
	}{
		{"nothing", server.URL, []string{"NETRC=" + empty}, "sign in"},
		{"netrc", server.URL, []string{"NETRC=" + netrc}, "v1.0.0"},
		{"url", "https://ci:ci-token-1@" + host, []string{"NETRC=" + empty}, "v1.0.0"},
		{"goauth", server.URL, []string{"NETRC=" + empty, "GOAUTH=" + goauth}, "v1.0.0"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-versions", "corp.example.com/lib")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append(test.env, "GOPROXY="+test.proxy, "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=none", "GOFLAGS=-mod=mod",
			"GOWORK=off", "GOMODCACHE="+t.TempDir(), "SSL_CERT_FILE="+authority)...)
		out, err := cmd.CombinedOutput()
		if (err == nil) != (test.want == "v1.0.0") || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v\n%s", test.name, err, out)
		}
	}
	for _, n := range names {
		if n != "ci" {
			t.Errorf("signed in as %q", n)
		}
	}
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}
