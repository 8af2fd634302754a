package bench

import (
	"context"
	"fmt"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
)

// measure runs rounds until the judge has no more questions, or no time. What an
// interrupted gate has measured is judged first.
func (g *gate) measure(ctx context.Context) error {
	names := make([]judge.Benchmark, len(g.roster.Subjects))
	for i, s := range g.roster.Subjects {
		names[i] = s.Benchmark
	}
	g.judge = judge.New(judge.Options{
		Seed: g.Seed, Budget: g.opt.Budget, Alpha: g.opt.Alpha, Limits: g.opt.Limits, Direction: g.opt.Direction,
	}, names)
	for {
		plan, ok := g.judge.Next()
		if !ok {
			g.noteRepeats()
			return nil
		}
		s := g.roster.Subjects[plan.Benchmark]
		g.Progress(Progress{
			Stage: Measuring, Done: len(names) - g.judge.Open(), Total: len(names), Spent: g.judge.Spent(), Budget: g.opt.Budget, Text: s.String(),
		})
		step, ok := g.journal.next(plan)
		if !ok {
			var err error
			if step, err = g.step(ctx, s, plan); err != nil {
				return err
			}
			if err := g.journal.add(step); err != nil {
				return err
			}
		}
		s.repeat(step.Repeated)
		if step.Dropped != nil {
			s.repeated = 0 // its verdict says why
			g.judge.Drop(plan.Benchmark, step.Dropped.Verdict, step.Dropped.Reason)
			continue
		}
		g.judge.Add(plan, *step.Round)
	}
}

// step is what became of a plan: a round, or a benchmark that is not measured any more.
type step struct {
	Benchmark int          `json:"benchmark"`
	Round     *judge.Round `json:"round,omitempty"`
	Dropped   *dropped     `json:"dropped,omitempty"`
	// Repeated says of slices that failed, why; they were measured again.
	Repeated []string `json:"repeated,omitempty"`
}

type dropped struct {
	Verdict api.BenchVerdict `json:"verdict"`
	Reason  string           `json:"reason"`
}

// step runs the slices of a plan.
func (g *gate) step(ctx context.Context, s *subject, plan judge.Plan) (step, error) {
	var r judge.Round
	done := step{Benchmark: plan.Benchmark}
	for i, arm := range plan.Order {
		program := s.arms[arm][plan.Number%len(s.arms[arm])]
		slice, err := g.slice(ctx, program, s)
		took := slice.Took
		if err != nil && ctx.Err() == nil && s.repeated+len(done.Repeated) < maxRepeats {
			// Something else may have ended it, such as want of memory.
			done.Repeated = append(done.Repeated, inThe(arm, err))
			slice, err = g.slice(ctx, program, s)
			slice.Took += took
		}
		if ctx.Err() != nil {
			return step{}, context.Cause(ctx)
		}
		if err != nil {
			done.Dropped = drop(arm, err)
			return done, nil
		}
		slice.Arm = arm
		r[i] = slice
	}
	done.Round = &r
	return done, nil
}

// maxRepeats is how many slices of a benchmark may fail once: more often, it is
// the benchmark.
const maxRepeats = 5

// repeat counts slices that failed once.
func (s *subject) repeat(why []string) {
	s.repeated += len(why)
	if len(why) > 0 {
		s.why = why[len(why)-1]
	}
}

// noteRepeats says what failed and then did not.
func (g *gate) noteRepeats() {
	for _, s := range g.roster.Subjects {
		if s.repeated > 0 {
			g.note(fmt.Sprintf("%s failed in %d of its processes, which were run again; last, %s", s, s.repeated, s.why))
		}
	}
}

// drop says what it means that a side's benchmark does not run: the head's is a
// failure of the head, the base's leaves nothing to compare with.
func drop(arm judge.Arm, err error) *dropped {
	v := api.BenchInconclusive
	if arm == judge.Head {
		v = api.BenchFail
	}
	return &dropped{v, inThe(arm, err)}
}

func inThe(arm judge.Arm, err error) string { return fmt.Sprintf("in the %s, %s", arm, text(err)) }

// slice runs a process, after the loop that tells how fast the machine is just now.
// With an error, the slice only says how long that took.
func (l *lab) slice(ctx context.Context, p execute.Program, s *subject) (judge.Slice, error) {
	loop, err := l.calibrate()
	if err != nil {
		return judge.Slice{}, err
	}
	m, instructions, err := l.run(ctx, p, execute.Slice{Benchmark: s.Name, N: s.N, Count: s.Count, Expected: s.Slice})
	if err == nil && m.Skipped {
		err = errSkipped
	}
	if err != nil {
		return judge.Slice{Took: m.Took}, err
	}
	if r := s.references[p.Path]; r != nil && instructions > 0 {
		r.add(m, instructions, s)
	}
	slice := judge.Slice{Samples: m.Samples, Took: m.Took, Loop: loop}
	for _, odd := range m.Odd {
		if slice.Odd == nil {
			slice.Odd = map[string]string{}
		}
		slice.Odd[odd.Unit] = odd.Value
	}
	return slice, nil
}
