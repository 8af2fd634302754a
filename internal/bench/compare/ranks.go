package compare

import (
	"math"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// maxExact is the largest sample for which the distribution of U is computed;
// above it the normal approximation differs by less than a rank or two.
const maxExact = 50

// shift estimates by how much new lies above old: the Hodges–Lehmann estimator,
// which is the median of all differences of a value of new and one of old
// (Hodges and Lehmann, Estimates of Location Based on Rank Tests, 1963), and the
// interval of all shifts that the two-sided Mann–Whitney test at level alpha does
// not reject (Lehmann, Nonparametric Confidence Intervals for a Shift Parameter,
// 1963; the critical values are those of Mann and Whitney, 1947).
//
// With ties the closed interval covers the shift with at least 1-alpha all the
// same: it is the limit of those that breaking the ties at random gives, each of
// which covers it (Noether, Wilcoxon Confidence Intervals for Location Parameters
// in the Discrete Case, 1967).
//
// Both samples are sorted and not empty. Bounded is false when the samples are
// too few to exclude anything at this level.
func shift(old, new []float64, alpha float64) (estimate, low, high float64, bounded bool) {
	pairs := len(old) * len(new)
	estimate = nthDifference(old, new, (pairs+1)/2)
	if pairs%2 == 0 {
		upper := nthDifference(old, new, pairs/2+1)
		estimate += (upper - estimate) / 2
	}
	k := critical(len(old), len(new), alpha)
	if k < 1 {
		return estimate, 0, 0, false
	}
	return estimate, nthDifference(old, new, k), nthDifference(old, new, pairs+1-k), true
}

// nthDifference returns the n-th smallest (from 1) of all differences of a value
// of new and one of old, both sorted and finite, without making them all: it
// bisects the ordered set of floating-point numbers, each step counting in
// O(len(old)+len(new)) the differences that are not above.
func nthDifference(old, new []float64, n int) float64 {
	low := ordinal(new[0] - old[len(old)-1])
	high := ordinal(new[len(new)-1] - old[0])
	for low < high {
		middle := low + int64(uint64(high-low)/2)
		if countUpTo(old, new, fromOrdinal(middle)) >= n {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return fromOrdinal(low)
}

// countUpTo counts the differences that are at most limit.
func countUpTo(old, new []float64, limit float64) int {
	count, j := 0, 0
	for _, o := range old {
		for j < len(new) && new[j]-o <= limit {
			j++
		}
		count += j
	}
	return count
}

// ordinal maps finite floating-point numbers to integers in the same order;
// neighbours become neighbours, and both zeros 0.
func ordinal(f float64) int64 {
	bits := int64(math.Float64bits(f))
	if bits < 0 {
		return math.MinInt64 - bits
	}
	return bits
}

func fromOrdinal(n int64) float64 {
	if n < 0 {
		return math.Float64frombits(uint64(math.MinInt64 - n))
	}
	return math.Float64frombits(uint64(n))
}

// criticalKey is what critical values depend on.
type criticalKey struct {
	m, n  int
	alpha float64
}

var criticalValues sync.Map // criticalKey → int

// critical returns the largest k for which the k-th smallest difference and the
// k-th largest are the ends of an interval with a confidence of at least 1-alpha:
// the number of values u of the Mann–Whitney statistic with P(U ≤ u) ≤ alpha/2.
// It is 0 when there are none.
func critical(m, n int, alpha float64) int {
	key := criticalKey{min(m, n), max(m, n), alpha}
	if k, ok := criticalValues.Load(key); ok {
		return k.(int)
	}
	k := 0
	if key.n <= maxExact {
		k = exactCritical(key.m, key.n, alpha)
	} else {
		k = normalCritical(key.m, key.n, alpha)
	}
	criticalValues.Store(key, k)
	return k
}

// exactCritical counts arrangements. That of m and n values with U = u is the
// coefficient of q^u in the Gaussian binomial coefficient (m+n over m), the
// product over i = 1 … m of (1-q^(n+i)) / (1-q^i) (Andrews, The Theory of
// Partitions, 1976, theorem 3.1). Only the coefficients up to the middle are made.
func exactCritical(m, n int, alpha float64) int {
	count := make([]float64, m*n/2+1)
	count[0] = 1
	for i := 1; i <= m; i++ {
		for u := len(count) - 1; u >= n+i; u-- {
			count[u] -= count[u-n-i]
		}
		for u := i; u < len(count); u++ {
			count[u] += count[u-i]
		}
	}
	all := 1.0
	for i := 1; i <= m; i++ {
		all = all * float64(n+i) / float64(i)
	}
	// A sum of counts that is the bound itself is no more than it, whatever the
	// rounding of the bound.
	bound, sum := all*alpha/2*(1+1e-12), 0.0
	for u, c := range count {
		if sum += c; sum > bound {
			return u
		}
	}
	return len(count)
}

// normalCritical approximates with a normal distribution of the same mean and
// variance, and a correction for continuity.
func normalCritical(m, n int, alpha float64) int {
	product := float64(m) * float64(n)
	sigma := math.Sqrt(product * float64(m+n+1) / 12)
	u := product/2 - 0.5 + sigma*distuv.UnitNormal.Quantile(alpha/2)
	return max(0, int(math.Floor(u))+1)
}

// median of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	a, b := sorted[n/2-1], sorted[n/2]
	if m := a + (b-a)/2; !math.IsInf(m, 0) {
		return m
	}
	return a/2 + b/2
}
