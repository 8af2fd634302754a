package judge

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

type limitText = api.BenchLimit

// names returns n benchmarks.
func names(n int) []Benchmark {
	all := make([]Benchmark, n)
	for i := range all {
		all[i] = Benchmark{"corp.example.com/shop", fmt.Sprintf("B%02d", i)}
	}
	return all
}

// verdicts counts what gates say of the first of eight benchmarks.
func verdicts(t *testing.T, gates int, change float64, alter func(*world), limits ...limitText) map[api.BenchVerdict]int {
	t.Helper()
	count := map[api.BenchVerdict]int{}
	for seed := range gates {
		w := newWorld(uint64(seed))
		w.change[0] = change
		if alter != nil {
			alter(w)
		}
		j := play(New(options(t, uint64(seed), 2*time.Minute, limits...), names(8)), w.round)
		for _, item := range j.Items() {
			if item.Name == "B00" {
				count[item.Verdict]++
			} else if item.Verdict == api.BenchFail {
				t.Errorf("seed %d: %s fails: %s", seed, item.Name, item.Reason)
			}
		}
	}
	return count
}

// TestPower holds what a gate finds against the truth, on a machine with spikes
// and phases.
func TestPower(t *testing.T) {
	const gates = 20
	for change, want := range map[float64]api.BenchVerdict{
		1: api.BenchPass, 1.01: api.BenchPass, 1.10: api.BenchFail, 1.25: api.BenchFail, 3: api.BenchFail,
		1.05: api.BenchInconclusive, 0.5: api.BenchPass,
	} {
		if got := verdicts(t, gates, change, nil); got[want] < gates*85/100 {
			t.Errorf("a change by %v is %v, want %s", change, got, want)
		}
	}
}

// TestFalsePositives holds gates that allow nothing to the probability that they
// promise, where the noise is the worst that there is: it depends on the time, and
// half of all rounds are hit.
func TestFalsePositives(t *testing.T) {
	const gates = 200
	failed := 0
	for seed := range gates {
		w := newWorld(uint64(seed))
		w.noise, w.spikes, w.phases = 0.02, 0.3, 0.5
		opt := options(t, uint64(seed), 12*time.Second, limitText{Worse: "0%", Better: "0%", OnBetter: "fail"})
		for _, item := range play(New(opt, names(2)), w.round).Items() {
			if item.Verdict == api.BenchFail {
				failed++
				break
			}
		}
	}
	// A binomial with p = 0.01 has 8 or more once in a thousand times.
	if failed > 7 {
		t.Errorf("%d of %d gates of a program with itself fail, though at most 1 %% may", failed, gates)
	}
	t.Logf("%d of %d", failed, gates)
}

// TestInterval counts how often the interval misses the truth at any of the rounds.
func TestInterval(t *testing.T) {
	const series, rounds, alpha = 200, 40, 0.025
	missed := 0
	for seed := range series {
		w := newWorld(uint64(seed))
		w.change[0] = 1.07
		m := newMetric("ns/op", -1, (&Limits{}).of(Benchmark{}, "ns/op", -1), alpha)
		j := New(options(t, uint64(seed), time.Hour), names(1))
		for range rounds {
			m.add(w.round(Plan{Order: j.order()}))
			if low, high := interval(m.changes.all, alpha); low > math.Log(1.07) || high < math.Log(1.07) {
				missed++
				break
			}
		}
	}
	if missed > series*8/100 {
		t.Errorf("%d of %d intervals at 95 %% miss the truth", missed, series)
	}
	t.Logf("%d of %d", missed, series)
}

// TestReplay gives a judge the same rounds again.
func TestReplay(t *testing.T) {
	var rounds []Round
	var plans []Plan
	w := newWorld(3)
	w.change[2] = 1.08
	first := play(New(options(t, 5, time.Minute), names(4)), func(p Plan) Round {
		plans, rounds = append(plans, p), append(rounds, w.round(p))
		return rounds[len(rounds)-1]
	})
	again := 0
	second := play(New(options(t, 5, time.Minute), names(4)), func(p Plan) Round {
		if diff := cmp.Diff(plans[again], p); diff != "" {
			t.Fatalf("plan %d (-first +second)\n%s", again, diff)
		}
		again++
		return rounds[again-1]
	})
	if diff := cmp.Diff(first.Items(), second.Items()); diff != "" || again != len(rounds) {
		t.Errorf("%d of %d rounds (-first +second)\n%s", again, len(rounds), diff)
	}
}

// TestOrder holds the plans to what the evidence rests on: each side is outside as
// often as inside, so is the null arm, and every benchmark has its turn.
func TestOrder(t *testing.T) {
	j := New(options(t, 1, time.Hour), names(3))
	outside, nullOutside := map[bool]int{}, map[bool]int{}
	for i := range 3000 {
		if i%3 == 0 {
			j.queue = nil
		}
		p, ok := j.Next()
		if !ok {
			t.Fatal("it ends")
		}
		outside[p.Order[0] == Head]++
		if (p.Order[0] == Head) != (p.Order[3] == Head) {
			t.Fatalf("order %v does not cancel a drift", p.Order)
		}
		nullOutside[p.Order[0] == Null || p.Order[3] == Null]++
	}
	for what, counts := range map[string]map[bool]int{"head": outside, "null": nullOutside} {
		if c := counts[true]; c < 1400 || c > 1600 {
			t.Errorf("%s is outside in %d of 3000 rounds", what, c)
		}
	}
}

// TestBudget ends when the slices took as long as they may, and says of what was
// not decided that it is not known.
func TestBudget(t *testing.T) {
	w := newWorld(1)
	w.change[0] = 1.05
	j := play(New(options(t, 1, 10*time.Second), names(1)), w.round)
	if j.Spent() < 10*time.Second || j.Spent() > 11*time.Second || j.Open() != 1 {
		t.Errorf("spent %v, %d open", j.Spent(), j.Open())
	}
	if i := j.Items()[0]; i.Verdict != api.BenchInconclusive || i.MinDetectable == nil || !strings.Contains(i.Reason, "more rounds") {
		t.Errorf("%+v", i)
	}
	j = play(New(options(t, 1, 0), names(2)), w.round)
	if items := j.Items(); len(items) != 2 || items[0].Verdict != api.BenchInconclusive || items[0].Rounds != 0 || items[0].Reason == "" {
		t.Errorf("%+v", items)
	}
}

// constantRound is a round whose sides always report the same values.
func constantRound(base, head map[string]float64) func(Plan) Round {
	return func(p Plan) Round {
		var r Round
		for i, arm := range p.Order {
			values := base
			if arm == Head {
				values = head
			}
			r[i] = Slice{Arm: arm, Samples: []map[string]float64{maps.Clone(values), maps.Clone(values)}, Took: 50 * time.Millisecond}
		}
		return r
	}
}

func TestExact(t *testing.T) {
	for name, tc := range map[string]struct {
		unit       string
		base, head float64
		limits     []limitText
		verdict    api.BenchVerdict
		change     string
		reason     string
	}{
		"the same":            {"allocs/op", 12, 12, nil, api.BenchPass, "none", "the same"},
		"within":              {"allocs/op", 100, 102, nil, api.BenchPass, "worse", "within"},
		"more":                {"allocs/op", 12, 13, nil, api.BenchWarn, "worse", "limit of 3%"},
		"fewer":               {"B/op", 100, 50, nil, api.BenchWarn, "better", "limit of 3%"},
		"configured":          {"B/op", 100, 104, []limitText{{Metric: "B/op", OnWorse: "fail"}}, api.BenchFail, "worse", "limit of 3%"},
		"from nothing":        {"allocs/op", 0, 1, nil, api.BenchWarn, "worse", "from 0 to 1"},
		"to nothing":          {"allocs/op", 1, 0, nil, api.BenchWarn, "better", "from 1 to 0"},
		"nothing":             {"allocs/op", 0, 0, nil, api.BenchPass, "none", "the same"},
		"higher is better":    {"rows/s", 100, 90, nil, api.BenchFail, "worse", "limit of 5%"},
		"higher is better, +": {"rows/s", 100, 110, nil, api.BenchPass, "better", ""},
		"unknown direction":   {"shape", 100, 300, nil, api.BenchPass, "worse", ""},
		"negative":            {"delta", -3, 2, nil, api.BenchFail, "worse", "from -3 to 2"},
	} {
		t.Run(name, func(t *testing.T) {
			j := play(New(options(t, 1, time.Minute, tc.limits...), names(1)), constantRound(map[string]float64{tc.unit: tc.base}, map[string]float64{tc.unit: tc.head}))
			got := j.Items()[0]
			if got.Verdict != tc.verdict || got.Change != tc.change || !strings.Contains(got.Reason, tc.reason) || !got.Exact {
				t.Errorf("%s, %s, exact %v: %s", got.Verdict, got.Change, got.Exact, got.Reason)
			}
			if (got.Estimate == nil) != (tc.base != tc.head && tc.base <= 0) {
				t.Errorf("estimate %v", got.Estimate)
			}
			if got.Rounds > 10 {
				t.Errorf("%d rounds for what does not vary", got.Rounds)
			}
		})
	}
}

// TestOddValues gives what has no logarithm.
func TestOddValues(t *testing.T) {
	for name, odd := range map[string]func(n int) map[string]float64{
		"zero at times": func(n int) map[string]float64 { return map[string]float64{"x": float64(n % 2)} },
		"missing at times": func(n int) map[string]float64 {
			if n == 7 {
				return map[string]float64{}
			}
			return map[string]float64{"x": 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			j := play(New(options(t, 1, time.Minute), names(1)), func(p Plan) Round {
				var r Round
				for i, arm := range p.Order {
					r[i] = Slice{Arm: arm, Samples: []map[string]float64{odd(n)}, Took: time.Millisecond}
					n++
				}
				return r
			})
			if got := j.Items()[0]; got.Verdict != api.BenchInconclusive || got.Reason == "" {
				t.Errorf("%s: %s", got.Verdict, got.Reason)
			}
		})
	}
}

// TestNotFinite reports a value that is no number as what it is.
func TestNotFinite(t *testing.T) {
	j := play(New(options(t, 1, time.Minute), names(1)), func(p Plan) Round {
		var r Round
		for i, arm := range p.Order {
			r[i] = Slice{Arm: arm, Odd: map[string]string{"x": "+Inf"}, Took: time.Millisecond}
		}
		return r
	})
	if got := j.Items()[0]; got.Verdict != api.BenchInconclusive || got.Reason != "a run reported +Inf" || got.Metric != "x" {
		t.Errorf("%+v", got)
	}
}

// TestGrains takes an allocation that is made once a process for none an operation.
func TestGrains(t *testing.T) {
	n := 0
	j := play(New(options(t, 1, time.Minute), names(1)), func(p Plan) Round {
		var r Round
		for i, arm := range p.Order {
			n++
			r[i] = Slice{Arm: arm, Samples: []map[string]float64{{"allocs/op": float64(n % 2), "B/op": float64(n % 3)}}, Took: time.Millisecond}
		}
		return r
	})
	for _, got := range j.Items() {
		if got.Verdict != api.BenchPass || got.Rounds > 2*patience {
			t.Errorf("%s of %s after %d rounds: %s", got.Verdict, got.Metric, got.Rounds, got.Reason)
		}
	}
}

// TestPatience ends when nothing but a warning could come of it.
func TestPatience(t *testing.T) {
	w := newWorld(1)
	w.change[0] = 1.05
	j := play(New(options(t, 1, time.Hour, limitText{OnWorse: "warn"}), names(1)), w.round)
	if got := j.Items()[0]; got.Rounds != patience || got.Verdict != api.BenchInconclusive {
		t.Errorf("%s after %d rounds", got.Verdict, got.Rounds)
	}
}

// TestNullArm: where the base differs from itself, nothing is said of the head.
func TestNullArm(t *testing.T) {
	got := verdicts(t, 10, 1.3, func(w *world) { w.null = 1.15 })
	if got[api.BenchInconclusive] != 10 {
		t.Errorf("%v", got)
	}
}

// TestBetter finds what has become faster only where that is configured.
func TestBetter(t *testing.T) {
	if got := verdicts(t, 10, 0.8, nil); got[api.BenchPass] != 10 {
		t.Errorf("%v", got)
	}
	if got := verdicts(t, 10, 0.8, nil, limitText{OnBetter: "fail"}); got[api.BenchFail] != 10 {
		t.Errorf("%v", got)
	}
	if got := verdicts(t, 10, 0.8, nil, limitText{Benchmark: `\.B00$`, OnBetter: "warn"}); got[api.BenchWarn] != 10 {
		t.Errorf("%v", got)
	}
}

func TestDrop(t *testing.T) {
	j := New(options(t, 1, time.Minute), names(2))
	j.Drop(1, api.BenchFail, "the head's benchmark fails")
	w := newWorld(1)
	items := play(j, w.round).Items()
	if len(items) != 2 || items[0].Name != "B01" || items[0].Verdict != api.BenchFail || items[0].Reason != "the head's benchmark fails" || items[1].Verdict != api.BenchPass {
		t.Errorf("%+v", items)
	}
}

// TestConfirmation counts a regression as failed only after rounds that say so by
// themselves.
func TestConfirmation(t *testing.T) {
	w := newWorld(2)
	w.change[0] = 1.5
	got := play(New(options(t, 2, time.Minute), names(1)), w.round).Items()[0]
	if got.Verdict != api.BenchFail || got.Confirmed < 5 || got.Confirmed >= got.Rounds {
		t.Errorf("%s after %d rounds, %d to confirm", got.Verdict, got.Rounds, got.Confirmed)
	}
}
