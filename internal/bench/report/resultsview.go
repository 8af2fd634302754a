package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
)

// resultsView is what the page shows of results: a table a run.
type resultsView struct {
	Sentence      string
	Notes, Failed []string
	Tools         tools
	Runs          []runView
}

type runView struct {
	Title    string
	Rows     []resultRow
	Measured []measured
	Facts    []fact
}

// resultRow is one metric of a benchmark. The keys are what it is sorted by.
type resultRow struct {
	Package, Name, Metric, Link, Median, MedianKey, Half, Spread, SpreadKey string
	Samples                                                                 int
}

func newResultsView(set *api.BenchResults) *resultsView {
	v := &resultsView{Sentence: resultsSentence(set), Notes: set.Notes, Failed: messages(set.Errors), Tools: tools{For: "resultrow"}}
	plots := 0
	for i := range set.Runs {
		run := runView{Title: runTitle(&set.Runs[i]), Facts: runFacts(&set.Runs[i])}
		for _, m := range metricsOf(&set.Runs[i]) {
			r := m.row()
			if plot := distributions(m.metric, []lane{{"samples", "head", m.values}}); plot != nil && plots < maxPlots && m.varies() {
				r.Link = "results-" + strconv.Itoa(plots)
				run.Measured = append(run.Measured, measured{ID: r.Link, Name: joined(".", r.Package, r.Name), Metric: m.metric, Values: plot})
				plots++
			}
			run.Rows = append(run.Rows, r)
		}
		v.Tools.Count += len(run.Rows)
		v.Runs = append(v.Runs, run)
	}
	return v
}

// metricValues are the samples of one metric of a series.
type metricValues struct {
	series *api.BenchSeries
	metric string
	values []float64
}

// metricsOf returns the metrics of each series, in the order of package testing.
func metricsOf(run *api.BenchRun) []metricValues {
	var all []metricValues
	for i := range run.Series {
		s := &run.Series[i]
		byUnit := map[string][]float64{}
		for _, sample := range s.Samples {
			for unit, value := range sample.Values {
				byUnit[unit] = append(byUnit[unit], value)
			}
		}
		for _, unit := range results.SortUnits(slices.Collect(maps.Keys(byUnit))) {
			all = append(all, metricValues{s, unit, byUnit[unit]})
		}
	}
	return all
}

func (m metricValues) varies() bool { return slices.Min(m.values) != slices.Max(m.values) }

func (m metricValues) row() resultRow {
	r := resultRow{Package: m.series.Package, Name: fullName(m.series.Name, m.series.Procs), Metric: m.metric, Samples: len(m.values)}
	s, ok := summarize(m.values)
	if !ok {
		return r
	}
	scale := newScaler(m.metric, s.Median)
	r.Median, r.MedianKey = scale.format(s.Median), key(s.Median)
	r.Half = scale.format(s.Low) + " … " + scale.format(s.High)
	if spread := (s.High - s.Low) / math.Abs(s.Median); s.High >= s.Low && s.Median != 0 {
		r.Spread, r.SpreadKey = strings.TrimPrefix(percent(spread), "+"), key(spread)
	}
	return r
}

// runTitle says when and of what a run is.
func runTitle(run *api.BenchRun) string {
	build := ""
	if run.Side.Revision+run.Side.Commit+run.Side.Tree != "" {
		build = side(run.Side)
	}
	return cmp.Or(dots(run.Time, build), "A run")
}

func runFacts(run *api.BenchRun) []fact {
	facts := machineFacts(run.Machine, run.Settings)
	if versions := goVersionsOf(run.Side.Binaries); versions != "" {
		facts = append([]fact{{"Go", versions}}, facts...)
	}
	for _, name := range slices.Sorted(maps.Keys(run.Labels)) {
		facts = append(facts, fact{"label", name + ": " + run.Labels[name]})
	}
	return facts
}

// resultsSentence says how much there is.
func resultsSentence(set *api.BenchResults) string {
	series, samples := 0, 0
	for i := range set.Runs {
		series += len(set.Runs[i].Series)
		for j := range set.Runs[i].Series {
			samples += len(set.Runs[i].Series[j].Samples)
		}
	}
	return fmt.Sprintf("%s of %s in %s.", plural(samples, "sample"), plural(series, "benchmark"), plural(len(set.Runs), "run"))
}

func (c *comment) results(set *api.BenchResults) {
	c.put("\n### Benchmark results\n\n%s\n", harmless.Markdown(resultsSentence(set)))
	c.list(set.Notes)
	if len(set.Errors) > 0 {
		c.put("\n**Not measured, or not read**\n")
		c.list(messages(set.Errors))
	}
	for i := range set.Runs {
		if !c.run(&set.Runs[i]) {
			c.put("\n%s more are in the full report.\n", plural(len(set.Runs)-i, "run"))
			return
		}
	}
}

// run writes a run, if its title fits.
func (c *comment) run(run *api.BenchRun) bool {
	if !c.fits("\n**" + harmless.Markdown(shorten(runTitle(run), 2*maxCell)) + "**\n") {
		return false
	}
	var rows [][]string
	for _, m := range metricsOf(run) {
		r := m.row()
		rows = append(rows, []string{
			joined("<br>", harmless.MarkdownCode(shorten(r.Name, maxCell)), harmless.Markdown(shorten(r.Package, maxCell))), harmless.Markdown(shorten(r.Metric, maxCell)),
			harmless.Markdown(r.Median), harmless.Markdown(r.Half), r.Spread, strconv.Itoa(r.Samples),
		})
	}
	c.table([]string{"Benchmark", "Metric", "Median", "Middle half", "Its width", "Samples"}, rows)
	if c.Len() < maxComment-2*reserve {
		c.folded("Where and how", func() { c.facts(runFacts(run)) })
	}
	return true
}
