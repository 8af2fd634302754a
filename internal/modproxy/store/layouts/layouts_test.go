package layouts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() store.Store {
		dir := filepath.Join(t.TempDir(), "new", "store")
		return func() store.Store { return openLayouts(t, dir, layouts.Options{}) }
	})
}

func putAll(t testing.TB, s store.Store, versions ...string) {
	t.Helper()
	for _, version := range versions {
		if err := putVersion(t, s, version); err != nil {
			t.Fatal(err)
		}
	}
}

func ofLib(version string) module.Version { return module.Version{Path: teamLib, Version: version} }

// ociDir is the OCI layout of teamLib.
func ociDir(dir string) string {
	return filepath.Join(dir, "corp.example.com", "team", "lib", "_oci")
}

// TestIsOCI reads a module's directory with another implementation.
func TestIsOCI(t *testing.T) {
	dir := t.TempDir()
	s := openLayouts(t, dir, layouts.Options{})
	putAll(t, s, "v1.0.0", "v2.0.0+incompatible", "v1.1.0-RC1")
	path, err := layout.FromPath(ociDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := tree.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, desc := range m.Manifests {
		tags = append(tags, desc.Annotations["org.opencontainers.image.ref.name"])
		img, err := tree.Image(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range append(manifest.Layers, manifest.Config) {
			data, err := path.Bytes(part.Digest)
			if err != nil || artifact.Digest(data) != part.Digest.String() || int64(len(data)) != part.Size {
				t.Errorf("%v: %v", part, err)
			}
		}
	}
	if want := []string{"v1.0.0", "v2.0.0_incompatible", "v1.1.0-__r__c1"}; !slices.Equal(tags, want) {
		t.Errorf("the tags are %q and not %q", tags, want)
	}
}

// TestKeepsForeign has an image of somebody else in a module's layout.
func TestKeepsForeign(t *testing.T) {
	dir := t.TempDir()
	putAll(t, openLayouts(t, dir, layouts.Options{}), "v1.0.0")
	path, err := layout.FromPath(ociDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	blob := func(content string) ggcr.Descriptor {
		hash, err := ggcr.NewHash(artifact.Digest([]byte(content)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ociDir(dir), "blobs", "sha256", hash.Hex), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return ggcr.Descriptor{Digest: hash, Size: int64(len(content)), MediaType: "application/vnd.example"}
	}
	raw, err := json.Marshal(ggcr.Manifest{SchemaVersion: 2, MediaType: artifact.ManifestType, Config: blob("config"), Layers: []ggcr.Descriptor{blob("layer")}})
	if err != nil {
		t.Fatal(err)
	}
	foreign := blob(string(raw))
	foreign.MediaType, foreign.Annotations = artifact.ManifestType, map[string]string{"org.opencontainers.image.ref.name": "signature", "example": "kept"}
	foreign.Platform = &ggcr.Platform{OS: "linux", Architecture: "riscv64"}
	if err := path.AppendDescriptor(foreign); err != nil {
		t.Fatal(err)
	}

	s := openLayouts(t, dir, layouts.Options{})
	putAll(t, s, "v1.1.0")
	if ok, err := s.Delete(t.Context(), ofLib("v1.0.0")); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := checkStore(t, dir); !slices.Equal(got, []string{"v1.1.0"}) {
		t.Errorf("there are %q", got)
	}
	tree, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := tree.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 2 || m.Manifests[0].Annotations["example"] != "kept" || m.Manifests[0].Platform.Architecture != "riscv64" {
		t.Errorf("%+v", m.Manifests)
	}
	for _, content := range []string{"config", "layer", string(raw)} {
		hash, err := ggcr.NewHash(artifact.Digest([]byte(content)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := path.Bytes(hash); err != nil || string(got) != content {
			t.Errorf("%q is %q, %v", content, got, err)
		}
	}
}

// TestDamage damages each kind of file. Nobody gets what is not whole, and
// deleting and putting repairs it.
func TestDamage(t *testing.T) {
	flip := func(data []byte) []byte {
		data = bytes.Clone(data)
		data[len(data)/2] ^= 1
		return data
	}
	for _, kind := range []string{"manifest", "info", "mod", "zip"} {
		for name, damage := range map[string]func([]byte) []byte{
			"flipped": flip,
			"shorter": func(data []byte) []byte { return data[:len(data)-1] },
			"longer":  func(data []byte) []byte { return append(bytes.Clone(data), 'x') },
			"gone":    nil,
		} {
			if kind == "zip" && name == "flipped" {
				continue // only verify reads zips
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				putAll(t, openLayouts(t, dir, layouts.Options{}), "v1.0.0", "v1.1.0")
				s := openLayouts(t, dir, layouts.Options{})
				e, err := openLayouts(t, dir, layouts.Options{}).Get(t.Context(), ofLib("v1.0.0"))
				if err != nil {
					t.Fatal(err)
				}
				digest := map[string]string{"manifest": e.Manifest, "info": artifact.Digest(e.Info), "mod": artifact.Digest(e.Mod), "zip": e.ZipDigest}[kind]
				file := filepath.Join(ociDir(dir), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
				if damage == nil {
					err = os.Remove(file)
				} else if data, readErr := os.ReadFile(file); readErr == nil {
					err = os.WriteFile(file, damage(data), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
				err = checkVersion(s, ofLib("v1.0.0"))
				if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), "verify --repair") || !strings.Contains(err.Error(), teamLib) {
					t.Errorf("%v; %s", err, fault.HintOf(err))
				}
				if ok, err := s.Delete(t.Context(), ofLib("v1.0.0")); !ok || err != nil {
					t.Fatalf("delete: %v, %v", ok, err)
				}
				putAll(t, s, "v1.0.0")
				if got := checkStore(t, dir); !slices.Equal(got, []string{"v1.0.0", "v1.1.0"}) {
					t.Errorf("repaired there are %q", got)
				}
			})
		}
	}
}

func TestDamagedIndexes(t *testing.T) {
	for _, content := range []string{"", "{", "[]", `{"schemaVersion":1}`, `{"schemaVersion":2,"manifests":[1]}`, strings.Repeat(" ", 17<<20)} {
		dir := t.TempDir()
		s := openLayouts(t, dir, layouts.Options{})
		putAll(t, s, "v1.0.0")
		if _, err := s.Seen(t.Context(), teamLib, []string{"v1.0.0"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{filepath.Join(ociDir(dir), "index.json"), filepath.Join(filepath.Dir(ociDir(dir)), "_seen.json")} {
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, getErr := s.Get(t.Context(), ofLib("v1.0.0"))
		_, listErr := s.Versions(t.Context(), teamLib)
		_, usesErr := s.Uses(t.Context(), teamLib)
		_, seenErr := s.Seen(t.Context(), teamLib, []string{"v1.0.0"}, time.Now())
		_, deleteErr := s.Delete(t.Context(), ofLib("v1.0.0"))
		for _, err := range []error{getErr, listErr, usesErr, seenErr, deleteErr, putVersion(t, s, "v1.1.0")} {
			if fault.CodeOf(err) != fault.Invalid || fault.HintOf(err) == "" {
				t.Errorf("%.20q: %v (%s)", content, err, fault.CodeOf(err))
			}
		}
		var modules []error
		for _, err := range s.Modules(t.Context()) {
			modules = append(modules, err)
		}
		if len(modules) != 1 || fault.CodeOf(modules[0]) != fault.Invalid {
			t.Errorf("%.20q: modules: %v", content, modules)
		}
	}
}

// TestOtherWriters has a store see at once what another wrote, also where
// the index is as long as before.
func TestOtherWriters(t *testing.T) {
	dir := t.TempDir()
	opt := layouts.OnDisk(fastDisk{})
	now := time.Now()
	opt.Now = func() time.Time { return now }
	reader, writer := openLayouts(t, dir, layouts.Options{}), openLayouts(t, dir, opt)
	var last os.FileInfo
	for i := range 100 {
		m := ofLib(fmt.Sprintf("v1.0.%d", i%10))
		putAll(t, writer, m.Version)
		if err := checkVersion(reader, m); err != nil {
			t.Fatal(err)
		}
		if got, err := reader.Versions(t.Context(), teamLib); err != nil || !slices.Equal(got, []string{m.Version}) {
			t.Fatalf("%q, %v", got, err)
		}
		info, err := os.Stat(filepath.Join(ociDir(dir), "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && (info.Size() != last.Size() || !info.ModTime().After(last.ModTime())) {
			t.Fatalf("index.json has %d bytes of %v, before it was %d of %v", info.Size(), info.ModTime(), last.Size(), last.ModTime())
		}
		last = info
		if ok, err := writer.Delete(t.Context(), m); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if i%10 == 9 {
			if _, err := reader.Get(t.Context(), m); fault.CodeOf(err) != fault.NotFound {
				t.Fatal(err)
			}
		}
	}
}

// TestFiles has all that is in a store, by name.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := openLayouts(t, dir, layouts.Options{})
	putAll(t, s, "v1.0.0")
	if _, err := s.Seen(t.Context(), teamLib, []string{"v1.0.0"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if rel, relErr := filepath.Rel(dir, name); relErr == nil && !strings.Contains(rel, "_staging") && len(e.Name()) < 64 {
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".", "corp.example.com", "corp.example.com/team", "corp.example.com/team/lib", "corp.example.com/team/lib/_lock",
		"corp.example.com/team/lib/_oci", "corp.example.com/team/lib/_oci/blobs", "corp.example.com/team/lib/_oci/blobs/sha256",
		"corp.example.com/team/lib/_oci/index.json", "corp.example.com/team/lib/_oci/oci-layout", "corp.example.com/team/lib/_seen.json"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestReadOnly serves from a directory that cannot be written to.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	putAll(t, openLayouts(t, dir, layouts.Options{}), "v1.0.0")
	s := openLayouts(t, dir, layouts.OnDisk(readOnlyDisk{}))
	if err := checkVersion(s, ofLib("v1.0.0")); err != nil {
		t.Error(err)
	}
	s.Used(ofLib("v1.0.0"), time.Now().Add(100*time.Hour))
	for path, err := range s.Modules(t.Context()) {
		if path != teamLib || err != nil {
			t.Errorf("module %q, %v", path, err)
		}
	}
	_, err := s.Seen(t.Context(), teamLib, []string{"v1.0.0"}, time.Now())
	if fault.CodeOf(err) != fault.Denied || fault.HintOf(err) == "" {
		t.Errorf("seen: %v", err)
	}
}

// readOnlyDisk refuses what writes.
type readOnlyDisk struct{ layouts.OSDisk }

func (readOnlyDisk) OpenLock(name string) (*os.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (readOnlyDisk) Touch(name string, _ time.Time) error {
	return &fs.PathError{Op: "touch", Path: name, Err: fs.ErrPermission}
}

// randomText returns text that does not get smaller.
func randomText(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+/"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// wantSize waits until the versions in dir take so many bytes.
func wantSize(t *testing.T, dir string, least, most int64) {
	t.Helper()
	var size int64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		size = 0
		err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && strings.Contains(filepath.ToSlash(name), "/blobs/sha256/") {
				if info, err := e.Info(); err == nil {
					size += info.Size()
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if size >= least && size <= most {
			return
		}
	}
	t.Errorf("the versions take %d bytes, want %d to %d", size, least, most)
}

// putLarge puts a version of 100 kB.
func putLarge(t *testing.T, s store.Store, m module.Version) {
	t.Helper()
	v, path := storetest.Make(t, s.Staging(), m, map[string]string{"x.txt": randomText(125_000)})
	defer os.Remove(path)
	if _, err := s.Put(t.Context(), v, path); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, s store.Store, m module.Version) bool {
	t.Helper()
	_, err := s.Get(t.Context(), m)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		t.Error(err)
	}
	return err == nil
}

// TestEvicts wants what was used least recently to go, also after a restart,
// but for what is pinned or read.
func TestEvicts(t *testing.T) {
	dir := t.TempDir()
	const versions = 10
	at := func(i int) module.Version {
		return module.Version{Path: fmt.Sprintf("corp.example.com/m%d", i%4), Version: fmt.Sprintf("v1.%d.0", i)}
	}
	unbounded := openLayouts(t, dir, layouts.Options{})
	start := time.Now()
	for i := range versions {
		putLarge(t, unbounded, at(i))
		unbounded.Used(at(i), start.Add(time.Duration(2*i)*time.Hour))
	}
	unbounded.Used(at(2), start.Add(100*time.Hour)) // so it is not among the first
	e, err := unbounded.Get(t.Context(), at(1))
	if err != nil {
		t.Fatal(err)
	}
	z, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()

	const bound = 800_000 // 7 versions and some
	clock := func() time.Time { return start.Add(200 * time.Hour) }
	var problems atomic.Int64
	s := openLayouts(t, dir, layouts.Options{MaxBytes: bound, Now: clock, Problem: func(error) { problems.Add(1) }})
	s.Keep(func(m module.Version) bool { return m == at(3) })
	time.Sleep(50 * time.Millisecond)
	if !has(t, s, at(0)) {
		t.Error("something was removed before anything was put")
	}
	putLarge(t, s, at(versions))
	wantSize(t, dir, bound/2, bound*15/16)
	for i, want := range []bool{false, true, true, true, false, false, false} {
		if got := has(t, s, at(i)); got != want {
			t.Errorf("version %d is there: %v, want %v", i, got, want)
		}
	}
	if !has(t, s, at(versions)) || !has(t, s, at(versions-1)) {
		t.Error("what was used last is gone")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := problems.Load(); n > 0 {
		t.Errorf("%d problems", n)
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	checkStore(t, dir)
}

// TestEvictsBesideDamage has one module that cannot be read.
func TestEvictsBesideDamage(t *testing.T) {
	dir := t.TempDir()
	putAll(t, openLayouts(t, dir, layouts.Options{}), "v1.0.0")
	if err := os.WriteFile(filepath.Join(ociDir(dir), "index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	problems := make(chan error, 100)
	const bound = 500_000
	s := openLayouts(t, dir, layouts.Options{MaxBytes: bound, Problem: func(err error) { problems <- err }})
	for i := range 10 {
		putLarge(t, s, module.Version{Path: "corp.example.com/m", Version: fmt.Sprintf("v1.%d.0", i)})
	}
	wantSize(t, dir, bound/2, bound)
	if err := <-problems; fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// TestLeaksNothing opens and closes many of what is to be closed.
func TestLeaksNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lists the files that are open")
	}
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	dir := t.TempDir()
	putAll(t, openLayouts(t, dir, layouts.Options{}), "v1.0.0")
	files, goroutines := open(), runtime.NumGoroutine()
	for range 10 {
		s, err := layouts.Open(dir, layouts.Options{MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := checkVersion(s, ofLib("v1.0.0")); err != nil {
				t.Fatal(err)
			}
		}
		putAll(t, s, "v1.1.0")
		if _, err := s.Delete(t.Context(), ofLib("v1.1.0")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), store.Version{Version: ofLib("v1.2.0")}, filepath.Join(dir, "none")); err == nil {
			t.Error("put what is not there")
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if n, m := open(), runtime.NumGoroutine(); n > files || m > goroutines {
		t.Errorf("%d files are open and were %d, %d goroutines run and were %d", n, files, m, goroutines)
	}
}

func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"schemaVersion":2,"manifests":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"annotations":{"org.opencontainers.image.ref.name":"v1.0.0"}}]}`,
		`{"schemaVersion":2,"manifests":[null,{"size":-1}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = layouts.ParseIndex(data) })
}

func FuzzSeen(f *testing.F) {
	f.Add([]byte(`{"versions":{"v1.0.0":"2026-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"versions":null}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = layouts.ParseSeen(data) })
}
