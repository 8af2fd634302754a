package changepoint

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is an estimate and its confidence interval.
type Interval struct {
	Estimate, Low, High float64
}

// Confidence is that of all intervals.
const Confidence = 0.95

// Shift returns how far the values after are from those before: the median of
// all differences after minus before, with the interval that inverts the
// Mann-Whitney test (J. L. Hodges and E. L. Lehmann, "Estimates of Location
// Based on Rank Tests", Annals of Mathematical Statistics 34 (1963)). With too
// few values for the confidence the interval is that of all differences. Neither
// slice may be empty.
func Shift(before, after []float64) Interval {
	differences := make([]float64, 0, len(before)*len(after))
	for _, b := range before {
		for _, a := range after {
			differences = append(differences, a-b)
		}
	}
	slices.Sort(differences)
	last := len(differences) - 1
	outside := mannWhitneyQuantile(len(before), len(after), (1-Confidence)/2) - 1
	outside = min(max(outside, 0), last/2)
	return Interval{Median(differences), differences[outside], differences[last-outside]}
}

// exactLimit is the number of pairs up to which the distribution of the
// Mann-Whitney statistic is counted; above it is near enough to normal.
const exactLimit = 400

// mannWhitneyQuantile returns the largest k with P(U < k) ≤ p, of the
// Mann-Whitney statistic U of m and n values without a difference.
func mannWhitneyQuantile(m, n int, p float64) int {
	if m*n > exactLimit {
		mean := float64(m) * float64(n) / 2
		deviation := math.Sqrt(float64(m) * float64(n) * float64(m+n+1) / 12)
		return max(0, int(math.Floor(mean+distuv.UnitNormal.Quantile(p)*deviation)))
	}
	counts := mannWhitneyCounts(m, n)
	var total float64
	for _, c := range counts {
		total += c
	}
	var below float64
	for k, c := range counts {
		if below += c; below > p*total {
			return k
		}
	}
	return 0
}

// mannWhitneyCounts returns for each value of U in how many of the orders of
// m and n values it has that value: the coefficients of the Gaussian binomial,
// the product of (1-q^(n+i))/(1-q^i) for i from 1 to m.
func mannWhitneyCounts(m, n int) []float64 {
	counts := make([]float64, m*n+1)
	counts[0] = 1
	for i := 1; i <= m; i++ {
		for k := len(counts) - 1; k >= n+i; k-- {
			counts[k] -= counts[k-n-i]
		}
		for k := i; k < len(counts); k++ {
			counts[k] += counts[k-i]
		}
	}
	return counts
}

// Median returns the median of ascending values, of which there is one at least.
func Median(sorted []float64) float64 { return Quantile(sorted, 0.5) }

// Quantile returns the quantile p of ascending values, of which there is one at
// least, by linear interpolation (type 7 of R. J. Hyndman and Y. Fan, "Sample
// Quantiles in Statistical Packages", The American Statistician 50 (1996)).
func Quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	part := at - float64(i)
	return sorted[i]*(1-part) + sorted[i+1]*part
}
