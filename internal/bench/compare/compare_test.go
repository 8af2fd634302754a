package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func set(runs ...api.BenchRun) *api.BenchResults { return &api.BenchResults{Runs: runs} }

// of makes a run with one benchmark and metric.
func of(unit string, values ...float64) api.BenchRun {
	s := api.BenchSeries{Package: "p", Name: "A", Procs: 2}
	for _, v := range values {
		s.Samples = append(s.Samples, api.BenchSample{Iterations: 1, Values: map[string]float64{unit: v}})
	}
	return api.BenchRun{Series: []api.BenchSeries{s}}
}

func compare(t *testing.T, old, new *api.BenchResults, opt Options) *api.BenchComparison {
	t.Helper()
	c, err := Compare(old, new, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompare(t *testing.T) {
	ten := []float64{100, 101, 102, 103, 104, 105, 106, 107, 108, 109}
	slower := []float64{112, 113, 114, 115, 116, 117, 118, 119, 120, 121}
	p := func(v float64) *float64 { return &v }
	for _, tc := range []struct {
		name, unit string
		old, new   []float64
		want       api.BenchComparisonItem
		note       string
	}{
		{"slower", "ns/op", ten, slower, api.BenchComparisonItem{Change: "worse", Old: 104.5, New: 116.5, Estimate: 0.11484, Low: p(0.08411), High: p(0.14706)}, ""},
		{"faster", "ns/op", slower, ten, api.BenchComparisonItem{Change: "better", Old: 116.5, New: 104.5, Estimate: -0.10301, Low: p(-0.12821), High: p(-0.07759)}, ""},
		{"more of a rate", "MB/s", ten, slower, api.BenchComparisonItem{Change: "better", Old: 104.5, New: 116.5, Estimate: 0.11484, Low: p(0.08411), High: p(0.14706)}, ""},
		{"more of something", "things", ten, slower, api.BenchComparisonItem{Change: "unknown", Old: 104.5, New: 116.5, Estimate: 0.11484, Low: p(0.08411), High: p(0.14706)}, ""},
		{"the same", "ns/op", ten, ten, api.BenchComparisonItem{Change: "none", Old: 104.5, New: 104.5, Low: p(-0.02857), High: p(0.02941)}, ""},
		{"too few", "ns/op", ten[:3], slower[:3], api.BenchComparisonItem{Change: "unknown", Old: 101, New: 113, Estimate: 12. / 101}, "too few samples for an interval: 4 of each"},
		{"one sample", "ns/op", []float64{1}, []float64{2}, api.BenchComparisonItem{Change: "unknown", Old: 1, New: 2, Estimate: 1}, "too few"},
		{"constant times are no counts", "ns/op", []float64{2, 2, 2, 2}, []float64{3, 3, 3, 3}, api.BenchComparisonItem{Change: "worse", Old: 2, New: 3, Estimate: 0.5, Low: p(0.5), High: p(0.5)}, ""},
		{"counts", "allocs/op", []float64{10}, []float64{11, 11}, api.BenchComparisonItem{Change: "worse", Old: 10, New: 11, Estimate: 0.1, Low: p(0.1), High: p(0.1), Exact: true}, ""},
		{"fewer counts", "B/op", []float64{10, 10}, []float64{5}, api.BenchComparisonItem{Change: "better", Old: 10, New: 5, Estimate: -0.5, Low: p(-0.5), High: p(-0.5), Exact: true}, ""},
		{"equal counts", "B/op", []float64{0}, []float64{0}, api.BenchComparisonItem{Change: "none", Low: p(0), High: p(0), Exact: true}, ""},
		{"counts of the benchmark", "hits", []float64{3, 3}, []float64{4, 4}, api.BenchComparisonItem{Change: "unknown", Old: 3, New: 4, Estimate: 1. / 3, Low: p(1. / 3), High: p(1. / 3), Exact: true}, ""},
		{"one count of the benchmark", "hits", []float64{3}, []float64{4}, api.BenchComparisonItem{Change: "unknown", Old: 3, New: 4, Estimate: 1. / 3}, "too few"},
		{"from nothing", "allocs/op", []float64{0}, []float64{2}, api.BenchComparisonItem{Change: "worse", New: 2, Estimate: 1, Low: p(1), High: p(1), Exact: true}, "p.A-2 allocs/op: the median of old is 0"},
		{"from nothing, varying", "B/op", []float64{0, 0, 0, 0}, []float64{2, 3, 4, 5}, api.BenchComparisonItem{Change: "worse", New: 3.5, Estimate: 1, Low: p(1), High: p(1)}, "the median of old is 0"},
		{"from nothing, too few", "B/op", []float64{0}, []float64{2, 3}, api.BenchComparisonItem{Change: "unknown", New: 2.5, Estimate: 1}, "the median of old is 0"},
		{"to nothing", "allocs/op", []float64{2}, []float64{0}, api.BenchComparisonItem{Change: "better", Old: 2, Estimate: -1, Low: p(-1), High: p(-1), Exact: true}, ""},
		{"below nothing", "things", []float64{-10, -11, -12, -13}, []float64{-1, -2, -3, -4}, api.BenchComparisonItem{Change: "unknown", Old: -11.5, New: -2.5, Estimate: 9 / 11.5, Low: p(6 / 11.5), High: p(12 / 11.5)}, ""},
		{"hardly anything to very much", "ns/op", []float64{5e-324, 5e-324, 5e-324, 5e-324}, []float64{1e308, 1e308, 1e308, 1e308}, api.BenchComparisonItem{Change: "worse", Old: 5e-324, New: 1e308, Estimate: math.MaxFloat64, Low: p(math.MaxFloat64), High: p(math.MaxFloat64)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compare(t, set(of(tc.unit, tc.old...)), set(of(tc.unit, tc.new...)), Options{Old: "o", New: "n"})
			tc.want.Package, tc.want.Name, tc.want.Procs, tc.want.Metric = "p", "A", 2, tc.unit
			tc.want.OldSamples, tc.want.NewSamples = len(tc.old), len(tc.new)
			if d := cmp.Diff([]api.BenchComparisonItem{tc.want}, c.Items, cmpopts.EquateApprox(1e-9, 1e-5)); d != "" {
				t.Error(d)
			}
			notes := strings.Join(c.Notes, "\n")
			if tc.note == "" && notes != "" || !strings.Contains(notes, tc.note) {
				t.Errorf("notes: %s", notes)
			}
			if c.Alpha != DefaultAlpha || c.Old != "o" || c.New != "n" || c.Kind != api.KindBenchComparison {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestCompareUnits(t *testing.T) {
	old, new := of("hits", 1, 1), of("hits", 2, 2)
	new.Units = map[string]map[string]string{"hits": {"better": "higher"}}
	if c := compare(t, set(old), set(new), Options{}); c.Items[0].Change != "better" {
		t.Errorf("metadata: %+v", c.Items[0])
	}
	if c := compare(t, set(old), set(new), Options{Units: map[string]string{"hits": "lower"}}); c.Items[0].Change != "worse" {
		t.Errorf("configuration: %+v", c.Items[0])
	}
	old, new = of("hits", 1), of("hits", 2)
	new.Units = map[string]map[string]string{"hits": {"assume": "exact"}}
	if c := compare(t, set(old), set(new), Options{}); !c.Items[0].Exact {
		t.Errorf("assumed exact: %+v", c.Items[0])
	}
}

func TestCompareAlpha(t *testing.T) {
	old, new := set(of("ns/op", 1, 2, 3)), set(of("ns/op", 4, 5, 6))
	if c := compare(t, old, new, Options{Alpha: 0.1}); c.Items[0].Low == nil {
		t.Error("three and three say something at 10 %")
	}
	for _, alpha := range []float64{-1, 1, 2, math.NaN(), math.Inf(1)} {
		if _, err := Compare(old, new, Options{Alpha: alpha}); fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("alpha %v: %v", alpha, err)
		}
	}
}

func TestCompareOrderAndGeomeans(t *testing.T) {
	run := api.BenchRun{}
	for _, name := range []string{"B", "A"} {
		for _, procs := range []int{4, 2} {
			run.Series = append(run.Series, api.BenchSeries{Name: name, Procs: procs, Samples: []api.BenchSample{
				{Values: map[string]float64{"ns/op": 10, "allocs/op": float64(procs), "B/op": 0, "MB/s": 1}},
			}})
		}
	}
	after := api.BenchRun{}
	for i, s := range run.Series {
		s.Samples = []api.BenchSample{{Values: map[string]float64{"ns/op": 10 * math.Pow(2, float64(i)), "allocs/op": float64(s.Procs), "B/op": 0, "MB/s": 1}}}
		after.Series = append(after.Series, s)
	}
	c := compare(t, set(run), set(after), Options{})
	var got []string
	for _, item := range c.Items[:5] {
		got = append(got, fmt.Sprintf("%s-%d %s", item.Name, item.Procs, item.Metric))
	}
	if d := cmp.Diff([]string{"A-2 ns/op", "A-2 MB/s", "A-2 B/op", "A-2 allocs/op", "A-4 ns/op"}, got); d != "" {
		t.Error(d)
	}
	// Of 1, 2, 4 and 8 times it is the square root of 8; of B/op there is none.
	want := []api.BenchGeomean{
		{Metric: "ns/op", Benchmarks: 4, Estimate: math.Sqrt(8) - 1}, {Metric: "MB/s", Benchmarks: 4}, {Metric: "allocs/op", Benchmarks: 4},
	}
	if d := cmp.Diff(want, c.Geomeans, cmpopts.EquateApprox(1e-9, 1e-12)); d != "" {
		t.Error(d)
	}
}

func TestComparePools(t *testing.T) {
	old := set(of("ns/op", 1, math.NaN(), 2), of("ns/op", 3, math.Inf(1), 4))
	c := compare(t, old, set(of("ns/op", 1, 2, 3, 4)), Options{})
	if len(c.Items) != 1 || c.Items[0].OldSamples != 4 || c.Items[0].Change != "none" {
		t.Errorf("%+v", c.Items)
	}
}

func TestNotes(t *testing.T) {
	with := func(f func(*api.BenchRun)) api.BenchRun {
		run := of("B/op", 1)
		run.Machine = api.BenchMachine{OS: "linux", Arch: "amd64", CPU: "Fast", ID: "m1"}
		run.Side.Binaries = []api.BenchBinary{{Package: "p", GoVersion: "go1.26.0", Settings: map[string]string{"GOAMD64": "v1", "vcs.revision": "a"}}}
		run.Settings = api.BenchSettings{GOGC: "100"}
		run.Labels = map[string]string{"branch": "main"}
		if f != nil {
			f(&run)
		}
		return run
	}
	base := set(with(nil))
	for _, tc := range []struct {
		name string
		new  *api.BenchResults
		want []string
	}{
		{"nothing", set(with(nil)), nil},
		{"another commit only", set(with(func(r *api.BenchRun) {
			r.Side.Commit = "c"
			r.Side.Binaries[0].Settings["vcs.revision"] = "b"
		})), nil},
		{"another machine", set(with(func(r *api.BenchRun) { r.Machine.ID = "m2" })), []string{
			"THIS COMPARISON CROSSES MACHINES: old was measured on linux/amd64 Fast [m1], new on linux/amd64 Fast [m2]; the differences may be the machines', not the code's",
		}},
		{"another machine without a name", set(with(func(r *api.BenchRun) { r.Machine.ID, r.Machine.CPU = "", "Slow" })), []string{
			"THIS COMPARISON CROSSES MACHINES: old was measured on linux/amd64 Fast [m1], new on linux/amd64 Slow; the differences may be the machines', not the code's",
			"CPU differs: Fast in old, Slow in new",
		}},
		{"perhaps the same machine", set(with(func(r *api.BenchRun) { r.Machine.ID = "" })), nil},
		{"an unknown machine", set(with(func(r *api.BenchRun) { r.Machine = api.BenchMachine{} })), nil},
		{"two machines", set(with(nil), with(func(r *api.BenchRun) { r.Machine.ID = "m2" })), []string{
			"THIS COMPARISON CROSSES MACHINES: old was measured on linux/amd64 Fast [m1], new on linux/amd64 Fast [m1], linux/amd64 Fast [m2]; the differences may be the machines', not the code's",
			"new has results of 2 machines, which are taken together: linux/amd64 Fast [m1], linux/amd64 Fast [m2]",
		}},
		{"another toolchain and flags", set(with(func(r *api.BenchRun) {
			r.Side.Binaries[0].GoVersion = "go1.25.0"
			r.Side.Binaries[0].Settings = map[string]string{"GOAMD64": "v3", "-race": "true"}
		})), []string{
			"Go version differs: go1.26.0 in old, go1.25.0 in new",
			"build setting -race differs: unset in old, true in new",
			"build setting GOAMD64 differs: v1 in old, v3 in new",
		}},
		{"other settings and labels", set(with(func(r *api.BenchRun) { r.Settings.GOGC, r.Labels["branch"] = "off", "fix" })), []string{
			"GOGC differs: 100 in old, off in new", "label branch differs: main in old, fix in new",
		}},
		{"another benchmark", set(with(nil), with(func(r *api.BenchRun) { r.Series[0].Name = "B" })), []string{"only new has 1 benchmarks: p.B-2"}},
		{"another metric", set(with(nil), of("ns/op", 1)), []string{"only new has 1 metrics: p.A-2 ns/op"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, compare(t, base, tc.new, Options{}).Notes); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNotesAreShort(t *testing.T) {
	var run api.BenchRun
	for i := range 1000 {
		s := of("ns/op", 1, 2, 3, 4).Series[0]
		s.Name = fmt.Sprintf("N%04d", i)
		run.Series = append(run.Series, s)
	}
	notes := compare(t, set(run), set(), Options{}).Notes
	if len(notes) != 1 || len(notes[0]) > 300 || !strings.Contains(notes[0], "1000 benchmarks") || !strings.Contains(notes[0], "990 more") {
		t.Errorf("%q", notes)
	}
	notes = compare(t, set(run), set(run), Options{}).Notes
	if len(notes) != 1 || !strings.Contains(notes[0], "of these 1000, about 50 show a change") {
		t.Errorf("%q", notes)
	}
}

// TestCompareRapid compares whatever there is: the document must be one, and the
// other way round nothing but the signs may change.
func TestCompareRapid(t *testing.T) {
	opposite := map[string]string{"worse": "better", "better": "worse", "none": "none", "unknown": "unknown"}
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]string{"ns/op", "B/op", "MB/s", "hits"}).Draw(t, "unit")
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(1, 2), rapid.SampledFrom([]float64{0, 1, 2, -1, math.MaxFloat64, 5e-324, math.NaN(), math.Inf(1)}))
		values := rapid.SliceOfN(value, 0, 8)
		a, b := set(of(unit, values.Draw(t, "old")...)), set(of(unit, values.Draw(t, "new")...))
		c, err := Compare(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Fatal(err)
		}
		back, err := Compare(b, a, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, item := range c.Items {
			if item.Low != nil && (*item.Low > item.Estimate || item.Estimate > *item.High) {
				t.Errorf("%v is not within %v to %v", item.Estimate, *item.Low, *item.High)
			}
			if item.Old > 0 && item.New > 0 && opposite[item.Change] != back.Items[i].Change && !subnormal(item) {
				t.Errorf("%+v, but the other way round %+v", item, back.Items[i])
			}
		}
	})
}

// subnormal says whether the values are so small or far apart that a change does
// not fit in a number.
func subnormal(item api.BenchComparisonItem) bool {
	r := item.New / item.Old
	return !(r > 1e-300 && r < 1e300)
}

// FuzzCompare compares what was read of any two inputs.
func FuzzCompare(f *testing.F) {
	f.Add("BenchmarkA-2 1 5 ns/op 0 B/op\nBenchmarkA-2 1 6 ns/op\n", "cpu: x\nBenchmarkA-2 1 5 ns/op 1 B/op\n")
	f.Add("Unit x better=higher assume=exact\nBenchmarkA 1 -5 x\n", "BenchmarkA 1 1e309 x 1e308 y\nBenchmarkA 1 0 x\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		old, err := results.Read(strings.NewReader(a), "a")
		if err != nil {
			return
		}
		new, err := results.Read(strings.NewReader(b), "b")
		if err != nil {
			return
		}
		c, err := Compare(old, new, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Fatal(err)
		}
	})
}
