// Package cached is the store of modules elsewhere, in a registry, with a bounded
// directory of this machine before it: what is read is kept there, and what is
// written waits there until the other store has it.
package cached

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Front is the store on this machine's disk that a cached store has before
// another one. Package layouts has one. Its name is its directory.
type Front interface {
	store.Store
	// Keep says which versions are not evicted to make room: those of which
	// pinned is true, there or about to be put. It is asked right before each
	// eviction, with whatever locks the store holds, and costs one stat: it calls
	// nothing of the store.
	Keep(pinned func(module.Version) bool)
}

// Options says how a cached store works. The zero value has the defaults.
type Options struct {
	// MaxPending is how many bytes of zips may wait until the other store takes
	// them; 0 means DefaultMaxPending. Past it, Put waits for the other store, and
	// fails when that cannot take the version.
	MaxPending int64
	// Jobs is how many versions are copied from the other store ahead of being
	// opened, and how many are pushed to it, at once; 0 means 4. A negative number
	// is for neither: versions are copied when they are opened, and nothing is
	// pushed but by Flush.
	Jobs int
	// Retry is how long the other store is left alone after it could not be
	// reached (5 s), and the first wait until a version is pushed again, which
	// doubles each time up to RetryMax (5 min).
	Retry, RetryMax time.Duration
	// Observe hears what happens; nil means nobody does. It may be called from
	// several goroutines, and is quick.
	Observe func(Event)
}

// DefaultMaxPending is what a zero Options.MaxPending stands for, in bytes.
const DefaultMaxPending = 4 << 30

// EventKind says what a cached store tells of.
type EventKind string

// The events.
const (
	// Hit: the version was on the disk. Fetched: it was in the other store.
	Hit     EventKind = "hit"
	Fetched EventKind = "fetched"
	// Copied: a version from the other store is on the disk now, Bytes of it.
	Copied EventKind = "copied"
	// FrontFailed: the store on the disk failed with Err; the other was asked.
	FrontFailed EventKind = "front-failed"
	// Pushed: the other store has taken a version. Delayed: it has not, because
	// of Err, and is asked again.
	Pushed  EventKind = "pushed"
	Delayed EventKind = "delayed"
	// Refused: the other store has the version with other sums, and what was put
	// here was dropped.
	Refused EventKind = "refused"
	// Offline: the other store cannot be reached because of Err, and answers come
	// from the disk alone. Online: it can be reached again.
	Offline EventKind = "offline"
	Online  EventKind = "online"
)

// Event is something that a cached store tells of.
type Event struct {
	Kind   EventKind
	Module module.Version
	// Bytes is the size of the zip.
	Bytes int64
	Err   error
}

// Store is a store.Store in a directory of this machine before another one, which is
// the one that counts: versions come from there, and go there in the background
// when they are put. What waits for that is kept over restarts. While the other
// store cannot be reached, the directory has to do.
type Store struct {
	front Front
	back  store.Store
	opt   Options
	link  *link
	queue *queue
	// versions has a lock for each version that is put, pushed or deleted.
	versions keylock.Locks
	asked    flights

	ctx    context.Context
	cancel context.CancelFunc
	// copying counts the goroutines that copy, and ahead bounds them.
	copying sync.WaitGroup
	ahead   chan struct{}

	mu     sync.Mutex
	copies map[module.Version]*copying
	closed bool
}

// Open returns front before back. Closing it closes both. What waits in
// front's directory to be pushed to back is pushed.
func Open(front Front, back store.Store, opt Options) (*Store, error) {
	opt.MaxPending = cmp.Or(opt.MaxPending, DefaultMaxPending)
	opt.Jobs = cmp.Or(opt.Jobs, 4)
	opt.Retry = cmp.Or(opt.Retry, 5*time.Second)
	opt.RetryMax = max(opt.Retry, cmp.Or(opt.RetryMax, 5*time.Minute))
	if opt.Observe == nil {
		opt.Observe = func(Event) {}
	}
	c := &Store{
		front: front, back: back, opt: opt,
		ahead:  make(chan struct{}, max(opt.Jobs, 1)),
		copies: map[module.Version]*copying{},
	}
	c.link = &link{pause: opt.Retry, tell: opt.Observe}
	queue, err := openQueue(filepath.Join(front.Name(), pendingDir), front.Staging, opt, c.push)
	if err != nil {
		return nil, err
	}
	c.queue = queue
	c.ctx, c.cancel = context.WithCancel(context.Background())
	front.Keep(queue.has)
	queue.start()
	return c, nil
}

// Name implements store.Store: it is the name of the store behind.
func (c *Store) Name() string { return c.back.Name() }

// Staging implements store.Store.
func (c *Store) Staging() string { return c.front.Staging() }

// Pending returns how many versions wait to be pushed, and the bytes of their
// zips.
func (c *Store) Pending() (versions int, bytes int64) { return c.queue.size() }

// Flush pushes what waits, each version once, and returns when the other store
// has all of it or an error says how many it has not, and why.
func (c *Store) Flush(ctx context.Context) error {
	if err := c.queue.flush(ctx); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "push to", Input: c.Name(), Err: err, Hint: fault.HintOf(err)}
	}
	return nil
}

// Close implements store.Store. It does not wait for what waits to be pushed, which is
// taken up when the store is opened again; see Flush.
func (c *Store) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.queue.close()
	c.cancel()
	c.copying.Wait()
	errs := []error{c.front.Close(), c.back.Close()}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Get implements store.Store. A version that only the other store has is copied from
// there in the background.
func (c *Store) Get(ctx context.Context, m module.Version) (*store.Entry, error) {
	if known := c.inFlight(m); known != nil {
		c.opt.Observe(Event{Kind: Fetched, Module: m, Bytes: known.ZipSize})
		return known, nil
	}
	e, frontErr := c.front.Get(ctx, m)
	if frontErr == nil {
		c.opt.Observe(Event{Kind: Hit, Module: m, Bytes: e.ZipSize})
		return e, nil
	}
	if ctx.Err() != nil {
		return nil, canceled("get", m, context.Cause(ctx))
	}
	if fault.CodeOf(frontErr) != fault.NotFound {
		c.opt.Observe(Event{Kind: FrontFailed, Module: m, Err: frontErr})
	}
	e, err := c.asked.do(ctx, m.String(), func(ctx context.Context) (*store.Entry, error) { return c.getBack(ctx, m) })
	if err != nil {
		return nil, err
	}
	c.opt.Observe(Event{Kind: Fetched, Module: m, Bytes: e.ZipSize})
	return c.fetched(m, e), nil
}

// getBack asks the other store unless it could not be reached a moment ago.
func (c *Store) getBack(ctx context.Context, m module.Version) (e *store.Entry, err error) {
	err = c.link.use(ctx, func() error {
		e, err = c.back.Get(ctx, m)
		return err
	})
	return e, err
}

// Put implements store.Store.
func (c *Store) Put(ctx context.Context, v store.Version, path string) (*store.Entry, error) {
	unlock, err := c.versions.Lock(ctx, v.Version.String())
	if err != nil {
		return nil, canceled("store", v.Version, err)
	}
	defer unlock()
	there, err := c.getBack(ctx, v.Version)
	switch code := fault.CodeOf(err); {
	case err == nil:
		return c.putKnown(ctx, v, there, path)
	case code == fault.Canceled || code == fault.Invalid:
		return nil, err
	}
	return c.putNew(ctx, v, path)
}

// putKnown puts a version that the other store has already.
func (c *Store) putKnown(ctx context.Context, v store.Version, there *store.Entry, path string) (*store.Entry, error) {
	if err := store.CheckSums(there.Version, v); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "store", Input: c.Name() + " " + v.Version.String(), Err: err, Hint: fault.HintOf(err)}
	}
	e, err := c.front.Put(ctx, there.Version, path)
	if store.HasOtherSums(err) { // which the other store does not have any more
		if _, err = c.front.Delete(ctx, v.Version); err == nil {
			e, err = c.front.Put(ctx, there.Version, path)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.opt.Observe(Event{Kind: FrontFailed, Module: v.Version, Err: err})
		return there, nil
	}
	return e, err
}

// putNew puts a version that the other store does not have, or may not have.
func (c *Store) putNew(ctx context.Context, v store.Version, path string) (*store.Entry, error) {
	size, err := sizeOf(path)
	if err != nil {
		return nil, err
	}
	added, err := c.queue.add(ctx, v.Version, size)
	if err != nil {
		e, backErr := c.putThrough(ctx, v, path)
		if backErr == nil || store.HasOtherSums(backErr) || ctx.Err() != nil {
			return e, backErr
		}
		if errors.Is(err, errFull) {
			err = c.queue.full(backErr)
		}
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "store", Input: c.Name() + " " + v.Version.String(), Err: err, Hint: fault.HintOf(err)}
	}
	e, err := c.front.Put(ctx, v, path)
	if err != nil && added {
		c.queue.drop(v.Version)
	}
	if err == nil {
		c.queue.ready(v.Version)
		return e, nil
	}
	if fault.CodeOf(err) == fault.Invalid || ctx.Err() != nil {
		return nil, err
	}
	c.opt.Observe(Event{Kind: FrontFailed, Module: v.Version, Err: err})
	if e, backErr := c.putThrough(ctx, v, path); backErr == nil || store.HasOtherSums(backErr) {
		return e, backErr
	}
	return nil, err
}

// putThrough puts a version into the other store, and then here if there is room.
func (c *Store) putThrough(ctx context.Context, v store.Version, path string) (e *store.Entry, err error) {
	err = c.link.use(ctx, func() error {
		e, err = c.back.Put(ctx, v, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.opt.Observe(Event{Kind: Pushed, Module: v.Version, Bytes: e.ZipSize})
	return c.putKnown(ctx, v, e, path)
}

// Versions implements store.Store: those of both. While the other store cannot be
// asked, they are those on the disk.
func (c *Store) Versions(ctx context.Context, path string) ([]string, error) {
	here, err := c.front.Versions(ctx, path)
	if err != nil {
		return nil, err
	}
	var there []string
	err = c.link.use(ctx, func() error {
		there, err = c.back.Versions(ctx, path)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	all := slices.Concat(here, there)
	semver.Sort(all)
	return slices.Compact(all), nil
}

// Modules implements store.Store: those of both. When the other store cannot list its
// own, the error comes after those on the disk.
func (c *Store) Modules(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for path, err := range c.front.Modules(ctx) {
			seen[path] = true
			if !yield(path, err) {
				return
			}
		}
		if err := c.link.state(); err != nil {
			yield("", err)
			return
		}
		for path, err := range c.back.Modules(ctx) {
			if !seen[path] && !yield(path, err) {
				return
			}
		}
	}
}

// Delete implements store.Store. Copies in the directories of other machines stay
// until they are evicted there.
func (c *Store) Delete(ctx context.Context, m module.Version) (bool, error) {
	unlock, err := c.versions.Lock(ctx, m.String())
	if err != nil {
		return false, canceled("delete", m, err)
	}
	defer unlock()
	if err := c.settle(ctx, m); err != nil {
		return false, canceled("delete", m, err)
	}
	release, err := c.queue.seize(ctx, m)
	if err != nil {
		return false, canceled("delete", m, err)
	}
	defer release()
	deleted, err := c.front.Delete(ctx, m)
	here := fault.CodeOf(err) != fault.NotFound
	if here && (err != nil || !deleted) {
		return false, err
	}
	c.queue.drop(m)
	var there bool
	err = c.link.use(ctx, func() error {
		there, err = c.back.Delete(ctx, m)
		return err
	})
	if here && fault.CodeOf(err) == fault.NotFound {
		return true, nil
	}
	return there, err
}

// Seen implements store.Store: the earliest that either of both knows.
func (c *Store) Seen(ctx context.Context, path string, versions []string, now time.Time) (map[string]time.Time, error) {
	seen, err := c.front.Seen(ctx, path, versions, now)
	if err != nil {
		return nil, err
	}
	// While the other store cannot be asked, what is known here is as strict, or
	// stricter. It learns of it later.
	since := map[time.Time][]string{}
	for version, at := range seen {
		at = at.Round(0).UTC()
		since[at] = append(since[at], version)
	}
	for at, group := range since {
		var there map[string]time.Time
		err := c.link.use(ctx, func() error {
			there, err = c.back.Seen(ctx, path, group, at)
			return err
		})
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		for version, at := range there {
			if at.Before(seen[version]) {
				seen[version] = at
			}
		}
	}
	return seen, nil
}

// Used implements store.Store.
func (c *Store) Used(m module.Version, at time.Time) {
	c.front.Used(m, at)
	c.back.Used(m, at)
}

// Uses implements store.Store: the latest that either of both knows.
func (c *Store) Uses(ctx context.Context, path string) (map[string]time.Time, error) {
	uses, err := c.front.Uses(ctx, path)
	if err != nil {
		return nil, err
	}
	var there map[string]time.Time
	err = c.link.use(ctx, func() error {
		there, err = c.back.Uses(ctx, path)
		return err
	})
	if err != nil {
		return nil, err // gc would take what others use
	}
	for version, at := range there {
		if at.After(uses[version]) {
			uses[version] = at
		}
	}
	return uses, nil
}

func canceled(op string, m module.Version, err error) error {
	return &fault.Error{Code: fault.CodeOf(err), Op: op, Input: m.String(), Err: err}
}
