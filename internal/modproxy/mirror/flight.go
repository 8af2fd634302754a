package mirror

import (
	"context"
	"errors"
	"sync"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// group runs functions in goroutines until it is closed.
type group struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// run starts f unless the group is closed; it says whether it did.
func (g *group) run(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Go(f)
	return true
}

// close lets no function start any more, and waits for those that run.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}

// flights runs one call a key at a time; all who ask meanwhile get its result. A
// call goes on when nobody waits for it any more, so that a client that is
// impatient finds the result at its next try.
type flights[V any] struct {
	base  context.Context // of the calls
	group *group

	mu      sync.Mutex
	running map[string]*flight[V]
}

func newFlights[V any](base context.Context, g *group) *flights[V] {
	return &flights[V]{base: base, group: g, running: map[string]*flight[V]{}}
}

// flight is a call. What it returned is there when done is closed.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// do returns what call returns, called once for all who ask for key.
func (f *flights[V]) do(ctx context.Context, key string, call func(context.Context) (V, error)) (V, error) {
	c := f.start(key, call)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var none V
		return none, &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "wait for", Input: key, Err: context.Cause(ctx)}
	}
}

// start begins the call for key unless it is running.
func (f *flights[V]) start(key string, call func(context.Context) (V, error)) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.running[key]; ok {
		return c
	}
	c := &flight[V]{done: make(chan struct{})}
	f.running[key] = c
	ok := f.group.run(func() {
		c.value, c.err = call(f.base)
		f.end(key, c)
	})
	if !ok {
		c.err = errClosed
		delete(f.running, key)
		close(c.done)
	}
	return c
}

func (f *flights[V]) end(key string, c *flight[V]) {
	f.mu.Lock()
	delete(f.running, key)
	f.mu.Unlock()
	close(c.done)
}

// errClosed is what is answered after Close.
var errClosed = &fault.Error{Code: fault.Unavailable, Op: "ask the module proxy", Err: errors.New("it is stopping"), Hint: "try again"}
