package images

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// newStore returns a Store on registries.
func newStore(t testing.TB, r *registries, opt Options) *Store {
	t.Helper()
	opt.Transport = r
	s := New(opt)
	t.Cleanup(s.Close)
	return s
}

func get(t testing.TB, s *Store, user, ref string, platforms ...api.Platform) (*Image, error) {
	t.Helper()
	r := Request{Image: host + "/" + ref, Platforms: platforms}
	if user != "" {
		r.Keychain = tenantKeys{user}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return s.Get(ctx, r)
}

func mustGet(t testing.TB, s *Store, user, ref string, platforms ...api.Platform) *Image {
	t.Helper()
	img, err := get(t, s, user, ref, platforms...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("error %v has the code %q, want %q", err, fault.CodeOf(err), code)
	}
}

func TestGet(t *testing.T) {
	r := newRegistries()
	img := newImage(t, "amd64", map[string]string{"app": program(t), "etc/passwd": "root:x:0:0::/:/bin/sh\n"})
	r.push(t, "a/app:v1", img)
	s := newStore(t, r, Options{CacheDir: t.TempDir()})
	got := mustGet(t, s, "a", "a/app:v1")
	subject := got.Subjects[0]
	if got.Ref != host+"/a/app:v1" || got.Digest != digestOf(t, img) || got.Repository != host+"/a/app" || len(got.Problems) > 0 {
		t.Errorf("got %+v", got)
	}
	if len(subject.Files) != 1 || subject.Files[0].Path != "/app" || subject.Files[0].Go == nil || subject.Files[0].Ref != got.Ref || subject.Ref != got.Ref {
		t.Errorf("got %+v", subject.Files)
	}
	if _, err := subject.Root.Lstat("/etc/passwd"); err != nil || subject.Image.Digest != got.Digest {
		t.Errorf("the root file system: %v", err)
	}
	for _, ref := range []string{"", "UPPER", strings.Repeat("a", 1001)} {
		_, err := s.Get(t.Context(), Request{Image: ref})
		wantCode(t, err, fault.Usage)
	}
}

// However many wait, each layer is sent once.
func TestOneFetch(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/app:v1", newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"}))
	s := newStore(t, r, Options{CacheDir: t.TempDir()})
	var waiting sync.WaitGroup
	for i := range 200 {
		waiting.Go(func() {
			if _, err := get(t, s, fmt.Sprintf("tenant%d", i%20), "public/app:v1"); err != nil {
				t.Error(err)
			}
		})
	}
	waiting.Wait()
	if blobs := r.took("GET blobs"); blobs != 2 { // the layer and the configuration
		t.Errorf("%d blobs were sent", blobs)
	}
	if heads := r.took("HEAD manifests"); heads != 20 {
		t.Errorf("%d proofs of 20 tenants", heads)
	}
	mustGet(t, s, "tenant1", "public/app:v1")
	if n := r.took("HEAD manifests") + r.took("GET manifests") + r.took("GET blobs"); n != 1 { // the first GET of the manifest
		t.Errorf("%d manifests were sent", n)
	}
}

// What one tenant's credentials have brought in is no evidence for another, who
// gets what the registry says to them, as for an image that nobody has seen.
func TestTenants(t *testing.T) {
	r := newRegistries()
	img := newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"})
	r.push(t, "a/app:v1", img)
	s := newStore(t, r, Options{CacheDir: t.TempDir()})
	secret := mustGet(t, s, "a", "a/app:v1")
	known := "a/app@" + secret.Digest
	mustGet(t, s, "a", known)
	unknown := "a/app@sha256:" + strings.Repeat("0", 64)
	for _, user := range []string{"b", ""} {
		for _, ref := range []string{known, "a/app:v1", "a/other:v1", unknown} {
			img, err := get(t, s, user, ref)
			wantCode(t, err, fault.Denied)
			if img != nil {
				t.Errorf("%q was given %s", user, ref)
			}
		}
	}
	_, errKnown := get(t, s, "b", known)
	_, errUnknown := get(t, s, "b", unknown)
	if a, b := strings.ReplaceAll(errKnown.Error(), secret.Digest, "D"), strings.ReplaceAll(errUnknown.Error(), "sha256:"+strings.Repeat("0", 64), "D"); a != b {
		t.Errorf("the errors differ:\n%s\n%s", a, b)
	}
	// The digest in another repository, where the tenant may read, does not hold it.
	_, err := get(t, s, "b", "b/app@"+secret.Digest)
	wantCode(t, err, fault.NotFound)

	r.admit("b", "a/app")
	r.took("HEAD manifests")
	got := mustGet(t, s, "b", known)
	if n := r.took("GET manifests") + r.took("GET blobs"); got.Digest != secret.Digest || n != 3 { // those of a
		t.Errorf("%d requests that are no proof", n)
	}
	if n := r.took("HEAD manifests"); n != 1 {
		t.Errorf("%d proofs", n)
	}
}

// Tenants share facts, but not the names under which others run them.
func TestTenantsNames(t *testing.T) {
	r := newRegistries()
	// The entrypoint is an ELF file that cannot be measured: a problem.
	img := newImage(t, "amd64", map[string]string{"app": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x3e\x00" + strings.Repeat("\x00", 100)})
	r.push(t, "a/confidential:v1", img)
	r.push(t, "b/app:v1", img)
	s := newStore(t, r, Options{})
	mustGet(t, s, "a", "a/confidential:v1")
	got := mustGet(t, s, "b", "b/app:v1")
	if len(got.Problems) != 1 {
		t.Fatalf("problems: %v", got.Problems)
	}
	if text := fmt.Sprintf("%+v %+v %v %v", got, got.Subjects[0], got.Problems, got.Subjects[0].Files); strings.Contains(text, "confidential") {
		t.Errorf("it names the other tenant's image: %s", text)
	}
}

// A tenant whose credentials fail in the middle does not fail the others.
func TestTenantsWaitTogether(t *testing.T) {
	r := newRegistries()
	img := newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"})
	r.push(t, "shared/app:v1", img)
	r.admit("a", "shared/app")
	r.admit("b", "shared/app")
	s := newStore(t, r, Options{})
	var once sync.Once
	begun, proceed := make(chan struct{}), make(chan struct{})
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		user, _, _ := req.BasicAuth()
		if _, kind := split(req.URL.Path); kind != "blobs" || user != "a" {
			return false
		}
		once.Do(func() { close(begun) })
		<-proceed
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		// It has proved that it may pull the image, so it may get what b reads.
		if _, err := get(t, s, "a", "shared/app:v1"); err != nil {
			wantCode(t, err, fault.Denied)
		}
	})
	<-begun
	waiting.Go(func() {
		if _, err := get(t, s, "b", "shared/app:v1"); err != nil {
			t.Errorf("the tenant with the right credentials: %v", err)
		}
	})
	for joined := false; !joined; time.Sleep(time.Millisecond) {
		joined = joinedBy(s, "b")
	}
	close(proceed)
	waiting.Wait()
}

// joinedBy reports whether somebody waits with the credentials of user.
func joinedBy(s *Store, user string) bool {
	in := func(sources []source) bool {
		return slices.ContainsFunc(sources, func(from source) bool { return from.fingerprint == user })
	}
	s.resolves.mu.Lock()
	defer s.resolves.mu.Unlock()
	for _, f := range s.resolves.flying {
		if in(f.sources) {
			return true
		}
	}
	s.fetches.mu.Lock()
	defer s.fetches.mu.Unlock()
	for _, f := range s.fetches.flying {
		if in(f.sources) {
			return true
		}
	}
	return false
}

func TestTransientIsNotRemembered(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/app:v1", newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"}))
	s := newStore(t, r, Options{})
	for _, kind := range []string{"HEAD manifests", "GET manifests", "GET blobs"} {
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			_, k := split(req.URL.Path)
			if fail := req.Method+" "+k == kind; !fail {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		})
		for range 2 {
			_, err := get(t, s, "", "public/app:v1")
			wantCode(t, err, fault.Unavailable)
			if errors.Is(err, ErrNotReady) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
	r.setHook(nil)
	mustGet(t, s, "", "public/app:v1")
}

func TestAbsentIsRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistries()
		s := New(Options{Transport: r})
		defer s.Close()
		r.push(t, "public/other:v1", newImage(t, "amd64", nil))
		for range 3 {
			_, err := get(t, s, "", "public/app:v1")
			wantCode(t, err, fault.NotFound)
		}
		if n := r.took("HEAD manifests"); n != 1 {
			t.Errorf("%d requests", n)
		}
		r.push(t, "public/app:v1", newImage(t, "amd64", nil))
		time.Sleep(4 * time.Second)
		_, err := get(t, s, "", "public/app:v1")
		wantCode(t, err, fault.NotFound)
		time.Sleep(2 * time.Second)
		mustGet(t, s, "", "public/app:v1")
	})
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistries()
		s := New(Options{Transport: r})
		defer s.Close()
		old, young := newImage(t, "amd64", map[string]string{"app": "1"}), newImage(t, "amd64", map[string]string{"app": "2"})
		r.push(t, "a/app:v1", old)
		at := func(ref, want string, heads int) {
			t.Helper()
			if got := mustGet(t, s, "a", ref); got.Digest != want {
				t.Errorf("%s is %s, want %s", ref, got.Digest, want)
			}
			synctest.Wait()
			if n := r.took("HEAD manifests"); n != heads {
				t.Errorf("%d proofs, want %d", n, heads)
			}
		}
		at("a/app:v1", digestOf(t, old), 1)
		r.push(t, "a/app:v1", young)
		time.Sleep(5 * time.Second)
		at("a/app:v1", digestOf(t, old), 0)
		time.Sleep(4 * time.Second)
		at("a/app:v1", digestOf(t, old), 1) // near its end it is asked for anew, and nobody waits
		at("a/app:v1", digestOf(t, young), 0)
		time.Sleep(11 * time.Second)
		at("a/app:v1", digestOf(t, young), 1)

		pinned := "a/app@" + digestOf(t, young)
		at(pinned, digestOf(t, young), 1)
		time.Sleep(3 * time.Minute)
		at(pinned, digestOf(t, young), 0)
		time.Sleep(3 * time.Minute)
		r.setHook(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		})
		_, err := get(t, s, "a", pinned) // the rights were taken away
		wantCode(t, err, fault.Denied)
	})
}

func TestNotReady(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/app:v1", newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"}))
	for _, slow := range []string{"HEAD manifests", "GET manifests", "GET blobs"} {
		s := newStore(t, r, Options{CacheDir: t.TempDir()})
		release := make(chan struct{})
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if _, kind := split(req.URL.Path); req.Method+" "+kind == slow {
				<-release
			}
			return false
		})
		r.took("GET blobs")
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			begin := time.Now()
			_, err := s.Get(ctx, Request{Image: host + "/public/app:v1"})
			cancel()
			wantCode(t, err, fault.Unavailable)
			if !errors.Is(err, ErrNotReady) || time.Since(begin) > 5*time.Second {
				t.Errorf("slow %s: %v after %v", slow, err, time.Since(begin))
			}
		}
		close(release)
		mustGet(t, s, "", "public/app:v1")
		if n := r.took("GET blobs"); n != 2 {
			t.Errorf("slow %s: %d blobs were sent", slow, n)
		}
	}
}

// A caller who gave up is told that it is not ready, whatever the reason.
func TestCancelledCaller(t *testing.T) {
	r := newRegistries()
	s := newStore(t, r, Options{})
	release := make(chan struct{})
	defer close(release)
	r.setHook(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, Request{Image: host + "/public/app:v1"})
	wantCode(t, err, fault.Unavailable)
	if !errors.Is(err, ErrNotReady) {
		t.Error(err)
	}
}

func TestLyingRegistry(t *testing.T) {
	r := newRegistries()
	img := newImage(t, "amd64", map[string]string{"app": "#!/bin/sh"})
	r.push(t, "public/liar:v1", img)
	r.push(t, "public/honest:v1", img)
	for _, kind := range []string{"manifests", "blobs"} {
		s := newStore(t, r, Options{})
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			repository, k := split(req.URL.Path)
			if req.Method != http.MethodGet || k != kind || repository != "public/liar" {
				return false
			}
			fmt.Fprint(w, `{"schemaVersion":2,"config":{"digest":"sha256:0"}}`)
			return true
		})
		_, err := get(t, s, "", "public/liar:v1")
		wantCode(t, err, fault.Unavailable)
		mustGet(t, s, "", "public/honest:v1") // the same digest elsewhere
		r.setHook(nil)
		mustGet(t, s, "", "public/liar:v1") // what it said before counts for nothing
	}
}

func TestPlatforms(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/app:v1", newIndex(t, "amd64", "arm64", "s390x"))
	s := newStore(t, r, Options{})
	for _, c := range []struct {
		platforms []api.Platform
		want      string
	}{
		{[]api.Platform{{OS: "linux", Arch: "arm64"}}, "arm64"},
		{[]api.Platform{{OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "amd64"}}, "amd64 arm64"},
		{[]api.Platform{{OS: "linux", Arch: "riscv64"}}, ""},
		{nil, "amd64 arm64 s390x"},
	} {
		img := mustGet(t, s, "", "public/app:v1", c.platforms...)
		var archs []string
		for _, s := range img.Subjects {
			archs = append(archs, s.Platform.Arch)
		}
		if got := strings.Join(archs, " "); got != c.want || len(img.Available) != 3 {
			t.Errorf("%v: got %q of %v", c.platforms, got, img.Available)
		}
	}
	if n := r.took("GET blobs"); n != 6 { // a layer and a configuration each
		t.Errorf("%d blobs were sent", n)
	}
}

// Nothing of a Store runs on after Close: the bubble would not end.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistries()
		r.push(t, "public/app:v1", newImage(t, "amd64", nil))
		s := New(Options{Transport: r})
		release := make(chan struct{})
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if _, kind := split(req.URL.Path); kind == "blobs" {
				<-release
			}
			return false
		})
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() {
				_, err := get(t, s, "", "public/app:v1")
				wantCode(t, err, fault.Unavailable)
			})
		}
		synctest.Wait()
		s.Close()
		waiting.Wait()
		_, err := get(t, s, "", "public/app:v1")
		wantCode(t, err, fault.Unavailable)
		close(release)
	})
}

// What takes too long ends, and can be asked for again.
func TestFetchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistries()
		r.push(t, "public/app:v1", newImage(t, "amd64", map[string]string{"app": "x"}))
		s := New(Options{Transport: r, FetchTimeout: 10 * time.Second})
		defer s.Close()
		release := make(chan struct{})
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if _, kind := split(req.URL.Path); kind == "blobs" {
				<-release
			}
			return false
		})
		_, err := s.Get(t.Context(), Request{Image: host + "/public/app:v1"})
		wantCode(t, err, fault.Unavailable)
		close(release)
		mustGet(t, s, "", "public/app:v1")
	})
}

func BenchmarkGetWarm(b *testing.B) {
	r := newRegistries()
	r.push(b, "a/app:v1", newImage(b, "amd64", map[string]string{"app": program(b)}))
	s := newStore(b, r, Options{TagTTL: time.Hour})
	mustGet(b, s, "a", "a/app:v1")
	req := Request{Image: host + "/a/app:v1", Keychain: tenantKeys{"a"}, Platforms: []api.Platform{{OS: "linux", Arch: "amd64"}}}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Get(b.Context(), req); err != nil {
				b.Fatal(err)
			}
		}
	})
}
