package report

import (
	"math"

	"github.com/gopherwood-dev/gopherwood/api"
)

// change is an estimated change with its confidence interval, ready to be drawn.
type change struct {
	estimate, low, high *float64
	null                *api.BenchNull
	// least and most bound what passes; NaN where there is no limit.
	least, most float64
	class       string
	// exact says that there is no doubt about it.
	exact bool
}

// The measures of a plot in a cell of a table.
const (
	cellWidth  = 220
	cellHeight = 26
	cellLeft   = 10
	cellRight  = 210
)

// forestAxis returns the axis that all changes of a table share. It is made for
// those that are in doubt; exact ones can be far beyond what matters of a limit.
func forestAxis(changes []change) axis {
	var values, limits []float64
	for _, c := range changes {
		for _, end := range []*float64{c.estimate, c.low, c.high} {
			if end != nil && !c.exact {
				values = append(values, *end)
			}
		}
		limits = append(limits, c.least, c.most)
	}
	return ratioAxis(values, limits, cellLeft, cellRight)
}

// forestHead draws the axis of a table's changes.
func forestHead(a axis) *plot {
	p := &plot{Width: cellWidth, Height: 18, Title: "scale of the changes below"}
	last := math.Inf(-1)
	for _, m := range ratioMarks(a) {
		if m.At-last < 42 {
			continue
		}
		last = m.At
		p.label(m.At, 13, "middle", m.Label, "soft")
	}
	return p
}

// forest draws the interval of a change as a line with the estimate as a dot on
// it, what is beyond the limits shaded, and the null arm's interval below it.
func forest(a axis, c change) *plot {
	p := &plot{Width: cellWidth, Height: cellHeight, Title: "estimate " + estimate(c.estimate) + ", interval " + interval(c.low, c.high)}
	if !math.IsNaN(c.least) {
		p.between("beyond", cellLeft, 0, a.at(logRatio(c.least)), cellHeight)
	}
	if !math.IsNaN(c.most) {
		p.between("beyond", a.at(logRatio(c.most)), 0, cellRight, cellHeight)
	}
	p.line("zero", a.at(0), 0, a.at(0), cellHeight)
	if c.null != nil {
		left, right := a.ends(c.null.Low, c.null.High)
		p.line("nullinterval", left, cellHeight-5, right, cellHeight-5)
	}
	const middle = cellHeight/2 - 2
	left, right := a.ends(c.low, c.high)
	p.line("interval "+c.class, left, middle, right, middle)
	if c.low == nil || logRatio(*c.low) < a.from {
		p.line("interval "+c.class, left+5, middle-4, left, middle, left+5, middle+4)
	}
	if c.high == nil || logRatio(*c.high) > a.to {
		p.line("interval "+c.class, right-5, middle-4, right, middle, right-5, middle+4)
	}
	if c.estimate != nil {
		p.Dots = append(p.Dots, dot{a.at(logRatio(*c.estimate)), middle, 4, c.class, p.Title})
	}
	return p
}

// ends returns where an interval begins and ends; what is open reaches the
// axis's end.
func (a axis) ends(low, high *float64) (left, right float64) {
	left, right = a.left, a.right
	if low != nil {
		left = a.at(logRatio(*low))
	}
	if high != nil {
		right = a.at(logRatio(*high))
	}
	return left, right
}
