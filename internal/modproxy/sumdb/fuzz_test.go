package sumdb

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Whatever is asked for, only what the protocol has is asked upstream, and
// nothing private.
func FuzzServeHTTP(f *testing.F) {
	o := newOrigin(f, 300)
	d := o.open("", func(opt *Options) { opt.Skip = "corp.example.com/private,*.corp.example.com" })
	for _, path := range []string{
		"supported", "latest", "lookup/corp.example.com/!lib5@v1.5.0", "lookup/corp.example.com/private@v1.0.0", "lookup/git.corp.example.com/x@v0.0.1",
		"tile/8/0/000", "tile/8/0/001.p/44", "tile/8/data/000", "tile/3/1/x001/234.p/1", "tile/30/63/000", "lookup/../tile/8", "../../x", "",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = "/sumdb/" + dbName + "/" + path
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		for asked := range o.asked() {
			rest, ok := strings.CutPrefix(asked, "/sumdb/"+dbName+"/")
			lookup, _ := strings.CutPrefix(rest, "lookup/")
			path, _, _ := strings.Cut(lookup, "@")
			if !ok || strings.Contains("/"+rest+"/", "/../") || !d.Covers(path) ||
				rest != "supported" && rest != "latest" && !strings.HasPrefix(rest, "lookup/") && !strings.HasPrefix(rest, "tile/") {
				t.Errorf("%q: asked for %q", path, asked)
			}
		}
	})
}

// Nothing that an upstream can answer makes a wrong sum right.
func FuzzUpstream(f *testing.F) {
	o := newOrigin(f, 300)
	for _, path := range []string{"latest", "lookup/corp.example.com/!lib5@v1.5.0", "tile/8/0/000", "tile/8/1/000.p/1"} {
		f.Add("/"+strings.SplitN(path, "/", 2)[0], ask(o, "GET", "/sumdb/"+dbName+"/"+path).Body.Bytes())
	}
	f.Fuzz(func(t *testing.T, prefix string, body []byte) {
		if len(prefix) < 2 {
			return
		}
		o.lies(on(prefix, func([]byte) []byte { return body }))
		d, err := New(Options{Name: o.gosum, Upstreams: "https://serves.test", Transport: &world{hosts: map[string]http.Handler{"https://serves.test": o}}})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := check(d, 5); err != nil && fault.CodeOf(err) != fault.Invalid && fault.CodeOf(err) != fault.Limit {
			t.Errorf("%q %q: %v", prefix, body, err)
		}
		m := mod(5)
		if err := d.CheckMod(context.Background(), m, sumOf(m, "other")); fault.CodeOf(err) == "" {
			t.Errorf("%q %q: a wrong sum is right", prefix, body)
		}
	})
}

// Data that has other records than the hashes say is refused, and what is
// returned ends with a record.
func FuzzCheckData(f *testing.F) {
	o := newOrigin(f, 3)
	data := ask(o, "GET", "/sumdb/"+dbName+"/tile/8/data/000.p/3").Body.Bytes()
	hashes := ask(o, "GET", "/sumdb/"+dbName+"/tile/8/0/000.p/3").Body.Bytes()
	f.Add(data, 3)
	f.Add(data[:len(data)/2], 2)
	f.Fuzz(func(t *testing.T, other []byte, n int) {
		n = max(0, min(n, 3))
		got, err := checkData(other, hashes[:n*len(hashes)/3])
		if err == nil && (!bytes.HasPrefix(data, got) || bytes.Count(got, []byte("\n\n")) != n) {
			t.Errorf("%q was accepted", got)
		}
	})
}

// What is accepted as options names hosts.
func FuzzOptions(f *testing.F) {
	f.Add("sum.golang.org", "https://a.example.com,direct")
	f.Add("sum.golang.org https://b.example.com", "a.example.com|http://b")
	f.Add("off", "off")
	f.Fuzz(func(t *testing.T, name, upstreams string) {
		if db, err := parseDatabase(name); err == nil && db != nil && (db.address.Host == "" || db.name == "") {
			t.Errorf("%q: %+v", name, db)
		}
		list, _ := parseProxies(upstreams)
		for _, p := range list {
			if p.url.Host == "" {
				t.Errorf("%q: %v", upstreams, p.url)
			}
		}
	})
}
