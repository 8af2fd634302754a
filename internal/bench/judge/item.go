package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Items returns the verdicts on every metric, sorted. What is not decided is
// inconclusive.
func (j *Judge) Items() []api.BenchGateItem {
	var items []api.BenchGateItem
	for _, b := range j.benchmarks {
		items = append(items, b.items()...)
	}
	Sort(items)
	return items
}

// Sort sorts items from the worst to the best, and then by name.
func Sort(items []api.BenchGateItem) {
	slices.SortStableFunc(items, func(a, b api.BenchGateItem) int {
		return cmp.Or(
			cmp.Compare(Severity(b.Verdict), Severity(a.Verdict)), cmp.Compare(a.Package, b.Package),
			cmp.Compare(a.Name, b.Name), cmp.Compare(b.Metric, a.Metric), // ns/op first
		)
	})
}

// Severity orders verdicts: the worse, the higher.
func Severity(v api.BenchVerdict) int {
	return slices.Index([]api.BenchVerdict{api.BenchPass, api.BenchInconclusive, api.BenchWarn, api.BenchFail}, v)
}

func (b *benchmark) items() []api.BenchGateItem {
	items := []api.BenchGateItem{}
	for _, m := range b.metrics {
		item := m.item()
		item.Package, item.Name = b.Package, b.Name
		items = append(items, item)
	}
	if len(items) == 0 {
		items = append(items, api.BenchGateItem{
			Package: b.Package, Name: b.Name, Verdict: api.BenchInconclusive, Change: unknown, Reason: "no time was left to measure it",
		})
	}
	if b.dropped != nil {
		for i := range items {
			items[i].Verdict, items[i].Reason = b.dropped.verdict, b.dropped.why
		}
	}
	return items
}

// What is known of the direction of a change.
const (
	worse   = "worse"
	better  = "better"
	none    = "none"
	unknown = "unknown"
)

func (m *metric) item() api.BenchGateItem {
	item := api.BenchGateItem{
		Metric: m.unit, Base: typical(slices.Concat(m.arms[Base].best, m.arms[Null].best)), Head: typical(m.arms[Head].best), Limit: m.limit.written, Rounds: m.rounds(), Change: unknown,
	}
	switch {
	case m.exact():
		m.compareExactly(&item)
	case m.undefined():
		item.Verdict = api.BenchInconclusive
		item.Reason = cmp.Or(m.problem, "its values are not all positive, and vary")
	default:
		m.compare(&item)
	}
	return item
}

// Series is what was measured of one metric of a benchmark.
type Series struct {
	Benchmark
	Metric string
	// Base, Null and Head have the best sample of each slice.
	Base, Null, Head []float64
	// Changes has the change of each round as a fraction, Nulls that of the null
	// arm to the base; both are empty for metrics that are compared exactly or not
	// at all.
	Changes, Nulls []float64
}

// Series returns what was measured, for plots.
func (j *Judge) Series() []Series {
	var all []Series
	for _, b := range j.benchmarks {
		for _, m := range b.metrics {
			all = append(all, Series{
				Benchmark: b.Benchmark, Metric: m.unit,
				Base: m.arms[Base].best, Null: m.arms[Null].best, Head: m.arms[Head].best,
				Changes: m.fractionsOf(m.changes), Nulls: m.fractionsOf(m.nulls),
			})
		}
	}
	return all
}

func (m *metric) fractionsOf(s series) []float64 {
	fractions := make([]float64, len(s.ds))
	for i, d := range s.ds {
		fractions[i] = m.fraction(d)
	}
	return fractions
}

// typical is the median of the best samples; 0 when there is none.
func typical(best []float64) float64 {
	if v := median(best); !notFinite(v) {
		return v
	}
	return 0
}

// compareExactly judges what does not vary.
func (m *metric) compareExactly(item *api.BenchGateItem) {
	item.Exact = true
	if item.Base == item.Head {
		item.Verdict, item.Change, item.Reason = api.BenchPass, none, "the same in every run"
		item.Estimate, item.Low, item.High = new(float64), new(float64), new(float64)
		return
	}
	change := item.Head/item.Base - 1
	if item.Base > 0 {
		item.Estimate, item.Low, item.High = &change, &change, &change
	}
	up := m.worse * (math.Log(max(item.Head, 0)) - math.Log(max(item.Base, 0)))
	if item.Base < 0 || item.Head < 0 {
		up = m.worse * math.Inf(cmp.Compare(item.Head, item.Base))
	}
	item.Change = better
	if up > 0 {
		item.Change = worse
	}
	item.Verdict, item.Reason = api.BenchPass, fmt.Sprintf("from %v to %v in every run, within the limit", item.Base, item.Head)
	if end, action := m.limit.exceeded(up); end != "" {
		item.Verdict, item.Reason = action.verdict(), fmt.Sprintf("from %v to %v in every run, %s than the limit of %s", item.Base, item.Head, item.Change, end)
	}
}

// exceeded returns the end of the limit that a log ratio is beyond, counted up for
// the worse, and what to do; "" when it is within.
func (l limit) exceeded(up float64) (end string, action Action) {
	switch {
	case up > l.worse:
		return l.written.Worse, l.onWorse
	case -up > l.better:
		return l.written.Better, l.onBetter
	}
	return "", Show
}

func (a Action) verdict() api.BenchVerdict {
	switch a {
	case Fail:
		return api.BenchFail
	case Warn:
		return api.BenchWarn
	}
	return api.BenchPass
}

// compare judges by the evidence.
func (m *metric) compare(item *api.BenchGateItem) {
	changes := m.changes
	low, high := interval(changes.all, m.alpha)
	item.Change = direction(low, high, m.bounds)
	item.Confirmed = max(m.bounds[0].since, m.bounds[1].since)
	if len(changes.ds) > 0 {
		estimate := m.fraction(center(changes.ds))
		item.Estimate = &estimate
		item.Low, item.High = m.fractions(low, high)
		item.MinDetectable = m.minDetectable(low, high)
		item.Null = m.null()
	}
	item.Verdict, item.Reason = m.verdict(item)
}

// direction says what an interval tells of the direction.
func direction(low, high float64, bounds [2]*bound) string {
	switch {
	case low > 0:
		return worse
	case high < 0:
		return better
	case bounds[0].kept() && bounds[1].kept():
		return none
	}
	return unknown
}

// fraction turns a log ratio that counts up for the worse into a change as a
// fraction of the base.
func (m *metric) fraction(up float64) float64 { return math.Expm1(m.worse * up) }

// fractions does so with the ends of an interval, absent where it has none.
func (m *metric) fractions(low, high float64) (l, h *float64) {
	if m.worse < 0 {
		low, high = high, low
	}
	return finite(m.fraction(low)), finite(m.fraction(high))
}

func finite(v float64) *float64 {
	if math.IsInf(v, 0) || v == -1 {
		return nil
	}
	return &v
}

// minDetectable is half the interval plus what the estimate itself is off by, once
// in twenty times.
func (m *metric) minDetectable(low, high float64) *float64 {
	half := (high - low) / 2
	if math.IsInf(half, 0) {
		return nil
	}
	off := 1.645 * noise(m.changes.ds) / math.Sqrt(float64(len(m.changes.ds)))
	v := math.Expm1(half + off)
	return &v
}

func (m *metric) null() *api.BenchNull {
	low, high := interval(m.nulls.all, m.alpha)
	n := &api.BenchNull{Estimate: m.fraction(center(m.nulls.ds))}
	n.Low, n.High = m.fractions(low, high)
	return n
}

func (m *metric) verdict(item *api.BenchGateItem) (api.BenchVerdict, string) {
	if m.unsound() {
		return api.BenchInconclusive, fmt.Sprintf("the base differs from itself by %s: something other than the code makes the difference", Percent(item.Null.Estimate))
	}
	for i, end := range []string{m.limit.written.Worse, m.limit.written.Better} {
		if b := m.bounds[i]; b.exceeded {
			return b.action.verdict(), fmt.Sprintf("%s, %s than the limit of %s", m.span(item), item.Change, end)
		}
	}
	if open := slices.DeleteFunc(m.tested(), (*bound).kept); len(open) > 0 || len(m.changes.ds) < least {
		return api.BenchInconclusive, m.span(item) + ": more rounds, or a quieter machine, could tell"
	}
	if end, _ := m.limit.exceeded(m.worse * math.Log1p(*item.Estimate)); end != "" {
		return api.BenchPass, m.span(item) + ", beyond what is shown only"
	}
	return api.BenchPass, m.span(item)
}

// span is the change and its interval in words.
func (m *metric) span(item *api.BenchGateItem) string {
	if item.Estimate == nil {
		return "not measured"
	}
	if item.Low == nil || item.High == nil {
		return fmt.Sprintf("about %s, with no interval yet", Percent(*item.Estimate))
	}
	return fmt.Sprintf("%s (%s to %s)", Percent(*item.Estimate), Percent(*item.Low), Percent(*item.High))
}

// Percent writes a fraction as a signed percentage with one decimal.
func Percent(fraction float64) string { return fmt.Sprintf("%+.1f%%", 100*fraction) }
