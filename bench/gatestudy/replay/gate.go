package replay

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
)

// Budget is the gate's default.
const Budget = 5 * time.Minute

// Row counts what gates said of one comparison.
type Row struct {
	// Percent is how much slower one of the benchmarks is; 0 when none.
	Percent int  `json:"percent"`
	Load    bool `json:"load"`
	Gates   int  `json:"gates"`
	// Benchmarks is how many each gate has.
	Benchmarks int `json:"benchmarks"`
	// Verdicts counts those on the slower benchmark; when there is none, those of
	// whole gates.
	Verdicts map[api.BenchVerdict]int `json:"verdicts"`
	// False counts the gates that fail for a benchmark that is no slower.
	False int `json:"false"`
	// Median and P95 are the time until all is decided.
	Median time.Duration `json:"medianNs"`
	P95    time.Duration `json:"p95Ns"`
	// Rounds is the median of the rounds of the benchmark that is slower, of all
	// benchmarks when there is none.
	Rounds int `json:"rounds"`
	// Benchstat is what its method says of as many slices.
	Benchstat Sequential `json:"benchstat"`
}

// Rate returns the share of gates, and its interval at 95 %.
func (r *Row) Rate(v api.BenchVerdict) Rate { return newRate(r.Verdicts[v], r.Gates) }

// replayed is what one gate said.
type replayed struct {
	verdict api.BenchVerdict
	wrong   bool
	spent   time.Duration
	rounds  []int
}

// gate replays one gate, in which the benchmark slow, if not "", is slower.
func (s *Set) gate(key comparison, slow string, seed uint64) replayed {
	random := rand.New(rand.NewPCG(seed, uint64(key.percent)))
	same := &source{chunks: s.chunks[comparison{0, key.load}], random: random}
	slower := &source{chunks: s.chunks[key], random: random}
	limits, err := judge.NewLimits(nil)
	if err != nil {
		panic(err) // there are none
	}
	names := make([]judge.Benchmark, len(s.benchmarks))
	for i, b := range s.benchmarks {
		names[i] = judge.Benchmark{Package: "subjects", Name: b}
	}
	j := judge.New(judge.Options{Seed: seed, Budget: Budget, Limits: limits, Direction: func(string) int { return -1 }}, names)
	for plan, more := j.Next(); more; plan, more = j.Next() {
		from, name := same, s.benchmarks[plan.Benchmark]
		if name == slow {
			from = slower
		}
		j.Add(plan, from.round(name, plan.Number))
	}
	return summary(j, slow)
}

func summary(j *judge.Judge, slow string) replayed {
	said := replayed{verdict: api.BenchPass, spent: j.Spent()}
	order := map[api.BenchVerdict]int{api.BenchPass: 0, api.BenchInconclusive: 1, api.BenchWarn: 2, api.BenchFail: 3}
	for _, item := range j.Items() {
		switch {
		case slow != "" && item.Name == slow:
			if item.Metric == metric {
				said.verdict, said.rounds = item.Verdict, append(said.rounds, item.Rounds)
			}
			continue
		case slow == "":
			if order[item.Verdict] > order[said.verdict] {
				said.verdict = item.Verdict
			}
			if item.Metric == metric {
				said.rounds = append(said.rounds, item.Rounds)
			}
		}
		said.wrong = said.wrong || item.Verdict == api.BenchFail
	}
	return said
}

// gates replays gates of a comparison in parallel. The slower benchmark is each
// of them in turn.
func (s *Set) gates(ctx context.Context, key comparison, count int, seed uint64) (*Row, error) {
	all := make([]replayed, count)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range count {
		g.Go(func() error {
			slow := ""
			if key.percent > 0 {
				slow = s.benchmarks[i%len(s.benchmarks)]
			}
			all[i] = s.gate(key, slow, seed+uint64(i))
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	row := &Row{Percent: key.percent, Load: key.load, Gates: count, Benchmarks: len(s.benchmarks), Verdicts: map[api.BenchVerdict]int{}}
	var spent []time.Duration
	var rounds []int
	for _, said := range all {
		row.Verdicts[said.verdict]++
		if said.wrong {
			row.False++
		}
		spent, rounds = append(spent, said.spent), append(rounds, said.rounds...)
	}
	row.Median, row.P95, row.Rounds = quantile(spent, 0.5), quantile(spent, 0.95), quantile(rounds, 0.5)
	return row, nil
}
