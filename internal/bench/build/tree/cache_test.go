package tree

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newCache(t *testing.T, max int64) *Cache {
	t.Helper()
	c, err := OpenCache(filepath.Join(t.TempDir(), "cache"), max)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put writes a file of ten bytes that was used so many minutes ago.
func put(t *testing.T, minutes int, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("0000000010"), 0o600); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Duration(minutes) * time.Minute)
	if err := os.Chtimes(name, past, past); err != nil {
		t.Fatal(err)
	}
}

// left are the names in the directories of a cache.
func left(t *testing.T, c *Cache) (names []string) {
	t.Helper()
	for _, dir := range []string{binariesDir, treesDir, workDir} {
		entries, err := os.ReadDir(filepath.Join(c.dir, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}

// What was used longest ago goes first, whatever it is, but for what is in use.
func TestPrune(t *testing.T) {
	c := newCache(t, 30)
	put(t, 50, c.dir, binariesDir, "a-b-50")
	put(t, 50, c.dir, binariesDir, "a-c-50") // another name of the same file
	put(t, 20, c.dir, binariesDir, "a-b-20")
	for name, minutes := range map[string]int{"t60.0": 60, "t40.0": 40, "t10.0": 10} { // of ten bytes each, as size says
		put(t, 0, c.dir, treesDir, name, sizeFile)
		put(t, minutes, c.dir, treesDir, name, lockFile)
	}
	lock, err := lockDir(filepath.Join(c.dir, treesDir, "t60.0"))
	if err != nil || lock == nil {
		t.Fatal(err)
	}
	defer lock.Close()
	c.Prune()
	if diff := cmp.Diff([]string{"a-b-20", "t10.0", "t60.0"}, left(t, c)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What processes that were killed have left goes; what is being made stays.
func TestSweep(t *testing.T) {
	c := newCache(t, 1<<20)
	put(t, 0, c.dir, treesDir, "young.0", lockFile)
	put(t, 120, c.dir, treesDir, "half.0", lockFile)
	put(t, 120, c.dir, treesDir, "half.0", indexFile)
	put(t, 0, c.dir, workDir, "killed", lockFile)
	put(t, 0, c.dir, workDir, "young")
	put(t, 120, c.dir, workDir, "old")
	s, err := c.OpenStage()
	if err != nil {
		t.Fatal(err)
	}
	used := filepath.Base(s.Dir)
	c.Prune()
	want := map[string]bool{"young.0": true, "young": true, used: true}
	got := map[string]bool{}
	for _, name := range left(t, c) {
		got[name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); err == nil {
		t.Error("the stage is left")
	}
}

func TestUnusableCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, 0, file)
	_, err := OpenCache(file, 1)
	if fault.HintOf(err) == "" {
		t.Errorf("a file in the place of the cache: %v", err)
	}
}

func TestSubmodulesAreRead(t *testing.T) {
	staged := []byte("100644 aa 0\tx\x00160000 bb 0\tthird party\x00160000 broken\x00160000 cc 0\tz\n\x00")
	if diff := cmp.Diff([]string{"third party", "z\n"}, submodules(staged)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := Enumerate([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Error(got)
	}
}

func TestAlternate(t *testing.T) {
	sep := string(filepath.ListSeparator)
	for dir, want := range map[string]string{"/a b": "/a b", "/a" + sep + `b"c`: `"/a` + sep + `b\"c"`} {
		if got := alternate(dir); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}
