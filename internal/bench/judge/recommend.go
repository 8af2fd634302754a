package judge

import (
	"context"
	"math"
	"time"
)

// Recommendation is which limit fits what a machine can tell.
type Recommendation struct {
	// Percent is the smallest limit for the worse, in whole percent.
	Percent int
	// Rounds is what the benchmark needs that needs most, Spent what the slices of
	// all take, each in all but one of twenty gates.
	Rounds int
	Spent  time.Duration
}

const (
	// maxLimit is the largest limit that is recommended, in percent.
	maxLimit = 50
	// maxRounds is how many rounds a benchmark may need for a limit that is
	// recommended.
	maxRounds = 200
)

// Recommend returns the smallest limit of ns/op for the worse within which programs
// that are compared with themselves pass, all of them and within the options'
// budget, in at least 95 % of draws. It returns false when none up to 50 % is.
//
// A benchmark passes by evidence of its own, whatever the others say, so that each
// is drawn for itself, and held against all limits at once. progress is as for
// FalsePositives, of draws.
func (c *Calibration) Recommend(ctx context.Context, progress func(done, total int)) (Recommendation, bool, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	needs := make([][maxLimit + 1]int, draws*len(c.records))
	err := each(ctx, len(needs), func(done int) { progress(done, len(needs)) }, func(i int) {
		needs[i] = c.needed(i/len(c.records), i%len(c.records))
	})
	if err != nil {
		return Recommendation{}, false, err
	}
	took := make([]time.Duration, len(c.records))
	for i := range took {
		took[i] = c.Took(i)
	}
	for percent := 1; percent <= maxLimit; percent++ {
		if r, ok := c.holds(percent, needs, took); ok {
			return r, true, nil
		}
	}
	return Recommendation{}, false, nil
}

// holds says what gates with a limit need, and whether enough of them pass.
func (c *Calibration) holds(percent int, needs [][maxLimit + 1]int, took []time.Duration) (Recommendation, bool) {
	spent := make([]time.Duration, draws)
	rounds := make([][]int, len(c.records))
	for i, need := range needs {
		draw, record := i/len(c.records), i%len(c.records)
		n := need[percent]
		if n == 0 {
			spent[draw] = math.MaxInt64
			continue
		}
		rounds[record] = append(rounds[record], n)
		if spent[draw] < math.MaxInt64 {
			spent[draw] += time.Duration(n) * took[record]
		}
	}
	r := Recommendation{Percent: percent, Spent: upper(spent)}
	if r.Spent > c.opt.Budget {
		return r, false
	}
	for _, all := range rounds {
		r.Rounds = max(r.Rounds, upper(all))
	}
	return r, true
}

// needed returns after how many rounds, which it draws, a record is known to be
// within the limit of so many percent; 0 when it is not, or its base differs from
// itself.
func (c *Calibration) needed(draw, record int) (rounds [maxLimit + 1]int) {
	from := &blocks{random: c.random(forLimits, draw, record), n: len(c.trials[record])}
	open := map[int]*metric{}
	for percent := 1; percent <= maxLimit; percent++ {
		open[percent] = newMetric(timeMetric, -1, limit{worse: math.Log1p(float64(percent) / 100), onWorse: Fail, onBetter: Show}, c.opt.Alpha)
	}
	var changes, nulls series
	for n := 1; n <= maxRounds && len(open) > 0; n++ {
		t := c.trials[record][from.next()]
		change, null := changes.add(t.change), nulls.add(t.null)
		for percent, m := range open {
			m.bounds[0].add(change)
			m.higher.add(null)
			m.lower.add(null.mirrored())
			switch {
			case m.unsound():
				delete(open, percent)
			case n >= least && m.bounds[0].kept():
				rounds[percent] = n
				delete(open, percent)
			}
		}
	}
	return rounds
}
