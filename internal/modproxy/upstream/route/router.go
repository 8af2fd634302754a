package route

import (
	"context"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// router sends private modules one way and public ones another.
type router struct {
	patterns        string
	public, private upstream.Source
}

func (r *router) source(path string) (upstream.Source, error) {
	if err := module.CheckPath(path); err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: path, Err: err}
	}
	if module.MatchPrefixPatterns(r.patterns, path) {
		return r.private, nil
	}
	return r.public, nil
}

func (r *router) Versions(ctx context.Context, path string) ([]string, error) {
	s, err := r.source(path)
	if err != nil {
		return nil, err
	}
	return s.Versions(ctx, path)
}

func (r *router) Latest(ctx context.Context, path string) ([]byte, error) {
	s, err := r.source(path)
	if err != nil {
		return nil, err
	}
	return s.Latest(ctx, path)
}

func (r *router) Info(ctx context.Context, path, query string) ([]byte, error) {
	s, err := r.source(path)
	if err != nil {
		return nil, err
	}
	if _, err := module.EscapeVersion(query); err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: path + "@" + query, Err: err}
	}
	return s.Info(ctx, path, query)
}

func (r *router) Mod(ctx context.Context, m module.Version) ([]byte, error) {
	s, err := r.version(m)
	if err != nil {
		return nil, err
	}
	return s.Mod(ctx, m)
}

func (r *router) Fetch(ctx context.Context, m module.Version, dir string, known upstream.Known) (*upstream.Download, error) {
	s, err := r.version(m)
	if err != nil {
		return nil, err
	}
	return s.Fetch(ctx, m, dir, known)
}

// version is source for one version, which must be a canonical one of the path.
func (r *router) version(m module.Version) (upstream.Source, error) {
	s, err := r.source(m.Path)
	if err != nil {
		return nil, err
	}
	if err := upstream.CheckVersion(m); err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: m.String(), Err: err}
	}
	return s, nil
}
