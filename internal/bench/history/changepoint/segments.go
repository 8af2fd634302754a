package changepoint

import (
	"context"
	"math"

	"gonum.org/v1/gonum/stat"
)

// Segment is a part of a sequence, x[From:To], that is at one level or follows
// one trend.
type Segment struct {
	From, To int
	// PValue is of the change at From; 1 of the first segment.
	PValue float64
}

// Segments divides x at its change points, but not where it only follows a
// trend: Divide makes stairs of a slope. Stairs that a straight line fits better
// than their steps do are one segment. The only errors are those of ctx.
func Segments(ctx context.Context, x []float64, o Options) ([]Segment, error) {
	divisions, err := Divide(ctx, x, o)
	if err != nil {
		return nil, err
	}
	segments := make([]Segment, 0, len(divisions)+1)
	from, p := 0, 1.0
	for _, d := range divisions {
		segments = append(segments, Segment{from, d.Index, p})
		from, p = d.Index, d.PValue
	}
	segments = append(segments, Segment{from, len(x), p})
	for {
		first, last, ok := longestSlope(x, segments)
		if !ok {
			return segments, nil
		}
		segments = Join(segments, first, last)
	}
}

// Join makes the segments from first to last one. It may change segments.
func Join(segments []Segment, first, last int) []Segment {
	segments[first].To = segments[last].To
	return append(segments[:first+1], segments[last+1:]...)
}

// longestSlope returns the segments, at least two, that cover the most points
// among those that a straight line fits better than levels do.
func longestSlope(x []float64, segments []Segment) (first, last int, ok bool) {
	longest := 0
	for i := range segments {
		for j := i + 1; j < len(segments); j++ {
			n := segments[j].To - segments[i].From
			if n > longest && isSlope(x, segments[i:j+1]) {
				first, last, longest = i, j, n
			}
		}
	}
	return first, last, longest > 0
}

// isSlope compares a line and levels by the Bayesian information criterion
// (G. Schwarz, "Estimating the Dimension of a Model", Annals of Statistics 6
// (1978)): n·ln(RSS/n) + k·ln(n), k being 2 of a line and the number of levels.
func isSlope(x []float64, segments []Segment) bool {
	var levels float64
	direction := 0.0
	for i, s := range segments {
		mean := stat.Mean(x[s.From:s.To], nil)
		levels += squares(x[s.From:s.To], mean, 0)
		if i == 0 {
			continue
		}
		step := sign(mean - stat.Mean(x[segments[i-1].From:segments[i-1].To], nil))
		if i > 1 && step != direction {
			return false
		}
		direction = step
	}
	all := x[segments[0].From:segments[len(segments)-1].To]
	index := make([]float64, len(all))
	for i := range index {
		index[i] = float64(i)
	}
	intercept, slope := stat.LinearRegression(index, all, nil, false)
	n := float64(len(all))
	criterion := func(rss float64, parameters int) float64 {
		return n*math.Log(rss/n) + float64(parameters)*math.Log(n)
	}
	return criterion(squares(all, intercept, slope), 2) < criterion(levels, len(segments))
}

// squares returns the sum of squared distances from a line.
func squares(x []float64, intercept, slope float64) float64 {
	var sum float64
	for i, v := range x {
		d := v - intercept - slope*float64(i)
		sum += d * d
	}
	return sum
}
