package judge

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Turns plans rounds of benchmarks that take turns without end, in an order that is
// drawn anew each time, as those of a Judge.
type Turns struct {
	judge   *Judge
	numbers []int
	queue   []int
}

// NewTurns returns the turns of so many benchmarks.
func NewTurns(seed uint64, benchmarks int) *Turns {
	return &Turns{judge: New(Options{Seed: seed}, nil), numbers: make([]int, benchmarks)}
}

// noTurns is the number of a benchmark that has no more turns.
const noTurns = -1

// Next returns what to measure, false when all benchmarks are dropped.
func (t *Turns) Next() (Plan, bool) {
	t.queue = slices.DeleteFunc(t.queue, func(i int) bool { return t.numbers[i] == noTurns })
	if len(t.queue) == 0 {
		for i, n := range t.numbers {
			if n != noTurns {
				t.queue = append(t.queue, i)
			}
		}
		t.judge.random.Shuffle(len(t.queue), func(a, b int) { t.queue[a], t.queue[b] = t.queue[b], t.queue[a] })
	}
	if len(t.queue) == 0 {
		return Plan{}, false
	}
	i := t.queue[0]
	t.queue = t.queue[1:]
	t.numbers[i]++
	return Plan{i, t.numbers[i] - 1, t.judge.order()}, true
}

// Drop leaves a benchmark out from now on.
func (t *Turns) Drop(benchmark int) { t.numbers[benchmark] = noTurns }

// Record has rounds in which a benchmark was compared with itself, in the order in
// which they were measured.
type Record struct {
	Benchmark
	Rounds []Round
}

// trial is what one round says of the time that the benchmark takes.
type trial struct {
	// change and null are the log ratios of head and null arm to base.
	change, null float64
}

// Calibration knows from comparisons of programs with themselves what a gate can
// tell. What it says comes from rounds that are drawn from those that were measured,
// in blocks of rounds that followed on one another, so that what disturbs several in
// a row does so here (the circular block bootstrap of Politis and Romano, 1992, with
// blocks as long as the cube root of the number of rounds).
//
// It is safe for concurrent use, and all that it says is a function of the options,
// the seed among them, and the records.
type Calibration struct {
	opt     Options
	records []Record
	trials  [][]trial
}

// timeMetric is what limits are recommended for.
const timeMetric = "ns/op"

// NewCalibration returns what is known from records. Each needs Enough rounds.
func NewCalibration(opt Options, records []Record) *Calibration {
	if opt.Alpha == 0 {
		opt.Alpha = DefaultAlpha
	}
	c := &Calibration{opt: opt, records: records}
	for _, r := range records {
		c.trials = append(c.trials, trials(r.Rounds))
	}
	return c
}

// Enough is how many rounds of a record have to have a time.
const Enough = 10

// Usable reports whether a record has so many rounds with a time that it can be
// calibrated by.
func (r Record) Usable() bool { return len(trials(r.Rounds)) >= Enough }

func trials(rounds []Round) []trial {
	m := newMetric(timeMetric, -1, limit{}, DefaultAlpha)
	for _, r := range rounds {
		m.add(r)
	}
	all := make([]trial, len(m.changes.ds))
	for i := range all {
		all[i] = trial{m.changes.ds[i], m.nulls.ds[i]}
	}
	return all
}

// Noise is the scaled median absolute deviation of the log ratios of a record.
func (c *Calibration) Noise(record int) float64 {
	var ds []float64
	for _, t := range c.trials[record] {
		ds = append(ds, t.change)
	}
	return noise(ds)
}

// Took is how long a round of a record takes on average.
func (c *Calibration) Took(record int) time.Duration {
	rounds := c.records[record].Rounds
	var sum time.Duration
	for _, r := range rounds {
		for _, s := range r {
			sum += s.Took
		}
	}
	return sum / time.Duration(len(rounds))
}

// blocks draws indices of n things, those of a block one after the other.
type blocks struct {
	random *rand.Rand
	n      int
	at     int
	left   int
}

func (b *blocks) next() int {
	if b.left == 0 {
		b.at, b.left = b.random.IntN(b.n), int(math.Ceil(math.Cbrt(float64(b.n))))
	}
	i := b.at % b.n
	b.at++
	b.left--
	return i
}

// What is drawn of a seed, each by a generator of its own.
const (
	forGates = iota
	forChanges
	forLimits
)

func (c *Calibration) random(what, draw, record int) *rand.Rand {
	return rand.New(rand.NewPCG(c.opt.Seed+uint64(what)<<32, uint64(draw)<<20|uint64(record)))
}

// draws is how often rounds are drawn to see how often a change is found or a limit
// kept; sure how often of them it has to be.
const (
	draws = 200
	sure  = 0.95
)

// Detectable returns the smallest change, as a fraction, that so many rounds tell
// from none with a probability of 95 %: a change moves the interval by as much, so
// it is what brings the end that is nearer to zero beyond it in 95 % of draws. It
// returns false when the rounds are too few for an interval.
func (c *Calibration) Detectable(record, rounds int) (change float64, ok bool) {
	var ends []float64
	for draw := range draws {
		from := &blocks{random: c.random(forChanges, draw, record), n: len(c.trials[record])}
		var s series
		for range rounds {
			s.add(c.trials[record][from.next()].change)
		}
		low, high := interval(s.all, c.opt.Alpha)
		ends = append(ends, -low, high) // for a change to the worse, and to the better
	}
	end := upper(ends)
	return math.Expm1(end), !math.IsInf(end, 0)
}

// upper is the value that so many are not above as is sure.
func upper[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Ceil(sure*float64(len(sorted))))-1]
}

// FalsePositives replays gates with the options' limits and budget, and counts those
// that fail. progress, if not nil, hears of each that is decided, one at a time.
func (c *Calibration) FalsePositives(ctx context.Context, gates int, progress func(done int)) (int, error) {
	failed := make([]bool, gates)
	err := each(ctx, gates, progress, func(i int) { failed[i] = c.fails(i) })
	count := 0
	for _, f := range failed {
		if f {
			count++
		}
	}
	return count, err
}

// each calls f with 0 to n-1, in parallel, and progress after each.
func each(ctx context.Context, n int, progress func(done int), f func(i int)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	done := 0
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f(i)
			mu.Lock()
			defer mu.Unlock()
			done++
			if progress != nil {
				progress(done)
			}
			return nil
		})
	}
	return g.Wait()
}

// fails replays one gate.
func (c *Calibration) fails(gate int) bool {
	names := make([]Benchmark, len(c.records))
	from := make([]*blocks, len(c.records))
	for i, r := range c.records {
		names[i] = r.Benchmark
		from[i] = &blocks{random: c.random(forGates, gate, i), n: len(r.Rounds)}
	}
	opt := c.opt
	opt.Seed = c.random(forGates, gate, len(c.records)).Uint64()
	j := New(opt, names)
	for p, ok := j.Next(); ok; p, ok = j.Next() {
		j.Add(p, c.records[p.Benchmark].Rounds[from[p.Benchmark].next()])
	}
	return slices.ContainsFunc(j.Items(), func(i api.BenchGateItem) bool { return i.Verdict == api.BenchFail })
}
