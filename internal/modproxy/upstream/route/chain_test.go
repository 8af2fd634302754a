package route

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestUpstreamsSyntax(t *testing.T) {
	for list, problem := range map[string]string{
		"https://a.example.com":                          "",
		"a.example.com/goproxy":                          "",
		"https://a.example.com|http://b.example.com,off": "",
		" https://a.example.com , direct ":               "",
		"direct,://not-read-any-more":                    "",
		"file:///srv/modules":                            "",
		"https://me:secret@a.example.com/x":              "",
		"http://me:secret@127.0.0.1:1/x":                 "",
		"":                                               "no entries",
		" ,| ":                                           "no entries",
		"/srv/modules":                                   "scheme",
		"ftp://a.example.com":                            "scheme",
		"proxy":                                          "scheme",
		"https:///x":                                     "names no host",
		"https:x:/":                                      "names no host",
		"https://a.example.com/?q=1":                     "query",
		"https://a.example.com/#f":                       "fragment",
		"file://host/srv":                                "file URL",
		"file:///srv?x":                                  "file URL",
		"https://me:secret@a.example.com:port":           "not a valid URL",
		"http://me:secret@a.example.com/x":               "in the clear",
	} {
		_, err := New(Options{Upstreams: list, Environ: []string{}})
		if problem == "" {
			if err != nil {
				t.Errorf("%q: %v", list, err)
			}
			continue
		}
		upstreamtest.CheckCode(t, err, fault.Usage, problem)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", list, err)
		}
	}
}

// TestChainAsGoCommand asks the same lists of servers by the go command and by a
// Source, and expects the same servers to be asked, with the same outcome.
func TestChainAsGoCommand(t *testing.T) {
	m := module.Version{Path: "corp.example.com/Lib", Version: "v1.0.0"}
	p := upstreamtest.Published{}
	p.Add(t, m)
	server := func(name string) (*upstreamtest.ProxyServer, *atomic.Int64) {
		status := &atomic.Int64{}
		return upstreamtest.ServeProxy(t, p, func(w http.ResponseWriter, _ *http.Request) bool {
			if status.Load() == http.StatusOK {
				return false
			}
			http.Error(w, "this is "+name, int(status.Load()))
			return true
		}), status
	}
	a, statusA := server("a")
	b, statusB := server("b")
	ends := []int64{200, 403, 404, 410, 500}
	for _, sa := range ends {
		for _, sb := range ends {
			for _, list := range []string{"A,B", "A|B", "A", "A,off", "A|off,B", "A, |B"} {
				statusA.Store(sa)
				statusB.Store(sb)
				upstreams := strings.NewReplacer("A", a.URL, "B", b.URL).Replace(list)
				name := fmt.Sprintf("%s with %d and %d", list, sa, sb)

				goErr := goVersions(t, upstreams, m.Path)
				goAsked := [][]string{a.Paths(), b.Paths()}
				a.Forget()
				b.Forget()
				versions, err := newSource(t, Options{Upstreams: upstreams, Transport: http.DefaultTransport}).Versions(ctx, m.Path)
				asked := [][]string{a.Paths(), b.Paths()}
				a.Forget()
				b.Forget()

				if (err == nil) != (goErr == "") {
					t.Errorf("%s: %v; the go command: %v", name, err, goErr)
				}
				if err == nil && !slices.Equal(versions, []string{m.Version}) {
					t.Errorf("%s: versions %v", name, versions)
				}
				for i := range asked {
					if !slices.Equal(asked[i], goAsked[i]) {
						t.Errorf("%s: server %d was asked for %v, by the go command for %v", name, i, asked[i], goAsked[i])
					}
				}
				// Both show the error of the same server.
				for _, which := range []string{"this is a", "this is b"} {
					if err != nil && strings.Contains(err.Error(), which) != strings.Contains(goErr, which) {
						t.Errorf("%s: %v; the go command: %v", name, err, goErr)
					}
				}
			}
		}
	}
}

// goVersions lets the go command list the versions of a module, and returns its
// error.
func goVersions(t *testing.T, upstreams, path string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-versions", "-retracted", path)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOPROXY="+upstreams, "GOSUMDB=off", "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out)
	}
	return ""
}

func TestOff(t *testing.T) {
	s := newSource(t, Options{Upstreams: "off"})
	m := module.Version{Path: "corp.example.com/lib", Version: "v1.0.0"}
	dir := t.TempDir()
	_, err1 := s.Versions(ctx, m.Path)
	_, err2 := s.Latest(ctx, m.Path)
	_, err3 := s.Info(ctx, m.Path, "main")
	_, err4 := s.Mod(ctx, m)
	_, err5 := s.Fetch(ctx, m, dir, upstream.Known{})
	for _, err := range []error{err1, err2, err3, err4, err5} {
		upstreamtest.CheckCode(t, err, fault.NotFound, "corp.example.com/lib", "off")
	}
	upstreamtest.CheckEmpty(t, dir)
}

// TestRefusedNames sends nothing for names that no module can have.
func TestRefusedNames(t *testing.T) {
	a := upstreamtest.ServeProxy(t, upstreamtest.Published{}, nil)
	s := newSource(t, Options{Upstreams: a.URL})
	for _, path := range []string{"", "lib", "../x", "example.com/../x", "example.com//x", "-x.example.com", "example.com/x?y", "example.com/x@v1", "EXAMPLE.com/x", "example.com/x/v1", "a b.com/x"} {
		_, err := s.Versions(ctx, path)
		upstreamtest.CheckCode(t, err, fault.Usage)
		_, err = s.Latest(ctx, path)
		upstreamtest.CheckCode(t, err, fault.Usage)
		_, err = s.Info(ctx, path, "v1.0.0")
		upstreamtest.CheckCode(t, err, fault.Usage)
	}
	for _, query := range []string{"", "..", "a/b", "../../x", "!x", "a?b", "<v1"} {
		_, err := s.Info(ctx, "example.com/x", query)
		upstreamtest.CheckCode(t, err, fault.Usage)
	}
	for _, version := range []string{"main", "v1", "v1.0", "v1.0.0+meta", "v2.0.0", "latest", "../v1.0.0"} {
		m := module.Version{Path: "example.com/x", Version: version}
		_, err := s.Mod(ctx, m)
		upstreamtest.CheckCode(t, err, fault.Usage)
		_, err = s.Fetch(ctx, m, t.TempDir(), upstream.Known{})
		upstreamtest.CheckCode(t, err, fault.Usage)
	}
	if paths := a.Paths(); len(paths) > 0 {
		t.Errorf("requests for %v", paths)
	}
}

func TestCanceled(t *testing.T) {
	block := make(chan struct{})
	server := upstreamtest.ServeProxy(t, nil, func(_ http.ResponseWriter, r *http.Request) bool {
		close(block)
		<-r.Context().Done()
		return true
	})
	asking, cancel := context.WithCancelCause(ctx)
	go func() {
		<-block
		cancel(nil)
	}()
	s := newSource(t, Options{Upstreams: server.URL + "|" + server.URL})
	_, err := s.Versions(asking, upstreamtest.Lib.Path)
	upstreamtest.CheckCode(t, err, fault.Canceled)
	if asked := len(server.Requests()); asked != 1 {
		t.Errorf("%d requests for nobody", asked)
	}
	dir := t.TempDir()
	_, err = s.Fetch(asking, upstreamtest.Lib, dir, upstream.Known{})
	upstreamtest.CheckCode(t, err, fault.Canceled)
	upstreamtest.CheckEmpty(t, dir)
	_, err = newSource(t, Options{Upstreams: "file:///nowhere"}).Versions(asking, upstreamtest.Lib.Path)
	upstreamtest.CheckCode(t, err, fault.Canceled)
}

// FuzzPaths sends requests for all names there may be, and expects them at the
// configured host, below the configured path, and nothing beside the directory.
func FuzzPaths(f *testing.F) {
	for _, seed := range [][2]string{
		{"corp.example.com/lib", "v1.0.0"}, {"corp.example.com/../../etc", "../../x"}, {"corp.example.com/a%2fb", "%2e%2e"}, {"evil.example.com#@h", "a?b=c"},
		{"corp.example.com/Lib", "Main"}, {"example.com/x\\..\\y", "..\\..\\z"}, {"http://evil.example.com", "v1.0.0"}, {"corp.example.com/~u/_x", "a@b"},
	} {
		f.Add(seed[0], seed[1])
	}
	dir := f.TempDir()
	base := filepath.Join(dir, "modules")
	f.Fuzz(func(t *testing.T, path, version string) {
		carrier := carrierFunc(func(r *http.Request) (*http.Response, error) {
			rest, below := strings.CutPrefix(r.URL.EscapedPath(), "/go%2Fproxy/")
			clean, err := url.PathUnescape(rest)
			if r.URL.Scheme != "https" || r.URL.Host != "proxy.example.com" || r.URL.User != nil || r.URL.RawQuery != "" || !below || err != nil ||
				!filepath.IsLocal(filepath.FromSlash(clean)) || strings.Contains(clean, `\`) {
				t.Errorf("%q@%q: a request for %s", path, version, r.URL)
			}
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
		})
		s := newSource(t, Options{Upstreams: "https://proxy.example.com/go%2Fproxy,file://" + filepath.ToSlash(base), Transport: carrier,
			Observer: func(r upstream.Request) {
				if r.Host != "proxy.example.com" && r.Host != "file" {
					t.Errorf("%q@%q: a request to %s", path, version, r.Host)
				}
			}})
		m := module.Version{Path: path, Version: version}
		_, err1 := s.Versions(ctx, path)
		_, err2 := s.Latest(ctx, path)
		_, err3 := s.Info(ctx, path, version)
		_, err4 := s.Mod(ctx, m)
		_, err5 := s.Fetch(ctx, m, dir, upstream.Known{})
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if code := fault.CodeOf(err); code != fault.NotFound && code != fault.Usage {
				t.Errorf("%q@%q: %v", path, version, err)
			}
		}
		upstreamtest.CheckEmpty(t, dir)
	})
}
