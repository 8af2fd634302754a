package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// pattern is what benchmarks are listed by.
func (l *lab) pattern() string { return cmp.Or(l.Bench, ".") }

// relative returns a directory of the side as one from its root, with slashes.
func (s side) relative(dir string) string {
	rel, err := filepath.Rel(s.Root, dir)
	if err != nil {
		return filepath.ToSlash(dir)
	}
	return filepath.ToSlash(rel)
}

// pair is a package that has benchmarks on a side, with an entry a layout.
type pair struct {
	path       string
	base, head []build.Binary
	// baseErr and headErr say that a side does not compile.
	baseErr, headErr error
}

// pairUp joins the packages of both sides by their import paths.
func pairUp(base, head side) []pair {
	all := map[string]*pair{}
	at := func(path string) *pair {
		if all[path] == nil {
			all[path] = &pair{path: path}
		}
		return all[path]
	}
	for _, b := range base.Binaries {
		at(b.Package).base = append(at(b.Package).base, b)
	}
	for _, b := range head.Binaries {
		at(b.Package).head = append(at(b.Package).head, b)
	}
	for _, f := range base.Failed {
		at(f.Package).baseErr = f.Err
	}
	for _, f := range head.Failed {
		at(f.Package).headErr = f.Err
	}
	pairs := make([]pair, 0, len(all))
	for _, p := range all {
		pairs = append(pairs, *p)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.path, b.path) })
	return pairs
}

// same reports whether both sides are the same program, in every layout, with the
// same files beside it.
func (p pair) same() bool {
	return slices.EqualFunc(p.base, p.head, func(a, b build.Binary) bool { return a.Digest == b.Digest }) &&
		sameFiles(p.base[0].Dir, p.head[0].Dir)
}

// roster is which benchmarks are measured, and how; what is settled without that;
// and what there is to say about it.
type roster struct {
	Subjects []*subject          `json:"subjects"`
	Settled  []api.BenchGateItem `json:"settled"`
	Notes    []string            `json:"notes"`
}

// subject is a benchmark that is measured.
type subject struct {
	judge.Benchmark
	Shape
	// arms has the programs by arm, an entry a layout; references, by the paths of
	// programs, what is not of their iterations, if instructions are counted.
	arms       [3][]execute.Program
	references map[string]*reference
	// repeated counts slices that failed and were measured again; why is of the last.
	repeated int
	why      string
}

func (r *roster) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// settle says of a benchmark, or of all of a package when name is "", what needs
// no measurement.
func (r *roster) settle(path, name string, v api.BenchVerdict, reason string) {
	r.Settled = append(r.Settled, api.BenchGateItem{Package: path, Name: name, Verdict: v, Change: "unknown", Reason: reason})
}

// enrol finds the benchmarks and how often they run, or takes both from the journal
// of an interrupted gate.
func (g *gate) enrol(ctx context.Context) (err error) {
	if g.journal, err = g.openJournal(); err != nil {
		return err
	}
	if !g.journal.resumed {
		began := time.Now()
		if err := g.callUp(ctx); err != nil {
			return err
		}
		g.preparing = time.Since(began)
		if err := g.journal.begin(g.Seed, g.roster); err != nil {
			return err
		}
	}
	if len(g.roster.Subjects)+len(g.roster.Settled) == 0 {
		g.journal.finish()
		return &fault.Error{
			Code: fault.NotFound, Op: "compare", Input: g.opt.Base, Err: errors.New("the sides have no benchmark in common"),
			Hint: "name packages and benchmarks that both have",
		}
	}
	return g.arm(ctx)
}

// callUp fills the roster.
func (g *gate) callUp(ctx context.Context) error {
	r := &g.roster
	for i, p := range g.pairs {
		g.Progress(Progress{Stage: Listing, Done: i, Total: len(g.pairs), Text: p.path})
		switch {
		case p.headErr != nil:
			r.settle(p.path, "", api.BenchFail, text(p.headErr))
		case p.baseErr != nil:
			r.settle(p.path, "", api.BenchInconclusive, text(p.baseErr))
		case len(p.head) == 0:
			r.settle(p.path, "", api.BenchInconclusive, "the head has no such package with benchmarks")
		case len(p.base) == 0:
			r.note("%s has benchmarks in the head only: there is nothing to compare them with", p.path)
		case p.same() && !g.opt.Always:
			r.unchanged(p)
		default:
			if err := g.callUpOf(ctx, p); err != nil {
				return err
			}
		}
	}
	for i, s := range r.Subjects {
		g.Progress(Progress{Stage: Sizing, Done: i, Total: len(r.Subjects), Text: s.String()})
		if err := g.size(ctx, s); err != nil {
			return err
		}
	}
	r.Subjects = slices.DeleteFunc(r.Subjects, func(s *subject) bool { return s.N == 0 })
	return nil
}

// unchanged settles the benchmarks of a program that is the same on both sides.
func (r *roster) unchanged(p pair) {
	for _, name := range p.head[0].Benchmarks {
		r.Settled = append(r.Settled, api.BenchGateItem{
			Package: p.path, Name: strings.TrimPrefix(name, "Benchmark"), Verdict: api.BenchPass, Change: "none", Exact: true,
			Estimate: new(float64), Low: new(float64), High: new(float64), Reason: "both sides are the same program, byte for byte, with the same files",
		})
	}
}

// text is an error with its hint, on one line.
func text(err error) string {
	s := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// callUpOf finds the benchmarks that both sides of a package have.
func (g *gate) callUpOf(ctx context.Context, p pair) error {
	base, err := execute.List(ctx, g.program(p.base[0].Path, p.base[0].Dir), g.pattern())
	if err != nil {
		return g.unlisted(ctx, p, api.BenchInconclusive, err)
	}
	head, err := execute.List(ctx, g.program(p.head[0].Path, p.head[0].Dir), g.pattern())
	if err != nil {
		return g.unlisted(ctx, p, api.BenchFail, err)
	}
	r := &g.roster
	for _, b := range base.Benchmarks {
		switch why := failure(head, b.Name); {
		case has(head, b.Name):
			r.Subjects = append(r.Subjects, &subject{Benchmark: judge.Benchmark{Package: p.path, Name: b.Name}})
		case why != nil:
			r.settle(p.path, b.Name, api.BenchFail, "in the head, "+text(why))
		default:
			r.settle(p.path, b.Name, api.BenchInconclusive, "the head has no such benchmark, or it skips itself there")
		}
	}
	for _, f := range base.Failures {
		r.settle(p.path, f.Name, api.BenchInconclusive, "in the base, "+text(f.Err))
	}
	r.headOnly(p.path, base, head)
	return nil
}

// headOnly notes what the head has and the base not.
func (r *roster) headOnly(path string, base, head *execute.Listing) {
	const nothing = "there is nothing to compare it with"
	known := func(name string) bool { return has(base, name) || failure(base, name) != nil }
	for _, b := range head.Benchmarks {
		switch {
		case known(b.Name):
		case slices.Contains(base.Skipped, b.Name):
			r.note("%s.%s skips itself in the base: %s", path, b.Name, nothing)
		default:
			r.note("%s.%s is in the head only: %s", path, b.Name, nothing)
		}
	}
	for _, f := range head.Failures {
		ofKnown := func(b execute.Found) bool { return within(b.Name, f.Name) }
		if !known(f.Name) && !slices.ContainsFunc(base.Benchmarks, ofKnown) {
			r.note("%s.%s is in the head only, and fails: %s", path, f.Name, text(f.Err))
		}
	}
	for _, name := range head.Skipped {
		if !has(base, name) { // of those it is said that the head has none
			r.note("%s.%s skips itself", path, name)
		}
	}
}

func has(l *execute.Listing, name string) bool {
	return slices.ContainsFunc(l.Benchmarks, func(b execute.Found) bool { return b.Name == name })
}

// failure returns why a benchmark failed, or the one that it is a part of.
func failure(l *execute.Listing, name string) error {
	for _, f := range l.Failures {
		if within(name, f.Name) {
			return f.Err
		}
	}
	return nil
}

// within says whether a benchmark is parent or one of its sub-benchmarks.
func within(name, parent string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

// unlisted settles a package whose benchmarks cannot be listed.
func (g *gate) unlisted(ctx context.Context, p pair, v api.BenchVerdict, err error) error {
	if ctx.Err() != nil {
		return err
	}
	g.roster.settle(p.path, "", v, text(err))
	return nil
}

// size chooses the iterations of a benchmark, by what the base takes.
func (g *gate) size(ctx context.Context, s *subject) error {
	base := g.pair(s.Package).base[0]
	var err error
	s.Shape, err = ChooseShape(ctx, g.program(base.Path, base.Dir), s.Name, g.Slice)
	if err == nil || ctx.Err() != nil {
		return err
	}
	g.roster.settle(s.Package, s.Name, api.BenchInconclusive, "in the base, "+text(err))
	return nil
}

func (g *gate) pair(path string) pair {
	i := slices.IndexFunc(g.pairs, func(p pair) bool { return p.path == path })
	return g.pairs[i]
}

// arm gives each subject its programs. The null arm has files of its own.
func (g *gate) arm(ctx context.Context) error {
	nulls := map[string]string{}
	for _, s := range g.roster.Subjects {
		p := g.pair(s.Package)
		for i, b := range p.base {
			null, ok := nulls[b.Path]
			if !ok {
				var err error
				if null, err = copyBinary(b.Path, judge.Null); err != nil {
					return err
				}
				nulls[b.Path] = null
			}
			s.arms[judge.Base] = append(s.arms[judge.Base], g.program(b.Path, b.Dir))
			s.arms[judge.Null] = append(s.arms[judge.Null], g.program(null, b.Dir))
			s.arms[judge.Head] = append(s.arms[judge.Head], g.program(p.head[i].Path, p.head[i].Dir))
		}
		if err := g.refer(ctx, s, slices.Concat(s.arms[judge.Base], s.arms[judge.Head])...); err != nil {
			return err
		}
		for i, base := range s.arms[judge.Base] { // the null arm is the same program
			if r := s.references[base.Path]; r != nil {
				s.references[s.arms[judge.Null][i].Path] = r
			}
		}
	}
	return nil
}
