package render

import (
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// BenchGate writes a gate as a table, JSON or YAML.
func BenchGate(w io.Writer, f Format, g *api.BenchGate, look Layout) error {
	if f != Table {
		return Document(w, f, g)
	}
	var b strings.Builder
	t := &table{flexible: 1}
	t.row("VERDICT", "BENCHMARK", "METRIC", "BASE", "CHANGE", "INTERVAL", "LIMIT", "CAN TELL", "ROUNDS")
	counts := map[api.BenchVerdict]int{}
	var open []api.BenchGateItem
	for _, i := range g.Items {
		counts[i.Verdict]++
		if i.Verdict != api.BenchPass {
			open = append(open, i)
		}
		if shown(i, look) {
			t.row(string(i.Verdict), benchName(i), i.Metric, metricValue(i.Base, i.Metric), change(i.Estimate), span(i.Low, i.High),
				i.Limit.Worse, change(i.MinDetectable), strconv.Itoa(i.Rounds))
		}
	}
	if len(t.rows) > 1 {
		headed(&b, t, look)
		b.WriteString("\n")
	}
	for _, i := range open {
		fmt.Fprintf(&b, "%s  %s\n", look.paint(benchColor(i.Verdict), string(i.Verdict)), Clean(strings.TrimSpace(benchName(i)+" "+i.Metric)))
		hang(&b, "  ", 2, i.Reason)
	}
	for _, n := range g.Notes {
		hang(&b, "note: ", 2, n)
	}
	if len(open)+len(g.Notes) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s: %d pass, %d inconclusive, %d warn, %d fail; measured for %s, seed %d\n", look.paint(benchColor(g.Verdict), string(g.Verdict)),
		counts[api.BenchPass], counts[api.BenchInconclusive], counts[api.BenchWarn], counts[api.BenchFail], seconds(g.Measuring), g.Seed)
	return write(w, b.String())
}

// shown says whether an item is worth a row: what was compared exactly and found
// the same is not, unless everything is wanted.
func shown(i api.BenchGateItem, look Layout) bool {
	return look.Verbose || i.Rounds > 0 && (!i.Exact || i.Change != "none")
}

// benchName is a benchmark with the last element of its package.
func benchName(i api.BenchGateItem) string {
	if i.Name == "" {
		return i.Package
	}
	return path.Base(i.Package) + "." + i.Name
}

func benchColor(v api.BenchVerdict) string {
	switch v {
	case api.BenchFail:
		return red
	case api.BenchWarn, api.BenchInconclusive:
		return yellow
	}
	return green
}

// change writes a fraction as a percentage, "-" when there is none.
func change(fraction *float64) string {
	if fraction == nil {
		return "-"
	}
	return fmt.Sprintf("%+.1f%%", 100**fraction)
}

func span(low, high *float64) string {
	if low == nil || high == nil {
		return "-"
	}
	return change(low) + " to " + change(high)
}

func seconds(s float64) string {
	if s < 90 {
		return fmt.Sprintf("%.0f s", s)
	}
	return fmt.Sprintf("%.0f min %.0f s", math.Floor(s/60), math.Mod(s, 60))
}

// metricValue writes a value with three digits; times in the unit that fits.
func metricValue(v float64, metric string) string {
	if metric != "ns/op" {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	for _, unit := range []struct {
		name string
		size float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", v)
}
