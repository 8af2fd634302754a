//go:build e2e

package modproxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

// The versions of the modules in the tests of the protocol.
const (
	pseudoOfMain = "v1.1.1-0.20240506070809-aaaaaaaaaaaa"
	onlyPseudo   = "v0.0.0-20240506070809-bbbbbbbbbbbb"
)

// variety publishes modules of every kind that the Go Modules Reference tells apart.
func variety(t *testing.T) *corpus {
	t.Helper()
	c := newCorpus(t)
	for _, v := range []string{"v1.0.0", "v1.0.1", "v1.1.0", "v1.3.0-rc.1", pseudoOfMain} {
		c.publish(t, "mods.example.com/q", v, "", 100)
	}
	c.publish(t, "mods.example.com/q", "v1.2.0", "// Deprecated: use mods.example.com/q/v2.\nmodule mods.example.com/q\n\ngo 1.21\n\nretract [v1.0.1, v1.1.0] // They lose data.\n", 100)
	c.publish(t, "mods.example.com/q/v2", "v2.0.0", "", 100)
	c.publish(t, "mods.example.com/q/sub", "v0.1.0", "", 100)
	for _, v := range []string{"v1.0.0", "v2.0.0+incompatible", "v3.1.0+incompatible"} {
		c.publish(t, "mods.example.com/old", v, "module mods.example.com/old\n", 100)
	}
	c.publish(t, "mods.example.com/CapiTal/Q", "v1.0.0-RC1", "", 100)
	c.publish(t, "mods.example.com/pseudo", onlyPseudo, "", 100)
	c.publish(t, "mods.example.com/dotted.v1", "v1.2.3", "", 100)
	c.queries["mods.example.com/q@main"] = pseudoOfMain
	c.queries["mods.example.com/q@aaaaaaaaaaaa"] = pseudoOfMain
	c.queries["mods.example.com/pseudo@main"] = onlyPseudo
	return c
}

// TestQueries asks what the section "Version queries" of the Go Modules Reference
// lists: they mean the same through the proxy.
func TestQueries(t *testing.T) {
	c := variety(t)
	w := newWorld(t, false, c.hosts())
	p := serve(t, w, nil, c.serves(tempDir(t, lab.dir))...)
	g := newGoCommand(t, "local", "GOPROXY="+p.url, "GOSUMDB="+c.key).in("module app.example.com/app\n\ngo 1.21\n")
	for _, test := range []struct{ query, want string }{
		{"mods.example.com/q@latest", "v1.2.0"},
		{"mods.example.com/q@upgrade", "v1.2.0"},
		{"mods.example.com/q@v1", "v1.2.0"},
		{"mods.example.com/q@v1.0", "v1.0.0"},
		{"mods.example.com/q@v1.0.0", "v1.0.0"},
		{"mods.example.com/q@v1.3.0-rc.1", "v1.3.0-rc.1"},
		{"mods.example.com/q@>v1.2.0", "v1.3.0-rc.1"},
		{"mods.example.com/q@>=v1.1.0", "v1.2.0"},
		{"mods.example.com/q@<v1.2.0", "v1.0.0"},
		{"mods.example.com/q@<=v1.2.0", "v1.2.0"},
		{"mods.example.com/q@main", pseudoOfMain},
		{"mods.example.com/q@aaaaaaaaaaaa", pseudoOfMain},
		{"mods.example.com/q@" + pseudoOfMain, pseudoOfMain},
		{"mods.example.com/q/v2@latest", "v2.0.0"},
		{"mods.example.com/q/sub@latest", "v0.1.0"},
		{"mods.example.com/old@latest", "v3.1.0+incompatible"},
		{"mods.example.com/old@v2", "v2.0.0+incompatible"},
		{"mods.example.com/CapiTal/Q@latest", "v1.0.0-RC1"},
		{"mods.example.com/pseudo@latest", onlyPseudo},
		{"mods.example.com/pseudo@main", onlyPseudo},
		{"mods.example.com/dotted.v1@latest", "v1.2.3"},
		{"mods.example.com/q@v9", ""},
		{"mods.example.com/q@nothing", ""},
		{"mods.example.com/none@latest", ""},
		{"mods.example.com/capital/q@latest", ""},
	} {
		path, _, _ := strings.Cut(test.query, "@")
		if test.want == "" {
			requireWords(t, g.fails("list", "-m", test.query), path)
			continue
		}
		if got := g.must("list", "-m", test.query); got != path+" "+test.want {
			t.Errorf("%s is %s, want %s", test.query, got, test.want)
		}
		g.must("mod", "download", path+"@"+test.want)
	}
	if got := g.must("list", "-m", "-versions", "mods.example.com/q"); got != "mods.example.com/q v1.0.0 v1.2.0 v1.3.0-rc.1" {
		t.Errorf("versions: %s", got)
	}
	if got := g.must("list", "-m", "-versions", "mods.example.com/pseudo"); got != "mods.example.com/pseudo" {
		t.Errorf("versions where there are none: %s", got)
	}
	g.must("get", "mods.example.com/q/sub") // the longest path that is a module
	if got := g.must("list", "-m", "all"); !strings.Contains(got, "mods.example.com/q/sub v0.1.0") || strings.Contains(got, "mods.example.com/q v") {
		t.Errorf("go get of a package: %s", got)
	}
}

// TestProtocol holds the answers to the section "GOPROXY protocol" of the Go Modules
// Reference, and to HTTP.
func TestProtocol(t *testing.T) {
	c := variety(t)
	w := newWorld(t, false, c.hosts())
	p := serve(t, w, nil, c.serves(tempDir(t, lab.dir))...)
	q := "/mods.example.com/q/"
	zip := string(c.content(version("mods.example.com/q", "v1.0.0"), "zip"))
	mod := string(c.content(version("mods.example.com/q", "v1.0.0"), "mod"))
	sums := "/sumdb/" + vouching + "/"
	for _, test := range []struct {
		method, path, header string
		status               int
		// words are in the body; exactly is the body.
		words, exactly string
	}{
		{"GET", q + "@v/list", "", 200, "", "v1.0.0\nv1.0.1\nv1.1.0\nv1.2.0\nv1.3.0-rc.1\n"},
		{"GET", "/mods.example.com/pseudo/@v/list", "", 200, "", ""},
		{"GET", q + "@v/v1.0.0.info", "", 200, `"Version":"v1.0.0"`, ""},
		{"GET", q + "@v/main.info", "", 200, pseudoOfMain, ""},
		{"GET", q + "@latest", "", 200, `"Version":"v1.`, ""},
		{"GET", q + "@v/v1.0.0.mod", "", 200, "", mod},
		{"GET", q + "@v/v1.0.0.zip", "", 200, "", zip},
		{"GET", q + "@v/v1.0.0.zip", "Range: bytes=2-9", 206, "", zip[2:10]},
		{"GET", q + "@v/v1.0.0.zip", "Range: bytes=-7", 206, "", zip[len(zip)-7:]},
		{"GET", q + "@v/v1.0.0.zip", "Range: bytes=99999999-", 416, "", ""},
		{"HEAD", q + "@v/v1.0.0.zip", "", 200, "", ""},
		{"HEAD", q + "@v/v1.0.0.info", "", 200, "", ""},
		{"POST", q + "@v/v1.0.0.info", "", 405, "", ""},
		{"GET", "/mods.example.com/!capi!tal/!q/@v/v1.0.0-!r!c1.mod", "", 200, "mods.example.com/CapiTal/Q", ""},
		{"GET", "/mods.example.com/CapiTal/Q/@v/v1.0.0-RC1.mod", "", 0, "", ""},
		{"GET", "/mods.example.com/old/@v/v3.1.0+incompatible.mod", "", 200, "mods.example.com/old", ""},
		{"GET", q + "@v/v1.9.0.info", "", 404, "not found", ""},
		{"GET", q + "@v/v1.9.0.zip", "", 404, "not found", ""},
		{"GET", q + "@v/nothing.info", "", 404, "not found", ""},
		{"GET", "/mods.example.com/none/@v/list", "", 404, "not found", ""},
		{"GET", "/mods.example.com/none/@latest", "", 404, "not found", ""},
		{"GET", q + "@v/main.zip", "", 0, "", ""},
		{"GET", q + "@v/main.mod", "", 0, "", ""},
		{"GET", q + "@v/v1.0.0.exe", "", 0, "", ""},
		{"GET", q + "@v/", "", 0, "", ""},
		{"GET", "/nodot/@v/list", "", 0, "", ""},
		{"GET", "/mods.example.com/../../../etc/@v/list", "", 0, "", ""},
		{"GET", "/mods.example.com/%2e%2e/%2e%2e/etc/@v/list", "", 0, "", ""},
		{"GET", "/mods.example.com/q/@v/..%2f..%2fsecret.info", "", 0, "", ""},
		{"GET", sums + "supported", "", 200, "", ""},
		{"GET", sums + "lookup/mods.example.com/q@v1.0.0", "", 200, "mods.example.com/q v1.0.0/go.mod h1:", ""},
		{"GET", sums + "latest", "", 200, "go.sum database tree", ""},
		{"GET", sums + "lookup/mods.example.com/none@v1.0.0", "", 404, "", ""},
		{"GET", "/sumdb/other.example.com/supported", "", 404, "", ""},
	} {
		t.Run(test.method+" "+test.path+" "+test.header, func(t *testing.T) {
			got := p.ask(t, test.method, test.path, test.header)
			switch {
			case test.status == 0 && (got.status < 400 || got.status > 499):
				t.Errorf("status %d: %s", got.status, got.body)
			case test.status != 0 && got.status != test.status:
				t.Errorf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if test.exactly != "" && got.body != test.exactly || !strings.Contains(got.body, test.words) {
				t.Errorf("body %q, want %q", got.body, test.exactly+test.words)
			}
			if got.status >= 400 && got.body != "" && !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				t.Errorf("the go command shows no %s", got.header.Get("Content-Type"))
			}
		})
	}
	t.Run("conditional", func(t *testing.T) {
		tag := p.ask(t, "GET", q+"@v/v1.0.0.zip", "").header.Get("ETag")
		if got := p.ask(t, "GET", q+"@v/v1.0.0.zip", "If-None-Match: "+tag); tag == "" || got.status != http.StatusNotModified || got.body != "" {
			t.Errorf("with the tag %s: status %d, %d bytes", tag, got.status, len(got.body))
		}
	})
	for _, o := range w.requests() {
		if o.url.Host != publisher && o.url.Host != vouching {
			t.Errorf("a host that nobody has named: %s", o)
		}
		if strings.Contains(o.url.Path, "..") || strings.Contains(o.url.Path, "etc") {
			t.Errorf("a path that nobody has: %s", o)
		}
	}
}

// answered is an answer of the proxy.
type answered struct {
	status int
	header http.Header
	body   string
}

// ask sends a request as it is, without cleaning its path.
func (p *proxy) ask(t *testing.T, method, path, header string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	response, err := p.client.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, string(body)}
}

func version(path, version string) module.Version {
	return module.Version{Path: path, Version: version}
}
