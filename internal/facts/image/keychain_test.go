package image

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// chain is a keychain of the tests: credentials by host.
type chain map[string][]Credentials

func (c chain) Find(_ context.Context, repository string) ([]Credentials, error) {
	host, _, _ := strings.Cut(repository, "/")
	return c[host], nil
}

func (c chain) Fingerprint(repository string) string { return repository }

func user(name string) Credentials { return Credentials{Username: name, Password: name + "-secret"} }

// protect lets only user in, over the basic scheme, and returns who knocked.
func (s *server) protect(user string) (seen func() []string) {
	var mu sync.Mutex
	var all []string
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		got, password, ok := req.BasicAuth()
		if ok {
			mu.Lock()
			if !slices.Contains(all, got) {
				all = append(all, got)
			}
			mu.Unlock()
		}
		if got == user && password == user+"-secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"%s is not %s"}]}`, password, user)
		return true
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func readOne(t testing.TB, ref string, opt Options) (*Image, error) {
	t.Helper()
	for img, err := range Open(t.Context(), ref, opt) {
		return img, err
	}
	return nil, nil
}

func TestCredentialsInTurn(t *testing.T) {
	s := startServer(t)
	tag, _ := s.push(t, "team/app", sample(t, "amd64"))
	seen := s.protect("right")
	for _, c := range []struct {
		name string
		keys []Credentials
		code fault.Code
		want []string
	}{
		{"the second", []Credentials{user("wrong"), user("right"), user("never")}, "", []string{"wrong", "right"}},
		{"none of them", []Credentials{user("wrong"), user("other")}, fault.Denied, []string{"wrong", "right", "other"}},
		{"nobody", nil, fault.Denied, []string{"wrong", "right", "other"}},
	} {
		_, err := readOne(t, tag, Options{Keychain: chain{s.host: c.keys}})
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error repeats the password: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, seen()); diff != "" {
			t.Errorf("%s: who was there (-want +got)\n%s", c.name, diff)
		}
	}
}

// Credentials are not sent where the registry redirects to.
func TestCredentialsAndRedirects(t *testing.T) {
	s := startServer(t)
	tag, _ := s.push(t, "team/app", sample(t, "amd64"))
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked = append(leaked, req.Header.Values("Authorization")...)
		http.Redirect(w, req, "http://"+s.host+req.URL.Path+"?direct=1", http.StatusTemporaryRedirect)
	}))
	defer elsewhere.Close()
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if _, _, ok := req.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.Contains(req.URL.Path, "/blobs/") && req.URL.RawQuery == "" {
			http.Redirect(w, req, elsewhere.URL+req.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	if _, err := readOne(t, tag, Options{Keychain: chain{s.host: {user("right")}}}); err != nil {
		t.Fatal(err)
	}
	if len(leaked) > 0 {
		t.Errorf("%q was sent elsewhere", leaked)
	}
}

// The answers of what may be no registry at all are not passed on, nor are the
// signatures in URLs.
func TestErrorsAreDiscreet(t *testing.T) {
	s := startServer(t)
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == "/v2/" {
			return false
		}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "inner working of some service")
		return true
	})
	_, err := readOne(t, s.host+"/team/app:v1", Options{})
	if err == nil || strings.Contains(err.Error(), "inner") || !strings.Contains(err.Error(), "418") {
		t.Errorf("got %v", err)
	}
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == "/v2/" {
			return false
		}
		http.Redirect(w, req, "http://127.0.0.1:1/blob?signature=topsecret", http.StatusTemporaryRedirect)
		return true
	})
	_, err = readOne(t, s.host+"/team/app:v1", Options{})
	if err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("got %v", err)
	}
}

// mirrored returns a registry that has an image, and a mirror that has it too.
func withMirror(t *testing.T) (upstream, mirror *server, ref string) {
	t.Helper()
	upstream, mirror = startServer(t), startServer(t)
	img := sample(t, "amd64")
	ref, _ = upstream.push(t, "team/app", img)
	mirror.push(t, "team/app", img)
	upstream.reset()
	mirror.reset()
	return upstream, mirror, ref
}

func (s *server) all() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.requests {
		n += k
	}
	return n
}

func TestMirror(t *testing.T) {
	upstream, mirror, ref := withMirror(t)
	seen := mirror.protect("mirrored")
	opt := Options{
		Mirrors:  map[string][]string{upstream.host: {"http://" + mirror.host}},
		Keychain: chain{upstream.host: {user("upstream")}, mirror.host: {user("mirrored")}},
	}
	if _, err := readOne(t, ref, opt); err != nil {
		t.Fatal(err)
	}
	if n := upstream.all(); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	if diff := cmp.Diff([]string{"mirrored"}, seen()); diff != "" {
		t.Errorf("the mirror was shown (-want +got)\n%s", diff)
	}
}

// Whatever is wrong with a mirror, the registry is asked.
func TestMirrorFails(t *testing.T) {
	for name, hook := range map[string]func(w http.ResponseWriter, req *http.Request) bool{
		"down": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"denies": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		},
		"has nothing": func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path != "/v2/" {
				w.WriteHeader(http.StatusNotFound)
			}
			return true
		},
		"is a web page": func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<html>welcome")
			return true
		},
		"serves other layers": func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, "/blobs/") {
				return false
			}
			fmt.Fprint(w, "other content")
			return true
		},
		"stops in the middle": func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, "/blobs/") {
				return false
			}
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			upstream, mirror, ref := withMirror(t)
			mirror.setHook(hook)
			opt := Options{Mirrors: map[string][]string{upstream.host: {"http://" + mirror.host}}, Timeouts: Timeouts{Retry: 1}}
			img, err := readOne(t, ref, opt)
			if err != nil {
				t.Fatal(err)
			}
			if len(img.Config.Layers) == 0 || upstream.all() == 0 {
				t.Errorf("got %+v", img)
			}
		})
	}
}

func TestMirrorNames(t *testing.T) {
	for _, c := range []struct{ base, repository, path string }{
		{"https://m.example", "m.example/library/nginx", "/v2/library/nginx/x"},
		{"https://m.example:5000/v2/", "m.example:5000/library/nginx", "/v2/library/nginx/x"},
		{"https://m.example/cache", "m.example/library/nginx", "/cache/v2/library/nginx/x"},
		{"https://m.example/v2/proxy", "m.example/proxy/library/nginx", "/v2/proxy/library/nginx/x"},
		{"https://m.example/a/v2/proxy", "m.example/proxy/library/nginx", "/a/v2/proxy/library/nginx/x"},
	} {
		var path string
		record := roundTrip(func(req *http.Request) (*http.Response, error) {
			path = req.URL.Path
			return nil, http.ErrNotSupported
		})
		repo, err := name.NewRepository("nginx")
		if err != nil {
			t.Fatal(err)
		}
		places, err := endpoints(repo, Options{Mirrors: map[string][]string{"docker.io": {c.base}}}, record)
		if err != nil {
			t.Fatal(err)
		}
		m := places[0]
		req, _ := http.NewRequest(http.MethodGet, "https://"+m.repo.RegistryStr()+"/v2/"+m.repo.RepositoryStr()+"/x", nil)
		resp, err := m.base.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if RepositoryName(m.repo) != c.repository || path != c.path {
			t.Errorf("%s: %s at %s", c.base, RepositoryName(m.repo), path)
		}
		if served, err := Served("docker.io/library/nginx", Options{Mirrors: map[string][]string{"docker.io": {c.base}}}); err != nil ||
			!slices.Equal(served, []string{c.repository, "docker.io/library/nginx"}) {
			t.Errorf("%s: served at %v, %v", c.base, served, err)
		}
	}
	for _, base := range []string{"m.example", "ftp://m.example", "https://user:password@m.example", "https://", "://", "https://m.example/?a=b"} {
		_, err := Digest(t.Context(), "nginx", Options{Mirrors: map[string][]string{"docker.io": {base}}})
		if fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s: %v", base, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestResolveAndDigest(t *testing.T) {
	s := startServer(t)
	img := sample(t, "amd64")
	tag, pinned := s.push(t, "team/app", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	want := Resolved{Digest: digest.String(), Platforms: []PlatformManifest{{api.Platform{OS: "linux", Arch: "amd64"}, digest.String()}}}
	for _, ref := range []string{tag, pinned} {
		s.reset()
		got, err := Resolve(t.Context(), ref, Options{Platforms: []api.Platform{{OS: "plan9", Arch: "386"}}})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", ref, err, diff)
		}
		if n, _ := s.count(kindBlobs); n != 1 { // the configuration
			t.Errorf("%s: %d blobs were read", ref, n)
		}
		s.reset()
		if got, err := Digest(t.Context(), ref, Options{}); got != digest.String() || err != nil {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
		if n, _ := s.count(kindManifests); n != 0 {
			t.Errorf("%s: the manifest was read", ref)
		}
		// Not every registry answers HEAD.
		s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
			return req.Method == http.MethodHead
		})
		if got, err := Digest(t.Context(), ref, Options{}); got != digest.String() || err != nil {
			t.Errorf("%s without HEAD: %s, %v", ref, got, err)
		}
		s.setHook(nil)
	}
	for _, ref := range []string{s.host + "/team/app:none", s.host + "/team/app@sha256:" + strings.Repeat("0", 64)} {
		if _, err := Digest(t.Context(), ref, Options{}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", ref, err)
		}
		if _, err := Resolve(t.Context(), ref, Options{}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestPlainHTTPHosts(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		want  string
	}{{nil, "https"}, {[]string{"registry.example:5000"}, "http"}, {[]string{"registry.example"}, "https"}} {
		parsed, err := parseName("registry.example:5000/app", Options{PlainHTTPHosts: c.hosts})
		if err != nil || parsed.Context().Scheme() != c.want {
			t.Errorf("%v: %s, %v", c.hosts, parsed.Context().Scheme(), err)
		}
	}
}

func TestSplitName(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for ref, want := range map[string]Name{
		"nginx":                          {Repository: "docker.io/library/nginx", Tag: "latest"},
		"docker.io/nginx:1":              {Repository: "docker.io/library/nginx", Tag: "1"},
		"index.docker.io/team/app":       {Repository: "docker.io/team/app", Tag: "latest"},
		"r.example:5000/a/b:t@" + digest: {Repository: "r.example:5000/a/b", Digest: digest},
	} {
		if got, err := SplitName(ref); got != want || err != nil {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	if _, err := SplitName("Not A Name"); fault.CodeOf(err) != fault.Usage {
		t.Error(err)
	}
}

// Documents of very many short values are refused before they fill the memory.
func TestManyValues(t *testing.T) {
	layers := strings.Repeat("{},", 1_000_000) + "{}"
	_, err := parseDocument([]byte(`{"schemaVersion":2,"config":{},"layers":[` + layers + `]}`))
	if fault.CodeOf(err) != fault.Limit {
		t.Error(err)
	}
	if _, err := parseConfig([]byte(`{"history":[` + layers + `]}`)); fault.CodeOf(err) != fault.Limit {
		t.Error(err)
	}
	text, err := json.Marshal(map[string]string{"author": strings.Repeat(`,{["\`, 100_000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseConfig(text); err != nil {
		t.Error(err)
	}
}
