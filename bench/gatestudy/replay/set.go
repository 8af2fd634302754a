// Package replay gives recorded rounds to the decision of the benchmark gate, and
// to benchstat's, again and again, and counts how often they are wrong.
package replay

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
)

// Set is what was recorded.
type Set struct {
	// chunks are contiguous recordings, by what they compare.
	chunks     map[comparison][]*chunk
	benchmarks []string
}

// comparison is a pair of builds under a load.
type comparison struct {
	percent int
	load    bool
}

// chunk has the rounds of each benchmark in their order. Rounds of one lap, one a
// benchmark, followed on one another.
type chunk struct {
	rounds map[string][]judge.Round
	laps   int
}

// Read reads the streams of a directory.
func Read(dir string) (*Set, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("nothing was recorded in %s", dir)
	}
	s := &Set{chunks: map[comparison][]*chunk{}}
	for _, file := range files {
		if err := s.read(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return s, s.check()
}

func (s *Set) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	rec, err := stream.Read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	here := map[comparison]*chunk{}
	for _, r := range rec.Rounds {
		series := rec.Header.Series[r.Series]
		key := comparison{series.Percent, rec.Header.Load}
		if here[key] == nil {
			here[key] = &chunk{rounds: map[string][]judge.Round{}}
		}
		round, err := judged(r)
		if err != nil {
			return err
		}
		here[key].rounds[series.Benchmark] = append(here[key].rounds[series.Benchmark], round)
	}
	for key, c := range here {
		c.laps = len(slices.MinFunc(slices.Collect(maps.Values(c.rounds)), func(a, b []judge.Round) int { return len(a) - len(b) }))
		s.chunks[key] = append(s.chunks[key], c)
	}
	return nil
}

// check finds the benchmarks, which all chunks must have.
func (s *Set) check() error {
	for key, chunks := range s.chunks {
		for _, c := range chunks {
			names := slices.Sorted(maps.Keys(c.rounds))
			if s.benchmarks == nil {
				s.benchmarks = names
			}
			if !slices.Equal(names, s.benchmarks) {
				return fmt.Errorf("the streams of +%d %% have the benchmarks %q, others %q", key.percent, names, s.benchmarks)
			}
		}
	}
	return nil
}

// judged turns a recorded round into one for the decision.
func judged(r stream.Round) (judge.Round, error) {
	var round judge.Round
	if len(r.Slices) != len(round) {
		return round, fmt.Errorf("a round has %d slices", len(r.Slices))
	}
	arms := map[stream.Arm]judge.Arm{stream.Base: judge.Base, stream.Null: judge.Null, stream.Head: judge.Head}
	for i, s := range r.Slices {
		if len(s.Values) == 0 {
			return round, errors.New("a slice has no measurements")
		}
		round[i] = judge.Slice{Arm: arms[s.Arm], Samples: s.Values, Took: s.Took, Loop: s.Loop}
	}
	return round, nil
}

// block is how many laps that followed on one another are replayed as such.
const block = 10

// source gives laps of a comparison: blocks that are drawn at random, again and
// again. What benchmarks have in common at a time stays together.
type source struct {
	chunks []*chunk
	random *rand.Rand
	laps   []lap
}

type lap struct {
	*chunk
	number int
}

// round returns the k-th round of a benchmark.
func (s *source) round(benchmark string, k int) judge.Round {
	for len(s.laps) <= k {
		// Longer chunks are drawn more often.
		all := 0
		for _, c := range s.chunks {
			all += c.laps
		}
		at, c := s.random.IntN(all), 0
		for at >= s.chunks[c].laps {
			at -= s.chunks[c].laps
			c++
		}
		chosen := s.chunks[c]
		start := min(at, max(0, chosen.laps-block))
		for i := start; i < min(start+block, chosen.laps); i++ {
			s.laps = append(s.laps, lap{chosen, i})
		}
	}
	l := s.laps[k]
	return l.rounds[benchmark][l.number]
}

// effect returns the median change of the best samples that the rounds of a
// benchmark have measured, as a fraction, and how many rounds there are.
func (s *Set) effect(key comparison, benchmark string) (change float64, rounds int) {
	var changes []float64
	for _, c := range s.chunks[key] {
		for _, r := range c.rounds[benchmark] {
			best := map[bool]float64{}
			for _, slice := range r {
				for _, sample := range slice.Samples {
					head, v := slice.Arm == judge.Head, sample[metric]
					if old, known := best[head]; !known || v < old {
						best[head] = v
					}
				}
			}
			changes = append(changes, best[true]/best[false]-1)
		}
	}
	return quantile(changes, 0.5), len(changes)
}

// metric is what is counted.
const metric = "ns/op"

// mean is that of all iterations of a slice.
func mean(s judge.Slice) float64 {
	sum := 0.0
	for _, sample := range s.Samples {
		sum += sample[metric]
	}
	return sum / float64(len(s.Samples))
}

// recorded returns how long all rounds took.
func (s *Set) recorded() time.Duration {
	var all time.Duration
	for _, chunks := range s.chunks {
		for _, c := range chunks {
			for _, rounds := range c.rounds {
				for _, r := range rounds {
					for _, slice := range r {
						all += slice.Took + slice.Loop
					}
				}
			}
		}
	}
	return all
}

// quantile of values, NaN-free; 0 of none.
func quantile[T float64 | time.Duration | int](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
