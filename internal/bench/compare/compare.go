// Package compare compares two sets of results that were measured one after the
// other, without pairs: what benchstat does, with estimates and intervals of one
// method (see shift), notes on all that differs besides the code, and no claim
// where there are too few samples for one.
package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// DefaultAlpha is 1 minus the confidence of the intervals when nothing is said.
const DefaultAlpha = 0.05

// Options are how to compare.
type Options struct {
	// Old and New name the sides in the document.
	Old, New string
	// Alpha is 1 minus the confidence of each interval; 0 is DefaultAlpha.
	Alpha float64
	// Units says of a unit whether higher or lower is better, before what the
	// results say: BenchConfig.Units.
	Units map[string]string
}

// Compare compares each metric of each benchmark that both sides have. The samples
// of all runs of a side are taken together; a note says so when they are of more
// than one machine. Items are ordered by package, name, GOMAXPROCS and metric.
//
// The error is a *fault.Error with code usage when alpha is not between 0 and 1.
func Compare(old, new *api.BenchResults, opt Options) (*api.BenchComparison, error) {
	alpha := cmp.Or(opt.Alpha, DefaultAlpha)
	if !(alpha > 0 && alpha < 1) {
		return nil, &fault.Error{
			Code: fault.Usage, Op: "compare benchmark results", Err: fmt.Errorf("alpha is %v", alpha),
			Hint: "give a number between 0 and 1, such as 0.05",
		}
	}
	c := &api.BenchComparison{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchComparison,
		Old: opt.Old, New: opt.New, Alpha: alpha, Items: []api.BenchComparisonItem{},
	}
	a, b := pool(old), pool(new)
	c.Notes = differences(old, new)
	c.Notes = append(c.Notes, oneSided(a, b)...)
	meta := unitsOf(old, new)
	few := 0
	for _, key := range sharedKeys(a, b) {
		item := api.BenchComparisonItem{Package: key.pkg, Name: key.name, Procs: key.procs, Metric: key.metric}
		direction := results.Direction(key.metric, meta, opt.Units)
		exact := meta[key.metric]["assume"] == "exact"
		note := fill(&item, a[key], b[key], alpha, exact)
		item.Change = change(&item, direction)
		c.Items = append(c.Items, item)
		if note != "" {
			c.Notes = append(c.Notes, label(key)+": "+note)
		}
		if !item.Exact && note == "" && item.Low == nil {
			few++
		}
	}
	c.Geomeans = geomeans(c.Items)
	c.Notes = append(c.Notes, counted(c.Items, few, alpha)...)
	return c, nil
}

// seriesKey is what is compared.
type seriesKey struct {
	pkg, name string
	procs     int
	metric    string
}

func label(k seriesKey) string {
	s := k.name
	if k.pkg != "" {
		s = k.pkg + "." + s
	}
	if k.procs > 0 {
		s = fmt.Sprintf("%s-%d", s, k.procs)
	}
	return s + " " + k.metric
}

// pool returns the sorted values of each metric. What is no number is left out.
func pool(set *api.BenchResults) map[seriesKey][]float64 {
	values := map[seriesKey][]float64{}
	for i := range set.Runs {
		for _, s := range set.Runs[i].Series {
			for _, sample := range s.Samples {
				for unit, v := range sample.Values {
					if !math.IsNaN(v) && !math.IsInf(v, 0) {
						key := seriesKey{s.Package, s.Name, s.Procs, unit}
						values[key] = append(values[key], v)
					}
				}
			}
		}
	}
	for _, v := range values {
		slices.Sort(v)
	}
	return values
}

func sharedKeys(a, b map[seriesKey][]float64) []seriesKey {
	var keys []seriesKey
	units := map[string]bool{}
	for key := range a {
		if _, ok := b[key]; ok {
			keys = append(keys, key)
			units[key.metric] = true
		}
	}
	order := map[string]int{}
	for i, unit := range results.SortUnits(keysOf(units)) {
		order[unit] = i
	}
	slices.SortFunc(keys, func(a, b seriesKey) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name), cmp.Compare(a.procs, b.procs),
			cmp.Compare(order[a.metric], order[b.metric]))
	})
	return keys
}

func keysOf(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for key := range set {
		list = append(list, key)
	}
	return list
}

// unitsOf joins the metadata of units; where runs contradict each other, the
// first counts, those of new before those of old.
func unitsOf(old, new *api.BenchResults) map[string]map[string]string {
	meta := map[string]map[string]string{}
	for _, set := range []*api.BenchResults{new, old} {
		for i := range set.Runs {
			for unit, keys := range set.Runs[i].Units {
				if meta[unit] == nil {
					meta[unit] = map[string]string{}
				}
				for key, value := range keys {
					if _, ok := meta[unit][key]; !ok {
						meta[unit][key] = value
					}
				}
			}
		}
	}
	return meta
}

// fill compares the sorted values of a metric. It returns a note where the change
// is no fraction of old.
func fill(item *api.BenchComparisonItem, old, new []float64, alpha float64, assumeExact bool) string {
	item.Old, item.New = median(old), median(new)
	item.OldSamples, item.NewSamples = len(old), len(new)
	item.Exact = exact(item.Metric, old, new, assumeExact)
	switch {
	case item.Old == 0:
		return fromZero(item, old, new, alpha)
	case item.Exact:
		item.Estimate = finite((item.New - item.Old) / math.Abs(item.Old))
		bound(item, item.Estimate, item.Estimate)
		return ""
	}
	fraction := math.Expm1
	if old[0] <= 0 || new[0] <= 0 {
		// A shift of what may be 0 or below, as a fraction of the size of old.
		fraction = func(x float64) float64 { return x }
		old, new = scaled(old, math.Abs(item.Old)), scaled(new, math.Abs(item.Old))
	} else {
		old, new = logs(old), logs(new)
	}
	estimate, low, high, bounded := shift(old, new, alpha)
	item.Estimate = finite(fraction(estimate))
	if bounded {
		bound(item, finite(fraction(low)), finite(fraction(high)))
	}
	return ""
}

func bound(item *api.BenchComparisonItem, low, high float64) { item.Low, item.High = &low, &high }

// fromZero is the change of a metric whose median was 0: it has no size, but all
// of the new is more or less than nothing, which is written as 1 or -1. That is an
// interval too when the sign is certain.
func fromZero(item *api.BenchComparisonItem, old, new []float64, alpha float64) string {
	if item.Exact && item.New == 0 {
		bound(item, 0, 0)
		return ""
	}
	item.Estimate = float64(cmp.Compare(item.New, 0))
	_, low, high, bounded := shift(scaled(old, 1), scaled(new, 1), alpha)
	if item.Exact || bounded && (low > 0 || high < 0) {
		bound(item, item.Estimate, item.Estimate)
	}
	return fmt.Sprintf("the median of old is 0, of which that of new, %v, is no fraction; the estimate is given as %+.0f %%",
		item.New, 100*item.Estimate)
}

// exact says whether a metric is compared without statistics: what is counted
// and always the same. That of a time and of a rate shows only how they were
// rounded, and that of a single sample says something of memory alone.
func exact(unit string, old, new []float64, assumed bool) bool {
	if old[0] != old[len(old)-1] || new[0] != new[len(new)-1] {
		return false
	}
	if assumed || unit == "B/op" || unit == "allocs/op" {
		return true
	}
	return len(old) > 1 && len(new) > 1 && !results.IsRate(unit)
}

func logs(values []float64) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = math.Log(v)
	}
	return list
}

// scaled divides values, and keeps differences of them finite.
func scaled(values []float64, by float64) []float64 {
	const most = math.MaxFloat64 / 4
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = max(-most, min(most, v/by))
	}
	return list
}

// finite keeps changes within what JSON can say.
func finite(x float64) float64 { return max(-math.MaxFloat64, min(math.MaxFloat64, x)) }

// change is what is known of the direction of the true change.
func change(item *api.BenchComparisonItem, direction int) string {
	sign := 0
	switch {
	case item.Exact:
		sign = cmp.Compare(item.New, item.Old)
	case item.Low == nil:
		return "unknown"
	case *item.Low > 0:
		sign = 1
	case *item.High < 0:
		sign = -1
	}
	switch sign * direction {
	case 1:
		return "better"
	case -1:
		return "worse"
	}
	if sign != 0 {
		return "unknown"
	}
	return "none"
}

// geomeans returns the geometric mean of the changes of each metric of more than
// one benchmark, in the order of SortUnits. Values of 0 and below have no ratio.
func geomeans(items []api.BenchComparisonItem) []api.BenchGeomean {
	sums := map[string]float64{}
	counts := map[string]int{}
	units := map[string]bool{}
	for i := range items {
		item := &items[i]
		ratio := math.Log1p(item.Estimate)
		if item.Old > 0 && item.New > 0 && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			sums[item.Metric] += ratio
			counts[item.Metric]++
			units[item.Metric] = true
		}
	}
	var list []api.BenchGeomean
	for _, unit := range results.SortUnits(keysOf(units)) {
		if n := counts[unit]; n > 1 {
			list = append(list, api.BenchGeomean{Metric: unit, Benchmarks: n, Estimate: finite(math.Expm1(sums[unit] / float64(n)))})
		}
	}
	return list
}
