package judge

import (
	"cmp"
	"math"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
)

// benchmark is what is known of a benchmark.
type benchmark struct {
	Benchmark
	rounds  int
	dropped *dropped
	// metrics are in the order of their names.
	metrics []*metric
}

// dropped is why a benchmark is not measured any more.
type dropped struct {
	verdict api.BenchVerdict
	why     string
}

// least is how many rounds a benchmark runs, whatever its metrics say.
const least = 5

func (b *benchmark) decided() bool {
	if b.dropped != nil {
		return true
	}
	return b.rounds >= least && !slices.ContainsFunc(b.metrics, func(m *metric) bool { return !m.decided() })
}

func (b *benchmark) add(r Round, create func(unit string) *metric) {
	b.rounds++
	for _, unit := range r[0].units() {
		if !slices.ContainsFunc(b.metrics, func(m *metric) bool { return m.unit == unit }) {
			b.metrics = append(b.metrics, create(unit))
		}
	}
	slices.SortFunc(b.metrics, func(a, b *metric) int { return cmp.Compare(a.unit, b.unit) })
	for _, m := range b.metrics {
		m.add(r)
	}
}

// metric is what is known of one metric of a benchmark.
type metric struct {
	unit string
	// worse is +1 when a higher value is worse, -1 when a lower one is.
	worse float64
	// grain is what values below it count as.
	grain float64
	limit limit
	alpha float64
	// arms are what was measured of each arm.
	arms [3]measured
	// changes are the log ratios of head to base, a round each, counted up for
	// the worse; nulls those of the null arm to the base.
	changes, nulls series
	bounds         [2]*bound
	// higher and lower bet that the null arm is half of what may change for the
	// worse away from the base.
	higher, lower *wealth
	// problem says what statistics cannot do with the values.
	problem string
}

// grains are for counts of what a benchmark does besides its iterations: divided by
// those it is 0 in one process and 1 in another.
var grains = map[string]float64{"allocs/op": 1, "B/op": 16}

func newMetric(unit string, direction int, l limit, alpha float64) *metric {
	worse := 1.0
	if direction > 0 {
		worse = -1
	}
	return &metric{
		unit: unit, worse: worse, grain: grains[unit], limit: l, alpha: alpha,
		bounds: [2]*bound{newBound(l.worse, l.onWorse, alpha), newBound(l.better, l.onBetter, alpha)},
		higher: newWealth(l.worse / 2), lower: newWealth(l.worse / 2),
	}
}

// add takes a round. What counts of a slice is its best sample, and of a side the
// better one of its slices: noise only ever makes a program slower, so the best is
// what is nearest to the program without it, and varies least. Both sides have the
// same number of samples.
func (m *metric) add(r Round) {
	var logs [3]float64
	for i := range logs {
		logs[i] = math.Inf(1)
	}
	for _, s := range r {
		logs[s.Arm] = min(logs[s.Arm], m.worse*math.Log(max(m.best(s), m.grain)))
	}
	if m.problem != "" || slices.ContainsFunc(logs[:], notFinite) {
		return // what is not positive has no logarithm, but can be constant
	}
	v := m.changes.add(logs[Head] - min(logs[Base], logs[Null]))
	m.bounds[0].add(v)
	m.bounds[1].add(v.mirrored())
	v = m.nulls.add(logs[Null] - logs[Base])
	m.higher.add(v)
	m.lower.add(v.mirrored())
}

// best returns the best sample of a slice, and keeps it.
func (m *metric) best(s Slice) float64 {
	of := &m.arms[s.Arm]
	best := math.Inf(1)
	for _, sample := range s.Samples {
		v, ok := sample[m.unit]
		if !ok {
			m.problem = "some of the runs did not report it"
		}
		of.sample(v)
		best = min(best, m.worse*v)
	}
	if odd, ok := s.Odd[m.unit]; ok {
		m.problem = "a run reported " + odd
	}
	of.best = append(of.best, m.worse*best)
	return m.worse * best
}

// measured is what was measured of an arm.
type measured struct {
	// best is the best sample of each slice.
	best []float64
	// least and most are of all samples, of which there are so many.
	least, most float64
	samples     int
}

func (a *measured) sample(v float64) {
	if a.samples == 0 {
		a.least, a.most = v, v
	}
	a.samples++
	a.least, a.most = min(a.least, v), max(a.most, v)
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// rounds counts those that were measured, with or without a log ratio.
func (m *metric) rounds() int { return len(m.arms[Base].best) }

// exact reports whether the samples of each side are all the same, in enough rounds
// to believe it.
func (m *metric) exact() bool {
	base, null, head := m.arms[Base], m.arms[Null], m.arms[Head]
	return m.problem == "" && m.rounds() >= few &&
		base.least == base.most && null.least == base.least && null.most == base.least && head.least == head.most
}

// undefined reports whether values without a logarithm vary, or come and go.
func (m *metric) undefined() bool {
	return m.problem != "" || m.rounds() >= few && !m.exact() && len(m.changes.all) < m.rounds()
}

// unsound reports whether the base differs from itself by half of what may
// change for the worse: then a difference of the head says nothing either.
func (m *metric) unsound() bool {
	return max(m.higher.log(), m.lower.log()) >= math.Log(1/nullAlpha)
}

// nullAlpha is the probability that a sound machine is called unsound.
const nullAlpha = 0.001

// sound reports whether the base is known to differ from itself by less than half
// of what the head seems to differ by, or less than the limit: before that is
// known, nothing fails.
func (m *metric) sound() bool {
	most := max(m.limit.worse, math.Abs(median(m.changes.ds))/2)
	need := math.Log(1 / suspicion)
	return evidence(m.nulls.all, -most) >= need && evidence(mirrored(m.nulls.all), -most) >= need
}

// tested returns the bounds that statistics are needed for.
func (m *metric) tested() []*bound {
	if m.exact() || m.undefined() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.bounds[:]), func(b *bound) bool { return b.action == Show })
}

// decided reports whether more rounds would change nothing.
func (m *metric) decided() bool {
	if m.exact() || m.undefined() || m.unsound() {
		return true
	}
	tested := slices.DeleteFunc(m.tested(), func(b *bound) bool { return b.action == Warn && m.rounds() >= patience })
	return slices.ContainsFunc(tested, func(b *bound) bool { return b.exceeded }) ||
		!slices.ContainsFunc(tested, func(b *bound) bool { return !b.kept() })
}

// patience is for how many rounds a bound that only warns keeps a benchmark open.
const patience = 40

// bound is one end of what is allowed.
type bound struct {
	action Action
	// beyond bets on a change of more than the bound, within on less; confirmation
	// on more again, from the round on in which that was suspected.
	beyond, within, confirmation *wealth
	// needed is the logarithm of the evidence that keeps the bound.
	needed float64
	// since counts the rounds of the confirmation.
	since    int
	exceeded bool
}

// suspicion is the probability that a change is suspected, and then confirmed,
// where there is none; and that the base is called sound where it is not.
const suspicion = 0.05

func newBound(at float64, action Action, alpha float64) *bound {
	return &bound{action: action, beyond: newWealth(at), within: newWealth(-at), needed: math.Log(1 / alpha)}
}

// add takes a change, counted up towards the bound.
func (b *bound) add(v deviation) {
	if b.confirmation != nil {
		b.since++
		b.confirmation.add(v)
	}
	b.beyond.add(v)
	b.within.add(v.mirrored())
	if b.confirmation == nil && b.beyond.log() >= math.Log(1/suspicion) {
		b.confirmation = newWealth(b.beyond.m)
	}
}

// confirmed reports whether the rounds since the suspicion say by themselves that
// the bound is exceeded.
func (b *bound) confirmed() bool {
	return b.confirmation != nil && b.confirmation.log() >= math.Log(1/suspicion)
}

// kept reports whether the change is known to be within the bound.
func (b *bound) kept() bool { return !b.exceeded && b.within.log() >= b.needed }
