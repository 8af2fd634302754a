package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// selected returns a series with the given values, one a commit.
func selected(values ...float64) *history.Selection {
	s := &history.Selection{Series: []history.Series{{Name: "Encode", Metric: "ns/op", Machine: "m1"}}}
	for i, v := range values {
		s.Commits = append(s.Commits, api.BenchCommit{Hash: hash(i)})
		s.Series[0].Points = append(s.Series[0].Points, history.Point{Position: i, Values: []float64{v}, Runs: 1})
	}
	return s
}

// noisy returns n values around level with a deviation of 2 %.
func noisy(random *rand.Rand, n int, level float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = level * (1 + 0.02*random.NormFloat64())
	}
	return values
}

func lower(history.Series) int { return -1 }

func analyze(t *testing.T, s *history.Selection, o history.Options) api.BenchHistorySeries {
	t.Helper()
	document, err := history.Analyze(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return document.Series[0]
}

func TestChange(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := selected(slices.Concat(noisy(random, 30, 100), noisy(random, 20, 110))...)
	for i := range s.Series[0].Points {
		s.Series[0].Points[i].Environment = map[string]string{"Go version": "go1.26.1", "kernel": fmt.Sprint(i)}
		if i >= 30 {
			s.Series[0].Points[i].Environment = map[string]string{"Go version": "go1.26.2", "GOAMD64": "v3"}
		}
	}
	got := analyze(t, s, history.Options{Better: lower})
	if len(got.Changes) != 1 || len(got.Drifts) != 0 || got.Better != "lower" {
		t.Fatalf("%+v", got)
	}
	c := got.Changes[0]
	if c.Commit != hash(30) || c.Previous != hash(29) || c.Position != 30 || c.Change != "worse" || c.Exact || *c.PValue > 0.01 {
		t.Errorf("%+v", c)
	}
	if math.Abs(c.Before-100) > 2 || math.Abs(c.After-110) > 2 || math.Abs(*c.Estimate-0.1) > 0.02 ||
		*c.Low > 0.1 || *c.High < 0.1 || *c.Low < 0.07 || *c.High > 0.13 {
		t.Errorf("from %v to %v: %v in [%v, %v]", c.Before, c.After, *c.Estimate, *c.Low, *c.High)
	}
	if diff := cmp.Diff([]string{"Go version changed from go1.26.1 to go1.26.2"}, c.Notes); diff != "" {
		t.Error(diff)
	}
	higher := analyze(t, s, history.Options{Better: func(history.Series) int { return 1 }})
	unknown := analyze(t, s, history.Options{})
	if higher.Changes[0].Change != "better" || unknown.Changes[0].Change != "unknown" || unknown.Better != "" {
		t.Errorf("higher is %+v, unknown %+v", higher.Changes[0], unknown.Changes[0])
	}
	if few := analyze(t, s, history.Options{MinChange: 0.2}); len(few.Changes) != 0 {
		t.Errorf("below the smallest change: %+v", few.Changes)
	}
}

// TestDrift: none of the steps is one that a gate sees, but their sum is.
func TestDrift(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	values := noisy(random, 100, 100)
	for i := range values {
		values[i] *= math.Pow(1.002, float64(i))
	}
	got := analyze(t, selected(values...), history.Options{Better: lower})
	if len(got.Changes) != 0 || len(got.Drifts) != 1 {
		t.Fatalf("changes %+v, drifts %+v", got.Changes, got.Drifts)
	}
	d := got.Drifts[0]
	want := math.Pow(1.002, 99) - 1
	if d.From != hash(0) || d.To != hash(99) || d.Points != 100 || d.Change != "worse" || d.PValue > 0.01 ||
		d.Low > want || d.High < want || math.Abs(d.Estimate-want) > 0.03 || math.Abs(d.PerPoint-0.002) > 0.0005 {
		t.Errorf("%+v, want %v", d, want)
	}
	if over := analyze(t, selected(values...), history.Options{DriftLimit: 0.5}); len(over.Drifts) != 0 {
		t.Errorf("below the limit: %+v", over.Drifts)
	}
	down := slices.Concat(noisy(random, 30, 300), values)
	got = analyze(t, selected(down...), history.Options{Better: lower})
	if len(got.Changes) != 1 || got.Changes[0].Position != 30 || got.Changes[0].Change != "better" ||
		len(got.Drifts) != 1 || got.Drifts[0].From != hash(30) {
		t.Errorf("after a change: changes %+v, drifts %+v", got.Changes, got.Drifts)
	}
}

// TestFalseAlarms: of series in which nothing happens at most 5 % are reported.
func TestFalseAlarms(t *testing.T) {
	const sequences = 300
	s := &history.Selection{}
	for i := range 60 {
		s.Commits = append(s.Commits, api.BenchCommit{Hash: hash(i)})
	}
	random := rand.New(rand.NewPCG(5, 6))
	for n := range sequences {
		one := history.Series{Name: fmt.Sprint(n), Metric: "ns/op", Machine: "m1"}
		for i := range 20 + random.IntN(40) {
			var values []float64
			for range 5 {
				values = append(values, 100*math.Exp(0.1*random.NormFloat64()+0.2*random.ExpFloat64()))
			}
			one.Points = append(one.Points, history.Point{Position: i, Values: values, Runs: 1})
		}
		s.Series = append(s.Series, one)
	}
	document, err := history.Analyze(t.Context(), s, history.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var changes, drifts int
	for _, one := range document.Series {
		if len(one.Changes) > 0 {
			changes++
		}
		if len(one.Drifts) > 0 {
			drifts++
		}
	}
	t.Logf("change points in %d, drifts in %d of %d series", changes, drifts, sequences)
	// 1 % are 3; more than 9 are seen once in a thousand times.
	if changes > 9 || drifts > 9 {
		t.Errorf("change points in %d, drifts in %d of %d series in which nothing happens", changes, drifts, sequences)
	}
	if !slices.ContainsFunc(document.Notes, func(n string) bool { return strings.Contains(n, "300 series were searched: up to about 3.0") }) {
		t.Errorf("notes %q", document.Notes)
	}
}

func TestExact(t *testing.T) {
	got := analyze(t, selected(3, 3, 3, 3, 4), history.Options{Better: lower})
	if len(got.Changes) != 1 {
		t.Fatalf("%+v", got.Changes)
	}
	if c := got.Changes[0]; !c.Exact || c.PValue != nil || c.Commit != hash(4) || c.Before != 3 || c.After != 4 ||
		math.Abs(*c.Estimate-1.0/3) > 1e-12 || c.Change != "worse" {
		t.Errorf("%+v", c)
	}
	if c := analyze(t, selected(0, 0, 0, 0, 2), history.Options{Better: lower}).Changes; len(c) != 1 || c[0].Estimate != nil || c[0].Change != "worse" {
		t.Errorf("from zero: %+v", c)
	}
	for name, values := range map[string][]float64{
		"constant": {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7},
		"flapping": {3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4},
		"short":    {3, 3, 4},
		"none":     {},
	} {
		if c := analyze(t, selected(values...), history.Options{}).Changes; len(c) != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	varies := selected(3, 3, 3, 3, 4)
	varies.Series[0].Points[2].Values = []float64{3, 3.5}
	if c := analyze(t, varies, history.Options{}).Changes; len(c) != 0 {
		t.Errorf("with a commit that varies: %+v", c)
	}
}

// TestSigned: metrics may be negative and zero.
func TestSigned(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var values []float64
	for i := range 40 {
		level := -10.0
		if i >= 25 {
			level = 5
		}
		values = append(values, level+random.NormFloat64())
	}
	c := analyze(t, selected(values...), history.Options{Better: lower}).Changes
	if len(c) != 1 || c[0].Position != 25 || c[0].Change != "worse" || math.Abs(*c[0].Estimate-1.5) > 0.2 {
		t.Errorf("%+v", c)
	}
}

// TestIndependent: what is found in a series does not depend on the others, and
// is the same each time.
func TestIndependent(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	alone := selected(slices.Concat(noisy(random, 20, 100), noisy(random, 20, 102))...)
	both := selected(noisy(random, 40, 50)...)
	both.Series[0].Machine = "m0"
	both.Series = append(both.Series, alone.Series[0])
	first := analyze(t, alone, history.Options{Seed: 5, MinChange: 0.001})
	document, err := history.Analyze(t.Context(), both, history.Options{Seed: 5, MinChange: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, document.Series[1]); diff != "" {
		t.Error(diff)
	}
}

func TestAnalyzeSays(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	s := selected(slices.Concat(noisy(random, 20, 10), noisy(random, 30, 100))...)
	s.Series[0].Machine = ""
	got := analyze(t, s, history.Options{MaxPoints: 30})
	if len(got.Points) != 50 || len(got.Changes) != 0 || len(got.Notes) != 2 || got.Notes[1] != "the oldest 20 commits were not searched" {
		t.Errorf("%d points, changes %+v, notes %q", len(got.Points), got.Changes, got.Notes)
	}
	joined := selected(1, 2, 3)
	joined.Series[0].Machines = 3
	document, err := history.Analyze(t.Context(), joined, history.Options{})
	if err != nil || !strings.HasPrefix(document.Notes[0], "MACHINES ARE JOINED: up to 3 machines") ||
		!strings.HasPrefix(document.Series[0].Notes[0], "3 machines of one kind are joined") {
		t.Errorf("joined: notes %q, of the series %q, %v", document.Notes, document.Series[0].Notes, err)
	}
	apart := selected(1, 2, 3)
	apart.Series[0].Machine = "m-1"
	for _, id := range []string{"m-2", "m-2", "n-1", ""} {
		apart.Series = append(apart.Series, history.Series{Name: "Encode", Metric: "ns/op", Machine: id})
	}
	document, err = history.Analyze(t.Context(), apart, history.Options{})
	if err != nil || !strings.HasPrefix(document.Notes[0], "2 machines are of kind m,") || len(document.Notes) != 2 {
		t.Errorf("apart: notes %q, %v", document.Notes, err)
	}
	document, err = history.Analyze(t.Context(), selected(1, 2, 3), history.Options{})
	if err != nil || len(document.Notes) != 1 || !strings.HasPrefix(document.Notes[0], "1 of 1 series have fewer than 10 commits") {
		t.Errorf("notes %q, %v", document.Notes, err)
	}
	for name, o := range map[string]history.Options{
		"alpha": {Alpha: 1}, "change": {MinChange: -1}, "drift": {DriftLimit: math.NaN()}, "segment": {MinSegment: 1}, "points": {MaxPoints: 9},
	} {
		if _, err := history.Analyze(t.Context(), s, o); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := history.Analyze(ctx, s, history.Options{}); !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// TestAnyValues: whatever was measured, there is a document that can be written.
func TestAnyValues(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -1, math.MaxFloat64, -math.MaxFloat64, 5e-324, 100}))
	rapid.Check(t, func(t *rapid.T) {
		s := selected(rapid.SliceOfN(value, 0, 30).Draw(t, "values")...)
		for i := range s.Series[0].Points {
			p := &s.Series[0].Points[i]
			p.Values = append(p.Values, rapid.SliceOfN(value, 0, 2).Draw(t, "more")...)
		}
		document, err := history.Analyze(context.Background(), s, history.Options{MinSegment: 2, Alpha: 0.2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(document); err != nil {
			t.Fatal(err)
		}
	})
}
