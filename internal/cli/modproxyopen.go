package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/cached"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/registry"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/sumdb"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/direct"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/route"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// moduleEvents are told of what happens in the parts of a proxy. Each may be nil.
type moduleEvents struct {
	store    func(cached.Event)
	upstream func(upstream.Request)
	sumdb    func(sumdb.Request)
	audit    func(context.Context, gate.Event)
}

// open opens the store that the flags name. It is closed after use.
func (s *moduleStore) open(a *app, hear func(cached.Event)) (store.Store, error) {
	ref, inRegistry := strings.CutPrefix(s.store, registryScheme)
	if !inRegistry {
		return opened(layouts.Open(s.store, layouts.Options{}))
	}
	back, err := registry.Open(ref, registry.Options{PlainHTTP: s.plainHTTP})
	if err != nil || s.cache == "" {
		return opened(back, err)
	}
	front, err := layouts.Open(s.cache, layouts.Options{MaxBytes: int64(s.cacheSize)})
	if err != nil {
		return nil, errors.Join(err, back.Close())
	}
	both, err := cached.Open(front, back, cached.Options{MaxPending: int64(s.pending), Observe: hear})
	if err != nil {
		return nil, errors.Join(err, front.Close(), back.Close())
	}
	return both, nil
}

// opened returns a store as the interface, which is nil when there is an error.
func opened[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// exists fails when the store is a directory that is not there, for commands that
// put nothing into it: a name that is mistyped is no empty store.
func (s *moduleStore) exists() error {
	if strings.HasPrefix(s.store, registryScheme) {
		return nil
	}
	if _, err := os.Stat(s.store); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "open store", Err: err, Hint: "check the name: 'serve', 'warm' and 'import' make a store"}
	}
	return nil
}

// settle waits until a registry has what was put into the cache before it.
func settle(ctx context.Context, s store.Store) error {
	if c, ok := s.(*cached.Store); ok {
		return c.Flush(ctx)
	}
	return nil
}

// moduleParts are what a proxy consists of. They are closed after use.
type moduleParts struct {
	store store.Store
	// source is nil when nobody is asked.
	source upstream.Source
	db     *sumdb.DB
	gate   *gate.Gate
	// private are the patterns of private modules.
	private string
}

// open opens what the flags name. What they leave out the go command is asked for.
func (p *moduleProxy) open(ctx context.Context, a *app, hear moduleEvents) (*moduleParts, error) {
	env, err := p.environment(ctx)
	if err != nil {
		return nil, err
	}
	parts := &moduleParts{private: env.GOPRIVATE}
	if err := p.openParts(parts, a, env, hear); err != nil {
		return nil, errors.Join(err, parts.Close())
	}
	return parts, nil
}

func (p *moduleProxy) openParts(parts *moduleParts, a *app, env direct.GoEnv, hear moduleEvents) (err error) {
	parts.gate, err = gate.New(gate.Options{
		CoolDown: p.cooldown, Allow: p.allow, Known: p.known, Policy: p.policy, OSV: p.osv, Audit: hear.audit,
	})
	if err != nil {
		return err
	}
	state := p.stateDir(a.getenv)
	parts.db, err = sumdb.New(sumdb.Options{
		Name: env.GOSUMDB, Upstreams: env.GOPROXY, Skip: env.GOPRIVATE,
		Dir: filepath.Join(state, "sumdb"), Offline: p.offline, Observer: hear.sumdb,
	})
	if err != nil {
		return err
	}
	if !p.offline {
		parts.source, err = route.New(route.Options{
			Upstreams: env.GOPROXY, Private: env.GOPRIVATE, PrivateUpstreams: p.privateUpstream,
			Dir: filepath.Join(state, "direct"), GoCommand: p.goCommand,
			Environ: a.environ, Observer: hear.upstream,
		})
		if err != nil {
			return err
		}
	}
	parts.store, err = p.moduleStore.open(a, hear.store)
	return err
}

// environment returns what the flags say, and for what they leave out, what the
// go command says.
func (p *moduleProxy) environment(ctx context.Context) (direct.GoEnv, error) {
	flags := direct.GoEnv{GOPROXY: p.upstream, GOSUMDB: p.sumdb, GOPRIVATE: p.private}
	if p.offline && flags.GOPROXY == "" {
		flags.GOPROXY = "off"
	}
	if flags.GOPROXY != "" && flags.GOSUMDB != "" && flags.GOPRIVATE != "" {
		return flags, nil
	}
	env, err := direct.FromGoEnv(ctx, p.goCommand)
	if err != nil {
		return env, &fault.Error{Code: fault.CodeOf(err), Err: err, Hint: "name all of --upstream, --sumdb and --private where there is no go command"}
	}
	env.GOPROXY = cmp.Or(flags.GOPROXY, env.GOPROXY)
	env.GOSUMDB = cmp.Or(flags.GOSUMDB, env.GOSUMDB)
	env.GOPRIVATE = cmp.Or(flags.GOPRIVATE, env.GOPRIVATE)
	return env, nil
}

// mirror returns the options of a mirror of these parts.
func (p *moduleParts) mirror() mirror.Options {
	return mirror.Options{Store: p.store, Source: p.source, DB: p.db, Gate: p.gate, Private: p.private}
}

// Close closes the parts that are open.
func (p *moduleParts) Close() error {
	var errs []error
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	return errors.Join(errs...)
}
