package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// RunOptions are how the benchmarks of one revision are measured. Slice is how long
// a sample measures; 0 means DefaultSample.
type RunOptions struct {
	Options
	// Revision is what is measured; empty is the work tree.
	Revision string
	// Count is how many samples each benchmark gets; 0 means DefaultCount.
	Count int
	// Direction says of a metric whether higher is better (1), lower (-1), or that it
	// is not known (0); the results say it too. Nil knows of none.
	Direction func(metric string) int
}

const (
	// DefaultCount is how many samples each benchmark gets.
	DefaultCount = 10
	// DefaultSample is how long a sample measures.
	DefaultSample = 100 * time.Millisecond
)

// Run measures the benchmarks of one revision. Each sample is a process of its own.
// It goes through all benchmarks once for each sample, every time in another order,
// so that what slows the machine down for a while meets a sample of many instead of
// all samples of one.
//
// What could not be measured is in Errors of the results; a benchmark that fails
// keeps the samples that it had. The errors are what kept all from being measured:
// no such revision, no benchmark that matches, the end of ctx.
func Run(ctx context.Context, opt RunOptions) (set *api.BenchResults, err error) {
	began := time.Now()
	opt.Slice = cmp.Or(opt.Slice, DefaultSample)
	opt.Count = cmp.Or(opt.Count, DefaultCount)
	l, err := newLab(opt.Options)
	if err != nil {
		return nil, err
	}
	r := &run{lab: l, opt: opt}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, step := range []func(context.Context) error{r.build, r.list, r.size, r.measure} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r.result(began), nil
}

// run is one that runs.
type run struct {
	*lab
	opt      RunOptions
	side     side
	subjects []*runSubject
	problems []api.Error
}

// runSubject is a benchmark that is measured, with a program a layout.
type runSubject struct {
	subject
	programs []execute.Program
	procs    int
	samples  []api.BenchSample
	// odd are the units of which something is said already.
	odd map[string]bool
	// failed says that it is not measured any more.
	failed bool
}

func (r *run) close() error {
	var err error
	if r.side.Side != nil {
		err = r.side.Close()
	}
	return errors.Join(err, r.lab.close())
}

// problem notes what could not be measured: a benchmark, or a package when name is "".
func (r *run) problem(path, name string, err error) {
	e := api.Error{
		SchemaVersion: api.SchemaVersion, Kind: api.KindError, Code: string(fault.CodeOf(err)), Input: path,
		Message: err.Error(), Hint: fault.HintOf(err),
	}
	if name != "" {
		e.Input, e.Message = path+"."+name, path+": "+e.Message
	}
	r.problems = append(r.problems, e)
}

func (r *run) build(ctx context.Context) (err error) {
	name := "revision"
	if r.opt.Revision == "" {
		name = "work tree"
	}
	r.side, err = r.lab.side(ctx, name, r.opt.Revision)
	if err != nil {
		return err
	}
	for _, f := range r.side.Failed {
		r.problem(f.Package, "", f.Err)
	}
	return nil
}

// list finds the benchmarks.
func (r *run) list(ctx context.Context) error {
	packages := packagesOf(r.side)
	for i, layouts := range packages {
		first := layouts[0]
		r.Progress(Progress{Stage: Listing, Done: i, Total: len(packages), Text: first.Package})
		found, err := execute.List(ctx, r.program(first.Path, first.Dir), r.pattern())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.problem(first.Package, "", err)
			continue
		}
		r.enlist(layouts, found)
	}
	if len(r.subjects)+len(r.problems) == 0 {
		return &fault.Error{
			Code: fault.NotFound, Op: "measure", Input: r.pattern(), Err: errors.New("every benchmark that matches skips itself, or has none of its own"),
			Hint: "name others with --bench",
		}
	}
	return nil
}

// packagesOf returns the binaries of a side, those of a package together.
func packagesOf(s side) [][]build.Binary {
	var packages [][]build.Binary
	for _, b := range s.Binaries {
		if last := len(packages) - 1; last >= 0 && packages[last][0].Package == b.Package {
			packages[last] = append(packages[last], b)
		} else {
			packages = append(packages, []build.Binary{b})
		}
	}
	return packages
}

// enlist takes over what a package has.
func (r *run) enlist(layouts []build.Binary, found *execute.Listing) {
	path := layouts[0].Package
	var programs []execute.Program
	for _, b := range layouts {
		programs = append(programs, r.program(b.Path, b.Dir))
	}
	for _, b := range found.Benchmarks {
		s := &runSubject{
			subject:  subject{Benchmark: judge.Benchmark{Package: path, Name: b.Name}, Shape: Shape{Count: 1}},
			programs: programs, odd: map[string]bool{},
		}
		if b.Procs > 1 { // with one, the name that package testing prints has no suffix
			s.procs = b.Procs
		}
		r.subjects = append(r.subjects, s)
	}
	for _, f := range found.Failures {
		r.problem(path, f.Name, f.Err)
	}
	for _, name := range found.Skipped {
		r.note(path + "." + name + " skips itself")
	}
}

// size chooses the iterations of each benchmark.
func (r *run) size(ctx context.Context) error {
	for i, s := range r.subjects {
		r.Progress(Progress{Stage: Sizing, Done: i, Total: len(r.subjects), Text: s.String()})
		sized, err := execute.Size(ctx, s.programs[0], s.Name, r.Slice)
		if err == nil && sized.Skipped {
			err = errSkipped
		}
		if err != nil {
			if err := r.drop(ctx, s, err); err != nil {
				return err
			}
			continue
		}
		s.N, s.Slice = sized.N, sized.Slice
		if err := r.refer(ctx, &s.subject, s.programs...); err != nil {
			return err
		}
	}
	return nil
}

// drop ends the measurement of a benchmark, or of all when ctx has ended.
func (r *run) drop(ctx context.Context, s *runSubject, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.failed = true
	r.problem(s.Package, s.Name, err)
	return nil
}

// measure takes the samples.
func (r *run) measure(ctx context.Context) error {
	draw := rand.New(rand.NewPCG(r.Seed, 0))
	total := len(r.subjects) * r.opt.Count
	for pass := range r.opt.Count {
		for i, which := range draw.Perm(len(r.subjects)) {
			s := r.subjects[which]
			r.Progress(Progress{Stage: Measuring, Done: pass*len(r.subjects) + i, Total: total, Text: s.String()})
			if s.failed {
				continue
			}
			slice, err := r.slice(ctx, s.programs[pass%len(s.programs)], &s.subject)
			if err == nil {
				r.keep(s, slice)
			} else if err := r.drop(ctx, s, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep adds what a process measured to the samples.
func (r *run) keep(s *runSubject, slice judge.Slice) {
	for _, values := range slice.Samples {
		if len(values) > 0 {
			s.samples = append(s.samples, api.BenchSample{Iterations: s.N, Values: values})
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(slice.Odd)) {
		if !s.odd[unit] {
			s.odd[unit] = true
			r.problem(s.Package, s.Name, &fault.Error{
				Code: fault.Invalid, Op: "measure", Input: "Benchmark" + s.Name, Err: fmt.Errorf("%s is %s, which is left out", unit, slice.Odd[unit]),
				Hint: "report finite numbers only",
			})
		}
	}
}

// result is the document of what was measured.
func (r *run) result(began time.Time) *api.BenchResults {
	set := &api.BenchResults{SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: []api.BenchRun{}, Errors: r.problems}
	measured := api.BenchRun{
		Time: began.UTC().Format(time.RFC3339), Side: r.side.facts(), Machine: r.machine(), Settings: r.Settings,
		Units: map[string]map[string]string{}, Series: []api.BenchSeries{},
	}
	for _, s := range r.subjects {
		if len(s.samples) > 0 {
			measured.Series = append(measured.Series, api.BenchSeries{Package: s.Package, Name: s.Name, Procs: s.procs, Samples: s.samples})
			r.units(measured.Units, s.samples)
		}
	}
	if len(measured.Series) > 0 {
		set.Runs = append(set.Runs, measured)
	}
	set.Notes = r.notes
	return set
}

// units says which way the units of samples are better.
func (r *run) units(meta map[string]map[string]string, samples []api.BenchSample) {
	if r.opt.Direction == nil {
		return
	}
	for _, sample := range samples {
		for unit := range sample.Values {
			switch r.opt.Direction(unit) {
			case 1:
				meta[unit] = map[string]string{"better": "higher"}
			case -1:
				meta[unit] = map[string]string{"better": "lower"}
			}
		}
	}
}
