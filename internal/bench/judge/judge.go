// Package judge decides whether benchmarks have become slower, from measurements
// of both sides that are made in turns. It measures nothing and knows no clock:
// what it says is a function of the slices that it is given, so recorded ones
// give the same verdicts again. docs/bench-method.md explains the method.
package judge

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Arm is what a slice ran.
type Arm int

// The arms. Null is the base again, as a file of its own: what it seems to differ
// from Base is what is wrong with the machine.
const (
	Base Arm = iota
	Null
	Head
)

// String names the side that an arm is of.
func (a Arm) String() string { return [...]string{"base", "base", "head"}[a] }

// Slice is one process that measured one benchmark, several times.
type Slice struct {
	Arm Arm `json:"arm"`
	// Samples are what was measured in it one after the other, by unit as Go
	// prints it.
	Samples []map[string]float64 `json:"samples"`
	// Odd has values that are no finite numbers, by unit; no sample has them.
	Odd map[string]string `json:"odd,omitempty"`
	// Took is how long the process ran.
	Took time.Duration `json:"took"`
	// Loop is how long the calibration loop took just before; 0 when not known.
	Loop time.Duration `json:"loop,omitempty"`
}

// Slices is how many slices a round has: two of the base, one of which is the
// null arm, and two of the head.
const Slices = 4

// units returns the units that the slice has values of.
func (s Slice) units() []string {
	units := slices.Collect(maps.Keys(s.Odd))
	for _, sample := range s.Samples[:min(1, len(s.Samples))] {
		units = slices.AppendSeq(units, maps.Keys(sample))
	}
	return units
}

// Round is what one round measured, in the order of its plan.
type Round [Slices]Slice

// Benchmark names a benchmark.
type Benchmark struct {
	// Package is an import path; Name has no prefix Benchmark.
	Package string `json:"package"`
	Name    string `json:"name"`
}

func (b Benchmark) String() string { return b.Package + "." + b.Name }

// Plan is what is to be measured next.
type Plan struct {
	// Benchmark is an index into the benchmarks.
	Benchmark int
	// Number counts the rounds of the benchmark from 0; Order is that of its slices.
	Number int
	Order  [Slices]Arm
}

// Options are how a gate decides.
type Options struct {
	// Seed is what the order of measurements is drawn from.
	Seed uint64
	// Budget is how long slices may take in all.
	Budget time.Duration
	// Alpha bounds the probability that anything fails though nothing is worse
	// than its limit, and that of a pass of a benchmark that is at its limit or
	// beyond; 0 means DefaultAlpha.
	Alpha  float64
	Limits *Limits
	// Direction says whether a metric is better when it is higher (+1) or lower
	// (-1), 0 when that is not known.
	Direction func(metric string) int
}

// DefaultAlpha is the probability of an error that a gate allows.
const DefaultAlpha = 0.01

// Judge plans rounds and holds what they measured against the limits.
type Judge struct {
	opt        Options
	random     *rand.Rand
	benchmarks []*benchmark
	queue      []int
	spent      time.Duration
}

// New returns a Judge of benchmarks that nothing is known of.
func New(opt Options, names []Benchmark) *Judge {
	if opt.Alpha == 0 {
		opt.Alpha = DefaultAlpha
	}
	j := &Judge{opt: opt, random: rand.New(rand.NewPCG(opt.Seed, 0))}
	for _, name := range names {
		j.benchmarks = append(j.benchmarks, &benchmark{Benchmark: name})
	}
	return j
}

// Next returns what to measure, false when there is nothing more to find out or
// no time left. Benchmarks take turns in an order that is drawn anew each time: a
// bad phase of the machine meets all of them, and a suspicion is confirmed among
// other neighbours.
func (j *Judge) Next() (Plan, bool) {
	if j.spent >= j.opt.Budget {
		return Plan{}, false
	}
	j.queue = slices.DeleteFunc(j.queue, func(i int) bool { return j.benchmarks[i].decided() })
	if len(j.queue) == 0 {
		j.queue = j.open()
		j.random.Shuffle(len(j.queue), func(a, b int) { j.queue[a], j.queue[b] = j.queue[b], j.queue[a] })
	}
	if len(j.queue) == 0 {
		return Plan{}, false
	}
	i := j.queue[0]
	j.queue = j.queue[1:]
	return Plan{i, j.benchmarks[i].rounds, j.order()}, true
}

// open lists the benchmarks that are not decided.
func (j *Judge) open() []int {
	var open []int
	for i, b := range j.benchmarks {
		if !b.decided() {
			open = append(open, i)
		}
	}
	return open
}

// Open counts the benchmarks that are not decided, and Spent is how long the
// slices took so far.
func (j *Judge) Open() int            { return len(j.open()) }
func (j *Judge) Spent() time.Duration { return j.spent }

// orders are those in which a steady drift cancels itself out.
var orders = [][Slices]Arm{
	{Head, Base, Null, Head}, {Head, Null, Base, Head}, {Base, Head, Head, Null}, {Null, Head, Head, Base},
}

// order draws one of the orders. Each side is outside as likely as not, which is
// what the evidence rests on.
func (j *Judge) order() [Slices]Arm { return orders[j.random.IntN(len(orders))] }

// Add takes what a round measured, in the order of its plan.
func (j *Judge) Add(p Plan, r Round) {
	for _, s := range r {
		j.spent += s.Took
	}
	b := j.benchmarks[p.Benchmark]
	b.add(r, func(unit string) *metric {
		direction := j.opt.Direction(unit)
		return newMetric(unit, direction, j.opt.Limits.of(b.Benchmark, unit, direction), j.opt.Alpha)
	})
	j.reject()
}

// Drop ends the measurement of a benchmark, and says why and what that means.
func (j *Judge) Drop(benchmark int, v api.BenchVerdict, why string) {
	j.benchmarks[benchmark].dropped = &dropped{v, why}
}

// reject marks the bounds that are found to be exceeded, by the e-BH procedure:
// of K hypotheses those k with the most evidence, if each has K/(k·alpha) or more.
// That bounds the expected share of false ones among them by alpha, also when they
// depend on each other; and so the probability of any when nothing is worse. Wang
// and Ramdas (2022), "False discovery rate control with e-values".
func (j *Judge) reject() {
	all, suspects := j.hypotheses()
	slices.SortFunc(suspects, func(a, b *bound) int { return cmp.Compare(b.beyond.log(), a.beyond.log()) })
	for k := len(suspects); k > 0; k-- {
		if suspects[k-1].beyond.log() < math.Log(float64(all)/(float64(k)*j.opt.Alpha)) {
			continue
		}
		for _, s := range suspects[:k] {
			s.exceeded = true
		}
		return
	}
}

// hypotheses counts the bounds that are tested, at least one a benchmark, and
// returns those that are confirmed or were exceeded before.
func (j *Judge) hypotheses() (all int, confirmed []*bound) {
	for _, b := range j.benchmarks {
		tested := 0
		for _, m := range b.metrics {
			for _, bound := range m.tested() {
				tested++
				if bound.exceeded || bound.confirmed() && m.sound() {
					confirmed = append(confirmed, bound)
				}
			}
		}
		all += max(1, tested)
	}
	return all, confirmed
}
