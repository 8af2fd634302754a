package replay

import (
	"math/rand/v2"

	"golang.org/x/perf/benchmath"

	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
)

// Sequential counts what benchstat says when one side is measured after the
// other, as people run it: -count=10, and a difference when p < 0.05.
type Sequential struct {
	Gates int `json:"gates"`
	// Rounds is how many rounds' slices each benchmark had.
	Rounds int `json:"rounds"`
	// Different counts gates in which a benchmark is called slower, Beyond those
	// in which one is called slower by more than the gate's limit. When one is
	// slower, only that one is looked at.
	Different int `json:"different"`
	Beyond    int `json:"beyond"`
}

// The usual settings of benchstat, and the gate's default limit.
const (
	samples = 10
	alpha   = 0.05
	limit   = 0.05
)

// sequential compares windows of the streams: the slices of the base in as many
// laps as a gate has rounds, then those of the head in as many laps after them.
func (s *Set) sequential(key comparison, count, rounds int, seed uint64) Sequential {
	random := rand.New(rand.NewPCG(seed, uint64(key.percent)))
	chunks := s.chunks[key]
	shortest := chunks[0].laps
	for _, c := range chunks {
		shortest = min(shortest, c.laps)
	}
	rounds = min(rounds, shortest/2)
	said := Sequential{Gates: count, Rounds: rounds}
	for i := range count {
		c := chunks[random.IntN(len(chunks))]
		start := random.IntN(c.laps - 2*rounds + 1)
		looked := s.benchmarks
		if key.percent > 0 {
			looked = looked[i%len(looked):][:1]
		}
		different, beyond := false, false
		for _, b := range looked {
			slower, change := compare(window(c, b, start, rounds, false), window(c, b, start+rounds, rounds, true))
			different = different || slower
			beyond = beyond || slower && change > limit
		}
		if different {
			said.Different++
		}
		if beyond {
			said.Beyond++
		}
	}
	return said
}

// window returns the samples of one side in laps of a chunk: means of slices that
// followed on one another, as one long measurement has it.
func window(c *chunk, benchmark string, start, laps int, head bool) []float64 {
	var slices []float64
	for _, round := range c.rounds[benchmark][start : start+laps] {
		for _, slice := range round {
			if (slice.Arm == judge.Head) == head {
				slices = append(slices, mean(slice))
			}
		}
	}
	n := min(samples, len(slices))
	means := make([]float64, n)
	for i := range means {
		from, to := i*len(slices)/n, (i+1)*len(slices)/n
		for _, v := range slices[from:to] {
			means[i] += v / float64(to-from)
		}
	}
	return means
}

// compare is what benchstat says of two samples by default.
func compare(base, head []float64) (slower bool, change float64) {
	thresholds := &benchmath.Thresholds{CompareAlpha: alpha}
	b, h := benchmath.NewSample(base, thresholds), benchmath.NewSample(head, thresholds)
	how := benchmath.AssumeNothing
	change = how.Summary(h, 1-alpha).Center/how.Summary(b, 1-alpha).Center - 1
	return how.Compare(b, h).P < alpha && change > 0, change
}
