package replay

import (
	"context"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Counts is how many gates are replayed, with nothing slower and with each size.
type Counts struct{ Same, Slower int }

// Result is what all replays gave.
type Result struct {
	Seed uint64 `json:"seed"`
	// Recorded is how long the slices of all streams took.
	Recorded time.Duration `json:"recordedNs"`
	Rows     []*Row        `json:"rows"`
	Effects  []Effect      `json:"effects"`
	// Rounds counts those that were recorded.
	RoundCount int `json:"rounds"`
}

// Effect is the change that was measured in all rounds of a benchmark.
type Effect struct {
	Benchmark string  `json:"benchmark"`
	Percent   int     `json:"percent"`
	Load      bool    `json:"load"`
	Change    float64 `json:"change"`
}

// Run replays gates over all that was recorded.
func (s *Set) Run(ctx context.Context, n Counts, seed uint64, progress func(*Row)) (*Result, error) {
	result := &Result{Seed: seed, Recorded: s.recorded()}
	for _, key := range s.comparisons() {
		if len(s.chunks[comparison{0, key.load}]) == 0 {
			continue // nothing that its other benchmarks could be
		}
		count := n.Slower
		if key.percent == 0 {
			count = n.Same
		}
		row, err := s.gates(ctx, key, count, seed)
		if err != nil {
			return nil, err
		}
		row.Benchstat = s.sequential(key, count, row.Rounds, seed)
		result.Rows = append(result.Rows, row)
		for _, b := range s.benchmarks {
			change, rounds := s.effect(key, b)
			result.Effects = append(result.Effects, Effect{b, key.percent, key.load, change})
			result.RoundCount += rounds
		}
		progress(row)
	}
	return result, nil
}

// comparisons are ordered by load, then by size.
func (s *Set) comparisons() []comparison {
	var all []comparison
	for key := range s.chunks {
		all = append(all, key)
	}
	slices.SortFunc(all, func(a, b comparison) int {
		if a.load != b.load {
			if a.load {
				return 1
			}
			return -1
		}
		return a.percent - b.percent
	})
	return all
}

// Rate is a share, and its interval at 95 %.
type Rate struct{ Share, Low, High float64 }

// newRate is the exact interval of Clopper and Pearson (1934), by quantiles of
// the beta distribution.
func newRate(k, n int) Rate {
	if n == 0 {
		return Rate{0, 0, 1}
	}
	r := Rate{Share: float64(k) / float64(n), High: 1}
	if k > 0 {
		r.Low = distuv.Beta{Alpha: float64(k), Beta: float64(n - k + 1)}.Quantile(0.025)
	}
	if k < n {
		r.High = distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(0.975)
	}
	return r
}
