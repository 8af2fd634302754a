package execute

import (
	"context"
	"math"
	"time"
)

const (
	// maxIterations is the most that package testing chooses itself.
	maxIterations = 1_000_000_000
	// maxGrowth bounds how fast iterations grow: what a benchmark does besides
	// its iterations is not known before it has run some.
	maxGrowth = 1000
	// maxDoubts is how often the same iterations are run again when the process
	// takes long for what it measures.
	maxDoubts = 2
	// maxSteps bounds the processes that are started to size a benchmark.
	maxSteps = 20
	// untimed is how many times the target a process may take, when a benchmark
	// stops its timer in each iteration; brief is what it may take in any case, as
	// it may wait so long for a processor.
	untimed = 8
	brief   = 40 * time.Millisecond
	// slow is what takes so long that it is not run again to see whether only
	// the first time does.
	slow = 2 * time.Second
)

// Sizing is how a benchmark is measured.
type Sizing struct {
	// N is how many iterations a slice has; at least 1.
	N int64
	// Procs is GOMAXPROCS.
	Procs int
	// NsPerOp is what one iteration takes of measured time, in nanoseconds.
	NsPerOp float64
	// BytesPerOp is what an iteration allocates.
	BytesPerOp float64
	// Slice is what a process takes that measures N iterations, Startup what of
	// it is not for measured iterations.
	Slice, Startup time.Duration
	// Skipped says that the benchmark skips itself; N is then 0.
	Skipped bool
}

// Size finds how many iterations of a benchmark take about target of measured
// time, 1 when one takes longer. It runs short processes with more and more
// iterations; the last one takes between a quarter of target and twice of it,
// for usual benchmarks. Iterations whose own measured time is short against
// what they do besides it are bounded by the time of the process, eight times
// target or 40 ms. Errors are those of Run.
func Size(ctx context.Context, p Program, benchmark string, target time.Duration) (Sizing, error) {
	p.Timeout = p.timeout(benchmarkTimeout)
	s := &sizer{target: target, n: 1}
	for range maxSteps {
		m, err := Run(ctx, p, Slice{Benchmark: benchmark, N: s.n})
		if err != nil || m.Skipped {
			return Sizing{Skipped: m.Skipped}, err
		}
		if s.step(m) {
			break
		}
	}
	return s.sizing(), nil
}

// sizer chooses iterations from what was measured so far.
type sizer struct {
	target time.Duration
	n      int64
	procs  int
	// first is how long a process took besides its iterations, at least.
	first time.Duration
	// doubts counts processes of n iterations that took long for what they measured.
	doubts int
	// perOp and before are nanoseconds of an iteration in the last and the
	// last but one process, wall what an iteration takes with what is not measured.
	perOp, before, wall float64
	// bytes is what an iteration allocates.
	bytes float64
}

// step takes a measurement of n iterations and says whether it was the last;
// else n is how many to measure next.
func (s *sizer) step(m *Measurement) (done bool) {
	n := float64(s.n)
	measured, growth := s.measured(m)
	s.procs, s.bytes = m.Procs, m.Samples[0]["B/op"]
	s.before, s.perOp = s.perOp, max(measured, 1)/n
	if besides := max(m.Took-time.Duration(measured), 0); s.n == 1 {
		s.first = besides
		s.wall = s.perOp
	} else {
		s.first = min(s.first, besides)
		s.wall = max(float64(m.Took-s.first)/n, s.perOp)
	}
	long := s.n > 1 && s.wall*n >= s.most()
	if long && measured < s.wall*n/2 && s.wall*n < 4*s.most() && s.doubts < maxDoubts {
		s.doubts++ // a busy machine makes a process wait, and perhaps not the next
		return false
	}
	if s.n == 1 && m.Took >= slow || long || s.n >= maxIterations {
		return true
	}
	s.doubts = 0
	steady := s.n > 1 && s.perOp > s.before*3/4
	switch {
	case measured < float64(s.target)/4:
		s.n = int64(min(max(math.Ceil(float64(s.target)/s.perOp), n+1), n*growth, maxIterations))
	case steady || measured > 4*float64(s.target) && s.n > 1:
		return true
	case s.n == 1: // perhaps only the first is slow
		s.n = 2
	default:
		s.n = min(s.n*10, maxIterations)
	}
	return false
}

// most is how many nanoseconds the iterations of a process may take.
func (s *sizer) most() float64 { return max(untimed*float64(s.target), float64(brief)) }

// measured returns the nanoseconds that all iterations took, and how many times
// more can be run next. Benchmarks may suppress ns/op, or report another value
// under this name: then it is the time of the process without that for one iteration.
func (s *sizer) measured(m *Measurement) (total, growth float64) {
	perOp, ok := m.Samples[0]["ns/op"]
	total = perOp * float64(m.N)
	if ok && total <= float64(m.Took) {
		return total, maxGrowth
	}
	growth = min(max(untimed*float64(s.target)/float64(m.Took), 2), maxGrowth)
	if m.N == 1 {
		return 0, growth
	}
	return float64(max(m.Took-s.first, 0)), growth
}

func (s *sizer) sizing() Sizing {
	n := min(float64(s.target)/s.perOp, s.most()/s.wall, maxIterations)
	n = max(math.Round(n), 1)
	return Sizing{N: int64(n), Procs: s.procs, NsPerOp: s.perOp, BytesPerOp: s.bytes,
		Slice: s.first + time.Duration(n*s.wall), Startup: s.first}
}
