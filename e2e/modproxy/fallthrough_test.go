//go:build e2e

package modproxy

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFallThrough holds two proxies, of which the first fails, to what the Go
// Modules Reference says of GOPROXY: after a comma the go command goes on for 404
// and 410 only, after a bar for each error.
func TestFallThrough(t *testing.T) {
	first, second := newCorpus(t), newCorpus(t)
	second.publish(t, "mods.example.com/lib", "v1.0.0", "", 10)
	second.publish(t, "mods.example.com/lib", "v1.1.0", "", 10)
	a := newWorld(t, false, map[string]http.Handler{publisher: first})
	b := newWorld(t, false, map[string]http.Handler{publisher: second})
	args := func(more ...string) []string {
		return append([]string{"--store", tempDir(t, lab.dir), "--upstream", "https://" + publisher, "--sumdb", "off", "--list-age", "1ms", "--list-stale", "1ms"}, more...)
	}
	failing, whole := serve(t, a, nil, args()...), serve(t, b, nil, args()...)
	offline := serve(t, a, nil, "--store", tempDir(t, lab.dir), "--offline", "--sumdb", "off")
	cooling := serve(t, b, nil, args("--cooldown", "72h")...)
	closed, err := lab.island.freePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		first string
		// answer is what the first one's upstream says.
		answer http.Handler
		// comma says that the go command goes on after a comma.
		comma bool
		// words are in what the go command says when it does not.
		words []string
	}{
		{"404", failing.url, status(http.StatusNotFound, "not found: it is not here"), true, nil},
		{"410", failing.url, status(http.StatusGone, "gone: it was here"), true, nil},
		{"403", failing.url, status(http.StatusForbidden, "this version is not available"), false, []string{"mods.example.com/lib", "this version is not available"}},
		{"401", failing.url, status(http.StatusUnauthorized, "who is it?"), false, []string{"mods.example.com/lib", "who is it?"}},
		{"500", failing.url, status(http.StatusInternalServerError, "the disk is full"), false, []string{"mods.example.com/lib", "the disk is full"}},
		{"no upstream's module proxy", failing.url, status(http.StatusOK, "<!DOCTYPE html><html>hello</html>"), false, []string{"mods.example.com/lib", "HTML"}},
		{"cool-down", cooling.url, nil, false, []string{"mods.example.com/lib", "first seen"}},
		{"offline", offline.url, nil, true, nil},
		{"nobody listens", "http://" + closed, nil, false, []string{"mods.example.com/lib", "refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			first.answer("/mods.example.com/lib/@v/v1.0.0.info", test.answer) // what is asked for first
			get := func(separator string) output {
				g := newGoCommand(t, "local", "GOPROXY="+test.first+separator+whole.url, "GONOSUMDB=mods.example.com")
				return g.in("module app.example.com/app\n\ngo 1.21\n").run("mod", "download", "mods.example.com/lib@v1.0.0")
			}
			if out := get("|"); out.code != 0 {
				t.Errorf("after a bar: %s", out)
			}
			out := get(",")
			if went := out.code == 0; went != test.comma {
				t.Errorf("after a comma: goes on: %v, want %v: %s", went, test.comma, out)
			}
			if !test.comma {
				requireWords(t, out.stderr, test.words...)
				t.Logf("the user reads: %s", out.stderr)
			}
		})
	}
}

// TestBroken lets the upstream publish what is not what it must be: the go command's
// user reads why, and nothing is stored.
func TestBroken(t *testing.T) {
	c := newCorpus(t)
	w := newWorld(t, false, c.hosts())
	dir := tempDir(t, lab.dir)
	p := serve(t, w, nil, c.serves(dir)...)
	const size = 100_000
	honest := c.publish(t, "mods.example.com/honest", "v1.0.0", "", size)
	send := func(data []byte, length int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(length))
			_, _ = w.Write(data)
			if len(data) < length {
				panic(http.ErrAbortHandler)
			}
		})
	}
	for _, test := range []struct {
		name  string
		zip   func(p *published) http.Handler
		words []string
	}{
		{"truncated", func(p *published) http.Handler { return send(p.zip[:size/2], len(p.zip)) }, nil},
		{"another content", func(p *published) http.Handler {
			other := c.publish(t, "mods.example.com/honest", "v9.9.9", "", 10)
			return send(other.zip, len(other.zip))
		}, []string{"honest@v9.9.9"}},
		{"another sum", func(p *published) http.Handler {
			changed := bytes.Replace(p.zip, []byte("package lib\n"), []byte("package bil\n"), 1)
			return send(changed, len(changed))
		}, []string{"checksum"}},
		{"no zip", func(p *published) http.Handler { return status(http.StatusOK, "hello") }, nil},
		{"redirects in a circle", func(p *published) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
		}, []string{"redirect"}},
		{"a redirect to plain HTTP", func(p *published) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://"+publisher+r.URL.Path+"?x", http.StatusFound)
			})
		}, []string{"redirect"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := "mods.example.com/" + strings.ReplaceAll(strings.ToLower(test.name), " ", "-")
			version := c.publish(t, path, "v1.0.0", "", size)
			c.answer("/"+path+"/@v/v1.0.0.zip", test.zip(version))
			g := newGoCommand(t, "local", "GOPROXY="+p.url, "GOSUMDB="+c.key).in("module app.example.com/app\n\ngo 1.21\n")
			said := g.fails("mod", "download", path+"@v1.0.0")
			requireWords(t, said, append(test.words, path)...)
			t.Logf("the user reads: %s", said)
			requireAbsent(t, dir, path)
			c.answer("/"+path+"/@v/v1.0.0.zip", nil)
			until(t, 20e9, "what is right now is served", func() error {
				return errorOf(g.run("mod", "download", path+"@v1.0.0"))
			})
		})
	}
	t.Run("content that changes", func(t *testing.T) {
		g := newGoCommand(t, "local", "GOPROXY="+p.url, "GOSUMDB="+c.key).in("module app.example.com/app\n\ngo 1.21\n")
		g.must("mod", "download", "mods.example.com/honest@v1.0.0")
		c.publish(t, "mods.example.com/honest", "v1.0.0", "", size) // another content under the same name
		_, body, err := p.get("/mods.example.com/honest/@v/v1.0.0.zip")
		if err != nil || body != string(honest.zip) {
			t.Errorf("what is served has changed with the upstream: %d bytes, %v", len(body), err)
		}
	})
	until(t, 20e9, "no file is left", func() error { return leftovers(dir) })
}

// requireAbsent demands that a module is not in a store.
func requireAbsent(t *testing.T, dir, path string) {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, path, "_oci", "index.json"))
	if err == nil && strings.Contains(string(index), `"v1.0.0"`) {
		t.Errorf("%s is in the store: %s", path, index)
	}
}
