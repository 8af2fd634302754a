package history

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history/changepoint"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options are how changes are looked for. The zero value of each field means its default.
type Options struct {
	// Alpha bounds the probability of finding a change point in a series that has
	// none, and that of finding a drift; 0.01 by default.
	Alpha float64
	// MinChange is the smallest change that is reported as a change point, as a
	// fraction; 0.02 by default. Metrics that are the same in all measurements of
	// a commit are compared exactly instead.
	MinChange float64
	// DriftLimit is the smallest total of a drift that is reported, as a
	// fraction; 0.05 by default.
	DriftLimit float64
	// MinSegment is how many commits a new level has to have to be seen; 5 by default.
	MinSegment int
	// MaxPoints is how many of the newest commits of a series are searched; 500 by
	// default. The time grows with its square.
	MaxPoints int
	// Seed is what permutations are drawn from; 0 is a seed as well.
	Seed uint64
	// Better says of a series whether higher (+1) or lower (-1) is better; 0 when
	// that is not known, as without this function.
	Better func(Series) int
}

// permutations are enough for p-values down to 0.002. With a smaller Alpha there
// are as many as it needs.
const permutations = 499

// driftPoints is from how many points on the test for drifts holds what it says.
const driftPoints = 10

// levelPoints is how many points on each side of a change are compared: a level
// that drifts is another one further away.
const levelPoints = 30

func (o Options) withDefaults() Options {
	set := func(value *float64, otherwise float64) {
		if *value == 0 {
			*value = otherwise
		}
	}
	set(&o.Alpha, 0.01)
	set(&o.MinChange, 0.02)
	set(&o.DriftLimit, 0.05)
	if o.MinSegment == 0 {
		o.MinSegment = 5
	}
	if o.MaxPoints == 0 {
		o.MaxPoints = 500
	}
	if o.Better == nil {
		o.Better = func(Series) int { return 0 }
	}
	return o
}

func (o Options) check() error {
	outside := func(f, low, high float64) bool { return !(f > low && f < high) }
	switch {
	case outside(o.Alpha, 0.0001, 0.5):
		return wrongOption("alpha", "is not between 0.0001 and 0.5")
	case outside(o.MinChange, 0, 10), outside(o.DriftLimit, 0, 10):
		return wrongOption("the smallest change", "is not a fraction above 0")
	case o.MinSegment < 2 || o.MaxPoints < 2*o.MinSegment || o.MaxPoints > 5000:
		return wrongOption("the number of points", "is not between twice that of a level, which is at least 2, and 5000")
	}
	return nil
}

func wrongOption(what, why string) error {
	return &fault.Error{Code: fault.Usage, Op: "search history", Input: what, Err: fmt.Errorf("it %s", why)}
}

// Analyze looks for change points and drifts in each series: the medians of its
// commits, as logarithms where all are positive. Machines and settings are never
// joined. The errors are Usage, of options, and Canceled.
func Analyze(ctx context.Context, selection *Selection, o Options) (*api.BenchHistory, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	document := &api.BenchHistory{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchHistory,
		Alpha: o.Alpha, Seed: o.Seed, MinChange: o.MinChange, DriftLimit: o.DriftLimit,
		Commits: selection.Commits, Machines: selection.Machines,
		Series: make([]api.BenchHistorySeries, len(selection.Series)),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range selection.Series {
		group.Go(func() error {
			a := analysis{options: o, series: s, commits: selection.Commits}
			var err error
			document.Series[i], err = a.run(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, failed("search history", "", err)
	}
	document.Notes = notes(selection, o)
	return document, nil
}

// notes say what was not searched, and what to expect by chance.
func notes(selection *Selection, o Options) []string {
	var short, searched int
	for _, s := range selection.Series {
		if len(s.Points) < 2*o.MinSegment {
			short++
		} else if !isExact(s.Points) {
			searched++
		}
	}
	notes := machineNotes(selection.Series)
	if short > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d series have fewer than %d commits: only metrics that do not vary were searched in them",
			short, len(selection.Series), 2*o.MinSegment))
	}
	if expected := float64(searched) * o.Alpha; expected >= 0.5 {
		notes = append(notes, fmt.Sprintf("%d series were searched: up to about %.1f change points are to be expected by chance", searched, expected))
	}
	return notes
}

// machineNotes say loudly what joins machines, and what may be joined.
func machineNotes(series []Series) []string {
	joined := 0
	kinds := map[string][]string{}
	for _, s := range series {
		joined = max(joined, s.Machines)
		if kind := machine.Kind(s.Machine); kind != "" && !slices.Contains(kinds[kind], s.Machine) {
			kinds[kind] = append(kinds[kind], s.Machine)
		}
	}
	if joined > 1 {
		return []string{fmt.Sprintf("MACHINES ARE JOINED: up to %d machines of one kind count as one; what looks like a change may be another machine", joined)}
	}
	var notes []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if n := len(kinds[kind]); n > 1 {
			notes = append(notes, fmt.Sprintf("%d machines are of kind %s, and each has series of its own: for runners that are made anew for each run, --by-kind joins them", n, kind))
		}
	}
	return notes
}

// analysis is the search in one series.
type analysis struct {
	options Options
	series  Series
	commits []api.BenchCommit

	points  []Point   // those that are searched
	medians []float64 // of points
	scaled  []float64 // logarithms of medians, or multiples of unit
	ratios  bool      // scaled are logarithms
	unit    float64
}

func (a *analysis) run(ctx context.Context) (api.BenchHistorySeries, error) {
	s := a.series
	out := api.BenchHistorySeries{
		Package: s.Package, Name: s.Name, Procs: s.Procs, Metric: s.Metric, Machine: s.Machine, Settings: s.Settings,
		Better: map[int]string{1: "higher", -1: "lower"}[a.options.Better(s)],
		Points: make([]api.BenchHistoryPoint, len(s.Points)),
	}
	for i, p := range s.Points {
		values := slices.Sorted(slices.Values(p.Values))
		out.Points[i] = api.BenchHistoryPoint{
			Commit: a.commits[p.Position].Hash, Position: p.Position,
			Median: changepoint.Median(values), P25: changepoint.Quantile(values, 0.25), P75: changepoint.Quantile(values, 0.75),
			Samples: len(values), Runs: p.Runs,
		}
	}
	if s.Machine == "" {
		out.Notes = append(out.Notes, "the machine is not known: what looks like a change may be another machine")
	}
	if s.Machines > 1 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d machines of one kind are joined: what looks like a change may be another machine", s.Machines))
	}
	skipped := max(0, len(s.Points)-a.options.MaxPoints)
	if skipped > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("the oldest %d commits were not searched", skipped))
	}
	a.points = s.Points[skipped:]
	for _, p := range out.Points[skipped:] {
		a.medians = append(a.medians, p.Median)
	}
	a.scale()
	if isExact(a.points) {
		out.Changes = a.exactChanges()
		return out, nil
	}
	segments, err := changepoint.Segments(ctx, a.scaled, changepoint.Options{
		Alpha: a.options.Alpha, MinSegment: a.options.MinSegment, Seed: a.seed(),
		Permutations: max(permutations, int(math.Ceil(1/a.options.Alpha))),
	})
	if err != nil {
		return out, err
	}
	segments = a.dropSmall(segments)
	for i := 1; i < len(segments); i++ {
		out.Changes = append(out.Changes, a.change(segments[i-1], segments[i]))
	}
	for _, segment := range segments {
		if drift, ok := a.drift(segment); ok {
			out.Drifts = append(out.Drifts, drift)
		}
	}
	return out, nil
}

// seed makes what is found in a series independent of which others there are.
func (a *analysis) seed() uint64 {
	h := fnv.New64a()
	s := a.series
	fmt.Fprintf(h, "%q %q %d %q %q %+v", s.Package, s.Name, s.Procs, s.Metric, s.Machine, s.Settings)
	return a.options.Seed ^ h.Sum64()
}

func (a *analysis) scale() {
	a.ratios = !slices.ContainsFunc(a.medians, func(m float64) bool { return m <= 0 })
	a.scaled = make([]float64, len(a.medians))
	for _, m := range a.medians {
		a.unit = max(a.unit, math.Abs(m))
	}
	for i, m := range a.medians {
		if a.ratios {
			a.scaled[i] = math.Log(m)
		} else if a.unit > 0 {
			a.scaled[i] = m / a.unit
		}
	}
}

// fraction turns a difference of scaled values into a change as a fraction of
// level; nil when it is none, since level is zero or nearly so.
func (a *analysis) fraction(difference, level float64) *float64 {
	f := math.Expm1(difference)
	if !a.ratios {
		f = difference / (math.Abs(level) / a.unit)
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}

// isExact says that a metric is the same in all measurements of a commit, and
// nearly always in those of the next.
func isExact(points []Point) bool {
	changes := 0
	for i, p := range points {
		if slices.Min(p.Values) != slices.Max(p.Values) {
			return false
		}
		if i > 0 && p.Values[0] != points[i-1].Values[0] {
			changes++
		}
	}
	return 4*changes <= len(points)
}

func (a *analysis) exactChanges() []api.BenchChangePoint {
	var changes []api.BenchChangePoint
	for i := 1; i < len(a.points); i++ {
		if a.medians[i] == a.medians[i-1] {
			continue
		}
		c := a.changeAt(i, a.medians[i-1], a.medians[i])
		c.Exact = true
		c.Estimate = a.fraction(a.scaled[i]-a.scaled[i-1], a.medians[i-1])
		c.Low, c.High = c.Estimate, c.Estimate
		changes = append(changes, c)
	}
	return changes
}

// changeAt returns the change from one level to another at a point.
func (a *analysis) changeAt(i int, before, after float64) api.BenchChangePoint {
	return api.BenchChangePoint{
		Commit: a.hash(i), Previous: a.hash(i - 1), Position: a.points[i].Position,
		Change: a.word(after - before), Before: before, After: after,
		Notes: differences(a.points[i-1].Environment, a.points[i].Environment),
	}
}

func (a *analysis) hash(point int) string { return a.commits[a.points[point].Position].Hash }

func (a *analysis) word(difference float64) string {
	switch better := float64(a.options.Better(a.series)) * difference; {
	case better > 0:
		return "better"
	case better < 0:
		return "worse"
	}
	return "unknown"
}

// levels returns the ranges that are compared of two neighbouring segments.
func levels(before, after changepoint.Segment) (from, at, to int) {
	return max(before.From, before.To-levelPoints), after.From, min(after.To, after.From+levelPoints)
}

func (a *analysis) change(before, after changepoint.Segment) api.BenchChangePoint {
	from, at, to := levels(before, after)
	c := a.changeAt(at, median(a.medians[from:at]), median(a.medians[at:to]))
	c.PValue = &after.PValue
	shift := changepoint.Shift(a.scaled[from:at], a.scaled[at:to])
	c.Estimate = a.fraction(shift.Estimate, c.Before)
	c.Low, c.High = a.fraction(shift.Low, c.Before), a.fraction(shift.High, c.Before)
	return c
}

// dropSmall joins segments whose levels differ by less than the smallest change,
// the most alike first.
func (a *analysis) dropSmall(segments []changepoint.Segment) []changepoint.Segment {
	for {
		smallest, which := a.options.MinChange, 0
		for i := 1; i < len(segments); i++ {
			from, at, to := levels(segments[i-1], segments[i])
			shift := changepoint.Shift(a.scaled[from:at], a.scaled[at:to]).Estimate
			if f := a.fraction(shift, median(a.medians[from:at])); f != nil && math.Abs(*f) < smallest {
				smallest, which = math.Abs(*f), i
			}
		}
		if which == 0 {
			return segments
		}
		segments = changepoint.Join(segments, which-1, which)
	}
}

func (a *analysis) drift(s changepoint.Segment) (api.BenchDrift, bool) {
	n := s.To - s.From
	if n < driftPoints {
		return api.BenchDrift{}, false
	}
	slope := changepoint.Trend(a.scaled[s.From:s.To])
	level := median(a.medians[s.From:s.To])
	steps := float64(n - 1)
	total, step := a.fraction(slope.Estimate*steps, level), a.fraction(slope.Estimate, level)
	low, high := a.fraction(slope.Low*steps, level), a.fraction(slope.High*steps, level)
	if total == nil || step == nil || low == nil || high == nil {
		return api.BenchDrift{}, false
	}
	if slope.PValue > a.options.Alpha || math.Abs(*total) < a.options.DriftLimit {
		return api.BenchDrift{}, false
	}
	return api.BenchDrift{
		From: a.hash(s.From), To: a.hash(s.To - 1), Points: n, Change: a.word(slope.Estimate),
		Estimate: *total, Low: *low, High: *high, PerPoint: *step, PValue: slope.PValue,
	}, true
}

func median(values []float64) float64 {
	return changepoint.Median(slices.Sorted(slices.Values(values)))
}
