package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plot is a drawing in pixels, from the top left. It is written as SVG by the
// template of the same name.
type plot struct {
	// Title says what there is to see, for those who do not see it.
	Title         string
	Width, Height float64
	Rects         []rect
	Lines         []line
	Dots          []dot
	Labels        []label
}

type rect struct {
	X, Y, W, H float64
	Class      string
}

// line connects its points, "x,y x,y".
type line struct {
	Points, Class string
}

type dot struct {
	X, Y, R    float64
	Class, Tip string
}

// label is text whose start, middle or end is at X.
type label struct {
	X, Y                float64
	Anchor, Text, Class string
}

// px writes a position.
func px(v float64) string { return trimZeros(strconv.FormatFloat(v, 'f', 1, 64)) }

// points is the points of a line: x and y in turn.
func points(xy ...float64) string {
	var b strings.Builder
	for i := 0; i+1 < len(xy); i += 2 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(px(xy[i]) + "," + px(xy[i+1]))
	}
	return b.String()
}

func (p *plot) line(class string, xy ...float64) {
	p.Lines = append(p.Lines, line{points(xy...), class})
}

func (p *plot) label(x, y float64, anchor, text, class string) {
	p.Labels = append(p.Labels, label{x, y, anchor, text, class})
}

// between adds a rectangle whose corners are given in any order.
func (p *plot) between(class string, x1, y1, x2, y2 float64) {
	p.Rects = append(p.Rects, rect{min(x1, x2), min(y1, y2), math.Abs(x2 - x1), math.Abs(y2 - y1), class})
}

// The measures of plots that stand for themselves.
const (
	plotWidth  = 720
	plotLeft   = 86  // of the area that shows data: room for the labels of the axis
	plotRight  = 704 // of the same
	fontHeight = 12
)

// valueAxis draws horizontal lines at round values of a metric with their
// labels, from top to bottom.
func (p *plot) valueAxis(a axis, metric string) {
	steps, scale := roundValues(a, metric, 5)
	for _, v := range steps {
		y := a.at(v)
		p.line("grid", plotLeft, y, plotRight, y)
		p.label(plotLeft-6, y+4, "end", scale.format(v), "soft")
	}
}

// roundValues returns about n values of metric on an axis that are round in the
// unit in which scale writes them.
func roundValues(a axis, metric string, n int) ([]float64, scaler) {
	scale := newScaler(metric, max(math.Abs(a.from), math.Abs(a.to)))
	unit := scale.scale.Factor / scale.factor
	steps := niceSteps(a.from/unit, a.to/unit, n)
	for i := range steps {
		steps[i] *= unit
	}
	return steps, scale
}

// maxDots bounds the dots of one series; more could not be told apart.
const maxDots = 400

// spread returns at most maxDots indexes of n, evenly spaced, with the first and
// the last.
func spread(n int) []int {
	count := min(n, maxDots)
	indexes := make([]int, count)
	for i := range indexes {
		if count > 1 {
			indexes[i] = i * (n - 1) / (count - 1)
		}
	}
	return indexes
}

// shift moves the i-th dot of a strip off its middle, so that dots of nearly the
// same value stay apart: between −1 and 1, the same at every time. The golden
// ratio spreads any number of them evenly.
func shift(i int) float64 {
	_, part := math.Modf(float64(i) * (math.Sqrt(5) - 1) / 2)
	return 2*part - 1
}

// lane is one row of a plot of distributions.
type lane struct {
	name, class string
	values      []float64
}

// distributions draws every value of the lanes as a dot and their quartiles as a
// box, below each other on one axis. It returns nil when there is no value.
func distributions(metric string, lanes []lane) *plot {
	const laneHeight, top = 40.0, 6.0
	var all []float64
	for _, l := range lanes {
		all = append(all, l.values...)
	}
	if _, ok := summarize(all); !ok {
		return nil
	}
	bottom := top + laneHeight*float64(len(lanes))
	p := &plot{Width: plotWidth, Height: bottom + 8 + fontHeight}
	a := around(all, plotLeft, plotRight)
	steps, scale := roundValues(a, metric, 6)
	for _, v := range steps {
		p.line("grid", a.at(v), top, a.at(v), bottom)
		p.label(a.at(v), p.Height-4, "middle", scale.format(v), "soft")
	}
	var said []string
	for i, l := range lanes {
		middle := top + laneHeight*(float64(i)+0.5)
		p.label(plotLeft-6, middle+4, "end", l.name, "")
		if box, ok := summarize(l.values); ok {
			p.strip(a, l, middle, scale)
			p.box(a, box, middle)
			said = append(said, fmt.Sprintf("%s: median %s, middle half %s to %s", l.name, scale.format(box.Median), scale.format(box.Low), scale.format(box.High)))
		}
	}
	p.Title = strings.Join(said, "; ")
	return p
}

// strip draws the values of a lane as dots around middle.
func (p *plot) strip(a axis, l lane, middle float64, scale scaler) {
	for n, i := range spread(len(l.values)) {
		if v := l.values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			p.Dots = append(p.Dots, dot{a.at(v), middle + 13*shift(n), 2, l.class, scale.format(v)})
		}
	}
}

// box draws quartiles around middle, with lines to the least and the greatest value.
func (p *plot) box(a axis, s summary, middle float64) {
	p.line("whisker", a.at(s.Min), middle, a.at(s.Low), middle)
	p.line("whisker", a.at(s.High), middle, a.at(s.Max), middle)
	p.between("box", a.at(s.Low), middle-9, a.at(s.High), middle+9)
	p.line("median", a.at(s.Median), middle-12, a.at(s.Median), middle+12)
}

// ratios draws the change of each round, and that of the null arm beside it: what
// comes in phases is seen there. It returns nil for fewer than two rounds.
func ratios(head, null []float64) *plot {
	const top, bottom = 8.0, 136.0
	n := max(len(head), len(null))
	if n < 2 {
		return nil
	}
	p := &plot{Width: plotWidth, Height: bottom + 10 + fontHeight, Title: "change by round, over " + plural(n, "round")}
	y := ratioAxis(slices.Concat(head, null), nil, bottom, top)
	for _, m := range ratioMarks(y) {
		p.line("grid", plotLeft, m.At, plotRight, m.At)
		p.label(plotLeft-6, m.At+4, "end", m.Label, "soft")
	}
	p.line("zero", plotLeft, y.at(0), plotRight, y.at(0))
	x := axis{from: -0.5, to: float64(n) - 0.5, left: plotLeft, right: plotRight}
	for _, series := range []lane{{"base to itself", "null", null}, {"base to head", "head", head}} {
		for _, i := range spread(len(series.values)) {
			if v := series.values[i]; !math.IsNaN(v) {
				tip := fmt.Sprintf("round %d, %s: %s", i+1, series.name, percent(v))
				p.Dots = append(p.Dots, dot{x.at(float64(i)), y.at(logRatio(v)), 2.5, series.class, tip})
			}
		}
	}
	p.label(plotLeft, p.Height-4, "start", "round 1", "soft")
	p.label(plotRight, p.Height-4, "end", fmt.Sprintf("round %d", n), "soft")
	return p
}
