package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/gopherwood-dev/gopherwood/api"
)

// comparisonView is what the page shows of a comparison.
type comparisonView struct {
	Sentence, Means string
	Notes           []string
	Tools           tools
	Head            *plot
	Rows            []row
	Measured        []measured
}

func newComparisonView(c *api.BenchComparison, before, after *api.BenchResults) *comparisonView {
	v := &comparisonView{Sentence: comparisonSentence(c), Means: geomeanSentence(c), Notes: c.Notes, Tools: tools{"comparisonrow", len(c.Items)}}
	var changes []change
	for i := range c.Items {
		item := &c.Items[i]
		changes = append(changes, change{
			estimate: comparisonEstimate(item), low: item.Low, high: item.High, least: math.NaN(), most: math.NaN(), class: changeClass(item.Change), exact: item.Exact,
		})
	}
	a := forestAxis(changes)
	if len(changes) > 0 {
		v.Head = forestHead(a)
	}
	for i := range c.Items {
		item := &c.Items[i]
		r := comparisonRow(item)
		r.Plot = forest(a, changes[i])
		lanes := []lane{{"old", "base", samples(before, item)}, {"new", "head", samples(after, item)}}
		if values := distributions(item.Metric, lanes); values != nil && !item.Exact && len(v.Measured) < maxPlots {
			r.Link = "comparison-" + strconv.Itoa(i)
			v.Measured = append(v.Measured, measured{ID: r.Link, Name: joined(".", item.Package, fullName(item.Name, item.Procs)), Metric: item.Metric, Values: values})
		}
		v.Rows = append(v.Rows, r)
	}
	return v
}

func comparisonRow(item *api.BenchComparisonItem) row {
	scale := newScaler(item.Metric, item.Old, item.New)
	r := row{
		Verdict: item.Change, Class: changeClass(item.Change), Rank: slices.Index([]string{"none", "unknown", "better", "worse"}, item.Change),
		Package: item.Package, Name: fullName(item.Name, item.Procs), Metric: item.Metric,
		Old: scale.format(item.Old), New: scale.format(item.New), OldKey: key(item.Old), NewKey: key(item.New),
		Change: estimate(comparisonEstimate(item)), ChangeKey: keyOf(comparisonEstimate(item)), Interval: interval(item.Low, item.High),
		Samples: fmt.Sprintf("%d / %d", item.OldSamples, item.NewSamples),
	}
	if item.Exact {
		r.Interval = "exact"
	}
	return r
}

// comparisonEstimate returns the estimated change.
func comparisonEstimate(item *api.BenchComparisonItem) *float64 { return &item.Estimate }

// samples returns what results have of an item's metric.
func samples(results *api.BenchResults, item *api.BenchComparisonItem) []float64 {
	if results == nil {
		return nil
	}
	var values []float64
	for i := range results.Runs {
		for _, s := range results.Runs[i].Series {
			if s.Package != item.Package || s.Name != item.Name || s.Procs != item.Procs {
				continue
			}
			for _, sample := range s.Samples {
				if v, ok := sample.Values[item.Metric]; ok {
					values = append(values, v)
				}
			}
		}
	}
	return values
}
