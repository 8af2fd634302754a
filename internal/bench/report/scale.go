package report

import (
	"math"
	"slices"
)

// axis maps values to positions between left and right (or bottom and top).
type axis struct {
	from, to    float64
	left, right float64
}

// at returns the position of v; what is beyond an end is put there, what is
// nowhere into the middle.
func (a axis) at(v float64) float64 {
	part := (v - a.from) / (a.to - a.from)
	if math.IsNaN(part) {
		return (a.left + a.right) / 2
	}
	return a.left + max(0, min(1, part))*(a.right-a.left)
}

// mark is a labelled position on an axis.
type mark struct {
	At    float64
	Label string
}

// niceSteps returns values at steps of 1, 2 or 5 times a power of ten that lie
// in from … to: about n of them. There is none when the range has no width.
func niceSteps(from, to float64, n int) []float64 {
	width := to - from
	if width <= 0 || math.IsInf(width, 0) || math.IsNaN(width) || n < 1 {
		return nil
	}
	raw := width / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*(1-1e-9) {
			step = m * power
			break
		}
	}
	var steps []float64
	for i := math.Ceil(from/step - 1e-9); i*step <= to+step*1e-9 && len(steps) <= 2*n; i++ {
		steps = append(steps, i*step)
	}
	return steps
}

// farOut bounds the ends of an axis, so that its width is a number.
const farOut = 1e300

// around returns an axis that shows values with some room at both ends. An
// axis of one value, or of none, has a width, too.
func around(values []float64, left, right float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			v = max(-farOut, min(farOut, v))
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high {
		low, high = 0, 1
	}
	room := (high - low) * 0.06
	if room == 0 {
		room = max(math.Abs(high)*0.05, 1e-12)
	}
	return axis{from: low - room, to: high + room, left: left, right: right}
}

// logRatio returns the natural logarithm of a change's ratio, so that twice as
// much and half as much are equally far from none. No change leads below zero:
// −100 % and less are −Inf.
func logRatio(change float64) float64 {
	if change <= -1 {
		return math.Inf(-1)
	}
	return math.Log1p(change)
}

// The bounds of an axis of changes: it shows at least ±2 %, and never more than
// five times less or more.
var (
	narrowest = math.Log(1.02)
	widest    = math.Log(5)
)

// ratioAxis returns an axis of log ratios, with no change in its middle, on
// which limits are seen well and as much of changes as fits: an outlier does not
// shrink all others to nothing.
func ratioAxis(changes, limits []float64, left, right float64) axis {
	half := narrowest
	for _, l := range limits {
		half = max(half, 1.6*finite(logRatio(l)))
	}
	var ends []float64
	for _, c := range changes {
		if end := finite(logRatio(c)); end > 0 {
			ends = append(ends, end)
		}
	}
	if len(ends) > 0 {
		slices.Sort(ends)
		half = max(half, 1.1*ends[(9*len(ends)-1)/10])
	}
	half = min(half, widest)
	return axis{from: -half, to: half, left: left, right: right}
}

// finite returns the magnitude of v, 0 when it has none.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Abs(v)
}

// ratioMarks returns labelled changes for an axis of ratioAxis, at most two on
// each side of none.
func ratioMarks(a axis) []mark {
	pairs := [][2]float64{ // changes that are equally far from none, about
		{-4.0 / 5, 4}, {-2.0 / 3, 2}, {-0.5, 1}, {-1.0 / 3, 0.5}, {-0.2, 0.25}, {-0.1, 0.1}, {-0.05, 0.05}, {-0.02, 0.02}, {-0.01, 0.01},
	}
	marks := []mark{{a.at(0), "0"}}
	var last float64
	for _, pair := range pairs {
		far := math.Log1p(pair[1])
		if far > a.to*0.98 || len(marks) > 1 && far > last*0.55 {
			continue
		}
		last = far
		for _, change := range pair {
			marks = append(marks, mark{a.at(math.Log1p(change)), percent(change)})
		}
		if len(marks) == 5 {
			break
		}
	}
	slices.SortFunc(marks, func(x, y mark) int { return int(math.Copysign(1, x.At-y.At)) })
	return marks
}

// summary has the five numbers of a box plot.
type summary struct{ Min, Low, Median, High, Max float64 }

// summarize returns the quartiles of values, interpolated linearly between
// order statistics (definition 7 of Hyndman and Fan, Sample quantiles in
// statistical packages, 1996). It returns false for no values.
func summarize(values []float64) (summary, bool) {
	sorted := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			sorted = append(sorted, v)
		}
	}
	if len(sorted) == 0 {
		return summary{}, false
	}
	slices.Sort(sorted)
	quantile := func(p float64) float64 {
		i, part := math.Modf(p * float64(len(sorted)-1))
		low, high := sorted[int(i)], sorted[min(int(i)+1, len(sorted)-1)]
		return low*(1-part) + high*part // does not overflow
	}
	return summary{sorted[0], quantile(.25), quantile(.5), quantile(.75), sorted[len(sorted)-1]}, true
}

// decades returns 1, 2 and 5 times the powers of ten that lie in from … to, both
// above zero; only the powers themselves when those are many.
func decades(from, to float64) []float64 {
	if !(from > 0) || math.IsInf(to, 0) || math.IsNaN(to) {
		return nil
	}
	factors := []float64{1, 2, 5}
	if math.Log10(to/from) > 3 {
		factors = factors[:1]
	}
	var values []float64
	for power := math.Floor(math.Log10(from)); power <= math.Log10(to); power++ {
		for _, f := range factors {
			if v := f * math.Pow(10, power); v >= from && v <= to {
				values = append(values, v)
			}
		}
	}
	return values
}
