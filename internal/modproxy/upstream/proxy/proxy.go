// Package proxy gets modules from other module proxies, over HTTP and from
// directories.
package proxy

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// proxy is a module proxy.
type proxy struct {
	// base is its URL without credentials, and origin how that is written.
	base   *url.URL
	origin string
	get    getter
	maxZip int64
}

// url returns the URL of a file of a module: base, the escaped path, the file.
// CheckPath and EscapeVersion leave nothing that could change another part of it.
func (p *proxy) url(path, file string) (*url.URL, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: path, Err: err}
	}
	return p.base.JoinPath(pathEscape(escaped), pathEscape(file)), nil
}

// pathEscape escapes what a URL's path cannot have, but not "/".
func pathEscape(s string) string { return strings.ReplaceAll(url.PathEscape(s), "%2F", "/") }

// versionFile names a file of a version.
func versionFile(path, version, suffix string) (string, error) {
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return "", &fault.Error{Code: fault.Usage, Op: "get", Input: path + "@" + version, Err: err}
	}
	return "@v/" + escaped + suffix, nil
}

// document gets a small file into memory.
func (p *proxy) document(ctx context.Context, path, file string, q question) ([]byte, error) {
	u, err := p.url(path, file)
	if err != nil {
		return nil, err
	}
	q.module = path
	var data []byte
	err = p.get.get(ctx, u, q, func(r io.Reader) error {
		var err error
		if data, err = io.ReadAll(r); err != nil {
			return err
		}
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
			return htmlFault()
		}
		return nil
	})
	return data, err
}

// wrong is the fault of a document that is not what it must be.
func (p *proxy) wrong(path, file string, err error) error {
	input := p.origin
	if u, urlErr := p.url(path, file); urlErr == nil {
		input = bare(u)
	}
	return &fault.Error{Code: fault.Invalid, Op: "read", Input: input, Err: err}
}

func (p *proxy) list(ctx context.Context, path string) ([]listed, error) {
	data, err := p.document(ctx, path, "@v/list", question{kind: "list", limit: upstream.MaxList})
	if err != nil {
		return nil, err
	}
	return parseList(string(data)), nil
}

func (p *proxy) Versions(ctx context.Context, path string) ([]string, error) {
	lines, err := p.list(ctx, path)
	if err != nil {
		return nil, err
	}
	return upstream.Released(versions(lines)), nil
}

func (p *proxy) Latest(ctx context.Context, path string) ([]byte, error) {
	data, err := p.document(ctx, path, "@latest", question{kind: "latest", limit: artifact.MaxInfo})
	if err == nil {
		if err := upstream.CheckInfo(data, path, ""); err != nil {
			return nil, p.wrong(path, "@latest", err)
		}
		return data, nil
	}
	if fault.CodeOf(err) != fault.NotFound {
		return nil, err
	}
	// A proxy need not have it; a directory cannot.
	lines, listErr := p.list(ctx, path)
	if listErr != nil {
		if fault.CodeOf(listErr) == fault.NotFound {
			return nil, err
		}
		return nil, listErr
	}
	version := newest(lines)
	if version == "" {
		return nil, err
	}
	return p.Info(ctx, path, version)
}

func (p *proxy) Info(ctx context.Context, path, query string) ([]byte, error) {
	file, err := versionFile(path, query, ".info")
	if err != nil {
		return nil, err
	}
	data, err := p.document(ctx, path, file, question{kind: "info", limit: artifact.MaxInfo})
	if err != nil {
		return nil, err
	}
	if err := upstream.CheckInfo(data, path, query); err != nil {
		return nil, p.wrong(path, file, err)
	}
	return data, nil
}

func (p *proxy) Mod(ctx context.Context, m module.Version) ([]byte, error) {
	file, err := versionFile(m.Path, m.Version, ".mod")
	if err != nil {
		return nil, err
	}
	return p.document(ctx, m.Path, file, question{kind: "mod", limit: artifact.MaxMod})
}

func (p *proxy) Fetch(ctx context.Context, m module.Version, dir string, known upstream.Known) (*upstream.Download, error) {
	d := &upstream.Download{Version: store.Version{Version: m, Origin: p.origin}}
	d.Info, d.Mod = known.Info, known.Mod
	// All come at once. The first error says why; the others only that nobody waits
	// for them any more.
	parts, partsCtx := errgroup.WithContext(ctx)
	if d.Info == nil {
		parts.Go(func() (err error) {
			d.Info, err = p.Info(partsCtx, m.Path, m.Version)
			return err
		})
	}
	if d.Mod == nil {
		parts.Go(func() (err error) {
			d.Mod, err = p.Mod(partsCtx, m)
			return err
		})
	}
	parts.Go(func() error { return p.zip(partsCtx, d, dir, known.Background) })
	if err := parts.Wait(); err != nil {
		if d.Path != "" {
			_ = d.Close() // whoever sweeps the directory finds what could not be removed
		}
		return nil, err
	}
	d.GoModSum = artifact.GoModSum(d.Mod)
	return d, nil
}

// zip gets the zip into a new file in dir and measures it. It sets d.Path as soon
// as there is a file.
func (p *proxy) zip(ctx context.Context, d *upstream.Download, dir string, background bool) (err error) {
	m := d.Version.Version
	name, err := versionFile(m.Path, m.Version, ".zip")
	if err != nil {
		return err
	}
	u, err := p.url(m.Path, name)
	if err != nil {
		return err
	}
	file, err := d.Create(dir)
	if err != nil {
		return err
	}
	err = p.get.get(ctx, u, question{kind: "zip", module: m.Path, limit: p.maxZip}, func(r io.Reader) error { return upstream.Fill(file, r) })
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = upstream.DiskFault(closeErr)
	}
	if err != nil {
		return err
	}
	return d.Measure(ctx, bare(u), background)
}
