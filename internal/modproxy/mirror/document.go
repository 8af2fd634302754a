package mirror

import (
	"context"
	"fmt"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Info returns the .info document of a version, or of what query means now, such
// as the name of a branch.
func (m *Mirror) Info(ctx context.Context, path, query string) (Document, error) {
	if !Exact(path, query) {
		return m.query(ctx, path, query)
	}
	return m.part(ctx, module.Version{Path: path, Version: query}, ".info",
		func(v *store.Version) []byte { return v.Info }, m.upstreamInfo)
}

// Mod returns the go.mod file of a version.
func (m *Mirror) Mod(ctx context.Context, v module.Version) (Document, error) {
	if err := checkExact(v); err != nil {
		return Document{}, err
	}
	return m.part(ctx, v, ".mod", func(v *store.Version) []byte { return v.Mod }, m.upstreamMod)
}

// part returns a document of a version: from the store with of, else from upstream
// with get, so that nobody waits for the zip who does not want it. The rest follows
// in the background.
func (m *Mirror) part(ctx context.Context, v module.Version, suffix string, of func(*store.Version) []byte,
	get func(context.Context, module.Version) ([]byte, error)) (Document, error) {
	defer m.fills.busy()()
	d, err := m.parts.do(ctx, key(v.Path, v.Version)+suffix, func(ctx context.Context) (Document, error) {
		until := m.opt.Now().Add(documentAge)
		e, err := m.stored(ctx, v)
		switch {
		case err == nil:
			m.opt.Store.Used(v, m.opt.Now())
			return Document{of(&e.Version), Stored, until}, nil
		case !m.elsewhere(err):
			return Document{}, err
		case m.opt.Gate != nil && m.opt.Gate.NeedsZip():
			e, _, err := m.get(ctx, v, false)
			if err != nil {
				return Document{}, err
			}
			return Document{of(&e.Version), Upstream, until}, nil
		}
		ctx, cancel := context.WithTimeout(ctx, m.opt.FetchTime)
		defer cancel()
		data, err := get(ctx, v)
		if err != nil {
			return Document{}, err
		}
		m.fills.add(v, suffix == ".info")
		return Document{data, Upstream, until}, nil
	})
	return d, err
}

// upstreamInfo returns the .info document that the upstream has, if the gate lets
// the version through.
func (m *Mirror) upstreamInfo(ctx context.Context, v module.Version) ([]byte, error) {
	if err := m.admitUnknown(ctx, v); err != nil {
		return nil, err
	}
	data, err := m.opt.Source.Info(ctx, v.Path, v.Version)
	if err != nil {
		return nil, err
	}
	i, err := parseInfo(v.Path, data)
	if err != nil {
		return nil, err
	}
	if i.Version != v.Version {
		return nil, &fault.Error{Code: fault.Invalid, Op: "get", Input: key(v.Path, v.Version), Err: fmt.Errorf("the upstream answers with version %.100q", i.Version)}
	}
	return data, m.admitInfo(ctx, v, data)
}

// upstreamMod returns the go.mod file that the upstream has, if the checksum
// database vouches for it and the gate lets the version through.
func (m *Mirror) upstreamMod(ctx context.Context, v module.Version) ([]byte, error) {
	if err := m.admitUnknown(ctx, v); err != nil {
		return nil, err
	}
	m.vouch(ctx, v)
	data, err := m.opt.Source.Mod(ctx, v)
	if err != nil || m.opt.DB == nil {
		return data, err
	}
	return data, m.opt.DB.CheckMod(ctx, v, artifact.GoModSum(data))
}
