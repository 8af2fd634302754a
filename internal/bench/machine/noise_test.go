package machine_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

func TestNoise(t *testing.T) {
	if got := machine.Noise(nil); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	for _, test := range []struct {
		samples []time.Duration
		want    api.BenchNoise
	}{
		{[]time.Duration{time.Millisecond}, api.BenchNoise{Samples: 1, Fastest: 0.001, Median: 1, P90: 1}},
		{[]time.Duration{4e6, 2e6}, api.BenchNoise{Samples: 2, Fastest: 0.002, Median: 1.5, P90: 1.9}},
		// R: quantile(c(10, 11, 12, 13, 20), c(.5, .9), type = 7) is 12 and 17.2.
		{[]time.Duration{20, 12, 10, 13, 11}, api.BenchNoise{Samples: 5, Fastest: 1e-8, Median: 1.2, P90: 1.72}},
		{[]time.Duration{0, 0}, api.BenchNoise{Samples: 2, Fastest: 1e-9}},
	} {
		before := append([]time.Duration(nil), test.samples...)
		got := machine.Noise(test.samples)
		near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-12 })
		if diff := cmp.Diff(&test.want, got, near); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.samples, diff)
		}
		if diff := cmp.Diff(before, test.samples); diff != "" {
			t.Errorf("the samples were changed:\n%s", diff)
		}
	}
}

// noisy returns n samples of 1 ms that disturbances lengthen, times what speed
// says of the place in the run, 0 to 1.
func noisy(random *rand.Rand, n int, slowness func(at float64) float64) []time.Duration {
	samples := make([]time.Duration, n)
	for i := range samples {
		disturbed := 1 + 0.02*random.ExpFloat64()
		if random.IntN(3) == 0 {
			disturbed += random.ExpFloat64()
		}
		samples[i] = time.Duration(1e6 * disturbed * slowness(float64(i)/float64(n)))
	}
	return samples
}

func TestDrift(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 2026))
	steady := func(float64) float64 { return 1 }
	step := func(by float64) func(float64) float64 {
		return func(at float64) float64 {
			if at < 0.5 {
				return 1
			}
			return by
		}
	}
	for _, test := range []struct {
		name     string
		n        int
		slowness func(float64) float64
		want     string
	}{
		{"steady", 600, steady, ""},
		{"too few", 119, step(2), ""},
		{"enough", 120, step(2), "% slower"},
		{"lowered", 600, step(1.1), "% slower"},
		{"raised", 600, step(0.9), "% faster"},
		{"within 3 %", 600, step(1.02), ""},
		{"ramp", 600, func(at float64) float64 { return 1 + 0.3*at }, "% slower"},
		{"a phase in the middle", 600, func(at float64) float64 {
			if at > 0.3 && at < 0.6 {
				return 1.5
			}
			return 1
		}, ""},
	} {
		got := machine.Drift(noisy(random, test.n, test.slowness))
		if got == "" != (test.want == "") || !strings.Contains(strings.ReplaceAll(got, " %", "%"), test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := machine.Drift(make([]time.Duration, 200)); got != "" {
		t.Errorf("a clock that stands still: %q", got)
	}
	if got := machine.Drift(nil); got != "" {
		t.Errorf("no samples: %q", got)
	}
}

// TestDriftFalseAlarms counts what is said of machines that are steady and so
// noisy that their parts differ by more than 3 %: the bound is 2/252.
func TestDriftFalseAlarms(t *testing.T) {
	const seed, runs = 7, 5000
	random := rand.New(rand.NewPCG(seed, seed))
	alarms := 0
	for range runs {
		samples := make([]time.Duration, 150)
		for i := range samples {
			samples[i] = time.Duration(1e6 * (1 + random.ExpFloat64()))
		}
		if machine.Drift(samples) != "" {
			alarms++
		}
	}
	// 5000 × 2/252 is 40, with a standard deviation of 6.3.
	if alarms > 40+4*7 {
		t.Errorf("seed %d: %d false alarms in %d runs", seed, alarms, runs)
	}
}

func TestChanges(t *testing.T) {
	yes, no := true, false
	full := api.BenchMachine{CPU: "a", CPUs: 2, Quota: 1.5, Governor: "performance", Turbo: &yes, MHz: 3000}
	for _, test := range []struct {
		name   string
		change func(*api.BenchMachine)
		want   []string
	}{
		{"nothing", func(*api.BenchMachine) {}, nil},
		{"same turbo elsewhere", func(m *api.BenchMachine) { also := true; m.Turbo = &also }, nil},
		{"what says nothing of speed", func(m *api.BenchMachine) { m.Kernel, m.MemoryBytes, m.MHz = "x", 1, 2950 }, nil},
		{"all", func(m *api.BenchMachine) {
			*m = api.BenchMachine{CPU: "b", CPUs: 1, Quota: 1, Governor: "powersave", Turbo: &no, MHz: 1200}
		}, []string{
			"the processor changed during the run: from a to b",
			"the number of processors changed during the run: from 2 to 1",
			"the quota of processors changed during the run: from 1.5 to 1",
			"the governor of the clock frequency changed during the run: from performance to powersave",
			"turbo changed during the run: from on to off",
			"the highest clock frequency changed during the run: from 3000 MHz to 1200 MHz",
		}},
		{"gone", func(m *api.BenchMachine) { *m = api.BenchMachine{} }, []string{
			"the processor changed during the run: from a to unknown",
			"the number of processors changed during the run: from 2 to unknown",
			"the quota of processors changed during the run: from 1.5 to none",
			"the governor of the clock frequency changed during the run: from performance to unknown",
			"turbo changed during the run: from on to unknown",
			"the highest clock frequency changed during the run: from 3000 MHz to unknown",
		}},
	} {
		after := full
		test.change(&after)
		if diff := cmp.Diff(test.want, machine.Changes(full, after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
