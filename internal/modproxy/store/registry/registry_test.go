package registry_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registry"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registrytest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const lib = "corp.example.com/lib"

func TestConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() store.Store {
		s := registrytest.Start(t)
		return func() store.Store { return openRegistry(t, s.Ref(), registry.Options{}) }
	})
}

func openRegistry(t testing.TB, ref string, opt registry.Options) store.Store {
	t.Helper()
	opt.Timeouts = registrytest.Quick
	s, err := registry.Open(ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		ref, name string
	}{
		{"registry.example.com/team/modules", "oci://registry.example.com/team/modules"},
		{"localhost:5000/modules/", "oci://localhost:5000/modules"},
		{"localhost:5000", "oci://localhost:5000"},
		{"modules", ""}, {"team/modules", ""}, {"registry.example.com/Team", ""}, {"registry.example.com/a:v1", ""},
		{"registry.example.com/a@sha256:00", ""}, {"registry.example.com/a//b", ""}, {"registry.example.com/../b", ""},
		{"registry.example.com/" + strings.Repeat("a", 55), ""}, {"", ""}, {"https://registry.example.com/a", ""},
		{"user:secret@registry.example.com/a", ""}, {"registry.example.com:secret@x/a", ""},
	} {
		s, err := registry.Open(c.ref, registry.Options{})
		if c.name == "" {
			if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
				t.Errorf("%q: %v", c.ref, err)
			}
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("%v tells a secret", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.ref, err)
			continue
		}
		if s.Name() != c.name {
			t.Errorf("%q is named %q, want %q", c.ref, s.Name(), c.name)
		}
		dir := s.Staging()
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("staging: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left", dir)
		}
	}
}

// TestRequests counts what is asked, which is what takes time.
func TestRequests(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	a, b := storetest.MakeVersion(t, lib, "v1.0.0", "a"), storetest.MakeVersion(t, "corp.example.com/other", "v1.0.0", "b")
	storetest.Put(t, r, a)
	storetest.Put(t, r, b)

	fresh := openRegistry(t, s.Ref(), registry.Options{})
	s.Reset()
	storetest.WantVersion(t, fresh, a)
	storetest.WantVersion(t, fresh, b)
	want := map[string]int{"GET manifests": 2, "GET blobs": 6, "HEAD": 0, "POST": 0}
	got := map[string]int{}
	for request := range want {
		got[request] = s.Count(request)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("to read two versions (-want +got):\n%s", diff)
	}
	if n := s.Count("GET ping"); n > 4 {
		t.Errorf("%d times asked how to log in", n)
	}

	s.Reset()
	storetest.Put(t, fresh, a)
	if n := s.Count("POST", "PUT", "PATCH"); n != 0 {
		t.Errorf("what was there was written again, by %d requests", n)
	}
	if err := fresh.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadFaults reads from a registry that fails.
func TestReadFaults(t *testing.T) {
	garbled := func(w http.ResponseWriter, content []byte) {
		content[len(content)/2] ^= 1
		_, _ = w.Write(content)
	}
	short := func(w http.ResponseWriter, content []byte) { _, _ = w.Write(content[:len(content)-1]) }
	long := func(w http.ResponseWriter, content []byte) { _, _ = w.Write(append(content, 'x')) }
	broken := func(w http.ResponseWriter, content []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	silent := func(w http.ResponseWriter, content []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Second) // longer than a client waits
	}
	for _, c := range []struct {
		name string
		hook func(*registrytest.Server) registrytest.Hook
		// code is "" where it succeeds in the end.
		code fault.Code
		text string
	}{
		{"401", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(401))
		}, fault.Denied, "docker login"},
		{"403", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(403))
		}, fault.Denied, "account"},
		{"404 to a manifest", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(404))
		}, fault.NotFound, ""},
		{"404 to a blob", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", registrytest.Status(404))
		}, fault.Invalid, "verify --repair"},
		{"405", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(405))
		}, fault.Unsupported, "405"},
		{"429", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(429, "Retry-After", "0"))
		}, fault.Unavailable, "limits requests"},
		{"429 at first", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(3, "GET", "blobs", registrytest.Status(429, "Retry-After", "0"))
		}, "", ""},
		{"429 for an hour", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", registrytest.Status(429, "Retry-After", "3600"))
		}, fault.Unavailable, "limits requests"},
		{"500", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", registrytest.Status(500))
		}, fault.Unavailable, "try again"},
		{"503 at first", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(3, "GET", "manifests", registrytest.Status(503))
		}, "", ""},
		{"no manifest", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>login</html>") })
		}, fault.Invalid, "something else"},
		{"an endless manifest", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
		}, fault.Limit, "longer than"},
		{"another manifest than it says", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "manifests", func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
				_, _ = w.Write(s.Ask("GET", req.URL.Path).Body.Bytes())
			})
		}, fault.Invalid, "digest"},
		{"garbles blobs", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", s.ServeBlob(garbled))
		}, fault.Invalid, "digest"},
		{"short blobs", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", s.ServeBlob(short))
		}, fault.Invalid, "digest"},
		{"long blobs", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", s.ServeBlob(long))
		}, fault.Invalid, "digest"},
		{"breaks off", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", s.ServeBlob(broken))
		}, fault.Unavailable, "connection broke"},
		{"breaks off at first", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(2, "GET", "blobs", s.ServeBlob(broken))
		}, "", ""},
		{"falls silent", func(s *registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", s.ServeBlob(silent))
		}, fault.Unavailable, "nothing more"},
		{"redirects into the own network", func(*registrytest.Server) registrytest.Hook {
			return registrytest.Times(registrytest.Always, "GET", "blobs", func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
			})
		}, fault.Invalid, "redirected"},
	} {
		for size, content := range map[string]string{"small": "a", "big": storetest.Big()} {
			t.Run(c.name+", "+size, func(t *testing.T) {
				s := registrytest.Start(t)
				dir := t.TempDir()
				r := openRegistry(t, s.Ref(), registry.Options{Dir: dir})
				m := storetest.MakeVersion(t, lib, "v1.0.0", content)
				storetest.Put(t, r, m)
				s.SetHook(c.hook(s))
				start := time.Now()
				e, err := r.Get(context.Background(), m.Version.Version)
				if err == nil && c.code == "" {
					_, err = storetest.ReadZip(e)
				}
				storetest.WantFault(t, err, c.code, c.text)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				// The same for the zip alone, where it is about blobs.
				s.SetHook(nil)
				if e, err = r.Get(context.Background(), m.Version.Version); err != nil {
					t.Fatal(err)
				}
				s.SetHook(c.hook(s))
				_, err = storetest.ReadZip(e)
				if strings.Contains(c.name, "blob") || strings.Contains(c.name, "breaks") || strings.Contains(c.name, "silent") {
					storetest.WantFault(t, err, c.code, c.text)
				}
				if left := storetest.FilesIn(t, dir); len(left) != 0 {
					t.Errorf("%q are left", left)
				}
			})
		}
	}
}

// TestWriteFaults puts into a registry that fails for the moment or for
// good: the version is there whole in the end, or not at all.
func TestWriteFaults(t *testing.T) {
	refuse := registrytest.Status(http.StatusTooManyRequests, "Retry-After", "0")
	const harbor = "adding 30.0 MiB of storage resource, which when updated to current usage of 90.0 MiB will exceed the configured upper limit of 100.0 MiB."
	for _, c := range []struct {
		name string
		hook registrytest.Hook
		code fault.Code
		text string
	}{
		{"401", registrytest.Times(registrytest.Always, "POST", "uploads", registrytest.Status(401)), fault.Denied, "docker login"},
		{"403", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Status(403)), fault.Denied, "account"},
		{"404", registrytest.Times(registrytest.Always, "POST", "uploads", registrytest.Status(404)), fault.NotFound, "404"},
		{"405", registrytest.Times(registrytest.Always, "POST", "uploads", registrytest.Says(405, "UNSUPPORTED", "The operation is unsupported.")), fault.Unsupported, "read-only"},
		{"412", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Says(412, "PRECONDITION", "configured as immutable")), fault.Denied, "immutable"},
		{"412 of a quota", registrytest.Times(registrytest.Always, "PUT", "uploads", registrytest.Says(412, "PRECONDITION", "Quota exceeded")), fault.Limit, "quota"},
		{"403 of a quota", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Says(403, "DENIED", harbor)), fault.Limit, "quota"},
		{"413", registrytest.Times(registrytest.Always, "PATCH", "uploads", registrytest.Status(413)), fault.Limit, "size of requests"},
		{"507", registrytest.Times(registrytest.Always, "PATCH", "uploads", registrytest.Status(507)), fault.Limit, "quota"},
		{"429", registrytest.Times(registrytest.Always, "PATCH", "uploads", refuse), fault.Unavailable, "limits requests"},
		{"429 at first", registrytest.Times(2, "PATCH", "uploads", refuse), "", ""},
		{"429 to manifests at first", registrytest.Times(2, "PUT", "manifests", refuse), "", ""},
		{"429 for an hour", registrytest.Times(registrytest.Always, "POST", "uploads", registrytest.Status(429, "Retry-After", "3600")), fault.Unavailable, "limits requests"},
		{"500", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Status(500)), fault.Unavailable, "try again"},
		{"500 at first", registrytest.Times(3, "POST", "uploads", registrytest.Status(500)), "", ""},
		{"breaks off", registrytest.Times(registrytest.Always, "PATCH", "uploads", registrytest.Abort(10)), fault.Unavailable, ""},
		{"breaks off at first", registrytest.Times(2, "PATCH", "uploads", registrytest.Abort(10)), "", ""},
		{"breaks off at a commit", registrytest.Times(1, "PUT", "uploads", registrytest.Abort(0)), "", ""},
		{"breaks off within a manifest", registrytest.Times(3, "PUT", "manifests", registrytest.Abort(20)), "", ""},
		{"garbles a blob", registrytest.Times(1, "PUT", "uploads", registrytest.Says(400, "DIGEST_INVALID", "provided digest did not match")), "", ""},
		{"loses blobs", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Says(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown")), fault.Unavailable, "lost"},
		{"loses a blob", registrytest.Times(1, "PUT", "manifests", registrytest.Says(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown")), "", ""},
		{"takes no manifest", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Status(201)), fault.Unavailable, "does not have it"},
		{"stores another manifest", registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Status(201, "Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))), fault.Invalid, "digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := registrytest.Start(t)
			r := openRegistry(t, s.Ref(), registry.Options{})
			m := storetest.MakeVersion(t, lib, "v1.0.0", strings.Repeat("a", 1000))
			s.SetHook(c.hook)
			start := time.Now()
			_, err := r.Put(context.Background(), m.Version, m.File)
			storetest.WantFault(t, err, c.code, c.text)
			if err != nil && !strings.Contains(err.Error(), s.Host) {
				t.Errorf("%v does not name the registry", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			s.SetHook(nil)
			if c.code == "" {
				storetest.WantVersion(t, r, m)
				return
			}
			if s.Tagged(lib, "v1.0.0") != "" {
				t.Error("there is a tag")
			}
			storetest.Put(t, r, m) // now that nothing fails
			storetest.WantVersion(t, r, m)
		})
	}
}

// TestKeepsVersions puts other content under a version that is there.
func TestKeepsVersions(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	first, second := storetest.MakeVersion(t, lib, "v1.0.0", "first"), storetest.MakeVersion(t, lib, "v1.0.0", "second")
	storetest.Put(t, r, first)
	_, err := r.Put(context.Background(), second.Version, second.File)
	storetest.WantFault(t, err, fault.Invalid, second.Sum)
	storetest.WantFault(t, err, fault.Invalid, first.Sum)
	storetest.WantVersion(t, r, first)

	// Another process is faster while the blobs are under way.
	third, fourth := storetest.MakeVersion(t, lib, "v1.1.0", "third"), storetest.MakeVersion(t, lib, "v1.1.0", "fourth")
	other := openRegistry(t, s.Ref(), registry.Options{})
	var once sync.Once
	s.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPatch {
			once.Do(func() {
				s.SetHook(nil)
				storetest.Put(t, other, third)
			})
		}
		return false
	})
	_, err = r.Put(context.Background(), fourth.Version, fourth.File)
	storetest.WantFault(t, err, fault.Invalid, "already")
	storetest.WantVersion(t, r, third)

	// Or right before the manifest: then the later one learns that it has lost.
	fifth, sixth := storetest.MakeVersion(t, lib, "v1.2.0", "fifth"), storetest.MakeVersion(t, lib, "v1.2.0", "sixth")
	storetest.Put(t, other, fifth)
	taken := s.Tagged(lib, "v1.2.0")
	s.Ask(http.MethodDelete, "/v2/team/modules/"+lib+"/manifests/v1.2.0")
	s.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || !strings.HasSuffix(req.URL.Path, "/manifests/v1.2.0") {
			return false
		}
		s.SetHook(nil)
		answer := s.AskWith(http.MethodPut, req.URL.Path, taken)
		w.WriteHeader(answer)
		return true
	})
	_, err = r.Put(context.Background(), sixth.Version, sixth.File)
	storetest.WantFault(t, err, fault.Invalid, "already")
	storetest.WantVersion(t, r, fifth)
}

// TestRepairs puts a version of which the registry has lost a part.
func TestRepairs(t *testing.T) {
	for n, name := range []string{"info", "mod", "zip"} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.Start(t)
			r := openRegistry(t, s.Ref(), registry.Options{})
			m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
			e := storetest.Put(t, r, m)
			digest := s.Layer(t, lib, "v1.0.0", n)
			if code := s.Ask(http.MethodDelete, "/v2/team/modules/"+lib+"/blobs/"+digest).Code; code != http.StatusAccepted {
				t.Fatal(code)
			}
			again := storetest.Put(t, r, m)
			if again.Manifest != e.Manifest {
				t.Errorf("the manifest is another: %s and %s", e.Manifest, again.Manifest)
			}
			storetest.WantVersion(t, r, m)
		})
	}
}

// TestForeign puts things beside a store's own into the registry.
func TestForeign(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	ctx := context.Background()
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	storetest.Put(t, r, m)
	foreign := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1},"layers":[]}`
	for _, path := range []string{
		"/v2/team/modules/" + lib + "/manifests/latest",
		"/v2/team/modules/" + lib + "/manifests/sha256-" + strings.Repeat("0", 64) + ".sig",
		"/v2/team/modules/" + lib + "/manifests/_" + strings.Repeat("0", 64),
		"/v2/team/modules/" + lib + "/manifests/v1.9.0",
		"/v2/team/modules/corp.example.com/images/manifests/latest",
		"/v2/team/modules/q9/" + strings.Repeat("0", 64) + "/manifests/v1.0.0",
		"/v2/team/modules-of-others/corp.example.com/x/manifests/v1.0.0",
		"/v2/other/corp.example.com/y/manifests/v1.0.0",
	} {
		if code := s.AskWith(http.MethodPut, path, foreign); code != http.StatusCreated {
			t.Fatalf("%s: %d", path, code)
		}
	}
	if got := modules(t, r); !slices.Equal(got, []string{lib}) {
		t.Errorf("modules: %q", got)
	}
	versions, err := r.Versions(ctx, lib)
	if err != nil || !slices.Equal(versions, []string{"v1.0.0", "v1.9.0"}) {
		t.Errorf("versions: %q, %v", versions, err)
	}
	taken := storetest.MakeVersion(t, lib, "v1.9.0", "b")
	_, err = r.Get(ctx, taken.Version.Version)
	storetest.WantFault(t, err, fault.Invalid, "something else has been pushed")
	_, err = r.Put(ctx, taken.Version, taken.File)
	storetest.WantFault(t, err, fault.Invalid, "something else has been pushed")

	// The manifest of one version under the tag of another.
	if code := s.AskWith(http.MethodPut, "/v2/team/modules/"+lib+"/manifests/v1.0.1", s.Tagged(lib, "v1.0.0")); code != http.StatusCreated {
		t.Fatal(code)
	}
	_, err = r.Get(ctx, module.Version{Path: lib, Version: "v1.0.1"})
	storetest.WantFault(t, err, fault.Invalid, lib+"@v1.0.0")
}

func modules(t testing.TB, s store.Store) []string {
	t.Helper()
	var all []string
	for path, err := range s.Modules(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

// TestLists reads lists in pages, and those that never end or lead
// elsewhere.
func TestLists(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	ctx := context.Background()
	storetest.Put(t, r, storetest.MakeVersion(t, lib, "v1.0.0", "a"))
	pages := func(next ...string) {
		s.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
			if registrytest.Kind(req.URL.Path) != "tags" {
				return false
			}
			n := 0
			_, _ = fmt.Sscanf(req.URL.Query().Get("last"), "v1.%d.0", &n)
			if n < len(next) {
				w.Header().Set("Link", next[n])
			}
			fmt.Fprintf(w, `{"tags":["v1.%d.0"]}`, n+1)
			return true
		})
	}
	path := "/v2/team/modules/" + lib + "/tags/list"
	pages(`<`+path+`?last=v1.1.0&n=1>; rel="next"`, `<http://`+s.Host+path+`?last=v1.2.0&n=1>; rel="next"`)
	got, err := r.Versions(ctx, lib)
	if want := []string{"v1.1.0", "v1.2.0", "v1.3.0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, link := range []string{"http://elsewhere.example.com" + path, "//elsewhere.example.com/v2/", "/admin"} {
		pages(`<` + link + `?last=v1.1.0>; rel="next"`)
		_, err = r.Versions(ctx, lib)
		storetest.WantFault(t, err, fault.Invalid, "elsewhere")
	}
	pages(`<`+path+`?last=v1.1.0>; rel="next"`, `<`+path+`?last=v1.1.0>; rel="next"`)
	_, err = r.Versions(ctx, lib)
	storetest.WantFault(t, err, fault.Invalid, "circle")
	s.SetHook(registrytest.Times(registrytest.Always, "GET", "tags", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	_, err = r.Versions(ctx, lib)
	storetest.WantFault(t, err, fault.Invalid, "form")

	for _, code := range []int{401, 403, 404, 405} {
		s.SetHook(registrytest.Times(registrytest.Always, "GET", "_catalog", registrytest.Status(code)))
		for path, err := range r.Modules(ctx) {
			if path != "" || fault.CodeOf(err) != fault.Unsupported || !strings.Contains(fault.HintOf(err), "catalog") {
				t.Errorf("%d: %q, %v (%s)", code, path, err, fault.HintOf(err))
			}
		}
	}
	s.SetHook(registrytest.Times(registrytest.Always, "GET", "_catalog", registrytest.Status(500)))
	for _, err := range r.Modules(ctx) {
		storetest.WantFault(t, err, fault.Unavailable, "try again")
	}
}

func TestDelete(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	ctx := context.Background()
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	storetest.Put(t, r, m)
	s.SetHook(registrytest.Times(registrytest.Always, "DELETE", "manifests", registrytest.Says(405, "UNSUPPORTED", "The operation is unsupported.")))
	_, err := r.Delete(ctx, m.Version.Version)
	storetest.WantFault(t, err, fault.Unsupported, "retention")
	s.SetHook(nil)
	storetest.WantVersion(t, r, m)
	e, err := r.Get(ctx, m.Version.Version)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := e.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	if deleted, err := r.Delete(ctx, m.Version.Version); !deleted || err != nil {
		t.Errorf("%v, %v", deleted, err)
	}
	if s.Tagged(lib, "v1.0.0") != "" || s.Tagged(lib, e.Manifest) != "" {
		t.Error("the manifest is left")
	}
	_, err = r.Get(ctx, m.Version.Version)
	storetest.WantFault(t, err, fault.NotFound, "")
	// What is gone from the registry can be put again with other sums.
	other := storetest.MakeVersion(t, lib, "v1.0.0", "b")
	storetest.Put(t, r, other)
	storetest.WantVersion(t, r, other)
}

// TestCredentials logs in as `docker login` has stored it, and again when
// the credentials have changed.
func TestCredentials(t *testing.T) {
	s := registrytest.Start(t)
	password := "first-secret"
	s.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
		if _, given, _ := req.BasicAuth(); given == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return true
	})
	login := func(password string) {
		config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.Host, base64.StdEncoding.EncodeToString([]byte("robot$ci:"+password)))
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	r := openRegistry(t, s.Ref(), registry.Options{})
	_, err := r.Put(context.Background(), m.Version, m.File)
	storetest.WantFault(t, err, fault.Denied, "docker login")
	login(password)
	r = openRegistry(t, s.Ref(), registry.Options{})
	storetest.Put(t, r, m)
	storetest.WantVersion(t, r, m)
	password = "second-secret"
	_, err = r.Get(context.Background(), m.Version.Version)
	storetest.WantFault(t, err, fault.Denied, "docker login")
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Error("the error tells a secret")
	}
}

// tokenServer gives out tokens for one scope each, and counts them.
type tokenServer struct {
	mu     sync.Mutex
	scopes map[string]int
	lookups
}

// lookups is a keychain that counts how often it is asked.
type lookups struct {
	mu    sync.Mutex
	asked []string
}

func (k *lookups) Find(_ context.Context, repository string) ([]image.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, repository)
	return []image.Credentials{{Username: "robot", Password: "secret"}}, nil
}

func (*lookups) Fingerprint(string) string { return "robot" }

// TestTokens uses a registry that gives out tokens, as Harbor and Docker
// Hub do: one for each module, and the credentials are looked up once.
func TestTokens(t *testing.T) {
	s := registrytest.Start(t)
	tokens := &tokenServer{scopes: map[string]int{}}
	s.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == "/token" {
			_, password, _ := req.BasicAuth()
			if password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			scopes := req.URL.Query()["scope"]
			tokens.mu.Lock()
			for _, scope := range scopes {
				tokens.scopes[scope]++
			}
			tokens.mu.Unlock()
			_ = json.NewEncoder(w).Encode(map[string]string{"token": base64.URLEncoding.EncodeToString([]byte(strings.Join(scopes, " ")))})
			return true
		}
		need := "pull"
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			need = "push"
		}
		token, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
		repo := strings.TrimPrefix(req.URL.Path, "/v2/")
		for _, end := range []string{"/manifests/", "/blobs/", "/tags/"} {
			repo, _, _ = strings.Cut(repo, end)
		}
		if err == nil && strings.Contains(string(token), "repository:"+repo+":") && strings.Contains(string(token), need) {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+s.Host+`/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	r := openRegistry(t, s.Ref(), registry.Options{Keychain: &tokens.lookups})
	a, b := storetest.MakeVersion(t, lib, "v1.0.0", "a"), storetest.MakeVersion(t, "corp.example.com/other", "v1.0.0", "b")
	storetest.Put(t, r, a)
	storetest.Put(t, r, b)
	for range 3 {
		storetest.WantVersion(t, r, a)
		storetest.WantVersion(t, r, b)
	}
	want := map[string]int{}
	for _, path := range []string{lib, "corp.example.com/other"} {
		want["repository:team/modules/"+path+":pull"] = 1
		want["repository:team/modules/"+path+":push,pull"] = 1
	}
	if diff := cmp.Diff(want, tokens.scopes); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if !slices.Equal(tokens.asked, []string{s.Host + "/team/modules"}) {
		t.Errorf("credentials were looked up for %q", tokens.asked)
	}
}

// TestRecord keeps when versions were seen and used in the registry,
// whoever writes at once.
func TestRecord(t *testing.T) {
	s := registrytest.Start(t)
	ctx := context.Background()
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const writers = 4
	var wg sync.WaitGroup
	stores := make([]store.Store, writers)
	for i := range stores {
		stores[i] = openRegistry(t, s.Ref(), registry.Options{})
	}
	for i, r := range stores {
		wg.Go(func() {
			for n := range 3 {
				version := fmt.Sprintf("v1.%d.%d", i, n)
				if _, err := r.Seen(ctx, lib, []string{version}, start.Add(time.Duration(i)*time.Hour)); err != nil {
					t.Error(err)
				}
				r.Used(module.Version{Path: lib, Version: version}, start.Add(time.Duration(n)*time.Hour))
			}
		})
	}
	wg.Wait()
	for _, r := range stores {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// What a writer has overwritten of another's is there again as soon as that
	// writes, at Close at the latest.
	fresh := openRegistry(t, s.Ref(), registry.Options{})
	uses, err := fresh.Uses(ctx, lib)
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		for n := range 3 {
			version := fmt.Sprintf("v1.%d.%d", i, n)
			want := start.Add(time.Duration(n) * time.Hour).Truncate(time.Hour)
			if !uses[version].Equal(want) {
				t.Errorf("%s was used %v, want %v", version, uses[version], want)
			}
			seen, err := fresh.Seen(ctx, lib, []string{version}, start.Add(100*time.Hour))
			if err != nil || !seen[version].Equal(start.Add(time.Duration(i)*time.Hour)) {
				t.Errorf("%s was seen %v, %v", version, seen[version], err)
			}
		}
	}
	if got, err := fresh.Versions(ctx, lib); err != nil || len(got) != 0 {
		t.Errorf("the record counts as versions %q, %v", got, err)
	}
	if got := modules(t, fresh); len(got) != 0 {
		t.Errorf("the record counts as modules %q", got)
	}
	s.Reset()
	if _, err := fresh.Seen(ctx, lib, []string{"v1.0.0", "v1.1.1"}, start); err != nil || s.Count("GET", "PUT") != 0 {
		t.Errorf("what is known is asked for: %v", err)
	}

	s.SetHook(registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Status(403)))
	_, err = fresh.Seen(ctx, lib, []string{"v2.0.0"}, start)
	storetest.WantFault(t, err, fault.Denied, "account") // and not a time that nobody else will know
}

// TestCancel cancels in the middle of things.
func TestCancel(t *testing.T) {
	s := registrytest.Start(t)
	m := storetest.MakeVersion(t, lib, "v1.0.0", storetest.Big())
	before := runtime.NumGoroutine()
	r := openRegistry(t, s.Ref(), registry.Options{})
	for _, kind := range []string{"POST uploads", "PATCH uploads", "PUT manifests", "GET manifests", "GET ping"} {
		ctx, cancel := context.WithCancel(context.Background())
		method, what, _ := strings.Cut(kind, " ")
		s.SetHook(registrytest.Times(registrytest.Always, method, what, func(_ http.ResponseWriter, req *http.Request) {
			cancel()
			registrytest.Gone(req)
		}))
		if what == "ping" {
			_ = r.Close()
			r = openRegistry(t, s.Ref(), registry.Options{})
		}
		_, err := r.Put(ctx, m.Version, m.File)
		storetest.WantFault(t, err, fault.Canceled, "")
		cancel()
	}
	s.SetHook(nil)
	if s.Tagged(lib, "v1.0.0") != "" {
		t.Error("there is a tag")
	}
	storetest.Put(t, r, m)
	e, err := r.Get(context.Background(), m.Version.Version)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.SetHook(registrytest.Times(registrytest.Always, "GET", "blobs", func(_ http.ResponseWriter, req *http.Request) {
		cancel()
		registrytest.Gone(req)
	}))
	_, err = e.Open(ctx)
	storetest.WantFault(t, err, fault.Canceled, "")
	if left := storetest.FilesIn(t, r.Staging()); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	storetest.WantGoroutines(t, before)
}

// TestConcurrent puts and reads the same few versions from many
// goroutines of two stores.
func TestConcurrent(t *testing.T) {
	s := registrytest.Start(t)
	stores := []store.Store{openRegistry(t, s.Ref(), registry.Options{}), openRegistry(t, s.Ref(), registry.Options{})}
	var all []storetest.Made
	for i := range 4 {
		all = append(all, storetest.MakeVersion(t, lib, fmt.Sprintf("v1.%d.0", i), fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			m, r := all[i%4], stores[i/4%2]
			if _, err := r.Put(context.Background(), m.Version, m.File); err != nil {
				t.Error(err)
				return
			}
			e, err := r.Get(context.Background(), m.Version.Version)
			if err != nil {
				t.Error(err)
				return
			}
			if zip, err := storetest.ReadZip(e); err != nil || string(zip) != string(m.Zip) {
				t.Errorf("%s: %v", m.Version.Version, err)
			}
		})
	}
	wg.Wait()
	got, err := stores[0].Versions(context.Background(), lib)
	if err != nil || len(got) != 4 {
		t.Errorf("%q, %v", got, err)
	}
}
