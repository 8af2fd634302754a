package report

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
)

func TestNiceSteps(t *testing.T) {
	for _, tc := range []struct {
		from, to float64
		n        int
		want     []float64
	}{
		{0, 10, 5, []float64{0, 2, 4, 6, 8, 10}},
		{0.9, 5.1, 4, []float64{2, 4}},
		{-1, 1, 4, []float64{-1, -0.5, 0, 0.5, 1}},
		{11.3, 14.2, 3, []float64{12, 13, 14}},
		{1e-9, 3e-9, 2, []float64{1e-9, 2e-9, 3e-9}},
		{5, 5, 3, nil}, {6, 5, 3, nil}, {0, math.Inf(1), 3, nil}, {0, math.NaN(), 3, nil},
	} {
		got := niceSteps(tc.from, tc.to, tc.n)
		if len(got) != len(tc.want) {
			t.Errorf("%v: %v, want %v", tc, got, tc.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-tc.want[i]) > 1e-9*math.Abs(tc.to) {
				t.Errorf("%v: %v, want %v", tc, got, tc.want)
			}
		}
	}
}

// Whatever the numbers, every mark is on the axis, in order, and positions follow
// values.
func TestAxisProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64(), 1, 20).Draw(t, "values")
		a := around(values, 10, 90)
		slices.Sort(values)
		last := 10.0
		for _, v := range values {
			at := a.at(v)
			if !(at >= last && at <= 90) {
				t.Fatalf("%v is at %v, after %v", v, at, last)
			}
			last = at
		}
		steps := niceSteps(a.from, a.to, 5)
		if len(steps) > 11 || !slices.IsSorted(steps) {
			t.Fatalf("steps %v", steps)
		}
		width := a.to - a.from
		for _, v := range steps {
			if v < a.from-width*1e-6 || v > a.to+width*1e-6 {
				t.Fatalf("step %v is not in %v … %v", v, a.from, a.to)
			}
		}
	})
}

func TestRatioAxisProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOf(rapid.Float64Min(-1)).Draw(t, "changes")
		limits := rapid.SliceOfN(rapid.Float64Range(-0.5, 3), 0, 4).Draw(t, "limits")
		a := ratioAxis(changes, limits, 0, 100)
		if a.from != -a.to || a.to < narrowest || a.to > widest || a.at(0) != 50 {
			t.Fatalf("axis %+v", a)
		}
		marks := ratioMarks(a)
		if len(marks) < 3 || len(marks) > 5 || marks[len(marks)/2].Label != "0" {
			t.Fatalf("marks %v", marks)
		}
		for i, m := range marks {
			if m.At < 0 || m.At > 100 || i > 0 && m.At <= marks[i-1].At {
				t.Fatalf("marks %v", marks)
			}
		}
		for _, l := range limits {
			if r := math.Abs(logRatio(l)); r < widest/1.6 && r > a.to {
				t.Fatalf("limit %v is not on %+v", l, a)
			}
		}
	})
}

// Half as much and twice as much are equally far from none.
func TestLogRatio(t *testing.T) {
	if a, b := logRatio(-0.5), logRatio(1); math.Abs(a+b) > 1e-15 {
		t.Errorf("%v, %v", a, b)
	}
	if v := logRatio(-3); !math.IsInf(v, -1) {
		t.Error(v)
	}
}

func TestDecades(t *testing.T) {
	for _, tc := range []struct {
		from, to float64
		want     []float64
	}{
		{0.9, 12, []float64{1, 2, 5, 10}}, {8, 90, []float64{10, 20, 50}}, {0.5, 20000, []float64{1, 10, 100, 1000, 10000}},
		{0, 1, nil}, {1, math.Inf(1), nil},
	} {
		if diff := cmp.Diff(tc.want, decades(tc.from, tc.to)); diff != "" {
			t.Errorf("%v: %s", tc, diff)
		}
	}
}

func TestSummarize(t *testing.T) {
	got, ok := summarize([]float64{4, 1, math.NaN(), 3, 2, math.Inf(1)})
	if want := (summary{1, 1.75, 2.5, 3.25, 4}); !ok || got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if _, ok := summarize([]float64{math.NaN()}); ok {
		t.Error("no values have a summary")
	}
	if got, _ := summarize([]float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}); math.IsInf(got.Low, 0) || math.IsNaN(got.Low) {
		t.Error(got)
	}
}

func TestSpread(t *testing.T) {
	for _, n := range []int{0, 1, 2, maxDots, maxDots + 1, 10 * maxDots} {
		got := spread(n)
		if len(got) != min(n, maxDots) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%d: %v", n, got)
		}
		if n > 0 && (got[0] != 0 || n > 1 && got[len(got)-1] != n-1) {
			t.Errorf("%d: %v", n, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{percent(0.052), "+5.2 %"}, {percent(-0.123456), "−12.3 %"}, {percent(0.00001), "0 %"}, {percent(-0.00001), "0 %"},
		{percent(0.00123), "+0.12 %"}, {percent(1), "+100 %"}, {percent(11.4), "×12.4"}, {percent(-1), "−100 %"},
		{percent(math.Inf(1)), "+∞ %"}, {percent(math.NaN()), "?"}, {percent(1e9), "×1e+09"},
		{interval(new(0.01), new(0.034)), "+1 % … +3.4 %"}, {interval(nil, new(0.034)), "≤ +3.4 %"}, {interval(new(-0.5), nil), "≥ −50 %"},
		{interval(nil, nil), "unbounded"}, {interval(new(0.5), new(0.5)), "+50 %"},
		{value(12345, "ns/op"), "12.35 µs"}, {value(0.25, "ns/op"), "0.25 ns"}, {value(3e9, "ns/op"), "3 s"}, {value(0, "ns/op"), "0 s"},
		{value(1024, "B/op"), "1 KiB"}, {value(1, "MB/s"), "976.6 KiB/s"}, {value(12, "allocs/op"), "12 allocs"},
		{value(123456, "allocs/op"), "123.5k allocs"}, {value(0.0123456, "errors/op"), "0.01235 errors"}, {value(5, ""), "5"},
		{value(2e20, "widgets"), "2e+20 widgets"}, {value(math.Inf(-1), "x"), "-∞ x"}, {value(math.NaN(), "x"), "? x"},
		{seconds(0.34), "340 ms"}, {seconds(4.2), "4.2 s"}, {seconds(200), "3 min 20 s"}, {seconds(300), "5 min"}, {seconds(0), "0 ms"},
		{detectable(0.032), "±3.2 %"}, {estimate(nil), "–"},
		{short("sha256:0123456789abcdef"), "0123456789ab"}, {short("abc"), "abc"}, {short(""), ""},
		{shorten("0123456789", 7), "01…6789"}, {shorten("abc", 3), "abc"},
		{pValue(0.001), "p = 0.001"}, {pValue(1e-12), "p < 0.0001"},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}

func TestPassing(t *testing.T) {
	limit := api.BenchLimit{Worse: "5%", Better: "2%"}
	for _, tc := range []struct {
		item        api.BenchGateItem
		least, most float64
	}{
		{api.BenchGateItem{Metric: "ns/op", Limit: limit}, -0.02, 0.05},
		{api.BenchGateItem{Metric: "MB/s", Limit: limit}, -0.05, 0.02},
		{api.BenchGateItem{Metric: "score", Limit: limit, Change: "worse", Estimate: new(-0.1)}, -0.05, 0.02},
		{api.BenchGateItem{Metric: "score", Limit: limit, Change: "better", Estimate: new(-0.1)}, -0.02, 0.05},
	} {
		if least, most := passing(&tc.item); least != tc.least || most != tc.most {
			t.Errorf("%+v: %v … %v", tc.item, least, most)
		}
	}
	if least, most := passing(&api.BenchGateItem{Limit: api.BenchLimit{Worse: "x"}}); !math.IsNaN(least) || !math.IsNaN(most) {
		t.Errorf("no limit is %v … %v", least, most)
	}
}

// What an interval does not fit is drawn to the end of the axis, with a tip; what
// fits has none.
func TestForest(t *testing.T) {
	a := axis{from: -0.1, to: 0.1, left: 0, right: 100}
	for _, tc := range []struct {
		low, high *float64
		tips      int
	}{
		{new(-0.05), new(0.05), 0}, {nil, new(0.05), 1}, {new(-0.05), new(0.5), 1}, {nil, nil, 2}, {new(0.3), new(0.5), 1}, {new(-1.0), new(0.0), 1},
	} {
		p := forest(a, change{estimate: new(0.0), low: tc.low, high: tc.high, least: math.NaN(), most: math.NaN()})
		if got := len(p.Lines) - 2; got != tc.tips { // besides zero and the interval
			t.Errorf("%s: %d tips, want %d", interval(tc.low, tc.high), got, tc.tips)
		}
	}
}
