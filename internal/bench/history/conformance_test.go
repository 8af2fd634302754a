package history_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// conformance is what every store has to do; open opens the named store of the
// test, the same each time.
func conformance(t *testing.T, open func(t *testing.T, name string) history.Store) {
	for name, test := range map[string]func(*testing.T, func() history.Store){
		"round trip":  testRoundTrip,
		"idempotent":  testIdempotent,
		"refused":     testRefused,
		"query":       testQuery,
		"joins":       testJoins,
		"kinds":       testKinds,
		"commits":     testCommits,
		"delete":      testDelete,
		"concurrent":  testConcurrent,
		"cancelled":   testCancelled,
		"hostile":     testHostile,
		"many series": testMany,
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "_")
			test(t, func() history.Store { return open(t, key) })
		})
	}
}

// hash returns the name of the n-th commit of tests.
func hash(n int) string { return fmt.Sprintf("%040x", n) }

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the n-th commit, one an hour, its parent the one before.
func at(n int) history.Commit {
	return history.Commit{Time: day.Add(time.Duration(n) * time.Hour), Parents: []string{hash(n - 1)}}
}

// measured returns a run of the n-th commit with samples of one benchmark.
func measured(n int, values ...float64) api.BenchRun {
	s := api.BenchSeries{Package: "example.org/m/codec", Name: "Encode/size=1k", Procs: 2}
	for _, v := range values {
		s.Samples = append(s.Samples, api.BenchSample{Iterations: 1000, Values: map[string]float64{"ns/op": v, "allocs/op": 3}})
	}
	return api.BenchRun{
		Time:    at(n).Time.Add(time.Minute).Format(time.RFC3339),
		Side:    api.BenchSide{Revision: "HEAD", Commit: hash(n)},
		Machine: api.BenchMachine{ID: "m1", CPU: "Example CPU"},
		Series:  []api.BenchSeries{s},
	}
}

func put(t *testing.T, s history.Store, run api.BenchRun, c history.Commit) {
	t.Helper()
	if added, err := s.Put(t.Context(), run, c); err != nil || !added {
		t.Fatalf("Put = %v, %v", added, err)
	}
}

func query(t *testing.T, s history.Store, f history.Filter) *history.Selection {
	t.Helper()
	got, err := s.Query(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// testRoundTrip reads any run as it was put, through another store.
func testRoundTrip(t *testing.T, open func() history.Store) {
	s, other := open(), open()
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		run := anyRun().Draw(t, "run")
		if seen[run.Side.Commit] {
			t.Skip("the commit has a run")
		}
		seen[run.Side.Commit] = true
		if added, err := s.Put(context.Background(), run, at(1)); err != nil || !added {
			t.Fatalf("Put = %v, %v", added, err)
		}
		got, err := other.Runs(context.Background(), run.Side.Commit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]api.BenchRun{run}, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func anyRun() *rapid.Generator[api.BenchRun] {
	name := rapid.StringMatching(`[A-Za-z/=#0-9é"'? ]{1,20}`)
	sample := rapid.Custom(func(t *rapid.T) api.BenchSample {
		return api.BenchSample{
			Iterations: rapid.Int64().Draw(t, "iterations"),
			Values: rapid.MapOfN(rapid.SampledFrom([]string{"ns/op", "B/op", "µs/op", "x'y"}),
				rapid.Float64(), 0, 3).Draw(t, "values"),
		}
	})
	series := rapid.Custom(func(t *rapid.T) api.BenchSeries {
		return api.BenchSeries{
			Package: name.Draw(t, "package"), Name: name.Draw(t, "name"), Procs: rapid.IntRange(0, 64).Draw(t, "procs"),
			Samples: rapid.SliceOfN(sample, 0, 4).Draw(t, "samples"),
		}
	})
	return rapid.Custom(func(t *rapid.T) api.BenchRun {
		turbo := rapid.Bool().Draw(t, "turbo")
		return api.BenchRun{
			Time:     day.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "time")) * time.Second).Format(time.RFC3339),
			Side:     api.BenchSide{Commit: rapid.StringMatching(`[0-9a-f]{40}`).Draw(t, "commit"), Revision: name.Draw(t, "revision")},
			Machine:  api.BenchMachine{ID: name.Draw(t, "machine"), Turbo: &turbo, Noise: &api.BenchNoise{Samples: 3, Median: 1.01}},
			Settings: api.BenchSettings{GOMAXPROCS: 2, GOGC: "off", Slice: 0.03},
			Labels:   map[string]string{"note": "a\x00b"},
			Units:    map[string]map[string]string{"ns/op": {"better": "lower"}},
			Series:   rapid.SliceOfN(series, 0, 5).Draw(t, "series"),
		}
	})
}

func testIdempotent(t *testing.T, open func() history.Store) {
	s := open()
	put(t, s, measured(1, 100), at(1))
	for _, store := range []history.Store{s, open()} {
		added, err := store.Put(t.Context(), measured(1, 100), at(1))
		if added || err != nil {
			t.Errorf("the same run again: Put = %v, %v", added, err)
		}
	}
	capitals := measured(1, 100)
	capitals.Side.Commit = strings.ToUpper(hash(0xabc))
	put(t, s, capitals, at(1))
	capitals.Side.Commit = hash(0xabc)
	if added, err := s.Put(t.Context(), capitals, at(1)); added || err != nil {
		t.Errorf("the same commit in other letters: Put = %v, %v", added, err)
	}
	put(t, s, measured(1, 101), at(1))
	runs, err := s.Runs(t.Context(), hash(1))
	if err != nil || len(runs) != 2 {
		t.Errorf("Runs = %v, %v; want two", runs, err)
	}
}

func testRefused(t *testing.T, open func() history.Store) {
	s := open()
	for name, test := range map[string]struct {
		change func(*api.BenchRun, *history.Commit)
		want   fault.Code
	}{
		"no commit":     {func(r *api.BenchRun, _ *history.Commit) { r.Side.Commit = "" }, fault.Usage},
		"dirty":         {func(r *api.BenchRun, _ *history.Commit) { r.Side.Dirty = true }, fault.Usage},
		"no time":       {func(_ *api.BenchRun, c *history.Commit) { c.Time = time.Time{} }, fault.Usage},
		"short commit":  {func(r *api.BenchRun, _ *history.Commit) { r.Side.Commit = "abc1234" }, fault.Invalid},
		"parent":        {func(_ *api.BenchRun, c *history.Commit) { c.Parents = []string{"HEAD~1"} }, fault.Invalid},
		"time":          {func(r *api.BenchRun, _ *history.Commit) { r.Time = "yesterday" }, fault.Invalid},
		"no name":       {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Name = "" }, fault.Invalid},
		"NUL":           {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Package = "a\x00" }, fault.Invalid},
		"not UTF-8":     {func(r *api.BenchRun, _ *history.Commit) { r.Machine.ID = "\xff" }, fault.Invalid},
		"long name":     {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Name = strings.Repeat("x", 1025) }, fault.Invalid},
		"metric":        {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Samples[0].Values[""] = 1 }, fault.Invalid},
		"not a number":  {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Samples[0].Values["x"] = nan() }, fault.Invalid},
		"infinite":      {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Samples[0].Values["x"] = 1 / zero }, fault.Invalid},
		"samples":       {func(r *api.BenchRun, _ *history.Commit) { r.Series[0].Samples = make([]api.BenchSample, 1_000_001) }, fault.Limit},
		"longest names": {func(r *api.BenchRun, _ *history.Commit) { longest(r) }, ""},
	} {
		run, commit := measured(1, 100), at(1)
		test.change(&run, &commit)
		_, err := s.Put(t.Context(), run, commit)
		if fault.CodeOf(err) != test.want {
			t.Errorf("%s: Put: %v (%s), want %s", name, err, fault.CodeOf(err), test.want)
		}
	}
	if _, err := s.Runs(t.Context(), hash(99)); fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("Runs of an unknown commit: %v", err)
	}
	if _, err := s.Delete(t.Context(), history.Which{}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("Delete of nothing in particular: %v", err)
	}
}

var zero float64

func nan() float64 { return zero / zero }

// longest gives all names the largest length, of bytes that do not compress.
func longest(r *api.BenchRun) {
	var b strings.Builder
	for i := 0; b.Len() < 1024; i++ {
		fmt.Fprintf(&b, "%d", i*i*7919)
	}
	name := b.String()[:1024]
	r.Series[0].Package, r.Series[0].Name, r.Machine.ID = name, name, name
	r.Series[0].Samples[0].Values[name] = 1
}

func testQuery(t *testing.T, open func() history.Store) {
	s := open()
	for n := 1; n <= 6; n++ {
		run := measured(n, float64(100+n), float64(200+n))
		other := run.Series[0]
		other.Package, other.Name = "example.org/m/sort", "Sort"
		run.Series = append(run.Series, other)
		if n > 4 {
			run.Machine.ID = "m2"
		}
		put(t, s, run, at(n))
	}
	all := query(t, s, history.Filter{})
	if len(all.Series) != 8 || len(all.Commits) != 6 || len(all.Machines) != 2 {
		t.Fatalf("%d series of %d commits on %d machines, want 8 of 6 on 2", len(all.Series), len(all.Commits), len(all.Machines))
	}
	for name, test := range map[string]struct {
		filter  history.Filter
		series  int
		commits []string
	}{
		"package":  {history.Filter{Package: "example.org/m/sort"}, 4, []string{hash(1), hash(2), hash(3), hash(4), hash(5), hash(6)}},
		"name":     {history.Filter{Name: regexp.MustCompile("size="), Limit: 2}, 2, []string{hash(5), hash(6)}},
		"metric":   {history.Filter{Metric: "ns/op", Limit: 1}, 2, []string{hash(6)}},
		"machine":  {history.Filter{Machine: "m1", Since: at(4).Time}, 4, []string{hash(4), hash(5), hash(6)}},
		"commits":  {history.Filter{Commits: []string{hash(2), strings.ToUpper(hash(1))}}, 4, []string{hash(1), hash(2)}},
		"nothing":  {history.Filter{Package: "x"}, 0, []string{hash(1), hash(2), hash(3), hash(4), hash(5), hash(6)}},
		"too late": {history.Filter{Since: at(7).Time}, 0, []string{}},
	} {
		got := query(t, s, test.filter)
		commits := make([]string, len(got.Commits))
		for i, c := range got.Commits {
			commits[i] = c.Hash
		}
		if len(got.Series) != test.series || !slices.Equal(commits, test.commits) {
			t.Errorf("%s: %d series of %v, want %d of %v", name, len(got.Series), commits, test.series, test.commits)
		}
	}
	for machine, want := range map[string][]string{"m2": {hash(5), hash(6)}, "": {hash(1), hash(2), hash(3), hash(4), hash(5), hash(6)}} {
		if commits, err := s.Commits(t.Context(), machine); err != nil || !slices.Equal(commits, want) {
			t.Errorf("Commits(%q) = %v, %v", machine, commits, err)
		}
	}
	one := query(t, s, history.Filter{Package: "example.org/m/codec", Metric: "ns/op", Machine: "m1"}).Series[0]
	var values [][]float64
	for _, p := range one.Points {
		values = append(values, p.Values)
	}
	if diff := cmp.Diff([][]float64{{101, 201}, {102, 202}, {103, 203}, {104, 204}}, values); diff != "" {
		t.Error(diff)
	}
}

// testJoins: runs of one commit are one point, but never across machines and
// settings that matter.
func testJoins(t *testing.T, open func() history.Store) {
	s := open()
	first, second, third, fourth, fifth := measured(1, 1, 2), measured(1, 3), measured(1, 4), measured(1, 5), measured(1, 6)
	second.Time = "2026-03-02T00:00:00Z"
	second.Settings.CPUs = "0"
	second.Units = map[string]map[string]string{"ns/op": {"better": "lower"}}
	second.Side.Binaries = []api.BenchBinary{{Package: "example.org/m/codec", GoVersion: "go1.26.1", Settings: map[string]string{"vcs.time": "x", "GOAMD64": "v3"}}}
	third.Machine.ID = "m2"
	fourth.Settings.GOGC = "off"
	fifth.Machine.ID = ""
	for _, run := range []api.BenchRun{fifth, fourth, third, second, first} {
		put(t, s, run, at(1))
	}
	got := query(t, s, history.Filter{Metric: "ns/op"}).Series
	environment := map[string]string{"Go version": "go1.26.1", "GOAMD64": "v3", "--cpu-pin": "0"}
	want := []history.Series{
		{Machines: 1, Points: []history.Point{{Values: []float64{6}, Runs: 1, Environment: map[string]string{}}}},
		{Machine: "m1", Machines: 1, Unit: map[string]string{"better": "lower"},
			Points: []history.Point{{Values: []float64{1, 2, 3}, Runs: 2, Environment: environment}}},
		{Machine: "m1", Machines: 1, Settings: api.BenchSettings{GOGC: "off"},
			Points: []history.Point{{Values: []float64{5}, Runs: 1, Environment: map[string]string{}}}},
		{Machine: "m2", Machines: 1, Points: []history.Point{{Values: []float64{4}, Runs: 1, Environment: map[string]string{}}}},
	}
	for i := range want {
		want[i].Package, want[i].Name, want[i].Procs, want[i].Metric = "example.org/m/codec", "Encode/size=1k", 2, "ns/op"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// testKinds: machines of one kind can be asked for and joined, others never are.
func testKinds(t *testing.T, open func() history.Store) {
	s := open()
	for n, id := range []string{"é1-a", "é1-b", "é1", "é1x-a", "", "é1x-a-b"} {
		run := measured(1, float64(n))
		run.Machine.ID, run.Machine.Kernel = id, fmt.Sprint(n)
		run.Time = at(n).Time.Format(time.RFC3339)
		put(t, s, run, at(1))
	}
	for machine, want := range map[string]int{"é1": 3, "é1-a": 1, "é1x": 2, "é1x-a": 1, "é": 0, "a": 0} {
		got := query(t, s, history.Filter{Machine: machine, Metric: "ns/op"})
		if len(got.Series) != want || len(got.Machines) != want {
			t.Errorf("machine %s: %d series on %d machines, want %d", machine, len(got.Series), len(got.Machines), want)
		}
		if commits, err := s.Commits(t.Context(), machine); err != nil || len(commits) != min(want, 1) {
			t.Errorf("Commits of %s = %v, %v", machine, commits, err)
		}
		if n, err := s.Count(t.Context(), history.Which{Machine: machine}); n != want || err != nil {
			t.Errorf("Count of %s = %d, %v; want %d", machine, n, err, want)
		}
	}
	got := query(t, s, history.Filter{ByKind: true, Metric: "ns/op"})
	var series []string
	for _, one := range got.Series {
		p := one.Points[0]
		series = append(series, fmt.Sprintf("%s %d %v %s", one.Machine, one.Machines, p.Values, p.Environment["machine"]))
	}
	if want := []string{" 1 [4] ", "é1 3 [0 1 2] é1", "é1x 2 [3 5] é1x-a-b"}; !slices.Equal(series, want) {
		t.Errorf("series %q, want %q", series, want)
	}
	if len(got.Machines) != 2 || got.Machines[0].ID != "é1" || got.Machines[0].Kernel != "2" || got.Machines[1].ID != "é1x" {
		t.Errorf("machines %+v", got.Machines)
	}
}

// testCommits: parents come first whatever the clocks said, what is known of
// commits is completed, and the order in which runs were put does not matter.
func testCommits(t *testing.T, open func() history.Store) {
	s := open()
	late := history.Commit{Time: day.Add(100 * time.Hour)}
	put(t, s, measured(3, 1), history.Commit{Time: at(3).Time, Parents: []string{hash(2)}})
	put(t, s, measured(2, 1), late)
	put(t, s, measured(1, 1), history.Commit{Time: at(1).Time})
	put(t, s, measured(4, 1), history.Commit{Time: at(2).Time})
	if got := hashes(query(t, s, history.Filter{})); !slices.Equal(got, []string{hash(1), hash(4), hash(2), hash(3)}) {
		t.Errorf("order %v", got)
	}
	late.Parents = []string{hash(4)}
	put(t, s, measured(2, 2), late)
	put(t, s, measured(4, 2), history.Commit{Time: at(2).Time, Parents: []string{hash(1)}})
	put(t, s, measured(1, 2), history.Commit{Time: day.Add(200 * time.Hour), Subject: "api: add\x00 é\xff\n\nbody"})
	put(t, s, measured(1, 3), history.Commit{Time: day, Subject: "another"})
	if got := hashes(query(t, s, history.Filter{})); !slices.Equal(got, []string{hash(1), hash(4), hash(2), hash(3)}) {
		t.Errorf("with more parents: order %v", got)
	}
	if got := query(t, s, history.Filter{}).Commits[0].Time; got != at(1).Time.Format(time.RFC3339) {
		t.Errorf("the time of a commit became %s", got)
	}
	if got := query(t, s, history.Filter{}).Commits[0].Subject; got != "api: add é�" {
		t.Errorf("the subject of a commit is %q", got)
	}
}

func hashes(s *history.Selection) []string {
	var all []string
	for _, c := range s.Commits {
		all = append(all, c.Hash)
	}
	return all
}

func testDelete(t *testing.T, open func() history.Store) {
	s := open()
	for n := 1; n <= 5; n++ {
		put(t, s, measured(n, 1), at(n))
	}
	other := measured(5, 2)
	other.Machine.ID = "m2"
	put(t, s, other, at(5))
	undated := measured(1, 7)
	undated.Time = ""
	put(t, s, undated, at(1))
	for _, step := range []struct {
		which history.Which
		want  int
		left  []string
	}{
		{history.Which{Before: at(3).Time}, 2, []string{hash(1), hash(3), hash(4), hash(5)}},
		{history.Which{Commit: strings.ToUpper(hash(4))}, 1, []string{hash(1), hash(3), hash(5)}},
		{history.Which{Commit: hash(5), Machine: "m2"}, 1, []string{hash(1), hash(3), hash(5)}},
		{history.Which{Machine: "m3"}, 0, []string{hash(1), hash(3), hash(5)}},
		{history.Which{Machine: "m1"}, 3, nil},
	} {
		counted, countErr := s.Count(t.Context(), step.which)
		n, err := s.Delete(t.Context(), step.which)
		if counted != n || countErr != nil {
			t.Errorf("Count(%+v) = %d, %v, and %d were deleted", step.which, counted, countErr, n)
		}
		if got := hashes(query(t, s, history.Filter{})); err != nil || n != step.want || !slices.Equal(got, step.left) {
			t.Errorf("Delete(%+v) = %d, %v, left %v; want %d and %v", step.which, n, err, got, step.want, step.left)
		}
	}
	if series := query(t, s, history.Filter{}).Series; len(series) != 0 {
		t.Errorf("%d series are left", len(series))
	}
	put(t, s, measured(1, 1), at(1))
}

// testConcurrent: many stores put the same and different runs while others
// delete and query; nothing is lost, nothing is there twice.
func testConcurrent(t *testing.T, open func() history.Store) {
	const workers, commits = 4, 10
	var group sync.WaitGroup
	for w := range workers {
		s := open()
		group.Go(func() {
			for n := 1; n <= commits; n++ {
				if _, err := s.Put(t.Context(), measured(n, 1), at(n)); err != nil {
					t.Error(err)
				}
				if _, err := s.Put(t.Context(), measured(n, float64(10+w)), at(n)); err != nil {
					t.Error(err)
				}
				// Each worker adds and deletes a run of a commit that all share.
				own := measured(1000, float64(w))
				own.Machine.ID = fmt.Sprint("worker", w)
				if _, err := s.Put(t.Context(), own, at(1000)); err != nil {
					t.Error(err)
				}
				if got, err := s.Delete(t.Context(), history.Which{Machine: own.Machine.ID}); err != nil || got != 1 {
					t.Errorf("Delete = %d, %v", got, err)
				}
				if _, err := s.Query(t.Context(), history.Filter{Limit: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got := query(t, open(), history.Filter{Metric: "ns/op"})
	if len(got.Commits) != commits || len(got.Series) != 1 {
		t.Fatalf("%d commits and %d series", len(got.Commits), len(got.Series))
	}
	for _, p := range got.Series[0].Points {
		values := slices.Sorted(slices.Values(p.Values))
		if !slices.Equal(values, []float64{1, 10, 11, 12, 13}) {
			t.Errorf("commit %d has %v", p.Position, values)
		}
	}
}

func testCancelled(t *testing.T, open func() history.Store) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := s.Put(ctx, measured(1, 1), at(1))
	_, queryErr := s.Query(ctx, history.Filter{})
	for _, err := range []error{putErr, queryErr} {
		if fault.CodeOf(err) != fault.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("%v (%s), want it to be cancelled", err, fault.CodeOf(err))
		}
	}
	put(t, s, measured(1, 1), at(1))
}

// testHostile: names are data, never part of a statement.
func testHostile(t *testing.T, open func() history.Store) {
	s := open()
	name := `'); DROP TABLE gopherwood_bench_runs; -- $1 ? "`
	run := measured(1, 1)
	run.Series[0].Package, run.Series[0].Name, run.Machine.ID = name, name, name
	run.Series[0].Samples[0].Values = map[string]float64{name: 1}
	put(t, s, run, at(1))
	got := query(t, s, history.Filter{Package: name, Metric: name, Machine: name}).Series
	if len(got) != 1 || got[0].Name != name || got[0].Metric != name {
		t.Errorf("series %+v", got)
	}
}

// testMany puts more rows than one statement takes.
func testMany(t *testing.T, open func() history.Store) {
	s := open()
	run := measured(1)
	run.Series = nil
	for i := range 1201 {
		run.Series = append(run.Series, api.BenchSeries{Name: fmt.Sprint("B", i),
			Samples: []api.BenchSample{{Iterations: 1, Values: map[string]float64{"ns/op": float64(i), "B/op": 0}}}})
	}
	put(t, s, run, at(1))
	got, err := s.Runs(t.Context(), hash(1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]api.BenchRun{run}, got); diff != "" {
		t.Error(diff)
	}
}
