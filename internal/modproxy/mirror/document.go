package mirror

import (
	"context"
	"fmt"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Info returns the .info document of a version, or of what query means now, such
// as the name of a branch.
func (m *Mirror) Info(ctx context.Context, path, query string) (Document, error) {
	if !Exact(path, query) {
		return m.query(ctx, path, query)
	}
	return m.part(ctx, module.Version{Path: path, Version: query}, infoPart)
}

// Mod returns the go.mod file of a version.
func (m *Mirror) Mod(ctx context.Context, v module.Version) (Document, error) {
	if err := checkExact(v); err != nil {
		return Document{}, err
	}
	return m.part(ctx, v, modPart)
}

// part is one of the documents of a version.
type part struct {
	suffix string
	// stored returns it of a version in the store, and get from upstream.
	stored func(*store.Version) []byte
	get    func(*Mirror, context.Context, module.Version) ([]byte, error)
}

var (
	infoPart = part{".info", func(v *store.Version) []byte { return v.Info }, (*Mirror).upstreamInfo}
	modPart  = part{".mod", func(v *store.Version) []byte { return v.Mod }, (*Mirror).upstreamMod}
)

// key names the document in the maps.
func (p *part) key(v module.Version) string { return key(v.Path, v.Version) + p.suffix }

// part returns a document of a version: from memory or the store, else from upstream,
// so that nobody waits for the zip who does not want it. The rest follows in the
// background.
func (m *Mirror) part(ctx context.Context, v module.Version, p part) (Document, error) {
	defer m.fills.busy()()
	if d, ok := m.recall(v, p); ok {
		if d.From == Upstream {
			m.fills.add(v, p.suffix == infoPart.suffix)
		}
		d.From = Memory
		return d, nil
	}
	return m.parts.do(ctx, p.key(v), func(ctx context.Context) (Document, error) {
		until := m.opt.Now().Add(documentAge)
		e, err := m.stored(ctx, v)
		switch {
		case err == nil:
			m.opt.Store.Used(v, m.opt.Now())
			return Document{p.stored(&e.Version), Stored, until}, nil
		case !m.elsewhere(err):
			return Document{}, err
		case m.opt.Gate != nil && m.opt.Gate.NeedsZip():
			e, _, err := m.get(ctx, v, false)
			if err != nil {
				return Document{}, err
			}
			return Document{p.stored(&e.Version), Upstream, until}, nil
		}
		d, err := m.ask(ctx, v, p)
		if err != nil {
			return Document{}, err
		}
		if p.suffix == infoPart.suffix {
			m.askEarly(v, modPart)
		} else {
			m.askEarly(v, infoPart)
		}
		m.fills.add(v, p.suffix == infoPart.suffix)
		return d, nil
	})
}

// ask returns a document that the upstream has, asked for once however many want it,
// and keeps it in memory.
func (m *Mirror) ask(ctx context.Context, v module.Version, p part) (Document, error) {
	return m.asked.do(ctx, p.key(v), func(ctx context.Context) (Document, error) {
		if d, ok := m.recall(v, p); ok {
			return d, nil
		}
		ctx, cancel := context.WithTimeout(ctx, m.opt.FetchTime)
		defer cancel()
		d := Document{From: Upstream, Until: m.opt.Now().Add(documentAge)}
		var err error
		if d.Data, err = p.get(m, ctx, v); err != nil {
			return Document{}, err
		}
		m.documents.Put(p.key(v), d, int64(len(d.Data)))
		return d, nil
	})
}

// askEarly lets a document of a version come before it is asked for. The go command
// asks for .info and then for go.mod, or the other way round, mostly for one version
// after the other. Who asks himself does not depend on it: what fails is asked for
// again, and where too many are on their way it does not matter.
func (m *Mirror) askEarly(v module.Version, p part) {
	if !m.early.TryAcquire(1) {
		return
	}
	ok := m.group.run(func() {
		defer m.early.Release(1)
		_, _ = m.ask(m.base, v, p)
	})
	if !ok {
		m.early.Release(1)
	}
}

// recall returns a document that came from upstream lately. It is from there as long
// as the rest of the version may be missing.
func (m *Mirror) recall(v module.Version, p part) (Document, bool) {
	d, ok := m.documents.Get(p.key(v))
	if !ok || !m.opt.Now().Before(d.Until) {
		return Document{}, false
	}
	return d, true
}

// complete says of the documents in memory that the version is in the store.
func (m *Mirror) complete(v module.Version) {
	for _, p := range []part{infoPart, modPart} {
		if d, ok := m.recall(v, p); ok && d.From == Upstream {
			d.From = Stored
			m.documents.Put(p.key(v), d, int64(len(d.Data)))
		}
	}
}

// known returns what need not come with the zip of a version. What nobody waits for
// can wait for the documents, which are mostly on their way.
func (m *Mirror) known(ctx context.Context, v module.Version, background bool) (upstream.Known, error) {
	var data [2][]byte
	for i, p := range []part{infoPart, modPart} {
		d, ok := m.recall(v, p)
		if !ok && background {
			var err error
			if d, err = m.ask(ctx, v, p); err != nil {
				return upstream.Known{}, err
			}
		}
		data[i] = d.Data
	}
	return upstream.Known{Info: data[0], Mod: data[1], Background: background}, nil
}

// upstreamInfo returns the .info document that the upstream has, if the gate lets
// the version through.
func (m *Mirror) upstreamInfo(ctx context.Context, v module.Version) ([]byte, error) {
	if err := m.admitUnknown(ctx, v); err != nil {
		return nil, err
	}
	m.vouch(v)
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
	m.vouch(v)
	data, err := m.opt.Source.Mod(ctx, v)
	if err != nil || m.opt.DB == nil {
		return data, err
	}
	return data, m.opt.DB.CheckMod(ctx, v, artifact.GoModSum(data))
}
