package compare

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/perf/benchmath"
	"pgregory.net/rapid"
)

// uCounts counts the arrangements of m and n values by U, one by one.
func uCounts(m, n int) map[int]int {
	counts := map[int]int{}
	var place func(position, ms, u int)
	place = func(position, ms, u int) {
		if position == m+n {
			if ms == m {
				counts[u]++
			}
			return
		}
		if ms < m {
			// Each value of the first sample counts those of the second before it.
			place(position+1, ms+1, u+position-ms)
		}
		place(position+1, ms, u)
	}
	place(0, 0, 0)
	return counts
}

func TestCriticalByEnumeration(t *testing.T) {
	for m := 1; m <= 7; m++ {
		for n := m; n <= 7; n++ {
			counts := uCounts(m, n)
			all := 0
			for _, c := range counts {
				all += c
			}
			for _, alpha := range []float64{0.5, 0.1, 0.05, 0.01, 0.001} {
				want, sum := 0, 0
				for u := 0; u <= m*n; u++ {
					sum += counts[u]
					if float64(sum)/float64(all) > alpha/2 {
						break
					}
					want = u + 1
				}
				if got := exactCritical(m, n, alpha); got != want {
					t.Errorf("%d and %d at %v: %d, want %d", m, n, alpha, got, want)
				}
			}
		}
	}
}

// TestCriticalTable compares with published critical values of U, two-sided at
// 5 % and 1 %; ours are one more.
func TestCriticalTable(t *testing.T) {
	for _, tc := range []struct {
		m, n  int
		alpha float64
		u     int
	}{
		{4, 4, 0.05, 0}, {5, 5, 0.05, 2}, {8, 8, 0.05, 13}, {10, 10, 0.05, 23}, {20, 20, 0.05, 127}, {10, 20, 0.05, 55},
		{5, 5, 0.01, 0}, {10, 10, 0.01, 16}, {20, 20, 0.01, 105}, {3, 3, 0.05, -1},
	} {
		if got := critical(tc.n, tc.m, tc.alpha); got != tc.u+1 {
			t.Errorf("%d and %d at %v: U is %d, want %d", tc.m, tc.n, tc.alpha, got-1, tc.u)
		}
	}
}

func TestCriticalNormalMeetsExact(t *testing.T) {
	for _, size := range [][2]int{{50, 50}, {30, 50}, {45, 48}} {
		for _, alpha := range []float64{0.1, 0.05, 0.01} {
			exact, normal := exactCritical(size[0], size[1], alpha), normalCritical(size[0], size[1], alpha)
			// A rank more or less moves the level by a fraction of a percent of it.
			if d := exact - normal; d < -3 || d > 3 {
				t.Errorf("%v at %v: %d exactly, %d approximately", size, alpha, exact, normal)
			}
		}
	}
}

// TestAgreesWithBenchmath checks that an interval excludes no change exactly when
// the test of benchmath, which benchstat uses, rejects it.
func TestAgreesWithBenchmath(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rejected := 0
	for range 400 {
		m, n := 4+random.IntN(20), 4+random.IntN(20)
		draw := func(count int, by float64) []float64 {
			list := make([]float64, count)
			for i := range list {
				list[i] = by * math.Exp(0.1*random.NormFloat64())
			}
			slices.Sort(list)
			return list
		}
		old, new := draw(m, 100), draw(n, 100*(1+0.2*random.Float64()))
		_, low, high, bounded := shift(logs(old), logs(new), 0.05)
		c := benchmath.AssumeNothing.Compare(benchmath.NewSample(old, &benchmath.DefaultThresholds), benchmath.NewSample(new, &benchmath.DefaultThresholds))
		excludes := bounded && (low > 0 || high < 0)
		if excludes != (c.P <= 0.05) {
			t.Errorf("%d and %d: p is %v, the interval %v to %v", m, n, c.P, low, high)
		}
		if excludes {
			rejected++
		}
	}
	if rejected < 50 || rejected > 350 {
		t.Errorf("%d of 400 are rejected: the check proves nothing", rejected)
	}
}

func TestNthDifferenceRapid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(-1e300, 1e300), rapid.Float64Range(-1, 1), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, 5e-324}))
		draw := func(name string) []float64 {
			list := rapid.SliceOfN(value, 1, 12).Draw(t, name)
			slices.Sort(list)
			return list
		}
		old, new := draw("old"), draw("new")
		var all []float64
		for _, o := range old {
			for _, n := range new {
				all = append(all, n-o)
			}
		}
		slices.Sort(all)
		for i, want := range all {
			if got := nthDifference(old, new, i+1); got != want {
				t.Fatalf("number %d of %v and %v: %v, want %v", i+1, old, new, got, want)
			}
		}
	})
}

func TestOrdinal(t *testing.T) {
	values := []float64{math.Inf(-1), -math.MaxFloat64, -1, -5e-324, 0, 5e-324, 1, math.MaxFloat64, math.Inf(1)}
	for i, v := range values {
		if fromOrdinal(ordinal(v)) != v {
			t.Errorf("%v becomes %v", v, fromOrdinal(ordinal(v)))
		}
		if i > 0 && ordinal(values[i-1]) >= ordinal(v) {
			t.Errorf("%v is not before %v", values[i-1], v)
		}
	}
	if ordinal(-5e-324) != -1 || ordinal(math.Copysign(0, -1)) != 0 || ordinal(5e-324) != 1 {
		t.Error("neighbours of 0 are not neighbours")
	}
}

// TestCoverage draws samples with a known shift, without ties and, rounded, with
// many, and counts how often the interval has it. The seed is fixed.
func TestCoverage(t *testing.T) {
	for _, tc := range []struct {
		name    string
		m, n    int
		rounded bool
	}{{"small", 5, 6, false}, {"unequal", 4, 20, false}, {"ties", 10, 10, true}, {"large", 60, 55, false}} {
		random := rand.New(rand.NewPCG(7, 11))
		const trials, want = 3000, 1.5
		missed := 0
		for range trials {
			draw := func(n int, by float64) []float64 {
				list := make([]float64, n)
				for i := range list {
					// Skewed, as times are.
					list[i] = random.ExpFloat64()
					if tc.rounded {
						list[i] = math.Round(2*list[i]) / 2
					}
					list[i] += by
				}
				slices.Sort(list)
				return list
			}
			_, low, high, bounded := shift(draw(tc.m, 0), draw(tc.n, want), 0.05)
			if !bounded || low > high {
				t.Fatalf("%s: %v to %v, %v", tc.name, low, high, bounded)
			}
			if low > want || high < want {
				missed++
			}
		}
		// 5 % and three standard errors of the count.
		if rate := float64(missed) / trials; rate > 0.05+3*math.Sqrt(0.05*0.95/trials) {
			t.Errorf("%s: the interval misses the shift in %.1f %%", tc.name, 100*rate)
		}
	}
}

func TestShiftLarge(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	draw := func(by float64) []float64 {
		list := make([]float64, 50_000)
		for i := range list {
			list[i] = random.NormFloat64() + by
		}
		slices.Sort(list)
		return list
	}
	estimate, low, high, _ := shift(draw(0), draw(0.1), 0.05)
	if low > 0.1 || high < 0.1 || estimate < low || estimate > high || high-low > 0.05 {
		t.Errorf("%v, %v to %v", estimate, low, high)
	}
}
