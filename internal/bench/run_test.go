package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// worn has benchmarks of which one fails as soon as a file says that it has run
// often enough.
const worn = `package shop

import (
	"os"
	"testing"
)

func BenchmarkOne(b *testing.B) {
	for range b.N {
	}
}

func BenchmarkTwo(b *testing.B) {
	for range b.N {
	}
	b.ReportMetric(7, "hits/op")
}

func BenchmarkThree(b *testing.B) {
	for b.Loop() {
	}
}

func BenchmarkWorn(b *testing.B) {
	name := os.Getenv("RUNS")
	runs, _ := os.ReadFile(name)
	if b.N > 1 { // the last process that sizes it, and each sample
		runs = append(runs, 'x')
		if err := os.WriteFile(name, runs, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if len(runs) > 2 {
		b.Fatal("worn out")
	}
	b.ReportMetric(1000, "ns/op") // so that it is sized in two steps
}
`

// runOptions measure the work tree.
func (r *repo) runOptions() RunOptions {
	opt := r.options().Options
	opt.Slice = time.Millisecond
	return RunOptions{Options: opt, Count: 5, Direction: func(m string) int { return results.Direction(m, nil, map[string]string{"hits/op": "higher"}) }}
}

// samplesOf returns the lengths of the series of the only run.
func samplesOf(t *testing.T, set *api.BenchResults) map[string]int {
	t.Helper()
	if len(set.Runs) != 1 {
		t.Fatalf("%d runs", len(set.Runs))
	}
	counts := map[string]int{}
	for _, s := range set.Runs[0].Series {
		counts[s.Name] = len(s.Samples)
	}
	return counts
}

func TestRun(t *testing.T) {
	r := newRepo(t, map[string]string{"shop_test.go": worn})
	opt := r.runOptions()
	opt.Bench = "One|Two|Three"
	opt.Env = append(slices.Clone(r.env), "GOGC=50", "GOGC=150", "GOMAXPROCS=1")
	order := func() (names []string) {
		opt.Progress = func(p Progress) {
			if p.Stage == Measuring {
				names = append(names, strings.TrimPrefix(p.Text, "example.com/shop."))
			}
		}
		set, err := Run(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]int{"One": 5, "Two": 5, "Three": 5}, samplesOf(t, set)); d != "" {
			t.Error(d)
		}
		got := set.Runs[0]
		if want := (api.BenchSettings{GOMAXPROCS: 1, GOGC: "150", Slice: 0.001}); got.Settings != want {
			t.Errorf("settings %+v, want %+v", got.Settings, want)
		}
		if got.Side.Commit != r.git("rev-parse", "HEAD") || got.Side.Dirty || len(got.Side.Binaries) != 1 || got.Machine.Noise == nil || got.Time == "" {
			t.Errorf("%+v", got)
		}
		if d := cmp.Diff(map[string]string{"better": "higher"}, got.Units["hits/op"]); d != "" {
			t.Error(d)
		}
		for _, s := range got.Series {
			if s.Procs != 0 || s.Samples[0].Iterations < 1 || s.Samples[0].Values["ns/op"] <= 0 {
				t.Errorf("%+v", s)
			}
		}
		return names
	}
	first := order()
	if len(first) != 15 {
		t.Fatalf("%d samples: %v", len(first), first)
	}
	passes := map[string]bool{}
	for pass := range slices.Chunk(slices.Clone(first), 3) {
		passes[strings.Join(pass, " ")] = true
		if slices.Sort(pass); !slices.Equal(pass, []string{"One", "Three", "Two"}) {
			t.Errorf("a pass has %v", pass)
		}
	}
	if len(passes) < 2 {
		t.Errorf("every pass has the same order %v", passes)
	}
	if d := cmp.Diff(first, order()); d != "" {
		t.Errorf("the same seed, another order:\n%s", d)
	}
}

func TestRunPartly(t *testing.T) {
	r := newRepo(t, map[string]string{"shop_test.go": worn, "broken/broken_test.go": "package broken\n\nimport \"testing\"\n\nfunc BenchmarkWorn(b *testing.B) { missing() }\n"})
	opt := r.runOptions()
	opt.Bench = "Two|Worn"
	opt.Env = append(slices.Clone(r.env), "RUNS="+filepath.Join(t.TempDir(), "runs"))
	set, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if n := samplesOf(t, set); n["Two"] != 5 || n["Worn"] != 1 {
		t.Errorf("%v", n)
	}
	var inputs []string
	for _, e := range set.Errors {
		inputs = append(inputs, e.Input)
		if e.Input == "example.com/shop.Worn" && !strings.Contains(e.Message, "worn out") {
			t.Errorf("%+v", e)
		}
	}
	if d := cmp.Diff([]string{"example.com/shop/broken", "example.com/shop.Worn"}, inputs); d != "" {
		t.Error(d)
	}
}

func TestRunLayouts(t *testing.T) {
	r := newRepo(t, map[string]string{"shop_test.go": worn})
	opt := r.runOptions()
	opt.Bench, opt.Count, opt.Settings.Layouts = "One", 3, 2
	set, err := Run(t.Context(), opt)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Logf("this linker does not shuffle: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if b := set.Runs[0].Side.Binaries; len(b) != 2 || b[0].Layout == b[1].Layout || samplesOf(t, set)["One"] != 3 {
		t.Errorf("%+v", set.Runs[0])
	}
}

func TestRunErrors(t *testing.T) {
	r := newRepo(t, map[string]string{"shop_test.go": "package shop\n\nimport \"testing\"\n\nfunc BenchmarkNo(b *testing.B) { b.Skip() }\n"})
	for name, c := range map[string]struct {
		change func(*RunOptions)
		want   string
	}{
		"skipped":  {func(*RunOptions) {}, "skips itself"},
		"none":     {func(o *RunOptions) { o.Bench = "Nothing" }, "no benchmark matches"},
		"revision": {func(o *RunOptions) { o.Revision = "missing" }, "missing"},
	} {
		opt := r.runOptions()
		c.change(&opt)
		set, err := Run(t.Context(), opt)
		if set != nil || fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
}

// A run that is interrupted ends at once, and leaves nothing in the temporary directory.
func TestRunCanceled(t *testing.T) {
	r := newRepo(t, map[string]string{"shop_test.go": worn})
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, stage := range []Stage{Listing, Sizing, Measuring} {
		ctx, cancel := context.WithCancel(t.Context())
		opt := r.runOptions()
		opt.Bench, opt.Count = "One", 1000
		opt.Progress = func(p Progress) {
			if p.Stage == stage {
				cancel()
			}
		}
		if set, err := Run(ctx, opt); set != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, %v", stage, set, err)
		}
		cancel()
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestFromEnviron(t *testing.T) {
	env := []string{"GOGC=1", "GOGC=2", "GOMEMLIMIT=3GiB", "GODEBUG=a=1", "GOMAXPROCS=4", "GOMAXPROCS=many"}
	want := api.BenchSettings{GOGC: "2", GOMEMLIMIT: "3GiB", GODEBUG: "a=1", GOMAXPROCS: 4}
	if got := fromEnviron(api.BenchSettings{}, env); got != want {
		t.Errorf("%+v", got)
	}
	set := api.BenchSettings{GOGC: "off", GOMEMLIMIT: "1", GODEBUG: "b=2", GOMAXPROCS: 1, CPUs: "0"}
	if got := fromEnviron(set, env); got != set {
		t.Errorf("%+v", got)
	}
}
