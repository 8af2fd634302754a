// Package build makes the test binaries that a benchmark gate compares. It turns
// a revision of a git repository into a directory of files, or takes the work
// tree as it is, finds the packages with benchmarks, and has the user's go command
// compile them, in as many layouts of their code as are wanted.
//
// Nothing is written to the user's repository: revisions are checked out into a
// cache directory with an index of their own, and what a work tree holds is hashed
// by an index and objects that are thrown away. Checkouts and binaries are kept,
// bounded in bytes, and safe for parallel processes.
package build

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/tree"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// DefaultCacheBytes is what a cache directory may take unless it is told.
const DefaultCacheBytes = 5 << 30

// Options says what is built, and where.
type Options struct {
	// Name is what errors and notes call the side: "base" or "head".
	Name string
	// Dir is a directory in a git repository: package patterns are relative to it,
	// or to the same directory in the revision.
	Dir string
	// Revision is a commit, tag, branch or tree as git takes them; empty is the
	// work tree as it is.
	Revision string
	// CacheDir keeps checkouts and binaries; empty means a temporary directory
	// that Side.Close removes. It is made when it does not exist.
	CacheDir string
	// CacheBytes bounds CacheDir; 0 is DefaultCacheBytes. What is in use is kept
	// beyond it.
	CacheBytes int64
	// Env is the environment of git and the go command, as KEY=VALUE.
	Env []string
	// Log takes what the go command prints beside errors, such as downloads; nil
	// means nowhere.
	Log io.Writer
}

// Side is one of two builds that are compared. It must be closed; it may be used
// by one goroutine at a time.
type Side struct {
	// Revision, Commit, Tree and Dirty are as in api.BenchSide; Binaries is empty.
	api.BenchSide
	// Root is the top directory of the side's files, Dir the one that package
	// patterns are relative to.
	Root, Dir string
	// Notes say what the side lacks: submodules, files of Git LFS.
	Notes []string

	opt  Options
	repo *tree.Repository
	// checkout is nil for a work tree.
	checkout *tree.Checkout
	cache    *tree.Cache
	stage    *tree.Stage
}

// Open finds the files of a side. A revision is checked out into the cache and is
// the caller's alone until Side.Close, so that what its benchmarks write meets
// nobody else's.
//
// The error is a *fault.Error: Usage for a revision that git would take for an
// option, NotFound for a directory outside of git or without the revision,
// Unsupported without git or locks of files, or that of ctx.
func Open(ctx context.Context, opt Options) (*Side, error) {
	opt.CacheBytes = cmp.Or(opt.CacheBytes, DefaultCacheBytes)
	s := &Side{opt: opt, BenchSide: api.BenchSide{Revision: opt.Revision}}
	var err error
	if s.repo, err = tree.OpenRepository(ctx, opt.Dir, opt.Env); err != nil {
		return nil, err
	}
	if s.cache, err = tree.OpenCache(opt.CacheDir, opt.CacheBytes); err != nil {
		return nil, err
	}
	if opt.Revision == "" {
		err = s.openWorkTree(ctx)
	} else {
		err = s.openRevision(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Side) openWorkTree(ctx context.Context) error {
	s.Root = s.repo.Top
	s.Dir = filepath.Join(s.Root, s.repo.Prefix)
	head, err := s.repo.Resolve(ctx, "HEAD")
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return err // without commits all files are new
	}
	if s.Tree, err = s.repo.Snapshot(ctx); err != nil {
		return err
	}
	s.Commit, s.Dirty = head.Commit, s.Tree != head.Tree
	if _, err := os.Stat(filepath.Join(s.Root, ".gitmodules")); err == nil {
		s.Notes = append(s.Notes, s.opt.Name+": of submodules, the work tree's hash has their commits and not what was changed in them since")
	}
	return nil
}

func (s *Side) openRevision(ctx context.Context) error {
	at, err := s.repo.Resolve(ctx, s.opt.Revision)
	if err != nil {
		return err
	}
	s.Commit, s.Tree = at.Commit, at.Tree
	if s.checkout, err = s.cache.OpenCheckout(ctx, s.repo, at.Tree); err != nil {
		return err
	}
	s.Root = s.checkout.Root()
	s.Dir = filepath.Join(s.Root, s.repo.Prefix)
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		return &fault.Error{Code: fault.NotFound, Op: "find in the " + s.opt.Name + " " + s.opt.Revision, Input: filepath.ToSlash(s.repo.Prefix),
			Err: errors.New("the revision has no such directory"), Hint: "name another revision, or run from a directory that both sides have"}
	}
	s.Notes, err = s.checkout.Missing(ctx, s.opt.Name)
	if err == nil {
		s.cache.Prune()
	}
	return err
}

// pristine says whether the files are exactly those of Tree.
func (s *Side) pristine() bool { return s.checkout != nil }

// Facts are the side and the binaries that were built of it.
func (s *Side) Facts(binaries []Binary) api.BenchSide {
	facts := s.BenchSide
	for _, b := range binaries {
		facts.Binaries = append(facts.Binaries, b.BenchBinary)
	}
	return facts
}

// Close ends the use of the side's directory and binaries. A second call does
// nothing.
func (s *Side) Close() error {
	var errs []error
	if s.stage != nil {
		errs = append(errs, s.stage.Close())
	}
	if s.checkout != nil {
		errs = append(errs, s.checkout.Close())
	}
	if s.cache != nil {
		errs = append(errs, s.cache.Close())
	}
	s.stage, s.checkout, s.cache = nil, nil, nil
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
