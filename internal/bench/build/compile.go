package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/command"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/tree"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// BuildOptions says what of a side is built. Both sides get the same.
type BuildOptions struct {
	// Packages are patterns as for go test, relative to Side.Dir; absolute ones in
	// the user's work tree mean the same directory of the side. None means ".".
	Packages []string
	// Bench is a pattern as for go test -bench; packages none of whose benchmark
	// functions match are left out. Empty matches all.
	Bench string
	// Flags are flags of go build, each in one element or with its value in the
	// next. Relative paths in them start from Side.Dir.
	Flags []string
	// Layouts is how many binaries each package gets, 0 as 1: the first in the
	// linker's own order of functions, the others shuffled by seeds that are drawn
	// from LayoutSeed. The same seeds are found in the cache again.
	Layouts    int
	LayoutSeed uint64
}

// Built is what became of the packages of a side.
type Built struct {
	// Binaries are ordered by package and then as layouts are.
	Binaries []Binary
	// Failed are packages with benchmarks that could not be built, ordered by
	// package.
	Failed []Failure
	// Linked counts the binaries that were made now; the others were in the cache.
	Linked int
}

// Binary is a test binary that can be run until its side is closed.
type Binary struct {
	api.BenchBinary
	// Path is the executable. Both sides have paths of the same length.
	Path string
	// Dir is where it must run, since benchmarks read files that lie beside them.
	Dir string
	// Benchmarks are the functions that match BuildOptions.Bench, sorted.
	Benchmarks []string
}

// Failure is a package that could not be built.
type Failure struct {
	Package string
	// Err is a *fault.Error with the side and the compiler's first lines.
	Err error
}

// Build finds the packages with benchmarks and compiles their tests. Paths are
// trimmed, so that it does not matter where the files of a side lie, no version
// control is stamped, and there are no symbols for debuggers, as in what go test
// runs. Of a revision whose modules are all in it or in the module cache, what
// is in Gopherwood's cache is taken as it is; else, as in a work tree, where files
// that git ignores matter, the go command looks whether it is up to date.
//
// The error is a *fault.Error: NotFound with ErrNoBenchmarks when none matches, Unsupported
// without the go command or, with Layouts, without a linker that shuffles
// (wrapping errors.ErrUnsupported), Invalid when the work tree was changed
// meanwhile, or that of ctx. Packages that do not compile are no error here.
func (s *Side) Build(ctx context.Context, opt BuildOptions) (*Built, error) {
	match, err := newMatcher(opt.Bench)
	if err != nil {
		return nil, err
	}
	if s.checkout != nil {
		if err := s.checkout.Restore(ctx); err != nil {
			return nil, err
		}
	}
	t, err := s.toolchain(ctx)
	if err != nil {
		return nil, err
	}
	if opt.Layouts > 1 {
		if err := t.checkLayouts(ctx); err != nil {
			return nil, err
		}
	}
	found, failed, err := s.list(ctx, t, opt, match)
	if err != nil {
		return nil, err
	}
	if len(found)+len(failed) == 0 {
		return nil, s.noBenchmarks(opt)
	}
	if s.stage == nil {
		if s.stage, err = s.cache.OpenStage(); err != nil {
			return nil, err
		}
	}
	built := &Built{Failed: failed}
	for _, seed := range layoutSeeds(opt.Layouts, opt.LayoutSeed) {
		if found, err = s.buildLayout(ctx, t, opt, found, seed, built); err != nil {
			return nil, err
		}
	}
	return built, s.finish(ctx, built)
}

// ErrNoBenchmarks is why there is nothing to build.
var ErrNoBenchmarks = errors.New("no benchmark")

func (s *Side) noBenchmarks(opt BuildOptions) error {
	e := &fault.Error{Code: fault.NotFound, Op: "find the " + s.opt.Name + "'s benchmarks in", Input: strings.Join(opt.Packages, " "),
		Err: fmt.Errorf("%w in any package", ErrNoBenchmarks), Hint: "name packages with functions BenchmarkXxx(b *testing.B) in their tests, ./... for all; build tags count (-tags)"}
	if len(opt.Packages) == 0 {
		e.Input = "."
	}
	if opt.Bench != "" {
		e.Err = fmt.Errorf("%w matches %q", ErrNoBenchmarks, opt.Bench)
	}
	return e
}

// buildLayout adds the binaries of one layout to built, and what does not compile.
// It returns the packages that do.
func (s *Side) buildLayout(ctx context.Context, t *toolchain, opt BuildOptions, packages []listed, seed uint64, built *Built) ([]listed, error) {
	extra, err := linkFlags(t.settings["GOFLAGS"], opt.Flags, seed)
	if err != nil {
		return nil, err
	}
	b := &batch{side: s, tool: t, seed: seed, flags: slices.Concat([]string{"-trimpath", "-buildvcs=false"}, opt.Flags, extra), built: built}
	var todo []*unit
	sealed := s.sealed(t, opt.Flags)
	for _, p := range packages {
		u := b.unit(p)
		if sealed {
			u.Binary = s.cache.Find(u.key, true)
		}
		if u.Name == "" {
			u.Binary = s.cache.Find(u.key, false)
			todo = append(todo, u)
		} else if err := b.take(u); err != nil {
			return nil, err
		}
	}
	for len(todo) > 0 {
		now, later := b.together(todo)
		if err := b.compile(ctx, now); err != nil {
			return nil, err
		}
		todo = later
	}
	return b.compiled, nil
}

// finish orders what was built, and looks whether the work tree is still what it
// was.
func (s *Side) finish(ctx context.Context, built *Built) error {
	slices.SortStableFunc(built.Binaries, func(a, b Binary) int { return strings.Compare(a.Package, b.Package) })
	slices.SortStableFunc(built.Failed, func(a, b Failure) int { return strings.Compare(a.Package, b.Package) })
	s.cache.Prune()
	if s.pristine() || built.Linked == 0 {
		return nil
	}
	tree, err := s.repo.Snapshot(ctx)
	if err == nil && tree != s.Tree {
		err = &fault.Error{Code: fault.Invalid, Op: "build the " + s.opt.Name + " from", Input: s.Root,
			Err: errors.New("the work tree was changed meanwhile"), Hint: "run again; let git ignore files that other programs write (.gitignore)"}
	}
	return err
}

// batch makes the binaries of one layout.
type batch struct {
	side  *Side
	tool  *toolchain
	seed  uint64
	flags []string
	built *Built
	// compiled are the packages that have a binary.
	compiled []listed
}

// unit is a binary that is to be made.
type unit struct {
	listed
	key tree.Key
	// Binary is one of the cache, until there is a new one; its Name is "" when
	// there is none.
	tree.Binary
}

// unit names what the binary of p depends on. Binaries of a work tree are apart
// from those of the same tree in git, since files that git ignores may be in them;
// but of one family, so that the go command sees what it need not link again.
func (b *batch) unit(p listed) *unit {
	s := b.side
	family := maps.Clone(b.tool.settings)
	delete(family, "GOWORK")
	delete(family, "GOMOD")
	workspace := b.tool.settings["GOWORK"]
	if rel, ok := within(s.Root, workspace); ok {
		workspace = rel
	}
	dir, err := filepath.Rel(s.Root, p.Dir)
	if err != nil {
		dir = p.Dir
	}
	where := ""
	if !s.pristine() {
		where = s.Root
	}
	return &unit{listed: p, key: tree.Key{
		Family: hash(p.ImportPath, b.flags, family, b.tool.compiler),
		Files:  hash(s.Tree, where, workspace, dir),
	}}
}

// hash is a short name for values of strings.
func hash(values ...any) string {
	data, err := json.Marshal(values)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// together returns the units that one go command can make: no two with the same
// name.
func (b *batch) together(units []*unit) (now, later []*unit) {
	names := map[string]bool{}
	for _, u := range units {
		if name := u.executable(); names[name] || len(now) > 0 && !b.tool.makesMany() {
			later = append(later, u)
		} else {
			names[name] = true
			now = append(now, u)
		}
	}
	return now, later
}

// compile makes units, one by one if together they fail.
func (b *batch) compile(ctx context.Context, units []*unit) error {
	dir := filepath.Join(b.side.stage.Dir, "new")
	if len(units) > 1 && b.run(ctx, dir, units) == nil {
		var missing []*unit
		for _, u := range units {
			if !isRegular(b.output(dir, u)) {
				missing = append(missing, u)
			} else if err := b.accept(dir, u); err != nil {
				return err
			}
		}
		units = missing
	}
	for _, u := range units {
		err := b.run(ctx, dir, []*unit{u})
		var failed *command.Error
		if err != nil && !errors.As(err, &failed) {
			return err
		}
		if err != nil {
			b.built.Failed = append(b.built.Failed, Failure{u.ImportPath, b.side.explain("build the "+b.side.opt.Name+"'s benchmarks of", u.ImportPath, err)})
			continue
		}
		if err := b.accept(dir, u); err != nil {
			return err
		}
	}
	return tree.CacheError(os.RemoveAll(dir))
}

// output is where go test -c puts a binary.
func (b *batch) output(dir string, u *unit) string {
	return filepath.Join(dir, u.executable()+b.tool.settings["GOEXE"])
}

// run has the go command make units in dir, where it finds those of the cache and
// leaves them if they are up to date.
func (b *batch) run(ctx context.Context, dir string, units []*unit) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return tree.CacheError(err)
	}
	target, paths := dir+string(filepath.Separator), []string{}
	for _, u := range units {
		if u.Name != "" {
			_ = tree.LinkOrCopy(b.output(dir, u), u.Name) // or else it is linked again
		}
		paths = append(paths, u.ImportPath)
	}
	if len(units) == 1 {
		target = b.output(dir, units[0])
	}
	// Behind "--", go test would take packages for arguments of the binary.
	_, err := b.tool.Output(ctx, slices.Concat([]string{"test", "-c", "-vet=off", "-o", target}, b.flags, paths)...)
	return err
}

// accept moves a binary that was made in dir to the cache and to the side.
func (b *batch) accept(dir string, u *unit) error {
	made := tree.Binary{Name: b.output(dir, u), Digest: u.Digest}
	if u.Name == "" || !sameFile(made.Name, u.Name) {
		digest, err := tree.HashFile(made.Name)
		if err != nil {
			return tree.CacheError(err)
		}
		if digest != u.Digest {
			b.built.Linked++
		}
		made.Digest = digest
	}
	b.side.cache.Keep(u.key, made)
	u.Binary = made
	return b.take(u)
}

// take gives the side a binary, under a name that is its own.
func (b *batch) take(u *unit) error {
	dir := filepath.Join(b.side.stage.Dir, u.key.Family)
	name := b.output(dir, u)
	if err := os.RemoveAll(dir); err != nil {
		return tree.CacheError(err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o700), tree.LinkOrCopy(name, u.Name)); err != nil {
		return tree.CacheError(err)
	}
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		return &fault.Error{Code: fault.Internal, Op: "read the build information of", Input: u.ImportPath, Err: err}
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	b.compiled = append(b.compiled, u.listed)
	b.built.Binaries = append(b.built.Binaries, Binary{
		BenchBinary: api.BenchBinary{Package: u.ImportPath, Digest: "sha256:" + u.Digest, GoVersion: info.GoVersion, Settings: settings, Layout: b.seed},
		Path:        name, Dir: u.Dir, Benchmarks: u.benchmarks,
	})
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return cmp.Or(errX, errY) == nil && os.SameFile(x, y)
}
