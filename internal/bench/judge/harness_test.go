package judge

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// world is a machine and its benchmarks, as bad as real ones: its speed changes in
// phases, a sample may be hit by a neighbour, and both depend on the time only.
type world struct {
	random *rand.Rand
	// noise is the standard deviation of the logarithm of a slice, and again of
	// a sample, spikes how often one is hit, phases how often the machine's speed changes.
	noise, spikes, phases float64
	// change is the true ratio of head to base by benchmark, 1 for others.
	change map[int]float64
	// null is that of the null arm to the base.
	null  float64
	phase float64
}

func newWorld(seed uint64) *world {
	return &world{random: rand.New(rand.NewPCG(seed, 1)), noise: 0.03, spikes: 0.1, phases: 0.05, change: map[int]float64{}, null: 1}
}

// nanoseconds is what a sample of the base says in a quiet moment.
const nanoseconds = 1234.0

func (w *world) slice(arm Arm, benchmark int) Slice {
	if w.random.Float64() < w.phases {
		w.phase = w.random.ExpFloat64() * 0.2
	}
	off := w.phase + w.noise*w.random.NormFloat64()
	ns := nanoseconds
	change, ok := w.change[benchmark]
	switch {
	case arm == Head && ok:
		ns *= change
	case arm == Null:
		ns *= w.null
	}
	s := Slice{Arm: arm, Took: 50 * time.Millisecond}
	for range samples {
		s.Samples = append(s.Samples, map[string]float64{"ns/op": ns * math.Exp(off+w.jitter())})
	}
	return s
}

// samples is how many a slice has.
const samples = 5

// jitter is what a sample alone is hit by.
func (w *world) jitter() float64 {
	off := w.noise * w.random.NormFloat64()
	if w.random.Float64() < w.spikes {
		off += w.random.ExpFloat64() * 0.3
	}
	return off
}

func (w *world) round(p Plan) Round {
	var r Round
	for i, arm := range p.Order {
		r[i] = w.slice(arm, p.Benchmark)
	}
	return r
}

// options are those of a gate with the limits; lower is better but for rows/s.
func options(t testing.TB, seed uint64, budget time.Duration, limits ...limitText) Options {
	t.Helper()
	l, err := NewLimits(limits)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Seed: seed, Budget: budget, Limits: l, Direction: func(metric string) int {
		switch metric {
		case "rows/s":
			return 1
		case "shape":
			return 0
		}
		return -1
	}}
}

// play runs a gate to its end.
func play(j *Judge, round func(Plan) Round) *Judge {
	for {
		p, ok := j.Next()
		if !ok {
			return j
		}
		j.Add(p, round(p))
	}
}
