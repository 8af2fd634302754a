//go:build e2e

package modproxy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
)

// TestOneRequest lets many clients ask at once for a version that is not in the
// store: the upstream is asked once.
func TestOneRequest(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	v := version("mods.example.com/wanted", "v1.0.0")
	c.publish(t, v.Path, v.Version, "", 300_000)
	zip := "/" + v.Path + "/@v/" + v.Version + ".zip"
	c.answer(zip, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		time.Sleep(300 * time.Millisecond) // until all have asked
		_, _ = rw.Write(c.content(v, "zip"))
	}))
	p := serve(t, w, nil, c.serves(tempDir(t, lab.dir))...)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			status, body, err := p.get(zip)
			if err != nil || status != http.StatusOK || body != string(c.content(v, "zip")) {
				t.Errorf("status %d, %v, %d bytes", status, err, len(body))
			}
		})
	}
	all.Wait()
	requireWhole(t, c, p, v)
	for _, kind := range []string{"zip", "mod", "info"} {
		if n := c.count(strings.TrimSuffix(zip, "zip") + kind); n != 1 {
			t.Errorf("the upstream was asked %d times for .%s", n, kind)
		}
	}
}

// TestWarm fills a store from the go.sum of a module, which a proxy without
// upstreams then serves.
func TestWarm(t *testing.T) {
	w := newWorld(t, true, nil)
	first := serve(t, w, nil, servesPublic(tempDir(t, lab.dir))...)
	g := newGoCommand(t, "local", "GOPROXY="+first.url).in(wideGraph)
	g.must("mod", "download", "all")
	sums := filepath.Join(g.dir, "go.sum")
	dir := tempDir(t, lab.dir)
	mustCommand(t, w, append([]string{"warm", sums}, servesPublic(dir)...)...)
	w.disconnect()
	w.requests()
	second := serve(t, w, nil, "--store", dir, "--offline", "--sumdb", lab.sumdb)
	getWide(t, second)
	g = newGoCommand(t, "local", "GOPROXY="+second.url).in(wideGraph)
	writeFile(t, filepath.Join(g.dir, "go.sum"), readFile(t, sums))
	g.with("GOFLAGS=-mod=readonly -modcacherw").must("mod", "download")
	if said := w.requests(); len(said) != 0 {
		t.Errorf("an offline proxy asked for %v", said)
	}
}

// TestRemovedWhileServed removes a version while a client reads its zip: the client
// gets it whole.
func TestRemovedWhileServed(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	v, other := version(bigModule, "v1.0.0"), version("mods.example.com/other", "v1.0.0")
	c.publish(t, v.Path, v.Version, "", 40<<20)
	c.publish(t, other.Path, other.Version, "", 1000)
	dir := tempDir(t, lab.dir)
	p := serve(t, w, nil, c.serves(dir)...)
	for _, v := range []module.Version{v, other} {
		requireWhole(t, c, p, v)
	}
	response, err := p.client.Get(p.url + "/" + bigModule + "/@v/v1.0.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	begin := make([]byte, 1<<20)
	if _, err := io.ReadFull(response.Body, begin); err != nil {
		t.Fatal(err)
	}
	out := mustCommand(t, w, "gc", "--store", dir, "--max-bytes", "1B")
	t.Logf("gc: %s", out)
	rest, err := io.ReadAll(response.Body)
	if err != nil || string(begin)+string(rest) != string(c.content(v, "zip")) {
		t.Errorf("the client has %d bytes, %v", len(begin)+len(rest), err)
	}
	stats := mustCommand(t, w, "stats", "--store", dir, "-o", "json").stdout
	if !strings.Contains(stats, bigModule) || strings.Contains(stats, other.Path) {
		t.Errorf("after gc the store has: %s", stats)
	}
	requireWhole(t, c, p, other) // it is fetched again
}

// TestAccess gives the go command credentials in the ways that it knows, over TLS
// and HTTP/2: it reads what its user may read, and says why it may not.
func TestAccess(t *testing.T) {
	c := newCorpus(t)
	for _, path := range []string{"mods.example.com/open", "mods.example.com/team/lib", "mods.example.com/secret"} {
		c.publish(t, path, "v1.0.0", "", 100)
	}
	w := newWorld(t, false, c.hosts())
	const token = "token-of-the-runner-0123456789abcdef"
	dir := tempDir(t, lab.dir)
	rules, cert, key := filepath.Join(dir, "access.yaml"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, rules, fmt.Sprintf(`schemaVersion: gopherwood/v1
kind: ModuleAccess
anonymous:
  read: [mods.example.com/open]
users:
- name: runner
  tokens: ["sha256:%x"]
  read: [mods.example.com/team]
`, sha256.Sum256([]byte(token))))
	writeCertificate(t, "127.0.0.1", cert, key)
	p := startTLS(t, w, append(c.serves(tempDir(t, lab.dir)), "--access", rules, "--tls-cert", cert, "--tls-key", key)...)
	host := strings.TrimPrefix(p.url, "https://")
	netrc, helper := filepath.Join(dir, "netrc"), filepath.Join(dir, "helper")
	writeFile(t, netrc, "machine "+host+" login runner password "+token+"\n")
	writeProgram(t, helper, fmt.Sprintf("#!/bin/sh\nprintf 'https://%s\\n\\nAuthorization: Bearer %s\\n\\n'\n", host, token))
	base := []string{"GOPROXY=" + p.url, "GOSUMDB=off", "SSL_CERT_FILE=" + lab.ca.file}
	get := func(path string, env ...string) output {
		g := newGoCommand(t, "local", slices.Concat(base, env)...)
		return g.in("module app.example.com/app\n\ngo 1.21\n").run("mod", "download", path+"@v1.0.0")
	}
	for _, test := range []struct {
		name, path string
		env        []string
		// words are what the go command says when it fails.
		words []string
	}{
		{"anonymous", "mods.example.com/open", nil, nil},
		{"anonymous, refused", "mods.example.com/team/lib", nil, []string{"401", "mods.example.com/team/lib"}},
		{"netrc", "mods.example.com/team/lib", []string{"NETRC=" + netrc}, nil},
		{"netrc, refused", "mods.example.com/secret", []string{"NETRC=" + netrc}, []string{"403", "mods.example.com/secret"}},
		{"GOAUTH", "mods.example.com/team/lib", []string{"GOAUTH=" + helper}, nil},
		{"password in the URL", "mods.example.com/team/lib", []string{"GOPROXY=https://runner:" + token + "@" + host}, nil},
		{"wrong password", "mods.example.com/team/lib", []string{"GOPROXY=https://runner:wrong@" + host}, []string{"401"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := get(test.path, test.env...)
			if failed := out.code != 0; failed != (test.words != nil) {
				t.Errorf("go mod download: %s", out)
			}
			requireWords(t, out.stderr, test.words...)
			if strings.Contains(p.said.String(), token) {
				t.Errorf("the token is in the log: %s", p.said)
			}
		})
	}
}

// writeCertificate writes a host's certificate and its key.
func writeCertificate(t *testing.T, host, certFile, keyFile string) {
	t.Helper()
	c, err := lab.ca.issue(host)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

// startTLS starts a proxy that serves HTTPS, and stops it at the end of the test.
func startTLS(t *testing.T, w *world, args ...string) *proxy {
	t.Helper()
	p := launch(t, w, nil, args...)
	p.url = "https" + strings.TrimPrefix(p.url, "http")
	p.client.Transport = &http.Transport{DialContext: lab.island.dial, TLSClientConfig: lab.ca.client(), ForceAttemptHTTP2: true}
	p.ready(t)
	t.Cleanup(func() { p.stop(t) })
	response, err := p.client.Get(p.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("over TLS it is %s", response.Proto)
	}
	return p
}
