package layouts

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// Versions implements store.Store.
func (s *Store) Versions(_ context.Context, path string) ([]string, error) {
	l, err := s.layout(path)
	if err != nil {
		return nil, store.DiskFault("list versions of", path, err)
	}
	snap, err := l.snapshot()
	if err != nil {
		return nil, store.DiskFault("list versions of", path, err)
	}
	return slices.Clone(snap.sorted), nil
}

// Modules implements store.Store.
func (s *Store) Modules(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for l, err := range s.all(ctx) {
			path := l.path
			if err == nil && path == "" {
				path, err = l.pathInside()
			}
			if err != nil {
				err = store.DiskFault("list modules in", l.dir, err)
			}
			if !yield(path, err) {
				return
			}
		}
	}
}

// pathInside returns the module path that the manifests say, for the name of the
// directory does not.
func (l layout) pathInside() (string, error) {
	snap, err := l.snapshot()
	if err != nil {
		return "", err
	}
	for _, desc := range snap.versions {
		m, err := l.manifest("", desc)
		return m.Path, err
	}
	return "", store.ErrAbsent
}

// all lists the layouts that have versions.
func (s *Store) all(ctx context.Context) iter.Seq2[layout, error] {
	return func(yield func(layout, error) bool) { s.walk(ctx, "", yield) }
}

// walk lists the layouts in and below repo, and returns false when that is to end.
func (s *Store) walk(ctx context.Context, repo string, yield func(layout, error) bool) bool {
	l := s.in("", repo)
	if ctx.Err() != nil {
		return yield(l, context.Cause(ctx)) && false
	}
	entries, err := s.disk.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(l, err)
	}
	for _, e := range entries {
		switch {
		case e.Name() == layoutName:
			if !s.visit(l, yield) {
				return false
			}
		case e.IsDir() && !strings.ContainsAny(e.Name()[:1], "_@."):
			if !s.walk(ctx, strings.TrimPrefix(repo+"/"+e.Name(), "/"), yield) {
				return false
			}
		}
	}
	return true
}

func (s *Store) visit(l layout, yield func(layout, error) bool) bool {
	path, err := artifact.ModulePath(l.repo)
	if err != nil && !errors.Is(err, artifact.ErrHashed) {
		return true // it is not of this store
	}
	l.path = path
	snap, err := l.snapshot()
	if err == nil && len(snap.versions) == 0 {
		return true
	}
	return yield(l, err)
}
