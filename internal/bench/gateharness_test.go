package bench

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// goCache is the user's, where the standard library is compiled.
var goCache = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		panic(fmt.Sprintf("go env: %v (install Go: https://go.dev/dl)", err))
	}
	return strings.TrimSpace(string(out))
})

// repo is a git repository with a work tree, and a cache of its own.
type repo struct {
	t          testing.TB
	dir, cache string
	env        []string
}

// newRepo makes a repository of a module, and commits files.
func newRepo(t testing.TB, files map[string]string) *repo {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "GIT_") || strings.HasPrefix(entry, "GO") })
	r := &repo{t: t, dir: dir, cache: t.TempDir(), env: append(env, "HOME="+hometest.New(t), "GOCACHE="+goCache(), "GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=off",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)}
	r.git("init", "-q", "-b", "main")
	r.write(map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n"})
	r.commit(files)
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", slices.Concat([]string{"-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"}, args)...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s(git must be installed: Debian: apt install git)", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// write writes files into the work tree; an empty text removes one.
func (r *repo) write(files map[string]string) {
	r.t.Helper()
	for name, text := range files {
		name = filepath.Join(r.dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if text == "" {
			err = errors.Join(err, os.Remove(name))
		} else {
			err = errors.Join(err, os.WriteFile(name, []byte(text), 0o600))
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *repo) commit(files map[string]string) {
	r.t.Helper()
	r.write(files)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "x")
}

// options compare the work tree with the last commit, in slices so short that many
// fit into a test.
func (r *repo) options() GateOptions {
	limits, err := judge.NewLimits(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return GateOptions{
		Options: Options{Dir: r.dir, Packages: []string{"./..."}, CacheDir: r.cache, Env: r.env, Slice: 500 * time.Microsecond, Seed: 7},
		Base:    "HEAD", Budget: time.Minute, Limits: limits, Direction: func(m string) int { return results.Direction(m, nil, nil) },
	}
}

// gate runs one, which must come to an end.
func (r *repo) gate(opt GateOptions) *api.BenchGate {
	r.t.Helper()
	gated, err := Gate(r.t.Context(), opt)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	return gated.Gate
}

// item returns what a gate says of a metric of a benchmark.
func item(t testing.TB, g *api.BenchGate, name, metric string) api.BenchGateItem {
	t.Helper()
	for _, i := range g.Items {
		if i.Name == name && i.Metric == metric {
			return i
		}
	}
	t.Errorf("the gate says nothing of %s of %s", metric, name)
	return api.BenchGateItem{}
}

// says fails unless an item has a verdict and parts in its reason.
func says(t testing.TB, i api.BenchGateItem, v api.BenchVerdict, reason ...string) {
	t.Helper()
	if i.Verdict != v {
		t.Errorf("%s.%s %s: %s (%s), want %s", i.Package, i.Name, i.Metric, i.Verdict, i.Reason, v)
	}
	for _, part := range reason {
		if !strings.Contains(i.Reason, part) {
			t.Errorf("%s.%s %s: %q lacks %q", i.Package, i.Name, i.Metric, i.Reason, part)
		}
	}
}

// notes fails unless each of the parts is in a note.
func notes(t testing.TB, g *api.BenchGate, parts ...string) {
	t.Helper()
	all := strings.Join(g.Notes, "\n")
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("no note has %q:\n%s", part, all)
		}
	}
}

// benchmarks is a test file with benchmarks by name, and other declarations.
func benchmarks(side string, bodies map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `package shop

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

const side = %q

// used keeps all imports.
var used = []any{fmt.Sprint, math.Inf, os.Getenv, runtime.NumCPU, debug.SetGCPercent, time.Sleep}

var sink int

// decided says that a process has decided whether it fails.
var decided bool

// work is the same on both sides.
func work(n int) {
	for i := range n {
		sink += i * sink
	}
}
`, side)
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		fmt.Fprintf(&b, "\nfunc Benchmark%s(b *testing.B) {\n%s\n}\n", name, bodies[name])
	}
	return b.String()
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newTestLab(t testing.TB, opt Options) *lab {
	t.Helper()
	l, err := newLab(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
