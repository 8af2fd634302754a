package build_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
)

func TestBinariesAreKept(t *testing.T) {
	r := newRepo(t, shop())
	for _, revision := range []string{"HEAD", ""} {
		t.Run("revision "+revision, func(t *testing.T) {
			r.lend(t)
			opt := r.options(revision)
			one := func(flags ...string) *build.Built {
				s := open(t, opt)
				defer closeSide(t, s)
				return built(t, s, build.BuildOptions{Flags: flags})
			}
			first := one()
			if again := one(); again.Linked != 0 || first.Linked != 2 || again.Binaries[0].Digest != first.Binaries[0].Digest {
				t.Errorf("linked %d, then %d", first.Linked, again.Linked)
			}
			if other := one("-tags=x"); other.Linked != 2 {
				t.Errorf("with another flag %d were linked", other.Linked)
			}
			// A binary that is damaged is made again.
			all := cached(t, opt)
			if len(all) != 4 {
				t.Fatalf("%q in the cache", all)
			}
			for _, name := range all {
				if err := os.WriteFile(name, []byte("\x7fELF"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if again := one(); again.Linked != 2 || again.Binaries[0].Digest != first.Binaries[0].Digest {
				t.Errorf("of damaged binaries %d were linked: %+v", again.Linked, again.Binaries)
			}
		})
	}
	// What is kept of a revision needs nothing of the go command but its lists.
	opt := r.options("HEAD")
	s := open(t, opt)
	built(t, s, build.BuildOptions{})
	closeSide(t, s)
	opt.Env = wrapped(t, opt.Env, `if [ "$1" = test ]; then exit 1; fi`)
	built(t, open(t, opt), build.BuildOptions{})
}

func cached(t *testing.T, opt build.Options) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(opt.CacheDir, "binaries", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What a revision takes from elsewhere may change while its files do not.
func TestNotSealed(t *testing.T) {
	lib := tempDir(t)
	answer := func(n string) {
		write(t, lib, map[string]string{"go.mod": "module example.com/lib\n\ngo 1.21\n", "lib.go": "package lib\n\nconst Answer = " + n + "\n"})
	}
	test := "package app\n\nimport (\n\t\"testing\"\n\n\t\"example.com/lib\"\n)\n\nfunc BenchmarkX(b *testing.B) { b.ReportMetric(lib.Answer, \"answer\") }\n"
	for name, files := range map[string]map[string]string{
		"module":    {"go.mod": "module example.com/app\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => " + lib + "\n"},
		"workspace": {"go.mod": "module example.com/app\n\ngo 1.21\n", "go.work": "go 1.21\n\nuse (\n\t.\n\t" + lib + "\n)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			files["app_test.go"] = test
			r := newRepo(t, files)
			opt := r.options("HEAD")
			for i, n := range []string{"1", "1", "2"} {
				answer(n)
				s := open(t, opt)
				b := built(t, s, build.BuildOptions{})
				if out := run(t, b.Binaries[0]); !strings.Contains(out, n+".000 answer") || b.Linked != []int{1, 0, 1}[i] {
					t.Errorf("with %s, %d linked:\n%s", n, b.Linked, out)
				}
				closeSide(t, s)
			}
		})
	}
	// Nor are files that flags name in the revision.
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	overlay := filepath.Join(lib, "overlay.json")
	for _, n := range []string{"1", "2"} {
		write(t, lib, map[string]string{"x.go": "package shop\n\nfunc Answer() int { return " + n + " }\n"})
		s := open(t, opt)
		write(t, lib, map[string]string{"overlay.json": fmt.Sprintf(`{"Replace": {%q: %q}}`, filepath.Join(s.Root, "shop.go"), filepath.Join(lib, "x.go"))})
		b := built(t, s, build.BuildOptions{Packages: []string{"."}, Flags: []string{"-overlay=" + overlay}})
		if out := run(t, b.Binaries[0]); !strings.Contains(out, n+".000 answer") {
			t.Errorf("with %s:\n%s", n, out)
		}
		closeSide(t, s)
	}
}

// Several processes build the same at once, and their benchmarks write files.
func TestParallelProcesses(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var workers []*exec.Cmd
	var outputs []*strings.Builder
	for range 4 {
		w, out := exec.Command(self), &strings.Builder{}
		w.Env = append(slices.Clone(r.env), workerEnv+"="+r.dir+","+opt.CacheDir+",HEAD")
		w.Stdout, w.Stderr = out, out
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		workers, outputs = append(workers, w), append(outputs, out)
	}
	for i, w := range workers {
		if err := w.Wait(); err != nil {
			t.Errorf("worker %d: %v\n%s", i, err, outputs[i])
		}
	}
	if left, err := os.ReadDir(filepath.Join(opt.CacheDir, "work")); err != nil || len(left) > 0 {
		t.Errorf("%v left, %v", left, err)
	}
	if all := cached(t, opt); len(all) != 2 {
		t.Errorf("in the cache are %q", all)
	}
}

// What was used last stays, and what is in use is not touched.
func TestCacheIsBounded(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	opt.CacheBytes = 1
	s := open(t, opt)
	b := built(t, s, build.BuildOptions{})
	if all := cached(t, opt); len(all) > 0 {
		t.Errorf("kept %q", all)
	}
	for _, x := range b.Binaries {
		run(t, x)
	}
	// What a process that was killed has left goes, too.
	abandoned := filepath.Join(opt.CacheDir, "work", "abandoned")
	write(t, abandoned, map[string]string{"lock": "x", "new/x.test": "x"})
	closeSide(t, s)
	r.commit(map[string]string{"x": "y"})
	opt.CacheBytes = int64(1 << 30)
	second := open(t, opt)
	built(t, second, build.BuildOptions{})
	closeSide(t, second)
	if exists(abandoned) {
		t.Error("what a killed process left is there")
	}
	if all := cached(t, opt); len(all) != 2 {
		t.Errorf("kept %q", all)
	}
	// One of two checkouts has to go: the one that was used longer ago.
	old := filepath.Dir(visit(t, opt, "HEAD~1"))
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(old, "lock"), past, past); err != nil {
		t.Fatal(err)
	}
	for _, name := range cached(t, opt) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(old, "size"))
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	opt.CacheBytes = size * 3 / 2
	visit(t, opt, "HEAD")
	if exists(old) {
		t.Errorf("%s is kept", old)
	}
}

// visit opens and closes a side, and returns where its files were.
func visit(t *testing.T, opt build.Options, revision string) string {
	t.Helper()
	opt.Revision = revision
	s := open(t, opt)
	root := s.Root
	closeSide(t, s)
	return root
}

// Without a cache directory nothing is left.
func TestTemporaryCache(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	opt.CacheDir = ""
	s := open(t, opt)
	run(t, built(t, s, build.BuildOptions{Packages: []string{"."}}).Binaries[0])
	closeSide(t, s)
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v left, %v", left, err)
	}
}
