package layouts

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// evictor keeps a store within its bound, in the background.
type evictor struct {
	store *Store
	// pinned says which versions stay; nil for none.
	pinned atomic.Pointer[func(module.Version) bool]
	// size is how many bytes the versions take, by the last look and what this
	// process has put since; grown is only the latter. Before the first version is
	// put, looked is false: until then nothing is removed, and Keep can be called.
	size, grown atomic.Int64
	looked      atomic.Bool

	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

// evictLock is the file whose lock the process has that evicts.
const evictLock = "_evict.lock"

// slack is the part of MaxBytes that is made free at once, and that a process puts
// before it looks again what others have put: a sixteenth.
func (e *evictor) slack() int64 { return e.store.opt.MaxBytes / 16 }

func (e *evictor) start(s *Store) {
	e.store = s
	if s.opt.MaxBytes <= 0 {
		return
	}
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(context.Background())
	e.wake, e.done = make(chan struct{}, 1), make(chan struct{})
	go e.run(ctx)
}

func (e *evictor) run(ctx context.Context) {
	defer close(e.done)
	for {
		select {
		case <-e.wake:
		case <-ctx.Done():
			return
		}
		if err := e.trim(ctx); err != nil && ctx.Err() == nil && e.store.opt.Problem != nil {
			e.store.opt.Problem(store.DiskFault("make room in", e.store.dir, err))
		}
	}
}

// stop ends what is being done.
func (e *evictor) stop() {
	if e.cancel != nil {
		e.cancel()
		<-e.done
	}
}

// grew tells that this process has put so many bytes.
func (e *evictor) grew(bytes int64) {
	if e.cancel == nil || bytes == 0 {
		return
	}
	size, grown := e.size.Add(bytes), e.grown.Add(bytes)
	if e.looked.Swap(true) && size <= e.store.opt.MaxBytes && grown <= e.slack() {
		return
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// candidate is a version that may be removed.
type candidate struct {
	layout  layout
	version string
	size    int64
	used    time.Time
}

// trim removes the versions that were used least recently, until what stays is
// below the bound.
func (e *evictor) trim(ctx context.Context) error {
	f, err := e.store.disk.OpenLock(filepath.Join(e.store.dir, evictLock))
	if err != nil {
		return err
	}
	defer f.Close()
	e.grown.Store(0)
	if locked, err := e.store.disk.Lock(f, true); err != nil || !locked {
		return err // another process is at it
	}
	all, total, err := e.scan(ctx)
	if ctx.Err() != nil {
		return err
	}
	if total > e.store.opt.MaxBytes {
		slices.SortFunc(all, func(a, b candidate) int { return a.used.Compare(b.used) })
		var evictErr error
		total, evictErr = e.evict(ctx, all, total)
		err = cmp.Or(err, evictErr)
	}
	e.size.Store(total + e.grown.Load())
	return err
}

// scan lists all versions and how many bytes they take. Modules that cannot be
// read are left out; the first error is returned besides.
func (e *evictor) scan(ctx context.Context) (all []candidate, total int64, first error) {
	for l, err := range e.store.all(ctx) {
		snap := noVersions
		if err == nil {
			snap, err = l.snapshot()
		}
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		for version, desc := range snap.versions {
			c := candidate{layout: l, version: version, size: desc.Size}
			if m, err := l.manifest(version, desc); err == nil {
				c.size = versionSize(m, desc)
				c.layout.path = m.Path
				if info, err := e.store.disk.Stat(l.blob(m.Zip.Digest)); err == nil {
					c.used = info.ModTime()
				}
			}
			all = append(all, c)
			total += c.size
		}
	}
	return all, total, first
}

// evict removes the first of the candidates, of one module at once, and returns
// how many bytes the versions take then, and the first error.
func (e *evictor) evict(ctx context.Context, all []candidate, total int64) (_ int64, first error) {
	least := e.store.opt.MaxBytes - e.slack()
	for len(all) > 0 && total > least {
		n, expected := 0, total
		for ; n < len(all) && expected > least; n++ {
			expected -= all[n].size
		}
		modules := map[string][]candidate{}
		for _, c := range all[:n] {
			modules[c.layout.repo] = append(modules[c.layout.repo], c)
		}
		all = all[n:]
		for _, some := range modules {
			freed, err := e.removeSome(ctx, some)
			first = cmp.Or(first, err)
			total -= freed
		}
		if ctx.Err() != nil {
			break
		}
	}
	return total, first
}

// removeSome removes versions of one module unless they are pinned or read.
func (e *evictor) removeSome(ctx context.Context, some []candidate) (freed int64, err error) {
	l := some[0].layout
	r, err := l.remove(ctx, func(version string) bool {
		pinned := e.pinned.Load()
		return slices.ContainsFunc(some, func(c candidate) bool { return c.version == version }) &&
			(pinned == nil || !(*pinned)(module.Version{Path: l.path, Version: version}))
	})
	for _, c := range some {
		if slices.Contains(r.gone, c.version) {
			freed += c.size
		}
	}
	return freed, err
}
