package render

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// BenchComparison writes a comparison as a table, JSON or YAML.
func BenchComparison(w io.Writer, f Format, c *api.BenchComparison, look Layout) error {
	if f != Table {
		return Document(w, f, c)
	}
	var b strings.Builder
	for _, n := range c.Notes { // they say whether what follows means anything
		hang(&b, look.paint(yellow, "note")+": ", 2, n)
	}
	if len(c.Notes) > 0 {
		b.WriteString("\n")
	}
	t := &table{flexible: 1}
	t.row("CHANGE", "BENCHMARK", "METRIC", "OLD", "NEW", "ESTIMATE", "INTERVAL", "SAMPLES")
	counts := map[string]int{}
	for i := range c.Items {
		item := &c.Items[i]
		counts[item.Change]++
		t.row(item.Change, comparedName(item), item.Metric, metricValue(item.Old, item.Metric), metricValue(item.New, item.Metric),
			change(&item.Estimate), comparedSpan(item), comparedSamples(item))
	}
	headed(&b, t, look)
	b.WriteString("\n")
	for _, g := range c.Geomeans {
		fmt.Fprintf(&b, "geometric mean of %d benchmarks: %s %s\n", g.Benchmarks, Clean(g.Metric), change(&g.Estimate))
	}
	fmt.Fprintf(&b, "%d worse, %d better, %d the same, %d unknown; %s%% confidence each\n", counts["worse"], counts["better"], counts["none"], counts["unknown"],
		strconv.FormatFloat(100*(1-c.Alpha), 'g', 4, 64))
	return write(w, b.String())
}

// comparedName is a benchmark with the last element of its package and GOMAXPROCS.
func comparedName(i *api.BenchComparisonItem) string {
	name := i.Name
	if i.Procs > 0 {
		name += "-" + strconv.Itoa(i.Procs)
	}
	if i.Package == "" {
		return name
	}
	return path.Base(i.Package) + "." + name
}

func comparedSpan(i *api.BenchComparisonItem) string {
	if i.Exact {
		return "exact"
	}
	return span(i.Low, i.High)
}

func comparedSamples(i *api.BenchComparisonItem) string {
	if i.OldSamples == i.NewSamples {
		return strconv.Itoa(i.OldSamples)
	}
	return strconv.Itoa(i.OldSamples) + "+" + strconv.Itoa(i.NewSamples)
}
