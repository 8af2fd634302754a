package changepoint

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var options = Options{Alpha: 0.01, Permutations: 199, MinSegment: 5, Seed: 1}

// naive is the distance as the paper writes it down.
func naive(x []float64, t, k int) float64 {
	n, m := float64(t), float64(k-t)
	var between, left, right float64
	for i := range t {
		for j := t; j < k; j++ {
			between += math.Abs(x[i] - x[j])
		}
		for j := i + 1; j < t; j++ {
			left += math.Abs(x[i] - x[j])
		}
	}
	for i := t; i < k; i++ {
		for j := i + 1; j < k; j++ {
			right += math.Abs(x[i] - x[j])
		}
	}
	e := 2/(n*m)*between - left/(n*(n-1)/2) - right/(m*(m-1)/2)
	return n * m / (n + m) * e
}

func TestDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(-10, 10), 4, 20).Draw(t, "x")
		minimum := rapid.IntRange(2, 3).Draw(t, "minimum")
		if len(x) < 2*minimum {
			return
		}
		want := math.Inf(-1)
		for at := minimum; at <= len(x)-minimum; at++ {
			for k := at + minimum; k <= len(x); k++ {
				want = max(want, naive(x, at, k))
			}
		}
		at, got := newSearch(len(x), minimum).best(x, []int{0, len(x)})
		if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) || at < minimum || at > len(x)-minimum {
			t.Fatalf("best = %d, %v; want %v", at, got, want)
		}
	})
}

// noise draws values around 0 with deviation 1: normal ones, or with outliers,
// all to one side as those of time are.
func noise(random *rand.Rand, outliers bool, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = random.NormFloat64()
		if outliers && random.Float64() < 0.05 {
			x[i] += 10 * random.Float64()
		}
	}
	return x
}

// TestFalsePositives searches sequences without a change.
func TestFalsePositives(t *testing.T) {
	const sequences = 400
	for _, outliers := range []bool{false, true} {
		random := rand.New(rand.NewPCG(2, 3))
		var divided, trends int
		for i := range sequences {
			o := options
			o.Alpha, o.Permutations, o.Seed = 0.05, 199, uint64(i)
			x := noise(random, outliers, 20+random.IntN(60))
			found, err := Divide(t.Context(), x, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				divided++
			}
			if Trend(x).PValue <= 0.05 {
				trends++
			}
		}
		t.Logf("outliers %v: change points in %d, trends in %d of %d sequences", outliers, divided, trends, sequences)
		// 5 % are 20; more than 34 are seen once in a thousand times. Fewer than
		// 8 would say that the tests are not what they should be.
		if divided > 34 || trends > 34 || divided < 8 || trends < 8 {
			t.Errorf("outliers %v: change points in %d, trends in %d of %d sequences at 5 %%", outliers, divided, trends, sequences)
		}
	}
}

// TestKnownChanges finds each of the changes of sequences, within one place, and no other.
func TestKnownChanges(t *testing.T) {
	for name, test := range map[string]struct {
		levels []float64 // in deviations of the noise, 20 points each
		least  int       // how many of 20 sequences have to be right
	}{
		"none":       {[]float64{0, 0}, 19},
		"up":         {[]float64{0, 4}, 19},
		"down":       {[]float64{0, 0, -4}, 19},
		"bump":       {[]float64{0, 5, 0}, 18},
		"stairs":     {[]float64{0, 5, 10}, 18},
		"small last": {[]float64{0, 0, 0, 20, 24}, 18},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(4, 5))
			right := 0
			for i := range 20 {
				o := options
				o.Seed = uint64(i)
				x := noise(random, false, 20*len(test.levels))
				var want []int
				for j := range x {
					x[j] += test.levels[j/20]
					if j > 0 && test.levels[j/20] != test.levels[(j-1)/20] {
						want = append(want, j)
					}
				}
				segments, err := Segments(t.Context(), x, o)
				if err != nil {
					t.Fatal(err)
				}
				if near(segments, want) {
					right++
				}
			}
			t.Logf("%d of 20", right)
			if right < test.least {
				t.Errorf("%d of 20 sequences are right, want %d", right, test.least)
			}
		})
	}
}

// near says that segments begin where they should, or one place beside.
func near(segments []Segment, want []int) bool {
	if len(segments) != len(want)+1 {
		return false
	}
	for i, at := range want {
		if d := segments[i+1].From - at; d < -1 || d > 1 {
			return false
		}
	}
	return true
}

// TestSlopes: what only drifts has no change point, and what has one beside a
// drift keeps it.
func TestSlopes(t *testing.T) {
	var slopes, steps int
	for i := range 20 {
		random := rand.New(rand.NewPCG(6, uint64(i)))
		x := noise(random, false, 100)
		for j := range x {
			x[j] += 0.06 * float64(j)
		}
		divisions, err := Divide(t.Context(), x, options)
		if err != nil {
			t.Fatal(err)
		}
		if len(divisions) == 0 {
			t.Errorf("sequence %d is not steep enough to show anything", i)
		}
		segments, err := Segments(t.Context(), x, options)
		if err != nil {
			t.Fatal(err)
		}
		if len(segments) == 1 {
			slopes++
		}
		for j := 60; j < len(x); j++ {
			x[j] -= 8
		}
		if segments, err = Segments(t.Context(), x, options); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(segments, func(s Segment) bool { return s.From >= 59 && s.From <= 61 }) {
			steps++
		}
	}
	t.Logf("%d slopes, %d steps of 20", slopes, steps)
	if slopes < 17 || steps < 18 {
		t.Errorf("of 20 sequences %d slopes and %d steps were found", slopes, steps)
	}
}

func TestDegenerate(t *testing.T) {
	equal := make([]float64, 50)
	for name, x := range map[string][]float64{"empty": nil, "one": {1}, "short": equal[:9], "equal": equal} {
		segments, err := Segments(t.Context(), x, options)
		if err != nil || len(segments) != 1 || segments[0] != (Segment{0, len(x), 1}) {
			t.Errorf("%s: Segments = %v, %v", name, segments, err)
		}
	}
	steps := append(make([]float64, 10), 1, 1, 1, 1, 1, 1, 1)
	segments, err := Segments(t.Context(), steps, options)
	if err != nil || !near(segments, []int{10}) || segments[1].From != 10 {
		t.Errorf("without noise: Segments = %v, %v", segments, err)
	}
}

func TestDivideIsSeeded(t *testing.T) {
	x := noise(rand.New(rand.NewPCG(7, 8)), true, 60)
	for i := 30; i < 60; i++ {
		x[i] += 1.2
	}
	before := slices.Clone(x)
	first, err := Divide(t.Context(), x, options)
	again, errAgain := Divide(t.Context(), x, options)
	if err != nil || errAgain != nil || !slices.Equal(first, again) || !slices.Equal(x, before) {
		t.Errorf("Divide = %v, %v, then %v, %v", first, err, again, errAgain)
	}
}

func TestDivideIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Segments(ctx, noise(rand.New(rand.NewPCG(9, 9)), false, 50), options); !errors.Is(err, context.Canceled) {
		t.Errorf("Segments: %v", err)
	}
}

func BenchmarkDivide(b *testing.B) {
	x := noise(rand.New(rand.NewPCG(1, 1)), false, 500)
	for i := 250; i < 500; i++ {
		x[i] += 3
	}
	for b.Loop() {
		if found, err := Divide(b.Context(), x, options); err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
}
