package results

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
)

func runOf(time, machine string, s ...api.BenchSeries) api.BenchRun {
	return api.BenchRun{Time: time, Machine: api.BenchMachine{ID: machine}, Series: s}
}

func TestMerge(t *testing.T) {
	a, b := series("p", "A", 2, 1, 2), series("p", "B", 2, 3)
	noon := runOf("2026-01-01T12:00:00Z", "m1", a, b)
	// An hour earlier, although the text sorts later.
	early := runOf("2026-01-01T13:00:00+02:00", "m1", a)
	other := runOf("2026-01-01T12:00:00Z", "m0", a, b)
	undated := runOf("", "m1", a)
	swapped := runOf("2026-01-01T12:00:00Z", "m1", b, a)
	problem := api.Error{Code: "invalid", Input: "x:1", Message: "m"}
	first, second := wrap(noon, undated), wrap(other, swapped, early, undated)
	first.Errors, second.Errors = []api.Error{problem}, []api.Error{{Input: "a"}, problem}
	first.Notes, second.Notes = []string{"slower", "again"}, []string{"again"}
	got := Merge(first, second)
	want := wrap(undated, early, other, noon)
	want.Notes = []string{"again", "slower"}
	want.Errors = []api.Error{{Input: "a"}, problem}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wrap(noon, undated).Runs, first.Runs); d != "" {
		t.Errorf("the set was changed:\n%s", d)
	}
	if got := Merge(); got.Runs == nil || len(got.Runs) != 0 || got.Kind != api.KindBenchResults {
		t.Errorf("of nothing: %+v", got)
	}
	if n := len(Merge(wrap(runOf("", "", series("", "A", 0, math.NaN()))), wrap(runOf("", "", series("", "B", 0, math.NaN())))).Runs); n != 2 {
		t.Errorf("%d of 2 different runs that JSON cannot carry", n)
	}
}

func TestMergeRapid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *api.BenchResults {
			return wrap(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) api.BenchRun {
				return runOf(rapid.SampledFrom([]string{"", "x", "2026-01-01T12:00:00Z"}).Draw(t, "time"),
					rapid.SampledFrom([]string{"m", "n"}).Draw(t, "machine"),
					series("", "A", 0, float64(rapid.IntRange(0, 2).Draw(t, "value"))))
			}), 0, 5).Draw(t, name)...)
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		all := Merge(a, b, c)
		for name, got := range map[string]*api.BenchResults{
			"order":      Merge(c, a, b),
			"steps":      Merge(Merge(a, b), c),
			"repetition": Merge(all, b, all),
		} {
			if d := cmp.Diff(all, got); d != "" {
				t.Errorf("%s (-want +got)\n%s", name, d)
			}
		}
		for _, run := range slices.Concat(a.Runs, b.Runs, c.Runs) {
			if !slices.ContainsFunc(all.Runs, func(r api.BenchRun) bool { return cmp.Equal(r, run) }) {
				t.Errorf("%+v is lost", run)
			}
		}
	})
}

func TestDirection(t *testing.T) {
	meta := map[string]map[string]string{"hits/op": {"better": "higher"}, "sec/op": {"better": "higher"}, "B/op": {"assume": "exact"}, "odd": {"better": "sideways"}}
	config := map[string]string{"hits/op": "lower", "misses": "lower", "bad": "up"}
	for _, tc := range []struct {
		unit   string
		meta   map[string]map[string]string
		config map[string]string
		want   int
	}{
		{unit: "ns/op", want: -1}, {unit: "sec/op", want: -1}, {unit: "B/op", want: -1}, {unit: "allocs/op", want: -1},
		{unit: "MB/s", want: 1}, {unit: "B/s", want: 1}, {unit: "req/s", want: 1}, {unit: "hits/sec", want: 1},
		{unit: "ops-per-second", want: 1}, {unit: "p99-ns", want: -1}, {unit: "STW-ns/op", want: -1}, {unit: "peak-RSS-bytes", want: -1},
		{unit: "ns/GC", want: -1}, {unit: "instructions/op", want: -1}, {unit: "hits/op"}, {unit: "ratio"}, {unit: ""}, {unit: "/"}, {unit: "s/s", want: 1},
		{unit: "µs", want: -1}, {unit: "bytes-per-op", want: -1},
		{unit: "hits/op", meta: meta, want: 1}, {unit: "hits/op", meta: meta, config: config, want: -1},
		{unit: "ns/op", meta: meta, want: 1}, {unit: "B/op", meta: meta, want: -1}, {unit: "odd", meta: meta},
		{unit: "misses", config: config, want: -1}, {unit: "bad", config: config},
		{unit: "ns/op", config: map[string]string{"sec/op": "higher"}, want: 1},
		{unit: "ns/op", config: map[string]string{"sec/op": "higher", "ns/op": "lower"}, want: -1},
	} {
		if got := Direction(tc.unit, tc.meta, tc.config); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.unit, got, tc.want)
		}
	}
}

func TestIsRate(t *testing.T) {
	for unit, want := range map[string]bool{
		"ns/op": true, "sec/op": true, "MB/s": true, "req/sec": true, "p99-ns": true, "x-per-second": true, "µs": true,
		"B/op": false, "allocs/op": false, "hits": false, "bytes": false, "": false, "instructions/op": false,
	} {
		if IsRate(unit) != want {
			t.Errorf("%q: %v", unit, !want)
		}
	}
}

func TestSortUnits(t *testing.T) {
	got := SortUnits([]string{"z", "allocs/op", "B/op", "a", "MB/s", "ns/op"})
	if d := cmp.Diff([]string{"ns/op", "MB/s", "a", "z", "B/op", "allocs/op"}, got); d != "" {
		t.Error(d)
	}
}
