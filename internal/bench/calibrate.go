package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// CalibrateOptions are how a machine's noise is measured.
type CalibrateOptions struct {
	Options
	// Budget is how long the benchmarks of the work tree are compared with
	// themselves; 0 means DefaultCalibration.
	Budget time.Duration
	// GateBudget, Alpha, Limits and Direction are those of the gates that are
	// replayed, as in GateOptions.
	GateBudget time.Duration
	Alpha      float64
	Limits     *judge.Limits
	Direction  func(metric string) int
}

const (
	// DefaultCalibration is how long a machine's noise is measured.
	DefaultCalibration = 2 * time.Minute
	// replayed is how many gates are replayed.
	replayed = 500
)

// Calibrate compares the programs of the work tree with themselves, and says what a
// gate can tell on this machine: how noisy each benchmark is, which changes it
// finds, how often it fails without a reason, and which limit can be held.
//
// A benchmark that cannot be measured, or not often enough within the budget, is
// in a note. The errors are what kept all from being measured.
func Calibrate(ctx context.Context, opt CalibrateOptions) (doc *api.BenchCalibration, err error) {
	opt.Budget = cmp.Or(opt.Budget, DefaultCalibration)
	opt.GateBudget = cmp.Or(opt.GateBudget, DefaultBudget)
	began := time.Now()
	l, err := newLab(opt.Options)
	if err != nil {
		return nil, err
	}
	c := &calibration{lab: l, opt: opt}
	defer func() { err = errors.Join(err, c.close()) }()
	for _, step := range []func(context.Context) error{c.build, c.list, c.size, c.record} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c.result(ctx, began)
}

// calibration is one that runs.
type calibration struct {
	*lab
	opt      CalibrateOptions
	side     side
	subjects []*subject
	records  []judge.Record
}

func (c *calibration) close() error {
	var err error
	if c.side.Side != nil {
		err = c.side.Close()
	}
	return errors.Join(err, c.lab.close())
}

func (c *calibration) build(ctx context.Context) (err error) {
	if c.side, err = c.lab.side(ctx, "work tree", ""); err != nil {
		return err
	}
	for _, f := range c.side.Failed {
		c.leaveOut(f.Package, f.Err)
	}
	return nil
}

func (c *calibration) leaveOut(what string, err error) {
	c.note(fmt.Sprintf("%s is left out: %s", what, text(err)))
}

// list finds the benchmarks. Each arm has a file of its own, as in a gate.
func (c *calibration) list(ctx context.Context) error {
	packages := packagesOf(c.side)
	for i, layouts := range packages {
		first := layouts[0]
		c.Progress(Progress{Stage: Listing, Done: i, Total: len(packages), Text: first.Package})
		found, err := execute.List(ctx, c.program(first.Path, first.Dir), c.pattern())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.leaveOut(first.Package, err)
			continue
		}
		var arms [3][]execute.Program
		for _, b := range layouts {
			for arm := range arms {
				path := b.Path
				if judge.Arm(arm) != judge.Base {
					if path, err = copyBinary(path, judge.Arm(arm)); err != nil {
						return err
					}
				}
				arms[arm] = append(arms[arm], c.program(path, b.Dir))
			}
		}
		for _, b := range found.Benchmarks {
			c.subjects = append(c.subjects, &subject{Benchmark: judge.Benchmark{Package: first.Package, Name: b.Name}, arms: arms})
		}
		for _, f := range found.Failures {
			c.leaveOut(first.Package+"."+f.Name, f.Err)
		}
	}
	return nil
}

// size chooses the iterations of each benchmark.
func (c *calibration) size(ctx context.Context) error {
	for i, s := range c.subjects {
		c.Progress(Progress{Stage: Sizing, Done: i, Total: len(c.subjects), Text: s.String()})
		var err error
		if s.Shape, err = ChooseShape(ctx, s.arms[judge.Base][0], s.Name, c.Slice); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.leaveOut(s.String(), err)
		}
	}
	c.subjects = slices.DeleteFunc(c.subjects, func(s *subject) bool { return s.N == 0 })
	if len(c.subjects) == 0 {
		return &fault.Error{
			Code: fault.NotFound, Op: "calibrate", Input: c.pattern(), Err: errors.New("no benchmark can be measured"),
			Hint: "gopherwood bench run says why",
		}
	}
	return nil
}

// record measures rounds until the budget is spent.
func (c *calibration) record(ctx context.Context) error {
	for _, s := range c.subjects {
		c.records = append(c.records, judge.Record{Benchmark: s.Benchmark})
	}
	turns := judge.NewTurns(c.Seed, len(c.subjects))
	for spent := time.Duration(0); spent < c.opt.Budget; {
		plan, ok := turns.Next()
		if !ok {
			return nil
		}
		s := c.subjects[plan.Benchmark]
		c.Progress(Progress{Stage: Recording, Spent: spent, Budget: c.opt.Budget, Text: s.String()})
		round, err := c.round(ctx, s, plan)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			turns.Drop(plan.Benchmark)
			c.records[plan.Benchmark].Rounds = nil
			c.leaveOut(s.String(), err)
			continue
		}
		for _, slice := range round {
			spent += slice.Took
		}
		c.records[plan.Benchmark].Rounds = append(c.records[plan.Benchmark].Rounds, round)
	}
	return nil
}

func (c *calibration) round(ctx context.Context, s *subject, plan judge.Plan) (round judge.Round, err error) {
	for i, arm := range plan.Order {
		if round[i], err = c.slice(ctx, s.arms[arm][plan.Number%len(s.arms[arm])], s); err != nil {
			return round, err
		}
		round[i].Arm = arm
	}
	return round, nil
}

// result is the document of what the records say.
func (c *calibration) result(ctx context.Context, began time.Time) (doc *api.BenchCalibration, err error) {
	doc = &api.BenchCalibration{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchCalibration, Machine: c.machine(),
		Settings: c.Settings,
		Time:     began.UTC().Format(time.RFC3339), Seed: c.Seed,
	}
	records := slices.DeleteFunc(c.records, func(r judge.Record) bool {
		if len(r.Rounds) > 0 && !r.Usable() {
			c.note(fmt.Sprintf("%s is left out: of its %d rounds fewer than %d have a time: raise --budget, or name fewer benchmarks", r.Benchmark, len(r.Rounds), judge.Enough))
		}
		return !r.Usable()
	})
	if len(records) == 0 {
		return nil, &fault.Error{
			Code: fault.Limit, Op: "calibrate", Input: c.pattern(), Err: errors.New("no benchmark was measured often enough"),
			Hint: "raise --budget, or name fewer benchmarks with --bench",
		}
	}
	known := judge.NewCalibration(judge.Options{
		Seed: c.Seed, Budget: c.opt.GateBudget, Alpha: c.opt.Alpha, Limits: c.opt.Limits, Direction: c.opt.Direction,
	}, records)
	if doc.Items, err = c.calibrated(ctx, known, records); err != nil {
		return nil, err
	}
	c.noteFew(records)
	if err := c.replay(ctx, known, doc); err != nil {
		return nil, err
	}
	doc.Notes = c.notes
	return doc, nil
}

// few is how many rounds say little of how long the tails of the noise are.
const few = 30

// noteFew says when there are few rounds, and what would give more.
func (c *calibration) noteFew(records []judge.Record) {
	fewest := slices.MinFunc(records, func(a, b judge.Record) int { return cmp.Compare(len(a.Rounds), len(b.Rounds)) })
	if n := len(fewest.Rounds); n < few {
		budget := c.opt.Budget * few / time.Duration(n)
		c.note(fmt.Sprintf("%s was measured in %d rounds only, which may flatter the machine: --budget %s gives %d", fewest.Benchmark, n, inTens(budget), few))
	}
}

// calibrated says of each benchmark what there is to say, of several at a time.
func (c *calibration) calibrated(ctx context.Context, known *judge.Calibration, records []judge.Record) ([]api.BenchCalibrationItem, error) {
	items := make([]api.BenchCalibrationItem, len(records))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range records {
		c.Progress(Progress{Stage: Replaying, Done: i, Total: len(records), Text: "with changes of many sizes"})
		all.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			items[i] = calibrated(known, i, r)
			return nil
		})
	}
	return items, all.Wait()
}

// calibrated is what there is to say of a benchmark.
func calibrated(known *judge.Calibration, i int, r judge.Record) api.BenchCalibrationItem {
	item := api.BenchCalibrationItem{
		Package: r.Package, Name: r.Name, Rounds: len(r.Rounds), Noise: known.Noise(i), MinDetectable: []api.BenchDetectable{}, Seconds: known.Took(i).Seconds(),
	}
	for _, rounds := range []int{10, 20, 40, 80, 160} {
		if change, ok := known.Detectable(i, rounds); ok {
			item.MinDetectable = append(item.MinDetectable, api.BenchDetectable{Rounds: rounds, Change: change})
		}
	}
	return item
}

// replay adds what gates would have said.
func (c *calibration) replay(ctx context.Context, known *judge.Calibration, doc *api.BenchCalibration) (err error) {
	report := func(what string) func(done, total int) {
		return func(done, total int) { c.Progress(Progress{Stage: Replaying, Done: done, Total: total, Text: what}) }
	}
	gates := report("with the limits that are configured")
	doc.Gates = replayed
	if doc.FalsePositives, err = known.FalsePositives(ctx, replayed, func(done int) { gates(done, replayed) }); err != nil {
		return err
	}
	r, ok, err := known.Recommend(ctx, report("with other limits"))
	switch {
	case err != nil:
		return err
	case !ok:
		c.note(fmt.Sprintf("no limit can be held within a budget of %s: measure fewer benchmarks at a time, or on a quieter machine", c.opt.GateBudget))
	default:
		doc.Recommended = api.BenchRecommendation{Worse: fmt.Sprintf("%d%%", r.Percent), Rounds: r.Rounds, Budget: inTens(r.Spent).String()}
	}
	return nil
}

// inTens rounds a duration up to tens of seconds.
func inTens(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds()/10)) * 10 * time.Second
}
