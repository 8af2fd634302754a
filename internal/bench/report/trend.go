package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
)

// trend draws a series over the commits of its history: the median of each
// commit as a dot with its quartiles as a bar, the levels between change points,
// and drifts. It returns nil for a series without points.
func trend(h *api.BenchHistory, s *api.BenchHistorySeries) *plot {
	const top, bottom = 22.0, 222.0
	var values []float64
	for _, pt := range s.Points {
		values = append(values, pt.Median, pt.P25, pt.P75)
	}
	if len(values) == 0 {
		return nil
	}
	for _, c := range s.Changes {
		values = append(values, c.Before, c.After)
	}
	t := trendPlot{
		plot: &plot{Width: plotWidth, Height: bottom + 10 + fontHeight, Title: trendTitle(s)},
		x:    axis{from: -0.5, to: float64(max(1, len(h.Commits))) - 0.5, left: plotLeft, right: plotRight},
		y:    around(values, bottom, top),
	}
	t.valueAxis(t.y, s.Metric)
	t.commitAxis(h)
	t.levels(s)
	t.points(h, s)
	for _, c := range s.Changes {
		t.changePoint(c, top, bottom)
	}
	for _, d := range s.Drifts {
		t.drift(s, d, bottom)
	}
	return t.plot
}

// trendPlot is a plot whose x is the position of a commit.
type trendPlot struct {
	*plot
	x, y axis
}

func trendTitle(s *api.BenchHistorySeries) string {
	return fmt.Sprintf("%s of %s over %s: %s, %s", s.Metric, seriesName(s), plural(len(s.Points), "commit"),
		plural(len(s.Changes), "change point"), plural(len(s.Drifts), "drift"))
}

// seriesName names the benchmark of a series.
func seriesName(s *api.BenchHistorySeries) string {
	return joined(".", s.Package, fullName(s.Name, s.Procs))
}

// commitAxis labels the first and the last commit.
func (t trendPlot) commitAxis(h *api.BenchHistory) {
	if len(h.Commits) == 0 {
		return
	}
	first, last := h.Commits[0], h.Commits[len(h.Commits)-1]
	t.label(plotLeft, t.Height-4, "start", dots(short(first.Hash), day(first.Time)), "soft")
	if len(h.Commits) > 1 {
		t.label(plotRight, t.Height-4, "end", dots(short(last.Hash), day(last.Time)), "soft")
	}
}

// day is the date of a time in RFC 3339.
func day(time string) string { return time[:min(len(time), len("2006-01-02"))] }

// points draws the medians; of very many, some evenly spaced.
func (t trendPlot) points(h *api.BenchHistory, s *api.BenchHistorySeries) {
	scale := newScaler(s.Metric, s.Points[len(s.Points)-1].Median)
	for _, i := range spread(len(s.Points)) {
		pt := s.Points[i]
		x := t.x.at(float64(pt.Position))
		if pt.P25 != pt.P75 {
			t.line("whisker", x, t.y.at(pt.P25), x, t.y.at(pt.P75))
		}
		tip := fmt.Sprintf("%s: %s, %s", short(pt.Commit), scale.format(pt.Median), plural(pt.Samples, "sample"))
		if pt.Position >= 0 && pt.Position < len(h.Commits) {
			tip = dots(tip, day(h.Commits[pt.Position].Time), shorten(h.Commits[pt.Position].Subject, 100))
		}
		t.Dots = append(t.Dots, dot{x, t.y.at(pt.Median), 3, "sample", tip})
	}
}

// levels draws the level before, between and after change points.
func (t trendPlot) levels(s *api.BenchHistorySeries) {
	if len(s.Changes) == 0 {
		return
	}
	from, level := float64(s.Points[0].Position), s.Changes[0].Before
	last := float64(s.Points[len(s.Points)-1].Position)
	for _, c := range s.Changes {
		t.line("level", t.x.at(from-.4), t.y.at(level), t.x.at(float64(c.Position)-.5), t.y.at(level))
		from, level = float64(c.Position), c.After
	}
	t.line("level", t.x.at(from-.5), t.y.at(level), t.x.at(last+.4), t.y.at(level))
}

// changePoint draws where a series changed, and by how much.
func (t trendPlot) changePoint(c api.BenchChangePoint, top, bottom float64) {
	x := t.x.at(float64(c.Position) - .5)
	t.line("point "+c.Change, x, top-4, x, bottom)
	anchor, at := "start", x+4
	if x > (plotLeft+plotRight)/2 {
		anchor, at = "end", x-4
	}
	t.label(at, top-8, anchor, joined(" ", estimate(c.Estimate), changeWord(c.Change)), "")
}

// drift draws a slow change through the middle of its points.
func (t trendPlot) drift(s *api.BenchHistorySeries, d api.BenchDrift, bottom float64) {
	from := slices.IndexFunc(s.Points, func(p api.BenchHistoryPoint) bool { return p.Commit == d.From })
	to := slices.IndexFunc(s.Points, func(p api.BenchHistoryPoint) bool { return p.Commit == d.To })
	if from < 0 || to <= from || d.Estimate <= -1 {
		return
	}
	var medians []float64
	for _, pt := range s.Points[from : to+1] {
		medians = append(medians, pt.Median)
	}
	all, ok := summarize(medians)
	if !ok {
		return
	}
	half := math.Sqrt(1 + d.Estimate)
	x1, x2 := t.x.at(float64(s.Points[from].Position)), t.x.at(float64(s.Points[to].Position))
	t.line("drift", x1, t.y.at(all.Median/half), x2, t.y.at(all.Median*half))
	t.label((x1+x2)/2, bottom-6, "middle", "drift "+percent(d.Estimate), "")
}
