// Package storetest holds every store of modules to the contract of store.Store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Run tests a kind of store. place returns a function that opens the store in a
// new, empty place; each call opens the same place, as another process does or
// this one after a restart. Run closes what it opens.
func Run(t *testing.T, place func(t *testing.T) (open func() store.Store)) {
	for name, check := range map[string]func(*suite){
		"what is absent":                 (*suite).absent,
		"what was put is there":          (*suite).roundTrip,
		"the same again stays":           (*suite).sameAgain,
		"other sums are refused":         (*suite).otherSums,
		"versions in order":              (*suite).versions,
		"all modules":                    (*suite).modules,
		"deleted":                        (*suite).deleted,
		"deleted while it is read":       (*suite).deletedWhileRead,
		"first seen":                     (*suite).seen,
		"first seen by several":          (*suite).seenAtOnce,
		"last used":                      (*suite).used,
		"the same version at once":       (*suite).sameAtOnce,
		"versions of one module at once": (*suite).versionsAtOnce,
		"readers while it is written":    (*suite).readersWhileWritten,
		"what cannot be put":             (*suite).notPut,
		"canceled":                       (*suite).canceled,
		"the file is the caller's":       (*suite).callersFile,
	} {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t, ctx: t.Context(), dir: t.TempDir(), place: place(t)}
			s.store = s.open()
			check(s)
		})
	}
}

type suite struct {
	*testing.T
	ctx   context.Context
	dir   string
	place func() store.Store
	store store.Store
}

// open opens the store once more.
func (s *suite) open() store.Store {
	s.Helper()
	opened := s.place()
	var once sync.Once
	c := closer{opened, &once}
	s.Cleanup(func() { c.close(s.T) })
	return c
}

// closer closes a store once.
type closer struct {
	store.Store
	once *sync.Once
}

func (c closer) close(t *testing.T) {
	t.Helper()
	c.once.Do(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// reopen closes the store and opens it again.
func (s *suite) reopen() {
	s.Helper()
	s.store.(closer).close(s.T)
	s.store = s.open()
}

const lib = "corp.example.com/lib"

func at(path, version string) module.Version { return module.Version{Path: path, Version: version} }

// make makes a version, and its zip in the store's staging directory.
func (s *suite) make(m module.Version, files map[string]string) (store.Version, string) {
	s.Helper()
	return Make(s.T, s.store.Staging(), m, files)
}

// put puts a version as a proxy does: the zip's file goes afterwards.
func (s *suite) put(m module.Version) store.Version {
	s.Helper()
	v, path := s.make(m, nil)
	if _, err := s.store.Put(s.ctx, v, path); err != nil {
		s.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		s.Errorf("the zip's file: %v", err)
	}
	return v
}

func (s *suite) get(m module.Version) *store.Entry {
	s.Helper()
	e, err := s.store.Get(s.ctx, m)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// zip reads the zip of an entry, in whole and in part.
func (s *suite) zip(e *store.Entry) []byte {
	s.Helper()
	z, err := e.Open(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	defer z.Close()
	data := s.read(z)
	part := make([]byte, 10)
	if _, err := z.ReadAt(part, 20); err != nil || !bytes.Equal(part, data[20:30]) {
		s.Errorf("ReadAt: %v", err)
	}
	if n, err := z.Seek(-5, io.SeekEnd); err != nil || n != int64(len(data)-5) {
		s.Errorf("Seek to %d of %d, %v", n, len(data), err)
	}
	if rest := s.read(z); !bytes.Equal(rest, data[len(data)-5:]) {
		s.Errorf("the end is %q", rest)
	}
	return data
}

func (s *suite) read(r io.Reader) []byte {
	s.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		s.Fatal(err)
	}
	return data
}

func (s *suite) file(path string) []byte {
	s.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	return data
}

// wantCode fails unless err is a *fault.Error with the code and says what it is
// about.
func (s *suite) wantCode(what string, err error, code fault.Code, input string) {
	s.Helper()
	if fault.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), input) {
		s.Errorf("%s: %v (%q), want the code %q and %q in it", what, err, fault.CodeOf(err), code, input)
	}
}

func (s *suite) wantVersions(want ...string) {
	s.Helper()
	got, err := s.store.Versions(s.ctx, lib)
	if err != nil || !slices.Equal(got, want) {
		s.Errorf("versions %q, %v; want %q", got, err, want)
	}
}

func (s *suite) absent() {
	m := at(lib, "v1.0.0")
	_, err := s.store.Get(s.ctx, m)
	s.wantCode("Get", err, fault.NotFound, m.String())
	_, err = s.store.Delete(s.ctx, m)
	s.wantCode("Delete", err, fault.NotFound, lib)
	s.wantVersions()
	for path, err := range s.store.Modules(s.ctx) {
		s.Errorf("module %q, %v", path, err)
	}
	if uses, err := s.store.Uses(s.ctx, lib); err != nil || len(uses) > 0 {
		s.Errorf("uses %v, %v", uses, err)
	}
	s.store.Used(m, time.Now())

	s.put(at(lib, "v1.1.0"))
	_, err = s.store.Get(s.ctx, m)
	s.wantCode("Get beside another", err, fault.NotFound, m.String())
	for _, bad := range []module.Version{at("../lib", "v1.0.0"), at("corp.example.com//lib", "v1.0.0"), at(lib, "../v1.1.0"), at(lib, ""), at(lib, "v1"), at(lib, "master")} {
		if e, err := s.store.Get(s.ctx, bad); err == nil || fault.CodeOf(err) == fault.Internal {
			s.Errorf("Get(%v) = %v, %v", bad, e, err)
		}
	}
	if info, err := os.Stat(s.store.Staging()); err != nil || !info.IsDir() {
		s.Errorf("Staging: %v", err)
	}
}

func (s *suite) roundTrip() {
	m := at("corp.example.com/Team/lib", "v1.2.3-RC.1")
	v, path := s.make(m, map[string]string{"big.txt": strings.Repeat("0123456789abcdef", 100_000), "LICENSE": "free"})
	want := s.file(path)
	before := time.Now()
	put, err := s.store.Put(s.ctx, v, path)
	if err != nil {
		s.Fatal(err)
	}
	if put.Stored.Before(before.Add(-time.Second)) || put.Stored.After(time.Now().Add(time.Second)) {
		s.Errorf("stored at %v, it is %v", put.Stored, time.Now())
	}
	v.Stored = put.Stored
	if err := os.Remove(path); err != nil {
		s.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again {
			s.reopen()
		}
		got := s.get(m)
		if diff := cmp.Diff(v, got.Version); diff != "" {
			s.Error(diff)
		}
		if got.Manifest != put.Manifest || got.ZipDigest != put.ZipDigest || !strings.HasPrefix(got.Manifest, "sha256:") || !strings.HasPrefix(got.ZipDigest, "sha256:") {
			s.Errorf("digests %q and %q, Put said %q and %q", got.Manifest, got.ZipDigest, put.Manifest, put.ZipDigest)
		}
		if !bytes.Equal(s.zip(got), want) {
			s.Error("the zip is another")
		}
	}
}

func (s *suite) sameAgain() {
	m := at(lib, "v1.0.0")
	v, path := s.make(m, nil)
	v.Stored = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, err := s.store.Put(s.ctx, v, path)
	if err != nil {
		s.Fatal(err)
	}
	v.Origin, v.Stored, v.Info = "direct", time.Time{}, append(v.Info, '\n')
	second, err := s.store.Put(s.ctx, v, path)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range []*store.Entry{second, s.get(m)} {
		if diff := cmp.Diff(first.Version, e.Version); diff != "" || e.Manifest != first.Manifest {
			s.Errorf("what was there was replaced: %s", diff)
		}
	}
	s.wantVersions("v1.0.0")
}

func (s *suite) otherSums() {
	m := at(lib, "v1.0.0")
	first := s.put(m)
	second, path := s.make(m, map[string]string{"evil.go": "package doc\n"})
	_, err := s.store.Put(s.ctx, second, path)
	s.wantCode("other zip", err, fault.Invalid, first.Sum)
	s.wantCode("other zip", err, fault.Invalid, second.Sum)
	if fault.HintOf(err) == "" {
		s.Errorf("%v has no hint", err)
	}
	third := first
	third.Mod = append(bytes.Clone(first.Mod), "// changed\n"...)
	third.GoModSum = sumOfMod(s.T, string(third.Mod))
	third.ZipSize = 0
	_, err = s.store.Put(s.ctx, third, path)
	s.wantCode("other go.mod", err, fault.Invalid, third.GoModSum)
	if got := s.get(m); got.Sum != first.Sum || !bytes.Equal(got.Mod, first.Mod) {
		s.Error("what was there was replaced")
	}
}

func (s *suite) versions() {
	want := []string{
		"v0.0.0-20200101000000-abcdefabcdef", "v0.9.9", "v1.0.0-RC1", "v1.0.0-rc1", "v1.0.0", "v1.2.0-0.20210101000000-abcdefabcdef",
		"v1.2.0-" + strings.Repeat("a", 150), "v1.10.0", "v2.0.0+incompatible",
	}
	for _, i := range []int{5, 8, 0, 3, 7, 1, 6, 2, 4} {
		s.put(at(lib, want[i]))
	}
	s.wantVersions(want...)
	s.reopen()
	s.wantVersions(want...)
	for _, version := range want {
		if got := s.get(at(lib, version)); got.Version.Version != at(lib, version) {
			s.Errorf("%s is %v", version, got.Version.Version)
		}
	}
	if got, err := s.store.Versions(s.ctx, lib+"/sub"); err != nil || len(got) > 0 {
		s.Errorf("versions of another module: %q, %v", got, err)
	}
}

func (s *suite) modules() {
	want := []string{
		lib, lib + "/sub", lib + "/sub/v2", "corp.example.com/Lib", "corp.example.com/q/quic_go-/~x",
		"corp.example.com/" + strings.Repeat("long/", 50) + "path",
	}
	for _, path := range want {
		version := "v1.0.0"
		if strings.HasSuffix(path, "/v2") {
			version = "v2.0.0"
		}
		s.put(at(path, version))
	}
	for range 2 {
		var got []string
		for path, err := range s.store.Modules(s.ctx) {
			if err != nil {
				s.Fatal(err)
			}
			got = append(got, path)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			s.Error(diff)
		}
		s.reopen()
	}
	for _, err := range s.store.Modules(s.ctx) {
		if err != nil {
			s.Error(err)
		}
		break // and nothing hangs
	}
}

func (s *suite) deleted() {
	for _, version := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
		s.put(at(lib, version)) // with the same go.mod
	}
	m := at(lib, "v1.1.0")
	if ok, err := s.store.Delete(s.ctx, m); err != nil || !ok {
		s.Fatalf("%v, %v", ok, err)
	}
	for range 2 {
		_, err := s.store.Get(s.ctx, m)
		s.wantCode("Get", err, fault.NotFound, m.String())
		s.wantVersions("v1.0.0", "v1.2.0")
		for _, version := range []string{"v1.0.0", "v1.2.0"} {
			s.zip(s.get(at(lib, version)))
		}
		s.reopen()
	}
	_, err := s.store.Delete(s.ctx, m)
	s.wantCode("Delete again", err, fault.NotFound, lib)
	other, path := s.make(m, map[string]string{"new.go": "package doc\n"})
	if _, err := s.store.Put(s.ctx, other, path); err != nil {
		s.Fatal(err)
	}
	if got := s.get(m); got.Sum != other.Sum {
		s.Errorf("its sum is %s and not %s", got.Sum, other.Sum)
	}
}

func (s *suite) deletedWhileRead() {
	m := at(lib, "v1.0.0")
	v, path := s.make(m, map[string]string{"big.txt": strings.Repeat("0123456789abcdef", 10_000)})
	want := s.file(path)
	if _, err := s.store.Put(s.ctx, v, path); err != nil {
		s.Fatal(err)
	}
	e := s.get(m)
	z, err := e.Open(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	defer z.Close()
	other := s.open()
	deleted, err := other.Delete(s.ctx, m)
	if err != nil {
		s.Fatal(err)
	}
	if got := s.read(z); !bytes.Equal(got, want) {
		s.Error("what was being read has changed")
	}
	if _, err := s.store.Get(s.ctx, m); deleted != (fault.CodeOf(err) == fault.NotFound) {
		s.Errorf("Delete said %v, Get says %v", deleted, err)
	}
	if err := z.Close(); err != nil {
		s.Error(err)
	}
	if !deleted {
		if ok, err := other.Delete(s.ctx, m); !ok || err != nil {
			s.Errorf("when nobody reads it: %v, %v", ok, err)
		}
	}
	if _, err := e.Open(s.ctx); err != nil {
		s.wantCode("Open of a deleted version", err, fault.NotFound, lib)
	}
}

func (s *suite) seen() {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 1, 2, 3, 0, time.UTC) }
	see := func(now time.Time, want map[string]time.Time) {
		s.Helper()
		var versions []string
		for v := range want {
			versions = append(versions, v)
		}
		got, err := s.store.Seen(s.ctx, lib, versions, now)
		if err != nil {
			s.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Error(diff)
		}
	}
	see(day(1), map[string]time.Time{"v1.0.0": day(1), "v1.1.0": day(1)})
	see(day(2), map[string]time.Time{"v1.0.0": day(1), "v2.0.0+incompatible": day(2)})
	s.reopen()
	see(day(3), map[string]time.Time{"v1.1.0": day(1), "v2.0.0+incompatible": day(2), "v1.2.0": day(3)})
	see(day(4), map[string]time.Time{})

	s.put(at(lib, "v1.0.0"))
	if ok, err := s.store.Delete(s.ctx, at(lib, "v1.0.0")); err != nil || !ok {
		s.Fatalf("%v, %v", ok, err)
	}
	see(day(5), map[string]time.Time{"v1.0.0": day(1)}) // also when it was deleted
	if got, err := s.store.Seen(s.ctx, lib+"/other", []string{"v1.0.0"}, day(6)); err != nil || !got["v1.0.0"].Equal(day(6)) {
		s.Errorf("another module: %v, %v", got, err)
	}
	_, err := s.store.Seen(s.ctx, "../lib", []string{"v1.0.0"}, day(7))
	s.wantCode("Seen of no module", err, fault.Invalid, "../lib")
}

func (s *suite) seenAtOnce() {
	stores := []store.Store{s.store, s.open()}
	var wg sync.WaitGroup
	results := make([]map[string]time.Time, 8)
	for i := range results {
		wg.Go(func() {
			got, err := stores[i%2].Seen(s.ctx, lib, []string{"v1.0.0", fmt.Sprintf("v1.1.%d", i)}, time.Unix(int64(i), 0))
			if err != nil {
				s.Error(err)
			}
			results[i] = got
		})
	}
	wg.Wait()
	s.reopen()
	// Nobody is told of a time at which nobody asked, and what is kept stays.
	for i, r := range results {
		version := fmt.Sprintf("v1.1.%d", i)
		got, err := s.store.Seen(s.ctx, lib, []string{"v1.0.0", version}, time.Unix(100, 0))
		again, errAgain := s.store.Seen(s.ctx, lib, []string{"v1.0.0", version}, time.Unix(200, 0))
		if errors.Join(err, errAgain) != nil || r["v1.0.0"].Unix() > 7 || got["v1.0.0"].Unix() > 7 || r[version].Unix() != int64(i) ||
			got[version].Before(r[version]) || !maps.EqualFunc(got, again, time.Time.Equal) {
			s.Errorf("%d was told %v, later %v, then %v, %v", i, r, got, again, errors.Join(err, errAgain))
		}
	}
}

func (s *suite) used() {
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		s.put(at(lib, version))
	}
	later := time.Now().Add(50 * time.Hour)
	for range 3 {
		s.store.Used(at(lib, "v1.0.0"), later)
	}
	s.store.Used(at(lib, "v1.0.0"), later.Add(-10*time.Hour))
	s.store.Used(at(lib, "v1.0.0"), later.Add(time.Minute))
	s.reopen()
	uses, err := s.store.Uses(s.ctx, lib)
	if err != nil {
		s.Fatal(err)
	}
	if got := uses["v1.0.0"].Sub(later); got < -time.Hour || got > time.Hour {
		s.Errorf("used %v, noted %v", later, uses["v1.0.0"])
	}
	if got, ok := uses["v1.1.0"]; ok && time.Since(got) > time.Hour || got.After(time.Now().Add(time.Hour)) {
		s.Errorf("what was never used was used %v", got)
	}
	muchLater := later.Add(3 * time.Hour)
	s.store.Used(at(lib, "v1.0.0"), muchLater)
	s.reopen()
	if uses, err := s.store.Uses(s.ctx, lib); err != nil || uses["v1.0.0"].Sub(muchLater).Abs() > time.Hour {
		s.Errorf("used %v, noted %v, %v", muchLater, uses["v1.0.0"], err)
	}
}

func (s *suite) sameAtOnce() {
	m := at(lib, "v1.0.0")
	stores := []store.Store{s.store, s.open(), s.open()}
	v, path := Make(s.T, s.dir, m, nil)
	v.Stored = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := s.file(path)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			e, err := stores[i%len(stores)].Put(s.ctx, v, path)
			if err != nil {
				s.Error(err)
				return
			}
			if !bytes.Equal(s.zip(e), want) {
				s.Error("the zip is another")
			}
		})
	}
	wg.Wait()
	s.wantVersions("v1.0.0")
	if diff := cmp.Diff(v, s.get(m).Version); diff != "" {
		s.Error(diff)
	}
}

func (s *suite) versionsAtOnce() {
	stores := []store.Store{s.store, s.open()}
	var want []string
	var wg sync.WaitGroup
	for i := range 10 {
		m := at(lib, fmt.Sprintf("v1.0.%d", i))
		want = append(want, m.Version)
		wg.Go(func() {
			st := stores[i%2]
			v, path := Make(s.T, st.Staging(), m, nil)
			if _, err := st.Put(s.ctx, v, path); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		s.wantVersions(want...)
		for _, version := range want {
			s.zip(s.get(at(lib, version)))
		}
		s.reopen()
	}
}

// readersWhileWritten reads a version that another store puts and deletes: it is
// there whole, or not at all.
func (s *suite) readersWhileWritten() {
	m := at(lib, "v1.5.0")
	s.put(at(lib, "v1.0.0"))
	writer := s.open()
	v, path := Make(s.T, s.dir, m, nil)
	want := s.file(path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			if _, err := writer.Put(s.ctx, v, path); err != nil {
				s.Errorf("Put: %v", err)
			}
			if _, err := writer.Delete(s.ctx, m); err != nil {
				s.Errorf("Delete: %v", err)
			}
		}
	}()
	for reads := 0; ; reads++ {
		select {
		case <-done:
			if reads < 3 {
				s.Errorf("read %d times only", reads)
			}
			return
		default:
		}
		s.readWhole(m, v, want)
		s.zip(s.get(at(lib, "v1.0.0")))
	}
}

func (s *suite) readWhole(m module.Version, v store.Version, want []byte) {
	s.Helper()
	e, err := s.store.Get(s.ctx, m)
	if fault.CodeOf(err) == fault.NotFound {
		return
	}
	if err != nil {
		s.Fatal(err)
	}
	if !bytes.Equal(e.Mod, v.Mod) || !bytes.Equal(e.Info, v.Info) {
		s.Error("it is not whole")
	}
	z, err := e.Open(s.ctx)
	if fault.CodeOf(err) == fault.NotFound {
		return
	}
	if err != nil {
		s.Fatal(err)
	}
	defer z.Close()
	if got := s.read(z); !bytes.Equal(got, want) {
		s.Errorf("its zip has %d bytes and not %d", len(got), len(want))
	}
}

func (s *suite) notPut() {
	for name, change := range map[string]func(v *store.Version, path *string){
		"wrong hash of go.mod": func(v *store.Version, _ *string) { v.GoModSum = v.Sum },
		"no sum":               func(v *store.Version, _ *string) { v.Sum = "" },
		"wrong size":           func(v *store.Version, _ *string) { v.ZipSize++ },
		"path":                 func(v *store.Version, _ *string) { v.Path = "../lib" },
		"version":              func(v *store.Version, _ *string) { v.Version.Version = "master" },
		"another major":        func(v *store.Version, _ *string) { v.Version.Version = "v2.0.0" },
		"huge .info":           func(v *store.Version, _ *string) { v.Info = make([]byte, 1<<20+1) },
		"no file":              func(_ *store.Version, path *string) { *path += ".gone" },
	} {
		v, path := s.make(at(lib, "v1.0.0"), nil)
		change(&v, &path)
		e, err := s.store.Put(s.ctx, v, path)
		if err == nil || fault.CodeOf(err) == fault.Internal {
			s.Errorf("%s: %v, %v (%s)", name, e, err, fault.CodeOf(err))
		}
	}
	s.wantVersions()
	for path, err := range s.store.Modules(s.ctx) {
		s.Errorf("module %q, %v", path, err)
	}
}

func (s *suite) canceled() {
	m := at(lib, "v1.0.0")
	v, path := s.make(m, nil)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.store.Put(ctx, v, path)
	s.wantCode("Put", err, fault.Canceled, lib)
	_, err = s.store.Get(s.ctx, m)
	s.wantCode("Get", err, fault.NotFound, lib)
	s.put(m)
	s.wantVersions("v1.0.0")
}

func (s *suite) callersFile() {
	m := at(lib, "v1.0.0")
	v, path := Make(s.T, s.dir, m, nil)
	want := s.file(path)
	if _, err := s.store.Put(s.ctx, v, path); err != nil {
		s.Fatal(err)
	}
	if got := s.file(path); !bytes.Equal(got, want) {
		s.Error("the file was changed")
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		s.Fatal(err)
	}
	if got := s.zip(s.get(m)); !bytes.Equal(got, want) {
		s.Error("the stored zip changed with the file")
	}
}
