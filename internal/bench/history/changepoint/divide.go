// Package changepoint finds where a sequence of measurements changed: at once,
// or slowly. Its functions are pure; what is random is drawn from a seed.
//
// All tests take measurements for exchangeable while nothing changes. Noise that
// comes in phases is not: it makes phases look like changes.
package changepoint

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// Options are how change points are looked for.
type Options struct {
	// Alpha is the largest probability, in a sequence without a change, of finding one.
	Alpha float64
	// Permutations is how many are drawn at most for one test. The smallest
	// p-value is 1/(Permutations+1), which has to be at most Alpha.
	Permutations int
	// MinSegment is the least number of points between change points; at least 2.
	MinSegment int
	// Seed is what permutations are drawn from.
	Seed uint64
}

// Division is a change point: the first index of a new level, and the p-value
// of the test that found it.
type Division struct {
	Index  int
	PValue float64
}

// Divide returns the change points of x in ascending order. x is not changed.
// The only errors are those of ctx.
//
// It is E-divisive: the place that maximises the energy distance between what is
// before and after divides the sequence, as long as few permutations within the
// segments found so far give a distance as large (D. S. Matteson and
// N. A. James, "A Nonparametric Approach for Multiple Change Point Analysis of
// Multivariate Data", Journal of the American Statistical Association 109
// (2014), with exponent 1). The time is O(Permutations · n²) for a change point.
func Divide(ctx context.Context, x []float64, o Options) ([]Division, error) {
	o.MinSegment = max(o.MinSegment, 2)
	random := rand.New(rand.NewPCG(o.Seed, uint64(len(x))))
	search := newSearch(len(x), o.MinSegment)
	bounds := []int{0, len(x)}
	var found []Division
	for {
		at, distance := search.best(x, bounds)
		if at == 0 {
			break
		}
		p, err := permute(ctx, x, bounds, distance, search, random, o)
		if err != nil {
			return nil, err
		}
		if p > o.Alpha {
			break
		}
		found = append(found, Division{at, p})
		bounds = append(bounds, at)
		slices.Sort(bounds)
	}
	slices.SortFunc(found, func(a, b Division) int { return a.Index - b.Index })
	return found, nil
}

// permute returns the p-value of a distance: the share of random orders within
// the segments whose largest distance is at least as large. It stops early when
// the p-value can only be above alpha, with a value that is above it.
func permute(ctx context.Context, x []float64, bounds []int, distance float64, search *search, random *rand.Rand, o Options) (float64, error) {
	shuffled := slices.Clone(x)
	total := float64(o.Permutations + 1)
	reached := 1.0
	// Sums in another order round differently.
	least := distance * (1 - 1e-9)
	for range o.Permutations {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		for i := 1; i < len(bounds); i++ {
			segment := shuffled[bounds[i-1]:bounds[i]]
			random.Shuffle(len(segment), func(a, b int) { segment[a], segment[b] = segment[b], segment[a] })
		}
		if _, d := search.best(shuffled, bounds); d >= least {
			reached++
		}
		if reached/total > o.Alpha {
			break
		}
	}
	return reached / total, nil
}

// search finds the best division; its slices are used again and again.
type search struct {
	minimum int
	inverse []float64 // inverse[k] is 1/k
	across  []float64 // of each point right of the division, the distance to all on its left
	within  []float64 // within[k] is the sum of distances among the points from the division to before k
}

func newSearch(n, minimum int) *search {
	s := &search{minimum: minimum, inverse: make([]float64, n+1), across: make([]float64, n), within: make([]float64, n+1)}
	for k := 1; k <= n; k++ {
		s.inverse[k] = 1 / float64(k)
	}
	return s
}

// best returns the best division of all segments, 0 when none can be divided.
func (s *search) best(x []float64, bounds []int) (at int, distance float64) {
	distance = math.Inf(-1)
	for i := 1; i < len(bounds); i++ {
		from, to := bounds[i-1], bounds[i]
		if to-from < 2*s.minimum {
			continue
		}
		if a, d := s.segment(x[from:to]); d > distance {
			at, distance = from+a, d
		}
	}
	return at, distance
}

// segment returns the division t that maximises, over all ends k > t of the
// right part, the scaled distance mn/(m+n)·E between the n points x[:t] and the
// m points x[t:k].
func (s *search) segment(x []float64) (at int, distance float64) {
	s.start(x)
	distance = math.Inf(-1)
	var left float64 // sum of distances among x[:t]
	for t := 1; t <= len(x)-s.minimum; t++ {
		moved := t - 1
		left += s.across[moved]
		s.move(x, moved)
		if t < s.minimum {
			continue
		}
		if d := s.ends(len(x), t, left); d > distance {
			at, distance = t, d
		}
	}
	return at, distance
}

// start sets the sums for a division before the first point.
func (s *search) start(x []float64) {
	s.within[0] = 0
	for j := range x {
		var sum float64
		for i := range j {
			sum += math.Abs(x[i] - x[j])
		}
		s.across[j] = 0
		s.within[j+1] = s.within[j] + sum
	}
}

// move takes the point from the right part to the left.
func (s *search) move(x []float64, point int) {
	var sum float64
	value := x[point]
	for j := point + 1; j < len(x); j++ {
		d := math.Abs(value - x[j])
		sum += d
		s.across[j] += d
		s.within[j+1] -= sum
	}
}

// ends returns the largest distance of a division at t over all ends.
func (s *search) ends(length, t int, left float64) float64 {
	best := math.Inf(-1)
	n := float64(t)
	left *= s.inverse[t-1]
	var between float64
	for k := t + 1; k <= length; k++ {
		between += s.across[k-1]
		if k-t < s.minimum {
			continue
		}
		m := float64(k - t)
		d := 2 * s.inverse[k] * (between - left*m - s.within[k]*n*s.inverse[k-t-1])
		best = max(best, d)
	}
	return best
}
