package render

import (
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// BenchCalibration writes a calibration as a table, JSON or YAML.
func BenchCalibration(w io.Writer, f Format, c *api.BenchCalibration, look Layout) error {
	if f != Table {
		return Document(w, f, c)
	}
	var b strings.Builder
	rounds := calibratedRounds(c)
	t := &table{}
	head := []string{"BENCHMARK", "NOISE", "A ROUND", "MEASURED"}
	for _, n := range rounds {
		head = append(head, "IN "+strconv.Itoa(n))
	}
	t.row(head...)
	for i := range c.Items {
		item := &c.Items[i]
		row := []string{path.Base(item.Package) + "." + item.Name, unsigned(math.Expm1(item.Noise)), metricValue(1e9*item.Seconds, "ns/op"), strconv.Itoa(item.Rounds)}
		for _, n := range rounds {
			row = append(row, detectableIn(item, n))
		}
		t.row(row...)
	}
	headed(&b, t, look)
	b.WriteString("\n")
	if len(rounds) > 0 {
		fmt.Fprintf(&b, "IN %[1]d is the smallest change that %[1]d rounds tell from none, in 95 %% of cases.\n\n", rounds[0])
	}
	for _, n := range c.Notes {
		hang(&b, "note: ", 2, n)
	}
	fmt.Fprintf(&b, "%d of %d replayed gates fail, though nothing has changed; seed %d\n", c.FalsePositives, c.Gates, c.Seed)
	if r := c.Recommended; r.Worse != "" {
		fmt.Fprintf(&b, "Recommended: a limit of %s for ns/op, and a budget of %s; the noisiest benchmark needs %d rounds for it\n", Clean(r.Worse), Clean(r.Budget), r.Rounds)
	}
	return write(w, b.String())
}

// calibratedRounds are the numbers of rounds for which some change is known.
func calibratedRounds(c *api.BenchCalibration) []int {
	var all []int
	for _, item := range c.Items {
		for _, d := range item.MinDetectable {
			all = append(all, d.Rounds)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func detectableIn(item *api.BenchCalibrationItem, rounds int) string {
	for _, d := range item.MinDetectable {
		if d.Rounds == rounds {
			return unsigned(d.Change)
		}
	}
	return "-"
}

// unsigned writes a fraction as a percentage.
func unsigned(fraction float64) string { return fmt.Sprintf("%.1f%%", 100*fraction) }
