package changepoint

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMannWhitneyQuantile has the critical values of published tables for a
// two-sided test at 5 %: the largest U that is significant.
func TestMannWhitneyQuantile(t *testing.T) {
	for _, test := range []struct{ m, n, critical int }{
		{4, 4, 0}, {5, 5, 2}, {5, 8, 6}, {8, 5, 6}, {8, 8, 13}, {10, 10, 23}, {12, 15, 49}, {20, 20, 127},
	} {
		if got := mannWhitneyQuantile(test.m, test.n, 0.025) - 1; got != test.critical {
			t.Errorf("%d and %d values: %d, want %d", test.m, test.n, got, test.critical)
		}
	}
	if got := mannWhitneyQuantile(3, 3, 0.025); got != 0 {
		t.Errorf("3 and 3 values: %d, want 0", got)
	}
	// On both sides of the limit the two ways agree.
	for m := 17; m <= 20; m++ {
		exact := mannWhitneyQuantile(m, 20, 0.025)
		mean := float64(m*20) / 2
		deviation := math.Sqrt(float64(m) * 20 * float64(m+21) / 12)
		if normal := math.Floor(mean - 1.959964*deviation); math.Abs(float64(exact)-normal) > 1 {
			t.Errorf("%d and 20 values: exactly %d, by the normal distribution %v", m, exact, normal)
		}
	}
}

func TestMannWhitneyCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n := rapid.IntRange(1, 20).Draw(t, "m"), rapid.IntRange(1, 20).Draw(t, "n")
		counts := mannWhitneyCounts(m, n)
		var total float64
		for i, c := range counts {
			total += c
			if c < 0 || c != counts[len(counts)-1-i] {
				t.Fatalf("counts %v", counts)
			}
		}
		log, _ := math.Lgamma(float64(m + n + 1))
		logM, _ := math.Lgamma(float64(m + 1))
		logN, _ := math.Lgamma(float64(n + 1))
		if want := math.Exp(log - logM - logN); math.Abs(total/want-1) > 1e-9 {
			t.Fatalf("%v orders, want %v", total, want)
		}
	})
}

// TestCoverage: intervals of shifts and slopes hold the true value as often as they say.
func TestCoverage(t *testing.T) {
	const sequences = 2000
	for _, size := range []int{6, 12, 30} {
		random := rand.New(rand.NewPCG(10, uint64(size)))
		var shifts, slopes int
		for range sequences {
			before, after := noise(random, true, size), noise(random, true, size+3)
			line := noise(random, true, size)
			for i := range after {
				after[i] += 2
			}
			for i := range line {
				line[i] += 0.3 * float64(i)
			}
			if s := Shift(before, after); s.Low <= 2 && 2 <= s.High {
				shifts++
			}
			if s := Trend(line); s.Low <= 0.3 && 0.3 <= s.High {
				slopes++
			}
		}
		for what, hits := range map[string]int{"shifts": shifts, "slopes": slopes} {
			// Four standard errors below, and not too wide.
			if rate := float64(hits) / sequences; rate < Confidence-0.02 || rate > 0.99 {
				t.Errorf("%d points: %.1f %% of intervals of %s hold the value", size, 100*rate, what)
			}
		}
	}
}

func TestShift(t *testing.T) {
	got := Shift([]float64{3, 1, 2}, []float64{15, 11, 13})
	if want := (Interval{11, 8, 14}); got != want {
		t.Errorf("Shift = %v, want %v", got, want)
	}
	if got := Shift([]float64{1}, []float64{3}); got != (Interval{2, 2, 2}) {
		t.Errorf("of one value each: Shift = %v", got)
	}
}

func TestTrend(t *testing.T) {
	rising := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	got := Trend(rising)
	// S is 45, its variance 125: z is 44/√125.
	if want := math.Erfc(44 / math.Sqrt(250)); got.Estimate != 1 || got.Low != 1 || got.High != 1 || math.Abs(got.PValue-want) > 1e-12 {
		t.Errorf("Trend = %+v, want 1 with p %v", got, want)
	}
	slices.Reverse(rising)
	if down := Trend(rising); down.Estimate != -1 || down.PValue != got.PValue {
		t.Errorf("of falling values: Trend = %+v", down)
	}
	if flat := Trend(make([]float64, 5)); flat != (Slope{PValue: 1}) {
		t.Errorf("of equal values: Trend = %+v", flat)
	}
	if two := Trend([]float64{1, 3}); two.Estimate != 2 || two.PValue != 1 {
		t.Errorf("of two values: Trend = %+v", two)
	}
}

// TestKendallVariance counts the score in all orders of few values with ties.
func TestKendallVariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(0, 3).Draw(t, "v")) }), 2, 6).Draw(t, "x")
		var squares, orders float64
		permuted(slices.Clone(x), 0, func(order []float64) {
			var score float64
			for i := range order {
				for j := i + 1; j < len(order); j++ {
					score += sign(order[j] - order[i])
				}
			}
			squares += score * score
			orders++
		})
		if got, want := kendallVariance(x), squares/orders; math.Abs(got-want) > 1e-9 {
			t.Fatalf("kendallVariance(%v) = %v, want %v", x, got, want)
		}
	})
}

func permuted(x []float64, from int, do func([]float64)) {
	if from == len(x) {
		do(x)
		return
	}
	for i := from; i < len(x); i++ {
		x[from], x[i] = x[i], x[from]
		permuted(x, from+1, do)
		x[from], x[i] = x[i], x[from]
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	for p, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 3, 0.75: 5, 1: 8} {
		if got := Quantile(x, p); got != want {
			t.Errorf("Quantile(%v) = %v, want %v", p, got, want)
		}
	}
	if got := Median([]float64{-math.MaxFloat64, math.MaxFloat64}); got != 0 {
		t.Errorf("Median of the largest values = %v", got)
	}
}
