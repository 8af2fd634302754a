// Package keep looks after a store of modules: it fills it before somebody asks,
// holds it against what vouches for it, removes what nobody needs, counts, and
// moves sets of versions from one store to another.
package keep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Work says how something is done to many versions.
type Work struct {
	// Jobs is how many versions are worked on at once; 0 stands for 4.
	Jobs int
	// Progress hears of versions, not of bytes; may be nil.
	Progress progress.Sink
}

// defaultJobs suits a disk and a registry alike.
const defaultJobs = 4

func (w Work) jobs() int { return cmp.Or(w.Jobs, defaultJobs) }

// each calls do for every item, several at once, and returns the results in the
// order of items. The error says that ctx has ended.
func each[A, B any](ctx context.Context, w Work, items []A, do func(context.Context, A) B) ([]B, error) {
	sink := progress.Or(w.Progress)
	sink.Expect(int64(len(items)))
	results := make([]B, len(items))
	var group errgroup.Group
	group.SetLimit(w.jobs())
	for i, item := range items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			results[i] = do(ctx, item)
			sink.Done(1)
			return nil
		})
	}
	_ = group.Wait() // never fails: errors are in the results
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	return results, nil
}

// listing is what there is of a module.
type listing struct {
	path     string
	versions []string
	err      error
}

// list returns all modules of a store in the order of their paths, and what could
// not be listed.
func list(ctx context.Context, s store.Store, w Work) ([]listing, []error, error) {
	var paths []string
	var errs []error
	for path, err := range s.Modules(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil, nil, canceled(ctx)
		case err != nil:
			errs = append(errs, err)
		default:
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	lists, err := each(ctx, Work{Jobs: w.Jobs}, paths, func(ctx context.Context, path string) listing {
		versions, err := s.Versions(ctx, path)
		return listing{path, versions, err}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, l := range lists {
		if l.err != nil {
			errs = append(errs, l.err)
		}
	}
	return lists, errs, nil
}

// versionsOf returns all versions of the listings.
func versionsOf(lists []listing) []module.Version {
	var all []module.Version
	for _, l := range lists {
		for _, v := range l.versions {
			all = append(all, module.Version{Path: l.path, Version: v})
		}
	}
	return all
}

func canceled(ctx context.Context) error {
	return &fault.Error{Code: fault.Canceled, Op: "cancelled", Err: context.Cause(ctx)}
}

// compare orders versions by module and by semver.
func compare(a, b module.Version) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version), cmp.Compare(a.Version, b.Version))
}

// size returns how many bytes a version takes in a store.
func size(v *store.Version) int64 {
	return v.ZipSize + int64(len(v.Mod)) + int64(len(v.Info))
}

func asAPI(m module.Version) api.ModuleVersion {
	return api.ModuleVersion{Path: m.Path, Version: m.Version}
}

// stamp writes a moment as documents have it; nothing for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// invalid returns the error of a version that is not what it must be.
func invalid(m module.Version, hint, format string, args ...any) error {
	return &fault.Error{Code: fault.Invalid, Op: "check module", Input: m.String(), Err: fmt.Errorf(format, args...), Hint: hint}
}

// All returns all versions in a store, in order.
func All(ctx context.Context, s store.Store) ([]module.Version, error) {
	lists, errs, err := list(ctx, s, Work{})
	if err != nil {
		return nil, err
	}
	return versionsOf(lists), errors.Join(errs...)
}
