package layouts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const teamLib = "corp.example.com/team/lib"

func openLayouts(t testing.TB, dir string, opt layouts.Options) *layouts.Store {
	t.Helper()
	s, err := layouts.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, errFault) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// putVersion puts a version of teamLib by s.
func putVersion(t testing.TB, s store.Store, version string) error {
	t.Helper()
	v, path := storetest.Make(t, s.Staging(), module.Version{Path: teamLib, Version: version}, nil)
	defer os.Remove(path)
	_, err := s.Put(context.Background(), v, path)
	return err
}

// checkStore wants every version in the directory to be whole, and returns those
// of teamLib.
func checkStore(t *testing.T, dir string) []string {
	t.Helper()
	s := openLayouts(t, dir, layouts.Options{})
	for path, err := range s.Modules(t.Context()) {
		if err != nil {
			t.Error(err)
			continue
		}
		versions, err := s.Versions(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		for _, version := range versions {
			if err := checkVersion(s, module.Version{Path: path, Version: version}); err != nil {
				t.Errorf("%s@%s: %v", path, version, err)
			}
		}
	}
	versions, err := s.Versions(t.Context(), teamLib)
	if err != nil {
		t.Error(err)
	}
	return versions
}

// checkVersion reads a version whole and computes its sums.
func checkVersion(s store.Store, m module.Version) error {
	ctx := context.Background()
	e, err := s.Get(ctx, m)
	if err != nil {
		return err
	}
	z, err := e.Open(ctx)
	if err != nil {
		return err
	}
	defer z.Close()
	data, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	if got := artifact.Digest(data); got != e.ZipDigest {
		return fmt.Errorf("the zip has the digest %s and not %s", got, e.ZipDigest)
	}
	if sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.Mod)), nil }); err != nil || sum != e.GoModSum {
		return fmt.Errorf("go.mod has the hash %s and not %s, %w", sum, e.GoModSum, err)
	}
	return nil
}

// leftovers lists the files of a store that no version needs.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	s := openLayouts(t, dir, layouts.Options{})
	needed := map[string]bool{artifact.ConfigDigest: true}
	for path, err := range s.Modules(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		versions, err := s.Versions(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range versions {
			e, err := s.Get(t.Context(), module.Version{Path: path, Version: version})
			if err != nil {
				t.Fatal(err)
			}
			for _, digest := range []string{e.Manifest, e.ZipDigest, artifact.Digest(e.Info), artifact.Digest(e.Mod)} {
				needed[digest] = true
			}
		}
	}
	var extra []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if e.Name() == "_staging" {
			return fs.SkipDir
		}
		blob := strings.Contains(filepath.ToSlash(name), "_oci/blobs/sha256/")
		if blob && !needed["sha256:"+e.Name()] || strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			extra = append(extra, filepath.Base(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return extra
}

// steps are what is done to a store that has v1.0.0 and v1.1.0 of teamLib, or nothing
// if it is the first.
var steps = []struct {
	name  string
	first bool
	do    func(t *testing.T, s store.Store) error
	// before and after are the versions of teamLib that are there.
	before, after []string
	// seen says that v1.0.0 is known afterwards since the 1000th second.
	seen bool
}{
	{"the first version", true, func(t *testing.T, s store.Store) error { return putVersion(t, s, "v1.2.0") }, nil, []string{"v1.2.0"}, false},
	{"another version", false, func(t *testing.T, s store.Store) error { return putVersion(t, s, "v1.2.0") },
		[]string{"v1.0.0", "v1.1.0"}, []string{"v1.0.0", "v1.1.0", "v1.2.0"}, false},
	{"a version from elsewhere", false, func(t *testing.T, s store.Store) error {
		v, path := storetest.Make(t, scratch(t), module.Version{Path: teamLib, Version: "v1.2.0"}, nil)
		_, err := s.Put(context.Background(), v, path)
		return err
	}, []string{"v1.0.0", "v1.1.0"}, []string{"v1.0.0", "v1.1.0", "v1.2.0"}, false},
	{"delete", false, func(_ *testing.T, s store.Store) error {
		ok, err := s.Delete(context.Background(), module.Version{Path: teamLib, Version: "v1.0.0"})
		if err == nil && !ok {
			err = &fault.Error{Code: fault.Unavailable, Err: errors.New("it is being read")}
		}
		return err
	}, []string{"v1.0.0", "v1.1.0"}, []string{"v1.1.0"}, false},
	{"seen", true, func(_ *testing.T, s store.Store) error {
		_, err := s.Seen(context.Background(), teamLib, []string{"v1.0.0"}, time.Unix(1000, 0))
		return err
	}, nil, nil, true},
}

// scratch returns a new directory, in memory where there is such a file system:
// these tests fill thousands.
func scratch(t *testing.T) string {
	t.Helper()
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = ""
	}
	dir, err := os.MkdirTemp(memory, "gopherwood-store-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// prepare returns a directory with what a step finds.
func prepare(t *testing.T, first bool) string {
	t.Helper()
	dir := scratch(t)
	if !first {
		s := openLayouts(t, dir, layouts.OnDisk(fastDisk{}))
		for _, version := range []string{"v1.0.0", "v1.1.0"} {
			if err := putVersion(t, s, version); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFaults makes each operation on the file system fail, alone or as the
// last of a process that is killed. The versions are then whole, those before or
// those after, and the next writer removes what is left.
func TestFaults(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s, crash %v", step.name, crash), func(t *testing.T) {
				for n := 1; ; n++ {
					dir := prepare(t, step.first)
					disk := &faultDisk{Disk: layouts.OSDisk{}, n: n, crash: crash}
					err := step.do(t, openLayouts(t, dir, layouts.OnDisk(disk)))
					if disk.failed == "" {
						if err != nil || n < 10 {
							t.Errorf("after %d operations: %v", n, err)
						}
						return
					}
					what := fmt.Sprintf("operation %d, %s: %v", n, disk.failed, err)
					checkFault(t, what, err)
					got := checkStore(t, dir)
					if !slices.Equal(got, step.after) && (err == nil || !slices.Equal(got, step.before)) {
						t.Errorf("%s: there are %q", what, got)
					}
					if !crash && err != nil && slices.Equal(got, step.before) {
						if left := leftovers(t, dir); len(left) > 0 {
							t.Errorf("%s: left are %q", what, left)
						}
					}
					checkNextWriter(t, what, dir)
				}
			})
		}
	}
}

// checkNextWriter writes all that can be written, and wants nothing to be left of
// the writer before.
func checkNextWriter(t *testing.T, what, dir string) {
	t.Helper()
	s := openLayouts(t, dir, layouts.OnDisk(fastDisk{}))
	if err := putVersion(t, s, "v1.3.0"); err != nil {
		t.Errorf("%s: the next writer: %v", what, err)
	}
	if _, err := s.Seen(t.Context(), teamLib, []string{"v1.3.0"}, time.Now()); err != nil {
		t.Errorf("%s: the next writer: %v", what, err)
	}
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("%s: the next writer left %q", what, left)
	}
	if got := checkStore(t, dir); !slices.Contains(got, "v1.3.0") {
		t.Errorf("%s: after the next writer there are %q", what, got)
	}
}

// checkFault wants an error that a user can act on, if there is one.
func checkFault(t *testing.T, what string, err error) {
	t.Helper()
	var f *fault.Error
	if err != nil && (!errors.As(err, &f) || !errors.Is(err, errFault) || f.Code == fault.Internal || f.Code == fault.NotFound || f.Op == "" || f.Input == "") {
		t.Errorf("%s: the error is %#v", what, err)
	}
}

// TestPower loses power at each operation on the file system. What was not
// made durable is lost in whole, or in parts by chance. The versions are whole
// nevertheless, and what was said to be done is.
func TestPower(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 0))
			for n := 1; ; n++ {
				dir := prepare(t, step.first)
				power := newPowerDisk(t, dir)
				disk := &faultDisk{Disk: power, n: n, crash: true}
				err := step.do(t, openLayouts(t, dir, layouts.OnDisk(disk)))
				for i := range 6 {
					after := scratch(t)
					if i == 0 {
						power.lose(t, after, nil)
					} else {
						power.lose(t, after, chance)
					}
					got := checkStore(t, after)
					if !slices.Equal(got, step.after) && (err == nil || !slices.Equal(got, step.before)) {
						t.Errorf("operation %d, %s: %v: there are %q", n, disk.failed, err, got)
					}
					if err == nil && step.seen {
						checkSeen(t, after)
					}
					checkNextWriter(t, fmt.Sprintf("operation %d, %s", n, disk.failed), after)
				}
				if disk.failed == "" {
					return
				}
			}
		})
	}
}

func checkSeen(t *testing.T, dir string) {
	t.Helper()
	s := openLayouts(t, dir, layouts.OnDisk(fastDisk{}))
	got, err := s.Seen(t.Context(), teamLib, []string{"v1.0.0"}, time.Unix(2000, 0))
	if err != nil || !got["v1.0.0"].Equal(time.Unix(1000, 0)) {
		t.Errorf("known since %v, %v", got, err)
	}
}

// TestKilledThenPower kills a writer whose files cannot be removed, for
// another version is damaged. The next writer finds them, and loses power when it
// has committed.
func TestKilledThenPower(t *testing.T) {
	for n := 1; ; n++ {
		dir := prepare(t, false)
		e, err := openLayouts(t, dir, layouts.Options{}).Get(t.Context(), ofLib("v1.0.0"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ociDir(dir), "blobs", "sha256", strings.TrimPrefix(e.Manifest, "sha256:")), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
		power := newPowerDisk(t, dir)
		disk := &faultDisk{Disk: power, n: n, crash: true}
		v, path := storetest.Make(t, scratch(t), ofLib("v1.2.0"), nil)
		v.Stored = time.Unix(1000, 0)
		_, _ = openLayouts(t, dir, layouts.OnDisk(disk)).Put(t.Context(), v, path)
		if _, err := openLayouts(t, dir, layouts.OnDisk(power)).Put(t.Context(), v, path); err != nil {
			t.Fatalf("after %s: %v", disk.failed, err)
		}
		after := scratch(t)
		power.lose(t, after, nil)
		s := openLayouts(t, after, layouts.Options{})
		for _, version := range []string{"v1.1.0", "v1.2.0"} {
			if err := checkVersion(s, ofLib(version)); err != nil {
				t.Errorf("after %s: %s: %v", disk.failed, version, err)
			}
		}
		if disk.failed == "" {
			return
		}
	}
}

// TestSyncs counts what has to reach the disk for a version: each of these
// is a wait for it.
func TestSyncs(t *testing.T) {
	dir := t.TempDir()
	disk := &faultDisk{Disk: layouts.OSDisk{}}
	s := openLayouts(t, dir, layouts.OnDisk(disk))
	for _, c := range []struct {
		version string
		most    int
	}{
		// The zip, .info, .mod, manifest, index, configuration and marker; the
		// directories from the store's to the blobs', and after the rename one again.
		{"v1.0.0", 7 + 7 + 1},
		{"v1.1.0", 5 + 1 + 1},
	} {
		disk.syncs = nil
		if err := putVersion(t, s, c.version); err != nil {
			t.Fatal(err)
		}
		if len(disk.syncs) > c.most {
			t.Errorf("%s: %d synced: %q", c.version, len(disk.syncs), disk.syncs)
		}
	}
}
