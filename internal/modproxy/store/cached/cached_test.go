package cached_test

import (
	"context"
	"errors"
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

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/cached"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registry"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registrytest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const lib = "corp.example.com/lib"

// TestConforms runs the suite in a directory, in one that is too small to
// keep anything, and where the disk takes nothing.
func TestConforms(t *testing.T) {
	for name, opt := range map[string]layouts.Options{"all kept": {}, "nothing kept": {MaxBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) func() store.Store {
				s := registrytest.Start(t)
				dir := t.TempDir()
				return func() store.Store { return openCached(t, s, dir, opt, cached.Options{}) }
			})
		})
	}
}

// events takes down what a cached store tells.
type events struct {
	mu  sync.Mutex
	all []cached.Event
}

func (e *events) add(event cached.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) count(kind cached.EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, event := range e.all {
		if event.Kind == kind {
			n++
		}
	}
	return n
}

func openCached(t testing.TB, s *registrytest.Server, dir string, bound layouts.Options, opt cached.Options) *cached.Store {
	t.Helper()
	front, err := layouts.Open(dir, bound)
	if err != nil {
		t.Fatal(err)
	}
	return openBefore(t, s, front, opt)
}

// openBefore opens front before the registry.
func openBefore(t testing.TB, s *registrytest.Server, front cached.Front, opt cached.Options) *cached.Store {
	t.Helper()
	if opt.Retry == 0 {
		opt.Retry = 10 * time.Millisecond
	}
	c, err := cached.Open(front, openRegistry(t, s.Ref(), registry.Options{}), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func closeStore(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
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

// eventually waits until what is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came to be: %s", what)
}

func wantPending(t testing.TB, c *cached.Store, want int) {
	t.Helper()
	if got, _ := c.Pending(); got != want {
		t.Errorf("%d versions wait, want %d", got, want)
	}
}

func flush(t testing.TB, c *cached.Store) {
	t.Helper()
	if err := c.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantPending(t, c, 0)
}

// TestCopiesOnce asks for a version that only the registry has from many
// goroutines: it is read from there once, and is on the disk then.
func TestCopiesOnce(t *testing.T) {
	s := registrytest.Start(t)
	r := openRegistry(t, s.Ref(), registry.Options{})
	m := storetest.MakeVersion(t, lib, "v1.0.0", storetest.Big())
	storetest.Put(t, r, m)
	for _, jobs := range []int{0, -1} {
		t.Run(fmt.Sprint(jobs), func(t *testing.T) {
			told := &events{}
			dir := t.TempDir()
			c := openCached(t, s, dir, layouts.Options{}, cached.Options{Jobs: jobs, Observe: told.add})
			s.Reset()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() { storetest.WantVersion(t, c, m) })
			}
			wg.Wait()
			zip := "GET blobs /v2/team/modules/" + lib + "/blobs/" + s.Layer(t, lib, "v1.0.0", 2)
			if n := s.Count(zip); n != 1 {
				t.Errorf("the zip was read %d times", n)
			}
			s.Down.Store(true)
			defer s.Down.Store(false)
			storetest.WantVersion(t, c, m)
			if told.count(cached.Copied) != 1 || told.count(cached.Hit) < 1 || told.count(cached.Hit)+told.count(cached.Fetched) != 17 {
				t.Errorf("%+v", told.all)
			}
			closeStore(t, c)
			storetest.WantVersion(t, openCached(t, s, dir, layouts.Options{}, cached.Options{}), m)
		})
	}
}

// TestAhead copies a version of which only the .info was asked for.
func TestAhead(t *testing.T) {
	s := registrytest.Start(t)
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), m)
	told := &events{}
	c := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{Observe: told.add})
	if _, err := c.Get(context.Background(), m.Version.Version); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is copied", func() bool { return told.count(cached.Copied) == 1 })
	s.Down.Store(true)
	storetest.WantVersion(t, c, m)
}

// TestWritesBehind puts while the registry is down: it is served from the
// disk, never evicted, and pushed by whoever opens the directory next.
func TestWritesBehind(t *testing.T) {
	s := registrytest.Start(t)
	ctx := context.Background()
	dir := t.TempDir()
	told := &events{}
	s.Down.Store(true)
	c := openCached(t, s, dir, layouts.Options{MaxBytes: 1}, cached.Options{Observe: told.add})
	a, b := storetest.MakeVersion(t, lib, "v1.0.0", "a"), storetest.MakeVersion(t, lib, "v1.1.0", "b")
	storetest.Put(t, c, a)
	storetest.Put(t, c, b)
	wantPending(t, c, 2)
	storetest.WantVersion(t, c, a)
	storetest.WantVersion(t, c, b)
	if got, err := c.Versions(ctx, lib); err != nil || !slices.Equal(got, []string{"v1.0.0", "v1.1.0"}) {
		t.Errorf("versions %q, %v", got, err)
	}
	_, err := c.Get(ctx, module.Version{Path: lib, Version: "v1.2.0"})
	storetest.WantFault(t, err, fault.Unavailable, "")
	storetest.WantFault(t, c.Flush(ctx), fault.Unavailable, "2 versions wait")
	if told.count(cached.Offline) == 0 || told.count(cached.Delayed) == 0 || told.count(cached.Pushed) != 0 {
		t.Errorf("%+v", told.all)
	}
	closeStore(t, c)

	s.Down.Store(false)
	c = openCached(t, s, dir, layouts.Options{MaxBytes: 1}, cached.Options{Observe: told.add})
	eventually(t, "all is pushed", func() bool { n, _ := c.Pending(); return n == 0 })
	r := openRegistry(t, s.Ref(), registry.Options{})
	storetest.WantVersion(t, r, a)
	storetest.WantVersion(t, r, b)
	if left := storetest.FilesIn(t, filepath.Join(dir, "_pending")); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	if n := told.count(cached.Pushed); n != 2 {
		t.Errorf("%d were pushed", n)
	}
}

// TestResumes opens the directory of a process that was killed, and that of
// one that goes on.
func TestResumes(t *testing.T) {
	s := registrytest.Start(t)
	dir := t.TempDir()
	killed := openCached(t, s, dir, layouts.Options{}, cached.Options{Jobs: -1})
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	storetest.Put(t, killed, m)
	for name, content := range map[string]string{
		"0000.json": `{"path":"corp.example.com/lib","version":"v9.0.0","size":1}`,
		"0001.json": "{", "0002.json": `{"path":"../../x","version":"v1.0.0"}`, ".mark-1": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, "_pending", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	told := &events{}
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{Observe: told.add})
	flush(t, c)
	storetest.WantVersion(t, openRegistry(t, s.Ref(), registry.Options{}), m)
	if n := told.count(cached.Pushed); n != 1 {
		t.Errorf("%d were pushed", n)
	}
	flush(t, killed) // which finds that somebody has pushed it
	if n := s.Count("PUT manifests"); n != 1 {
		t.Errorf("it was written %d times", n)
	}
}

// TestKilled kills a process at the moments that matter, by what it leaves.
func TestKilled(t *testing.T) {
	s := registrytest.Start(t)
	dir := t.TempDir()
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{Jobs: -1})
	a, b := storetest.MakeVersion(t, lib, "v1.0.0", "a"), storetest.MakeVersion(t, lib, "v1.1.0", "b")
	storetest.Put(t, c, a)
	storetest.Put(t, c, b)
	// Marked, and not there: killed before it was put.
	front, err := layouts.Open(dir, layouts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := front.Delete(context.Background(), a.Version.Version); !ok || err != nil {
		t.Fatal(err)
	}
	// Pushed, and still marked: killed after it was pushed.
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), b)
	again := openCached(t, s, dir, layouts.Options{}, cached.Options{})
	flush(t, again)
	if left := storetest.FilesIn(t, filepath.Join(dir, "_pending")); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	_, err = again.Get(context.Background(), a.Version.Version)
	storetest.WantFault(t, err, fault.NotFound, "")
	storetest.WantVersion(t, again, b)
	storetest.Put(t, again, a)
	flush(t, again)
	storetest.WantVersion(t, openRegistry(t, s.Ref(), registry.Options{}), a)
}

// TestProcesses puts from several stores in one directory: each version is
// pushed once.
func TestProcesses(t *testing.T) {
	s := registrytest.Start(t)
	dir := t.TempDir()
	told := &events{}
	var stores []*cached.Store
	for range 3 {
		stores = append(stores, openCached(t, s, dir, layouts.Options{}, cached.Options{Observe: told.add}))
	}
	var wg sync.WaitGroup
	for i := range 12 {
		m := storetest.MakeVersion(t, lib, fmt.Sprintf("v1.%d.0", i), fmt.Sprint(i))
		wg.Go(func() { storetest.Put(t, stores[i%3], m) })
	}
	wg.Wait()
	for _, c := range stores {
		flush(t, c)
	}
	got, err := openRegistry(t, s.Ref(), registry.Options{}).Versions(context.Background(), lib)
	if err != nil || len(got) != 12 {
		t.Errorf("%q, %v", got, err)
	}
	if n := s.Count("PUT manifests"); n != 12 {
		t.Errorf("%d manifests were written", n)
	}
}

// TestFull lets more wait than may: while the registry is down Put is
// refused, and else it waits for the registry.
func TestFull(t *testing.T) {
	s := registrytest.Start(t)
	dir := t.TempDir()
	a, b, d := storetest.MakeVersion(t, lib, "v1.0.0", "a"), storetest.MakeVersion(t, lib, "v1.1.0", "b"), storetest.MakeVersion(t, lib, "v1.2.0", "d")
	told := &events{}
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{Jobs: -1, MaxPending: a.ZipSize + 1, Observe: told.add})
	storetest.Put(t, c, a)
	wantPending(t, c, 1)
	storetest.Put(t, c, b)
	wantPending(t, c, 1)
	if s.Tagged(lib, "v1.1.0") == "" || told.count(cached.Pushed) != 1 {
		t.Errorf("it is not in the registry: %+v", told.all)
	}
	storetest.WantVersion(t, c, b)

	s.Down.Store(true)
	time.Sleep(20 * time.Millisecond)
	_, err := c.Put(context.Background(), d.Version, d.File)
	storetest.WantFault(t, err, fault.Limit, "wait already")
	storetest.WantFault(t, err, fault.Limit, "let more wait")
	_, err = c.Get(context.Background(), d.Version.Version)
	storetest.WantFault(t, err, fault.Unavailable, "")
	s.Down.Store(false)
	time.Sleep(20 * time.Millisecond)
	_, err = c.Get(context.Background(), d.Version.Version)
	storetest.WantFault(t, err, fault.NotFound, "")
	flush(t, c)
	storetest.Put(t, c, d)
	wantPending(t, c, 1)
}

// TestRefused puts a version, while the registry is down, that another
// machine has put with other sums.
func TestRefused(t *testing.T) {
	s := registrytest.Start(t)
	mine, theirs := storetest.MakeVersion(t, lib, "v1.0.0", "mine"), storetest.MakeVersion(t, lib, "v1.0.0", "theirs")
	told := &events{}
	c := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{Jobs: -1, Observe: told.add})
	s.Down.Store(true)
	storetest.Put(t, c, mine)
	storetest.WantVersion(t, c, mine)
	s.Down.Store(false)
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), theirs)
	flush(t, c)
	storetest.WantVersion(t, c, theirs)
	var refused error
	for _, event := range told.all {
		if event.Kind == cached.Refused {
			refused = event.Err
		}
	}
	storetest.WantFault(t, refused, fault.Invalid, mine.Sum)
	// While it can be asked, Put says so itself.
	_, err := c.Put(context.Background(), mine.Version, mine.File)
	storetest.WantFault(t, err, fault.Invalid, theirs.Sum)
	storetest.WantVersion(t, c, theirs)
}

// TestFlushSays pushes to a registry that refuses.
func TestFlushSays(t *testing.T) {
	s := registrytest.Start(t)
	c := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{Retry: time.Hour})
	s.SetHook(registrytest.Times(registrytest.Always, "PUT", "manifests", registrytest.Says(403, "DENIED", "storage quota of the project is used up")))
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	storetest.Put(t, c, m)
	storetest.Put(t, c, storetest.MakeVersion(t, lib, "v1.1.0", "b"))
	storetest.WantFault(t, c.Flush(context.Background()), fault.Limit, "2 versions wait")
	storetest.WantFault(t, c.Flush(context.Background()), fault.Limit, "quota")
	s.SetHook(registrytest.Times(registrytest.Always, "PUT", "manifests", func(_ http.ResponseWriter, req *http.Request) { registrytest.Gone(req) }))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	storetest.WantFault(t, c.Flush(ctx), fault.Unavailable, "2 versions wait")
	s.SetHook(nil)
	flush(t, c)
	storetest.WantVersion(t, openRegistry(t, s.Ref(), registry.Options{}), m)
}

// TestSparesTheRegistry asks much while the registry is down: it is asked
// once a while.
func TestSparesTheRegistry(t *testing.T) {
	s := registrytest.Start(t)
	told := &events{}
	c := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{Retry: 300 * time.Millisecond, Observe: told.add})
	ctx := context.Background()
	m := storetest.MakeVersion(t, lib, "v1.0.0", "a")
	s.Down.Store(true)
	_, err := c.Get(ctx, m.Version.Version)
	storetest.WantFault(t, err, fault.Unavailable, "")
	s.Reset()
	for range 20 {
		_, err := c.Get(ctx, m.Version.Version)
		if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "a moment ago") || fault.HintOf(err) == "" {
			t.Fatal(err)
		}
		if _, err := c.Versions(ctx, lib); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Count(""); n != 0 {
		t.Errorf("%d requests", n)
	}
	s.Down.Store(false)
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), m)
	eventually(t, "it is asked again", func() bool {
		_, err := c.Get(ctx, m.Version.Version)
		return err == nil
	})
	if told.count(cached.Offline) != 1 || told.count(cached.Online) != 1 {
		t.Errorf("%+v", told.all)
	}
}

// TestGarbled reads from a registry that garbles zips: nothing of it is
// kept.
func TestGarbled(t *testing.T) {
	s := registrytest.Start(t)
	m := storetest.MakeVersion(t, lib, "v1.0.0", storetest.Big())
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), m)
	dir := t.TempDir()
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{})
	zip := s.Layer(t, lib, "v1.0.0", 2)
	s.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, zip) {
			return false
		}
		s.ServeBlob(func(w http.ResponseWriter, content []byte) {
			content[1000] ^= 1
			_, _ = w.Write(content)
		})(w, req)
		return true
	})
	e, err := c.Get(context.Background(), m.Version.Version)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storetest.ReadZip(e)
	storetest.WantFault(t, err, fault.Invalid, "digest")
	for _, name := range storetest.FilesIn(t, dir) {
		if info, err := os.Stat(name); err == nil && info.Size() > 1000 {
			t.Errorf("%s is left", name)
		}
	}
	s.SetHook(nil)
	storetest.WantVersion(t, c, m)
}

// full is a store on a disk that takes nothing.
type full struct{ *layouts.Store }

func (full) Put(context.Context, store.Version, string) (*store.Entry, error) {
	return nil, &fault.Error{Code: fault.Unavailable, Err: errors.New("no space left")}
}

// TestBrokenDisk works with a directory that takes nothing: as far as the
// registry can do alone.
func TestBrokenDisk(t *testing.T) {
	s := registrytest.Start(t)
	told := &events{}
	disk, err := layouts.Open(t.TempDir(), layouts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := openBefore(t, s, full{disk}, cached.Options{Observe: told.add})
	a, b := storetest.MakeVersion(t, lib, "v1.0.0", storetest.Big()), storetest.MakeVersion(t, lib, "v1.1.0", "b")
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), a)
	storetest.WantVersion(t, c, a)
	storetest.Put(t, c, b)
	wantPending(t, c, 0)
	storetest.WantVersion(t, c, b)
	if told.count(cached.FrontFailed) == 0 {
		t.Errorf("%+v", told.all)
	}
	s.Down.Store(true)
	d := storetest.MakeVersion(t, lib, "v1.2.0", "d")
	if e, err := c.Put(context.Background(), d.Version, d.File); err == nil {
		t.Errorf("it put %v nowhere", e)
	}
	wantPending(t, c, 0)
}

// TestSeen sees versions from two machines, one of which cannot reach the
// registry for a while.
func TestSeen(t *testing.T) {
	s := registrytest.Start(t)
	ctx := context.Background()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	one := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{})
	two := openCached(t, s, t.TempDir(), layouts.Options{}, cached.Options{})
	see := func(c *cached.Store, version string, now, want int) {
		t.Helper()
		got, err := c.Seen(ctx, lib, []string{version}, day(now))
		if err != nil || !got[version].Equal(day(want)) {
			t.Errorf("%s was seen %v, %v; want %v", version, got[version], err, day(want))
		}
	}
	see(one, "v1.0.0", 1, 1)
	see(two, "v1.0.0", 2, 1)
	s.Down.Store(true)
	see(one, "v1.1.0", 3, 3)
	see(one, "v1.0.0", 3, 1)
	s.Down.Store(false)
	time.Sleep(50 * time.Millisecond)
	see(one, "v1.1.0", 5, 3)
	see(two, "v1.1.0", 4, 3)
}

// TestLeavesNothing has clients that go away in the middle of things.
func TestLeavesNothing(t *testing.T) {
	s := registrytest.Start(t)
	m := storetest.MakeVersion(t, lib, "v1.0.0", storetest.Big())
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), m)
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	c := openCached(t, s, dir, layouts.Options{}, cached.Options{})
	hold := make(chan struct{})
	zip := s.Layer(t, lib, "v1.0.0", 2)
	s.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, zip) {
			<-hold
		}
		return false
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			e, err := c.Get(ctx, m.Version.Version)
			if err != nil {
				return
			}
			if _, err := e.Open(ctx); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("it was opened, or %v", err)
			}
		})
	}
	wg.Wait()
	// It is copied nevertheless, once.
	close(hold)
	storetest.WantVersion(t, c, m)
	if n := s.Count("GET blobs /v2/team/modules/" + lib + "/blobs/" + zip); n != 1 {
		t.Errorf("the zip was read %d times", n)
	}
	// A copy that is under way ends with the store.
	second := storetest.MakeVersion(t, lib, "v1.1.0", storetest.Big()+"2")
	storetest.Put(t, openRegistry(t, s.Ref(), registry.Options{}), second)
	started := make(chan struct{})
	release := make(chan struct{})
	defer close(release)
	zip = s.Layer(t, lib, "v1.1.0", 2)
	s.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, zip) {
			close(started)
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
		return false
	})
	e, err := c.Get(context.Background(), second.Version.Version)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	staging := c.Staging()
	closeStore(t, c)
	if _, err := e.Open(context.Background()); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("it was opened after Close, or %v", err)
	}
	if _, err := os.Stat(staging); !os.IsNotExist(err) {
		t.Errorf("%q are left", storetest.FilesIn(t, staging))
	}
	storetest.WantGoroutines(t, before)
}
