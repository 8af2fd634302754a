package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// source is where content may be read, and as whom: a repository with the
// credentials of a tenant who has shown that they may read it there.
type source struct {
	repository string
	// fingerprint names the tenant's rights in the repository.
	fingerprint string
	keys        facts.Keychain
}

// sourceKey is what tells sources apart.
type sourceKey struct{ repository, fingerprint string }

// host is the registry's.
func (s source) host() string {
	host, _, _ := strings.Cut(s.repository, "/")
	return host
}

func (s source) key() sourceKey { return sourceKey{s.repository, s.fingerprint} }

// flights reads content once for each digest, however many wait for it. A flight
// does not end with those who wait for it.
type flights[T any] struct {
	// read reads the content from one place.
	read func(ctx context.Context, digest string, from source) (T, error)
	// timeout bounds one read.
	timeout time.Duration
	// queued is how many flights may wait for a worker, and perHost how many fly at
	// once to one registry, so that a slow one does not keep all workers.
	queued, perHost int

	mu      sync.Mutex
	changed sync.Cond // the lines below have
	flying  map[string]*flight[T]
	waiting []*flight[T]
	busy    map[string]int // by host
}

// flight is content that is being read. All but digest and done is guarded by the
// flights' mutex until done is closed.
type flight[T any] struct {
	digest string
	// sources are tried one after the other; next is the first that was not.
	sources []source
	next    int
	errs    map[sourceKey]error
	value   T
	landed  bool
	done    chan struct{}
}

func newFlights[T any](queued, perHost int, timeout time.Duration, read func(context.Context, string, source) (T, error)) *flights[T] {
	g := &flights[T]{read: read, timeout: timeout, queued: queued, perHost: max(perHost, 1),
		flying: map[string]*flight[T]{}, busy: map[string]int{}}
	g.changed.L = &g.mu
	return g
}

// get returns the content, waiting for it as long as ctx allows. It is read from
// where anybody who waits may read it, so that nobody fails with the credentials
// of another; an error is that of one's own source.
func (g *flights[T]) get(ctx context.Context, digest string, from source) (value T, err error) {
	f, err := g.join(digest, from)
	if err != nil {
		return value, err
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return value, ErrNotReady
	}
	if f.landed {
		return f.value, nil
	}
	return value, f.errs[from.key()]
}

// join returns the flight of digest with one more source.
func (g *flights[T]) join(digest string, from source) (*flight[T], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flying[digest]; f != nil {
		f.add(from)
		return f, nil
	}
	if len(g.waiting) >= g.queued {
		return nil, &fault.Error{Code: fault.Unavailable, Err: errors.New("too many images are waiting to be read"), Hint: "try again later"}
	}
	f := &flight[T]{digest: digest, errs: map[sourceKey]error{}, done: make(chan struct{})}
	f.add(from)
	g.flying[digest] = f
	g.waiting = append(g.waiting, f)
	g.changed.Broadcast()
	return f, nil
}

func (f *flight[T]) add(from source) {
	for _, s := range f.sources {
		if s.key() == from.key() {
			return
		}
	}
	f.sources = append(f.sources, from)
}

// work flies until ctx ends.
func (g *flights[T]) work(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changed.Broadcast()
	})()
	for {
		f, host := g.take(ctx)
		if f == nil {
			return
		}
		g.fly(ctx, f)
		g.mu.Lock()
		if g.busy[host]--; g.busy[host] == 0 {
			delete(g.busy, host)
		}
		g.changed.Broadcast()
		g.mu.Unlock()
	}
}

// take waits for the first flight to a registry that is not busy; nil when ctx
// has ended.
func (g *flights[T]) take(ctx context.Context) (f *flight[T], host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ctx.Err() == nil {
		for i, f := range g.waiting {
			if host = f.sources[0].host(); g.busy[host] < g.perHost {
				g.waiting = slices.Delete(g.waiting, i, i+1)
				g.busy[host]++
				return f, host
			}
		}
		g.changed.Wait()
	}
	return nil, ""
}

func (g *flights[T]) fly(ctx context.Context, f *flight[T]) {
	for {
		from, more := g.advance(f)
		if !more {
			return
		}
		value, err := g.once(ctx, f.digest, from)
		g.record(f, from, value, err)
	}
}

// once reads from one source. What panics on hostile bytes must not take the
// process down, with all that others wait for.
func (g *flights[T]) once(ctx context.Context, digest string, from source) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &fault.Error{Code: fault.Internal, Op: "read image", Input: digest, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	value, err = g.read(ctx, digest, from)
	if err != nil && ctx.Err() != nil {
		err = &fault.Error{Code: fault.Unavailable, Op: "read image", Input: digest, Hint: "try again later",
			Err: fmt.Errorf("it was not read within %v", g.timeout)}
	}
	return value, err
}

// advance returns the source that is tried next. When none is left, or the
// content is there, the flight ends, and nobody can join it any more.
func (g *flights[T]) advance(f *flight[T]) (from source, more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !f.landed && f.next < len(f.sources) {
		from = f.sources[f.next]
		f.next++
		if f.errs[from.key()] == nil {
			return from, true
		}
	}
	delete(g.flying, f.digest)
	close(f.done)
	return from, false
}

// record keeps the outcome of one source. Content that is wrong is so for all who
// read it in that repository.
func (g *flights[T]) record(f *flight[T], from source, value T, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		f.value, f.landed = value, true
		return
	}
	f.errs[from.key()] = err
	if !aboutContent(err) {
		return
	}
	for _, s := range f.sources {
		if s.repository == from.repository {
			f.errs[s.key()] = err
		}
	}
}

// aboutContent reports whether an error is about the content itself, so that
// reading it again ends in the same way.
func aboutContent(err error) bool {
	if isMismatch(err) {
		return false
	}
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Limit, fault.Unsupported:
		return true
	}
	return false
}

// isMismatch reports whether a registry, or something on the way to it, gave other
// bytes than those that were asked for by their digest.
func isMismatch(err error) bool {
	mismatch := (*image.MismatchError)(nil)
	return errors.As(err, &mismatch)
}
