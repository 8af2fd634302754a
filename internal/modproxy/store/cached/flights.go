package cached

import (
	"context"
	"sync"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// flights lets all who ask for the same at once share one answer.
type flights struct {
	mu  sync.Mutex
	all map[string]*flight
}

type flight struct {
	askers int
	cancel context.CancelFunc
	done   chan struct{}
	entry  *store.Entry
	err    error
}

// do returns what ask returns. The context of ask ends when all who wait for it
// have given up.
func (f *flights) do(ctx context.Context, key string, ask func(context.Context) (*store.Entry, error)) (*store.Entry, error) {
	one := f.join(ctx, key, ask)
	select {
	case <-one.done:
		f.leave(key, one)
		return one.entry, one.err
	case <-ctx.Done():
		f.leave(key, one)
		err := context.Cause(ctx)
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: key, Err: err}
	}
}

func (f *flights) join(ctx context.Context, key string, ask func(context.Context) (*store.Entry, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]*flight{}
	}
	one := f.all[key]
	if one == nil {
		shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
		one = &flight{cancel: cancel, done: make(chan struct{})}
		f.all[key] = one
		go func() {
			one.entry, one.err = ask(shared)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.forget(key, one)
			close(one.done)
		}()
	}
	one.askers++
	return one
}

// leave takes note that one asker is gone. Who comes after the last one begins
// anew.
func (f *flights) leave(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.askers--; one.askers == 0 {
		one.cancel()
		f.forget(key, one)
	}
}

func (f *flights) forget(key string, one *flight) {
	if f.all[key] == one {
		delete(f.all, key)
	}
}
