package judge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

// recorded measures benchmarks in turns, for so many rounds each.
func recorded(w *world, benchmarks, rounds int) []Record {
	records := make([]Record, benchmarks)
	for i, name := range names(benchmarks) {
		records[i].Benchmark = name
	}
	turns := NewTurns(1, benchmarks)
	for range benchmarks * rounds {
		p, _ := turns.Next()
		records[p.Benchmark].Rounds = append(records[p.Benchmark].Rounds, w.round(p))
	}
	return records
}

// TestTurns gives each benchmark one round in each lap, and none to what is dropped.
func TestTurns(t *testing.T) {
	turns := NewTurns(3, 4)
	for lap := range 50 {
		seen := map[int]bool{}
		for range 4 {
			p, ok := turns.Next()
			if !ok || p.Number != lap || seen[p.Benchmark] {
				t.Fatalf("lap %d: %+v, %v", lap, p, ok)
			}
			seen[p.Benchmark] = true
		}
	}
	if _, ok := turns.Next(); !ok {
		t.Fatal("they end")
	}
	turns.Drop(2)
	for range 40 {
		if p, ok := turns.Next(); !ok || p.Benchmark == 2 {
			t.Fatalf("%+v, %v", p, ok)
		}
	}
	for i := range 4 {
		turns.Drop(i)
	}
	if p, ok := turns.Next(); ok {
		t.Errorf("%+v of none", p)
	}
}

// TestDetectable holds what is said to be detectable against fresh rounds with such
// a change, and with half of it.
func TestDetectable(t *testing.T) {
	c := NewCalibration(options(t, 1, time.Minute), recorded(newWorld(1), 1, 120))
	last := math.Inf(1)
	for _, n := range []int{10, 20, 40, 80} {
		change, ok := c.Detectable(0, n)
		if !ok || change >= last || change <= 0 {
			t.Errorf("in %d rounds %v, %v; in fewer %v", n, change, ok, last)
		}
		last = change
	}
	const worlds, n = 200, 40
	change, _ := c.Detectable(0, n)
	told := func(change float64) (count int) {
		for seed := range worlds {
			w := newWorld(uint64(1000 + seed))
			w.change[0] = 1 + change
			var s series
			for _, trial := range trials(recorded(w, 1, n)[0].Rounds) {
				s.add(trial.change)
			}
			if low, _ := interval(s.all, c.opt.Alpha); low > 0 {
				count++
			}
		}
		return count
	}
	if got := told(change); got < worlds*88/100 {
		t.Errorf("%.1f %% are told from none in %d of %d, not in 95 %%", 100*change, got, worlds)
	}
	if got := told(change / 2); got > worlds*80/100 {
		t.Errorf("half of it is told from none in %d of %d, too", got, worlds)
	}
	if _, ok := c.Detectable(0, 2); ok {
		t.Error("two rounds tell something")
	}
}

// TestRecommend holds the recommended limit, and a smaller one, against fresh gates.
func TestRecommend(t *testing.T) {
	const benchmarks, budget = 2, 20 * time.Second
	c := NewCalibration(options(t, 1, budget), recorded(newWorld(2), benchmarks, 100))
	r, ok, err := c.Recommend(t.Context(), nil)
	if err != nil || !ok || r.Percent < 2 || r.Percent > 20 || r.Spent > budget || r.Rounds < least || time.Duration(r.Rounds)*c.Took(0) > r.Spent {
		t.Fatalf("%+v, %v, %v", r, ok, err)
	}
	t.Logf("%+v", r)
	passed := func(percent string) (count int) {
		const gates = 60
		for seed := range gates {
			j := play(New(options(t, uint64(seed), budget, limitText{Worse: percent}), names(benchmarks)), newWorld(uint64(5000+seed)).round)
			if j.Items()[0].Verdict == api.BenchPass {
				count++
			}
		}
		return count
	}
	if got := passed(percentText(r.Percent)); got < 52 {
		t.Errorf("within %d %% only %d of 60 gates pass", r.Percent, got)
	}
	if got := passed(percentText(r.Percent - 1)); got > 59 {
		t.Errorf("within %d %% %d of 60 gates pass, too", r.Percent-1, got)
	}

	wild := newWorld(3)
	wild.noise = 1
	c = NewCalibration(options(t, 1, 2*time.Second), recorded(wild, 2, 30))
	if r, ok, err := c.Recommend(t.Context(), nil); ok || err != nil {
		t.Errorf("on a wild machine: %+v, %v", r, err)
	}
}

func percentText(p int) string { return fmt.Sprintf("%d%%", p) }

// TestFalsePositivesOfRecords counts the replayed gates that fail: hardly any where
// the program is the same, all where it is not.
func TestFalsePositivesOfRecords(t *testing.T) {
	const gates = 200
	opt := options(t, 1, time.Minute)
	same := NewCalibration(opt, recorded(newWorld(4), 3, 60))
	if n, err := same.FalsePositives(t.Context(), gates, nil); err != nil || n > 2 {
		t.Errorf("%d of %d gates fail, %v", n, gates, err)
	}
	w := newWorld(5)
	w.change[1] = 1.5
	calls := 0
	slower := NewCalibration(opt, recorded(w, 3, 60))
	n, err := slower.FalsePositives(t.Context(), gates, func(done int) {
		if calls++; calls != done {
			t.Errorf("%d calls, %d done", calls, done)
		}
	})
	if err != nil || n < gates*9/10 || calls != gates {
		t.Errorf("%d of %d gates fail, %v, after %d calls", n, gates, err, calls)
	}
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := same.FalsePositives(ctx, gates, nil); !errors.Is(err, stop) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, _, err := same.Recommend(ctx, nil); !errors.Is(err, stop) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestCalibrationIsAFunction says the same of the same records and seed.
func TestCalibrationIsAFunction(t *testing.T) {
	say := func(seed uint64) (all []any) {
		c := NewCalibration(options(t, seed, 20*time.Second), recorded(newWorld(6), 1, 40))
		change, _ := c.Detectable(0, 20)
		r, _, err := c.Recommend(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, c.Noise(0), c.Took(0), change, r)
	}
	first := say(1)
	if diff := cmp.Diff(first, say(1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first[2], say(2)[2]); diff == "" {
		t.Error("the seed does not matter")
	}
	if noise, took := first[0].(float64), first[1].(time.Duration); noise < 0.005 || noise > 0.2 || took != 200*time.Millisecond {
		t.Errorf("noise %v, a round takes %v", noise, took)
	}
}

// TestUsable needs rounds with times.
func TestUsable(t *testing.T) {
	r := recorded(newWorld(7), 1, Enough)[0]
	if !r.Usable() {
		t.Error("not usable")
	}
	r.Rounds[3][1].Samples = []map[string]float64{{"x": 1}}
	if r.Usable() {
		t.Error("usable, though a round has no time")
	}
}

// TestBlocks draws all there is about as often, in blocks.
func TestBlocks(t *testing.T) {
	c := NewCalibration(options(t, 1, time.Minute), nil)
	b := &blocks{random: c.random(forGates, 0, 0), n: 27}
	counts := make([]int, 27)
	following := 0
	const n = 27 * 300
	last := -1
	for range n {
		i := b.next()
		counts[i]++
		if i == (last+1)%27 {
			following++
		}
		last = i
	}
	for i, count := range counts {
		if count < 200 || count > 400 {
			t.Errorf("%d was drawn %d times", i, count)
		}
	}
	if share := float64(following) / n; share < 0.62 || share > 0.76 { // two of three, and some by chance
		t.Errorf("%v follow on the one before", share)
	}
}
