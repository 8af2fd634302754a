package bench

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
)

// GateOptions are how two revisions are compared.
type GateOptions struct {
	Options
	// Base and Head are revisions; an empty one is the work tree.
	Base, Head string
	// Budget is how long the processes of rounds may take in all; 0 means DefaultBudget.
	Budget time.Duration
	// Alpha, Limits and Direction are as in judge.Options.
	Alpha     float64
	Limits    *judge.Limits
	Direction func(metric string) int
	// Inconclusive is what a gate says that could not tell: pass, warn or fail; ""
	// is warn.
	Inconclusive api.BenchVerdict
	// Always measures also what is the same program on both sides.
	Always bool
	// Fresh forgets what an interrupted gate has measured.
	Fresh bool
}

// DefaultBudget is how long a gate measures at most.
const DefaultBudget = 5 * time.Minute

// Gated is what a gate found.
type Gated struct {
	Gate *api.BenchGate
	// Measured is what the plots show.
	Measured []report.Measured
	// Places are where the head declares its benchmarks.
	Places report.Places
}

// Gate compares two revisions. An interrupted gate goes on where it was when the
// same programs are compared again.
//
// The errors are what kept it from comparing at all: no such revision, no
// benchmark that matches, the end of ctx. A part that could not be compared is an
// item of the gate.
func Gate(ctx context.Context, opt GateOptions) (gated *Gated, err error) {
	began := time.Now()
	opt.Budget = cmp.Or(opt.Budget, DefaultBudget)
	opt.Alpha = cmp.Or(opt.Alpha, judge.DefaultAlpha)
	opt.Inconclusive = cmp.Or(opt.Inconclusive, api.BenchWarn)
	l, err := newLab(opt.Options)
	if err != nil {
		return nil, err
	}
	g := &gate{lab: l, opt: opt}
	defer func() { err = errors.Join(err, g.close()) }()
	for _, step := range []func(context.Context) error{g.build, g.enrol, g.measure} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	g.journal.finish()
	return g.result(time.Since(began))
}

// gate is one that runs.
type gate struct {
	*lab
	opt        GateOptions
	base, head side
	pairs      []pair
	roster     roster
	judge      *judge.Judge
	journal    *journal
	// preparing is how long it took to find the benchmarks and how often they run.
	preparing time.Duration
}

type side struct {
	*build.Side
	*build.Built
}

func (s side) facts() api.BenchSide { return s.Facts(s.Binaries) }

func (g *gate) close() error {
	errs := []error{g.journal.close(), g.lab.close()}
	for _, s := range []side{g.base, g.head} {
		if s.Side != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

func (g *gate) build(ctx context.Context) (err error) {
	g.base, err = g.side(ctx, "base", g.opt.Base)
	none := errors.Is(err, build.ErrNoBenchmarks)
	if err != nil && !none {
		return err
	}
	g.head, err = g.side(ctx, "head", g.opt.Head)
	if err != nil && (none || !errors.Is(err, build.ErrNoBenchmarks)) {
		return err
	}
	g.note(build.Differences(g.base.facts().Binaries, g.head.facts().Binaries)...)
	g.pairs = pairUp(g.base, g.head)
	return nil
}

// result is the gate's document.
func (g *gate) result(took time.Duration) (gated *Gated, err error) {
	items := append(g.judge.Items(), g.roster.Settled...)
	judge.Sort(items)
	doc := &api.BenchGate{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchGate,
		Base: g.base.facts(), Head: g.head.facts(), Machine: g.machine(), Settings: g.Settings, Seed: g.Seed, Alpha: g.opt.Alpha,
		Budget: g.opt.Budget.Seconds(), Took: took.Seconds(), Measuring: g.judge.Spent().Seconds(), Preparing: g.preparing.Seconds(), Building: g.building.Seconds(),
		Items: items, Verdict: worst(items, g.opt.Inconclusive),
	}
	doc.Notes = append(g.roster.Notes, g.notes...)
	gated = &Gated{Gate: doc}
	for _, s := range g.judge.Series() {
		gated.Measured = append(gated.Measured, report.Measured{
			Package: s.Package, Name: s.Name, Metric: s.Metric, Base: s.Base, Null: s.Null, Head: s.Head, Changes: s.Changes, Nulls: s.Nulls,
		})
	}
	gated.Places, err = g.places()
	return gated, err
}

// places finds the benchmarks in the files of the head.
func (g *gate) places() (report.Places, error) {
	dirs := map[string]string{}
	for _, b := range g.head.Binaries {
		dirs[b.Package] = g.head.relative(b.Dir)
	}
	return report.FindPlaces(os.DirFS(g.head.Root), dirs)
}

// worst returns the worst verdict, where inconclusive counts as the given one, or
// as a warning at most where the limit only warns.
func worst(items []api.BenchGateItem, inconclusive api.BenchVerdict) api.BenchVerdict {
	all := api.BenchPass
	for _, item := range items {
		v := item.Verdict
		if v == api.BenchInconclusive {
			v = inconclusive
			if v == api.BenchFail && item.Limit.OnWorse == string(judge.Warn) {
				v = api.BenchWarn
			}
		}
		if judge.Severity(v) > judge.Severity(all) {
			all = v
		}
	}
	return all
}
