// Package compile runs the user's go command: it finds main packages, decides
// whether they need cgo, and compiles them for a platform.
//
// Everything is left to the go command and its caches. The executable itself is
// kept too, where the go command finds it again and sees that it need not be
// linked: that check is all that a build without a change costs.
package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options says how the go command is run.
type Options struct {
	// Dir is where it runs: package paths are relative to it.
	Dir string
	// Env is its environment, as KEY=VALUE, before what the build itself sets.
	Env []string
	// Go and Tags are the toolchain and the build tags with which Load looks for
	// packages; Compile takes them from its configuration.
	Go   string
	Tags []string
	// Matrix says which build modes a toolchain has; nil means the built-in one.
	Matrix *matrix.Matrix
	// CacheDir keeps executables, so that nothing is linked again when nothing
	// has changed; empty means a temporary directory that Program.Close removes.
	CacheDir string
	// Log takes what the go command prints beside errors, such as downloads; nil
	// means nowhere. It may be written to by several builds at once.
	Log io.Writer
}

func (o Options) matrix() *matrix.Matrix {
	if o.Matrix == nil {
		return matrix.Embedded(false)
	}
	return o.Matrix
}

// Package is a main package.
type Package struct {
	// ImportPath is the package's own, Dir its directory on this machine.
	ImportPath string
	Dir        string
	// Rel is Dir from Options.Dir as configuration files name it: "./cmd/app", "."
	Rel string
}

// Name is the program's name, as go build would call it: the last element of
// the import path that is no major version.
func (p Package) Name() string {
	name := path.Base(p.ImportPath)
	if parent := path.Dir(p.ImportPath); isMajorVersion(name) && parent != "." {
		name = path.Base(parent)
	}
	return name
}

// isMajorVersion says whether an element of an import path is v2, v3 and so on.
func isMajorVersion(element string) bool {
	digits, ok := strings.CutPrefix(element, "v")
	return ok && digits != "" && digits != "1" && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// Program is an executable that was compiled. It must be closed.
type Program struct {
	// Path is the file on this machine; it does not change until Close.
	Path string
	// Linked is true when the executable was made now: it was not there before.
	Linked bool
	// Goroot is where the toolchain is that compiled it.
	Goroot string
	// Build is what is known of the build; Program, Digest, Size, Base and
	// Compression are left to the image's builder.
	Build api.BuildFacts

	release func() error
}

// Close ends the use of the executable. A second call does nothing.
func (p *Program) Close() error {
	release := p.release
	p.release = nil
	if release == nil {
		return nil
	}
	return release()
}

// Compile compiles p for one platform. The compiler's own message is the error,
// with the code fault.Invalid.
func Compile(ctx context.Context, p Package, platform api.Platform, cfg api.PackageConfig, opt Options) (*Program, error) {
	b, err := newBuild(ctx, p, platform, cfg, opt)
	if err != nil {
		return nil, err
	}
	slot, err := openSlot(ctx, opt.CacheDir, b.key())
	if err != nil {
		return nil, err
	}
	b.slot = slot
	program, err := b.run(ctx)
	if err := errors.Join(err, slot.close()); err != nil {
		if program != nil {
			err = errors.Join(err, program.Close())
		}
		return nil, err
	}
	return program, nil
}

// build is one call of Compile.
type build struct {
	pkg      Package
	platform api.Platform
	cfg      api.PackageConfig
	opt      Options
	tool     toolchain
	// flags are those of go build that do not depend on cgo.
	flags flags
	slot  *slot
	// linked is true once the go command has put a new executable into the slot.
	linked bool
}

func newBuild(ctx context.Context, p Package, platform api.Platform, cfg api.PackageConfig, opt Options) (*build, error) {
	b := &build{pkg: p, platform: platform, cfg: cfg, opt: opt}
	if !slices.Contains([]string{"", api.CGOAuto, api.CGOOff, api.CGOOn}, cfg.CGO) {
		return nil, &fault.Error{Code: fault.Usage, Op: "compile", Input: p.ImportPath,
			Err: fmt.Errorf("cgo is %q", cfg.CGO), Hint: "say auto, off or on"}
	}
	env, err := buildEnv(platform, cfg)
	if err != nil {
		return nil, err
	}
	if b.tool, err = newToolchain(opt, env...); err != nil {
		return nil, err
	}
	if err := b.tool.choose(ctx, cfg.Go); err != nil {
		return nil, b.explain(ctx, err)
	}
	if b.flags, err = newFlags(cfg, b.tool.dir); err != nil {
		return nil, err
	}
	return b, b.checkFeatures()
}

// run compiles into the slot and hands the executable over.
func (b *build) run(ctx context.Context) (*Program, error) {
	r, err := b.compile(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := b.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	file, release, err := b.slot.take()
	if err != nil {
		return nil, err
	}
	return &Program{Path: file, Linked: b.linked, Goroot: b.tool.settings["GOROOT"], Build: *facts, release: release}, nil
}

// compile decides about cgo and runs go build. What the last build learnt about
// the packages is taken while it holds. Otherwise the build begins with it all
// the same, beside the list that tells, and begins again should it prove wrong.
func (b *build) compile(ctx context.Context) (*recipe, error) {
	if b.cfg.CGO == api.CGOOff && !b.wants(b.cfg.PIE) {
		return b.compileWith(ctx, nil)
	}
	last := b.slot.recall()
	if last.holds() {
		return b.compileWith(ctx, last.Packages)
	}
	guess, err := b.recipe(ctx, last.Packages)
	if err != nil {
		return b.compileListed(ctx) // only the packages tell whether that matters
	}
	ctxGuess, cancel := context.WithCancel(ctx)
	defer cancel()
	var build sync.WaitGroup
	var buildErr error
	build.Go(func() { buildErr = b.goBuild(ctxGuess, guess) })
	found, listErr := b.survey(ctx)
	if listErr == nil && !slices.Equal(found.Packages, last.Packages) {
		cancel()
		build.Wait()
		return b.compileFound(ctx, found)
	}
	if build.Wait(); buildErr != nil {
		return nil, buildErr // the compiler says it better than go list
	}
	if listErr == nil {
		b.slot.remember(found)
	}
	return guess, listErr
}

// compileListed compiles once it is known which packages have C code.
func (b *build) compileListed(ctx context.Context) (*recipe, error) {
	found, err := b.survey(ctx)
	if err != nil {
		return nil, err
	}
	return b.compileFound(ctx, found)
}

// compileFound compiles with what was found out, and remembers it.
func (b *build) compileFound(ctx context.Context, found memory) (*recipe, error) {
	r, err := b.compileWith(ctx, found.Packages)
	if err == nil {
		b.slot.remember(found)
	}
	return r, err
}

// compileWith compiles, packages being those that have C code.
func (b *build) compileWith(ctx context.Context, packages []string) (*recipe, error) {
	r, err := b.recipe(ctx, packages)
	if err != nil {
		return nil, err
	}
	return r, b.goBuild(ctx, r)
}

// goBuild makes the slot's executable.
func (b *build) goBuild(ctx context.Context, r *recipe) error {
	args := slices.Concat([]string{"build", "-o", b.slot.program()}, r.flags.args, []string{"--", b.pkg.ImportPath})
	before, errBefore := os.Stat(b.slot.program())
	if _, err := b.runCleanly(ctx, b.tool, r.env, args...); err != nil {
		return b.explain(ctx, err)
	}
	after, err := os.Stat(b.slot.program())
	if err != nil {
		return cacheError(err)
	}
	b.linked = errBefore != nil || !os.SameFile(before, after)
	return nil
}

// runCleanly runs the go command with a temporary directory of its own. The
// command may be interrupted before it knows that it has to clean up.
func (b *build) runCleanly(ctx context.Context, tool toolchain, env []string, args ...string) ([]byte, error) {
	temp, err := b.slot.temp()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	return tool.run(ctx, append(slices.Clone(env), "GOTMPDIR="+temp, "TMPDIR="+temp), args...)
}

// wants returns the value of an optional switch.
func (b *build) wants(option *bool) bool { return option != nil && *option }

// absolute returns dir as an absolute path, "" being the working directory.
func absolute(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", &fault.Error{Code: fault.NotFound, Op: "find directory", Input: dir, Err: err}
	}
	return abs, nil
}
