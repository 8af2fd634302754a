package modproxy_test

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/sumdb"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/route"
)

// outside answers for the one upstream that there is, and remembers who was asked
// for anything else.
type outside struct{ wrong string }

func (o *outside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "upstream.example.com" || !strings.HasPrefix(r.URL.EscapedPath(), "/base/") || strings.Contains(r.URL.Path+"/", "/private.example.com/") || strings.Contains(r.URL.Path, "/../") || r.URL.RawQuery != "" {
		o.wrong = r.URL.String()
	}
	status, body := http.StatusNotFound, ""
	if strings.HasSuffix(r.URL.Path, ".mod") || strings.HasSuffix(r.URL.Path, "/list") {
		status, body = http.StatusOK, "v1.0.0\n"
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// FuzzServer asks for anything: nothing is asked of a host that was not configured,
// nothing private of the public one, and nothing is written outside of the store.
func FuzzServer(f *testing.F) {
	for _, s := range []string{
		"/golang.org/x/text/@v/list", "/golang.org/x/text/@latest", "/golang.org/x/text/@v/v0.3.0.zip", "/a.b/@v/v1.0.0.mod",
		"/evil.example.com:80/@v/list", "/a.b/%2e%2e/@v/list", "//evil.example.com/@v/list", "/a.b/@v/..%2f..%2fx.info", "/a.b/@v/%2e%2e.info",
		"/sumdb/sum.golang.org/lookup/a.b@v1.0.0", "/sumdb/../@v/list", "/private.example.com/a/@v/list", "/sumdb/sum.golang.org/tile/8/0/../x",
		"/sumdb/sum.golang.org/lookup/private.example.com/a@v1.0.0", "/a.b/@v/list?x=y", "/a.b@evil/@latest", "/a.b/@v/@v/list",
	} {
		f.Add(s)
	}
	root := f.TempDir()
	out := &outside{}
	s, err := layouts.Open(filepath.Join(root, "store"), layouts.Options{})
	if err != nil {
		f.Fatal(err)
	}
	const private = "private.example.com"
	source, err := route.New(route.Options{
		Upstreams: "https://upstream.example.com/base", Private: private, PrivateUpstreams: "off", Transport: out, Environ: []string{"HOME=" + root},
	})
	if err != nil {
		f.Fatal(err)
	}
	db, err := sumdb.New(sumdb.Options{Name: "sum.golang.org https://upstream.example.com/base/db", Skip: private, Dir: filepath.Join(root, "store", "@sumdb"), Transport: out})
	if err != nil {
		f.Fatal(err)
	}
	m := mirror.New(mirror.Options{Store: s, Source: source, Private: private, Queue: -1})
	server := modproxy.NewServer(modproxy.Options{Mirror: m, Sums: db, Metrics: modproxy.NewMetrics("v1")})
	f.Cleanup(func() {
		for _, err := range []error{m.Close(context.Background()), s.Close(), db.Close()} {
			if err != nil {
				f.Error(err)
			}
		}
	})
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Host: "proxy"})
		if out.wrong != "" {
			t.Fatalf("%q led to %s", target, out.wrong)
		}
		if body := w.Body.String(); w.Code >= 400 && (len(body) > 1024 || !strings.HasSuffix(body, "\n")) {
			t.Fatalf("%q: %d %q", target, w.Code, body)
		}
		if err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
			if err == nil && name != root && !strings.HasPrefix(name, filepath.Join(root, "store")) {
				t.Fatalf("%q made %s", target, name)
			}
			return nil
		}); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if strings.Contains(w.Header().Get("Location"), "//") {
			t.Fatalf("%q is sent elsewhere: %s", target, w.Header().Get("Location"))
		}
	})
}
