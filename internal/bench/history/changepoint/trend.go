package changepoint

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Slope is a trend: how much a sequence rises from one point to the next, and
// the p-value of the test that it does not.
type Slope struct {
	Interval
	PValue float64
}

// Trend returns the trend of x, which has to have two points: the median of the
// slopes of all pairs, its interval (P. K. Sen, "Estimates of the Regression
// Coefficient Based on Kendall's Tau", Journal of the American Statistical
// Association 63 (1968)), and the p-value of the Mann-Kendall test, two-sided,
// with the correction for ties, by its normal approximation. That is good from
// about ten points on. The time is O(n² log n).
func Trend(x []float64) Slope {
	n := len(x)
	slopes := make([]float64, 0, n*(n-1)/2)
	var score float64
	for i := range x {
		for j := i + 1; j < n; j++ {
			difference := x[j] - x[i]
			slopes = append(slopes, difference/float64(j-i))
			score += sign(difference)
		}
	}
	slices.Sort(slopes)
	deviation := math.Sqrt(kendallVariance(x))
	half := distuv.UnitNormal.Quantile(1-(1-Confidence)/2) * deviation
	last := len(slopes) - 1
	low := int(math.Floor((float64(len(slopes))-half)/2)) - 1
	low = min(max(low, 0), last/2)
	slope := Slope{Interval: Interval{Median(slopes), slopes[low], slopes[last-low]}, PValue: 1}
	if score != 0 && deviation > 0 {
		z := (math.Abs(score) - 1) / deviation
		slope.PValue = 2 * distuv.UnitNormal.Survival(z)
	}
	return slope
}

// kendallVariance is the variance of Mann-Kendall's score of values without a trend.
func kendallVariance(x []float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	sum := kendallTerm(len(x))
	for from := 0; from < len(sorted); {
		to := from + 1
		for to < len(sorted) && sorted[to] == sorted[from] {
			to++
		}
		sum -= kendallTerm(to - from)
		from = to
	}
	return sum / 18
}

func kendallTerm(n int) float64 {
	f := float64(n)
	return f * (f - 1) * (2*f + 5)
}

func sign(f float64) float64 {
	switch {
	case f > 0:
		return 1
	case f < 0:
		return -1
	}
	return 0
}
