package modproxy_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

const (
	lib       = "corp.example.com/lib"
	shouting  = "corp.example.com/SHOUT/Lib"
	toolchain = "golang.org/toolchain"
	pseudo    = "v1.2.1-0.20250401120000-0123456789ab"
)

// fill publishes modules of all kinds.
func (p *proxy) fill(t testing.TB) {
	t.Helper()
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0-rc.1", "v2.5.0+incompatible", pseudo} {
		p.up.Add(t, lib, v, map[string]string{"lib.go": "package lib\n\nconst Version = \"" + v + "\"\n", "LICENSE": "Do what you want.\n"})
	}
	p.up.Add(t, lib+"/v3", "v3.0.0", nil)
	p.up.Add(t, shouting, "v1.0.0-RC1", nil)
	p.up.Add(t, "gopkg.in/yaml.v2", "v2.4.0", nil)
	p.up.Add(t, toolchain, "v0.0.1-go1.99.0.linux-amd64", map[string]string{"bin/go": "#!/bin/sh\necho go version go1.99.0 linux/amd64\n"})
	p.up.Add(t, lib, "v1.4.0", map[string]string{"go.mod": largeMod})
	p.up.Add(t, "corp.example.com/untagged", "v0.0.0-20250301120000-aaaaaaaaaaaa", nil)
	p.up.Point(lib, "main", pseudo)
	p.up.Point(lib, "v2.5.0", "v2.5.0+incompatible")
}

// largeMod is worth compressing.
var largeMod = "module corp.example.com/lib\n\ngo 1.21\n\nretract v1.1.0 // It was a mistake.\n" + strings.Repeat("\n// This line says nothing.", 100) + "\n"

// TestProtocol is the GOPROXY protocol as the Go Modules Reference has it, and as
// the go command uses it: each request twice, from upstream and from memory.
func TestProtocol(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	const text, json = "text/plain; charset=utf-8", "application/json"
	for _, test := range []struct {
		name, path   string
		status       int
		body, header string // what the body holds; the type of the content
	}{
		{"list", "/corp.example.com/lib/@v/list", 200, "v1.0.0\nv1.1.0\nv1.2.0\nv1.3.0-rc.1\nv1.4.0\nv2.5.0+incompatible\n", text},
		{"list of another major version", "/corp.example.com/lib/v3/@v/list", 200, "v3.0.0\n", text},
		{"list without tags", "/corp.example.com/untagged/@v/list", 200, "", text},
		{"list of toolchains", "/golang.org/toolchain/@v/list", 200, "v0.0.1-go1.99.0.linux-amd64\n", text},
		{"latest", "/corp.example.com/lib/@latest", 200, `"Version":"v2.5.0+incompatible"`, json},
		{"latest without tags", "/corp.example.com/untagged/@latest", 200, `"Version":"v0.0.0-20250301120000-aaaaaaaaaaaa"`, json},
		{"info", "/corp.example.com/lib/@v/v1.0.0.info", 200, `"Version":"v1.0.0"`, json},
		{"info has a time", "/corp.example.com/lib/@v/v1.0.0.info", 200, `"Time":"2025-03-01T12:00:00Z"`, json},
		{"info of a pseudo-version", "/corp.example.com/lib/@v/" + pseudo + ".info", 200, `"Version":"` + pseudo + `"`, json},
		{"info of +incompatible", "/corp.example.com/lib/@v/v2.5.0+incompatible.info", 200, `"Version":"v2.5.0+incompatible"`, json},
		{"info of an escaped +", "/corp.example.com/lib/@v/v2.5.0%2Bincompatible.info", 200, `"Version":"v2.5.0+incompatible"`, json},
		{"info of a branch", "/corp.example.com/lib/@v/main.info", 200, `"Version":"` + pseudo + `"`, json},
		{"info of a version that wants +incompatible", "/corp.example.com/lib/@v/v2.5.0.info", 200, `"Version":"v2.5.0+incompatible"`, json},
		{"mod", "/corp.example.com/lib/@v/v1.0.0.mod", 200, "module corp.example.com/lib\n\ngo 1.21\n", text},
		{"mod with retractions", "/corp.example.com/lib/@v/v1.4.0.mod", 200, "retract v1.1.0 // It was a mistake.", text},
		{"mod of +incompatible", "/corp.example.com/lib/@v/v2.5.0+incompatible.mod", 200, "module corp.example.com/lib\n", text},
		{"mod of gopkg.in", "/gopkg.in/yaml.v2/@v/v2.4.0.mod", 200, "module gopkg.in/yaml.v2\n", text},
		{"zip", "/corp.example.com/lib/@v/v1.0.0.zip", 200, "corp.example.com/lib@v1.0.0/lib.go", "application/zip"},
		{"zip of a pseudo-version", "/corp.example.com/lib/@v/" + pseudo + ".zip", 200, "corp.example.com/lib@" + pseudo + "/lib.go", "application/zip"},
		{"zip of +incompatible", "/corp.example.com/lib/@v/v2.5.0+incompatible.zip", 200, "corp.example.com/lib@v2.5.0+incompatible/lib.go", "application/zip"},
		{"zip of a toolchain", "/golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.zip", 200, "golang.org/toolchain@v0.0.1-go1.99.0.linux-amd64/bin/go", "application/zip"},
		{"upper case", "/corp.example.com/!s!h!o!u!t/!lib/@v/v1.0.0-!r!c1.info", 200, `"Version":"v1.0.0-RC1"`, json},
		{"upper case in a list", "/corp.example.com/!s!h!o!u!t/!lib/@v/list", 200, "v1.0.0-RC1\n", text},
		{"upper case in a zip", "/corp.example.com/!s!h!o!u!t/!lib/@v/v1.0.0-!r!c1.zip", 200, "corp.example.com/SHOUT/Lib@v1.0.0-RC1/go.mod", "application/zip"},

		{"no such module", "/corp.example.com/nothing/@v/list", 404, "there is no such thing upstream", text},
		{"no such latest", "/corp.example.com/nothing/@latest", 404, "there is no such thing upstream", text},
		{"no such version", "/corp.example.com/lib/@v/v1.9.0.info", 404, "there is no such thing upstream", text},
		{"no such mod", "/corp.example.com/lib/@v/v1.9.0.mod", 404, "there is no such thing upstream", text},
		{"no such zip", "/corp.example.com/lib/@v/v1.9.0.zip", 404, "there is no such thing upstream", text},
		{"no such branch", "/corp.example.com/lib/@v/feature.info", 404, "there is no such thing upstream", text},
		{"mod of a branch", "/corp.example.com/lib/@v/main.mod", 404, "no canonical version", text},
		{"zip of a branch", "/corp.example.com/lib/@v/main.zip", 404, "no canonical version", text},
		{"zip of a short version", "/corp.example.com/lib/@v/v1.zip", 404, "no canonical version", text},
		{"zip with build metadata", "/corp.example.com/lib/@v/v1.0.0+meta.zip", 404, "no canonical version", text},
		{"zip of another major version", "/corp.example.com/lib/@v/v3.0.0.zip", 404, "no canonical version", text},
		{"upper case that is not escaped", "/corp.example.com/SHOUT/Lib/@v/list", 404, "invalid escaped module path", text},
		{"upper-case version that is not escaped", "/corp.example.com/!s!h!o!u!t/!lib/@v/v1.0.0-RC1.info", 404, "invalid escaped version", text},
		{"bad escape", "/corp.example.com/!!lib/@v/list", 404, "invalid escaped module path", text},
		{"no dot in the first element", "/lib/@v/list", 404, "missing dot in first path element", text},
		{"path that leads up", "/corp.example.com/../../etc/@v/list", 404, "invalid", text},
		{"escaped path that leads up", "/corp.example.com/%2e%2e/%2e%2e/etc/@v/list", 404, "invalid", text},
		{"version that leads up", "/corp.example.com/lib/@v/..%2f..%2fv1.0.0.zip", 404, "version", text},
		{"zero byte", "/corp.example.com/l%00b/@v/list", 404, "invalid", text},
		{"double slash", "//corp.example.com/lib/@v/list", 404, "invalid", text},
		{"another file", "/corp.example.com/lib/@v/v1.0.0.ziphash", 404, "versions have .info, .mod and .zip", text},
		{"no file", "/corp.example.com/lib/@v/", 404, "versions have .info, .mod and .zip", text},
		{"no version", "/corp.example.com/lib/@v/.info", 404, "", text},
		{"no protocol", "/corp.example.com/lib", 404, "this is a Go module proxy", text},
		{"root", "/", 404, "this is a Go module proxy", text},
		{"long path", "/corp.example.com/" + strings.Repeat("a", 5000) + "/@v/list", 404, "longer than 4096 bytes", text},
		{"no checksum database", "/sumdb/sum.golang.org/supported", 404, "no checksum database", text},
	} {
		t.Run(test.name, func(t *testing.T) {
			var first reply
			for i := range 2 {
				got := get(t, p.url+test.path)
				if got.status != test.status || !strings.Contains(got.body, test.body) || got.header.Get("Content-Type") != test.header {
					t.Fatalf("%d %s %q, want %d %s %q", got.status, got.header.Get("Content-Type"), got.body, test.status, test.header, test.body)
				}
				if n := got.header.Get("Content-Length"); n != strconv.Itoa(len(got.body)) {
					t.Errorf("length %s of %d bytes", n, len(got.body))
				}
				if i == 1 && got.status == 200 && got.body != first.body {
					t.Errorf("first %q, then %q", first.body, got.body)
				}
				first = got
				head := ask(t, http.MethodHead, p.url+test.path, nil)
				if head.status != got.status || head.body != "" {
					t.Errorf("HEAD: %d %q", head.status, head.body)
				}
				for _, name := range []string{"Content-Length", "Content-Type", "Etag", "Cache-Control"} {
					if got.status != 200 && name == "Content-Length" {
						continue // of several errors the first is told
					}
					if head.header.Get(name) != got.header.Get(name) {
						t.Errorf("%s is %q, with HEAD %q", name, got.header.Get(name), head.header.Get(name))
					}
				}
			}
			checkCaching(t, first)
			if test.body != "" && strings.HasSuffix(test.path, "/list") && test.status == 200 && first.body != test.body {
				t.Errorf("%q", first.body)
			}
		})
	}
}

// checkCaching looks at what caches between the proxy and the client are told.
func checkCaching(t *testing.T, got reply) {
	t.Helper()
	control, tag := got.header.Get("Cache-Control"), got.header.Get("Etag")
	switch {
	case got.status != 200:
		if control != "no-store" || tag != "" {
			t.Errorf("an error may be kept: %q, %q", control, tag)
		}
	case !strings.HasPrefix(control, "public, max-age=") || len(tag) < 10:
		t.Errorf("Cache-Control %q, Etag %q", control, tag)
	}
}

func TestMethods(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} {
		got := ask(t, method, p.url+"/corp.example.com/lib/@v/list", nil)
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" || got.body == "" {
			t.Errorf("%s: %d %v %q", method, got.status, got.header, got.body)
		}
	}
	if r := p.up.Requests(); len(r) != 0 {
		t.Errorf("upstream was asked %q", r)
	}
}

// TestStatuses is what each failure upstream becomes.
func TestStatuses(t *testing.T) {
	for status, want := range map[int]int{400: 502, 401: 403, 403: 403, 404: 404, 410: 404, 429: 503, 500: 503, 503: 503} {
		p := newProxy(t, nil)
		p.up.Hook(func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "because of this", status)
			return true
		})
		for _, path := range []string{"/@v/list", "/@latest", "/@v/v1.0.0.info", "/@v/v1.0.0.mod", "/@v/v1.0.0.zip", "/@v/main.info"} {
			got := get(t, p.url+"/"+lib+path)
			if got.status != want && !(status == 400 && got.status >= 500) {
				t.Errorf("%d upstream for %s: %d %q, want %d", status, path, got.status, got.body, want)
			}
			if retry := got.header.Get("Retry-After"); (retry != "") != (got.status == 503) {
				t.Errorf("%d: Retry-After %q", got.status, retry)
			}
		}
	}
}

func TestConditional(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	for _, path := range []string{"/@v/list", "/@latest", "/@v/v1.0.0.info", "/@v/v1.4.0.mod", "/@v/v1.0.0.zip", "/@v/main.info"} {
		url := p.url + "/" + lib + path
		tag := get(t, url).header.Get("Etag")
		for known, want := range map[string]int{
			tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200,
		} {
			got := ask(t, http.MethodGet, url, map[string]string{"If-None-Match": known})
			if got.status != want || (got.body == "") != (want == 304) || got.header.Get("Etag") != tag {
				t.Errorf("%s with If-None-Match %s: %d %q %s", path, known, got.status, got.body, got.header.Get("Etag"))
			}
		}
	}
	zip := p.url + "/" + lib + "/@v/v1.0.0.zip"
	modified := get(t, zip).header.Get("Last-Modified")
	if got := ask(t, http.MethodGet, zip, map[string]string{"If-Modified-Since": modified}); got.status != 304 {
		t.Errorf("since %q: %d", modified, got.status)
	}
}

func TestRange(t *testing.T) {
	p := newProxy(t, nil)
	for name, size := range map[string]int{"v1.0.0": 10, "v1.1.0": 200 << 10} { // from memory, and from a file
		p.up.Add(t, lib, name, map[string]string{"noise": noise(size)})
		t.Run(name, func(t *testing.T) { testRange(t, p.url+"/"+lib+"/@v/"+name+".zip") })
	}
}

func testRange(t *testing.T, url string) {
	whole := get(t, url)
	if whole.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%v", whole.header)
	}
	size := len(whole.body)
	for spec, want := range map[string]string{
		"bytes=0-3": whole.body[:4], "bytes=4-": whole.body[4:], "bytes=-10": whole.body[size-10:],
		fmt.Sprintf("bytes=0-%d", 2*size): whole.body,
	} {
		got := ask(t, http.MethodGet, url, map[string]string{"Range": spec})
		if got.status != http.StatusPartialContent || got.body != want {
			t.Errorf("%s: %d, %d bytes", spec, got.status, len(got.body))
		}
	}
	if got := ask(t, http.MethodGet, url, map[string]string{"Range": fmt.Sprintf("bytes=%d-", size)}); got.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond the end: %d", got.status)
	}
	tag := whole.header.Get("Etag")
	for ifRange, status := range map[string]int{tag: http.StatusPartialContent, `"other"`: http.StatusOK} {
		if got := ask(t, http.MethodGet, url, map[string]string{"Range": "bytes=0-3", "If-Range": ifRange}); got.status != status {
			t.Errorf("If-Range %s: %d", ifRange, got.status)
		}
	}
}

// noise returns bytes that do not get smaller.
func noise(n int) string {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	return string(data)
}

func TestGzip(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	for i := range 200 {
		p.up.Add(t, "corp.example.com/many", fmt.Sprintf("v1.%d.0", i), nil)
	}
	for _, test := range []struct {
		path, accept string
		packed       bool
	}{
		{lib + "/@v/v1.4.0.mod", "gzip", true},
		{lib + "/@v/v1.4.0.mod", "br, gzip;q=0.5", true},
		{lib + "/@v/v1.4.0.mod", "gzip;q=0", false},
		{lib + "/@v/v1.4.0.mod", "br", false},
		{lib + "/@v/v1.4.0.mod", "", false},
		{"corp.example.com/many/@v/list", "gzip", true},
		{lib + "/@v/v1.0.0.mod", "gzip", false}, // too small
		{lib + "/@v/v1.0.0.info", "gzip", false},
		{lib + "/@v/v1.0.0.zip", "gzip", false},
	} {
		url := p.url + "/" + test.path
		plain := get(t, url)
		for range 2 {
			got := ask(t, http.MethodGet, url, map[string]string{"Accept-Encoding": test.accept})
			packed := got.header.Get("Content-Encoding") == "gzip"
			if packed != test.packed {
				t.Errorf("%s with %q: %v", test.path, test.accept, got.header)
			}
			body := got.body
			if packed {
				body = unpack(t, body)
				if len(got.body) >= len(plain.body) || got.header.Get("Etag") == plain.header.Get("Etag") {
					t.Errorf("%s: %d bytes of %d, the same Etag %s", test.path, len(got.body), len(plain.body), got.header.Get("Etag"))
				}
			}
			if body != plain.body {
				t.Errorf("%s: %q is not %q", test.path, body, plain.body)
			}
			if worth := strings.HasSuffix(test.path, "v1.4.0.mod") || strings.HasSuffix(test.path, "/list"); (got.header.Get("Vary") == "Accept-Encoding") != worth {
				t.Errorf("%s: Vary %q", test.path, got.header.Get("Vary"))
			}
		}
	}
}

func unpack(t *testing.T, packed string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// TestRemoved removes a version whose zip is known to be there: it is fetched again.
func TestRemoved(t *testing.T) {
	p := newProxy(t, nil)
	p.up.Add(t, lib, "v1.0.0", map[string]string{"noise": noise(200 << 10)})
	url := p.url + "/" + lib + "/@v/v1.0.0.zip"
	first := get(t, url)
	for gone := false; !gone; { // not before the answer is over
		var err error
		if gone, err = p.store.Delete(t.Context(), module.Version{Path: lib, Version: "v1.0.0"}); err != nil {
			t.Fatal(err)
		}
	}
	p.up.Requests()
	if again := get(t, url); again.status != 200 || again.body != first.body {
		t.Errorf("%d, %d bytes", again.status, len(again.body))
	}
	if r := p.up.Requests(); len(r) != 3 {
		t.Errorf("asked upstream %q", r)
	}
}
