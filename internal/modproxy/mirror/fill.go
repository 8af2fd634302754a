package mirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// soonWorkers is how many versions are fetched at once that are likely to be
	// asked for next, and idleWorkers how many of the others.
	soonWorkers = 8
	idleWorkers = 2
	// idlePatience is how long a version waits for an idle proxy, at most.
	idlePatience = time.Minute
)

// fills are the versions of which only a part was asked for. Who asks for .info is
// about to ask for the zip: that is fetched at once. Who asks for go.mod alone
// mostly loads a module graph, and never wants the zip: such versions are fetched
// when nobody waits for an answer, or when they have waited for long.
type fills struct {
	limit   int
	fill    func(module.Version)
	dropped func(module.Version)

	mu      sync.Mutex
	changed *sync.Cond // on mu: one of the below, or the time
	soon    []module.Version
	idle    []idleFill
	waiting map[module.Version]bool // those in idle
	clients int                     // who wait for an answer
	running int
	idling  int  // those of running that were in idle
	closing bool // nothing is added, nothing waits for an idle proxy
	closed  bool
}

type idleFill struct {
	version module.Version
	until   time.Time // then it waits no longer
}

// newFills returns an empty queue for at most limit versions. dropped hears of
// those that found no place.
func newFills(limit int, fill, dropped func(module.Version)) *fills {
	f := &fills{limit: limit, fill: fill, dropped: dropped, waiting: map[module.Version]bool{}}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// busy says that a client waits; what it returns is called when it has its answer.
func (f *fills) busy() func() {
	f.mu.Lock()
	f.clients++
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		f.clients--
		if f.clients == 0 && len(f.idle) > 0 {
			f.changed.Broadcast()
		}
		f.mu.Unlock()
	}
}

// add puts a version into the queue unless it is there: soon, or when the proxy is
// idle.
func (f *fills) add(v module.Version, soon bool) {
	if !f.tryAdd(v, soon) {
		f.dropped(v)
	}
}

func (f *fills) tryAdd(v module.Version, soon bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	queued := f.waiting[v]
	switch {
	case queued && !soon:
		return true
	case f.closing, !queued && f.size() >= f.limit:
		return false
	case soon:
		// Where it is in idle, it is found there later, and passed over.
		delete(f.waiting, v)
		f.soon = append(f.soon, v)
	default:
		f.waiting[v] = true
		f.idle = append(f.idle, idleFill{v, time.Now().Add(idlePatience)})
		time.AfterFunc(idlePatience, f.changed.Broadcast)
	}
	f.changed.Broadcast()
	return true
}

// size is how many versions are in the queue.
func (f *fills) size() int { return len(f.soon) + len(f.waiting) }

func (f *fills) pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size() + f.running
}

// work fetches versions until the queue is closed.
func (f *fills) work() {
	for {
		v, done := f.next()
		if done == nil {
			return
		}
		f.fill(v)
		done()
	}
}

// next waits for a version whose turn it is. What it returns is called when that
// has been fetched; it is nil when the queue is closed.
func (f *fills) next() (module.Version, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		f.passOver()
		switch {
		case f.closed:
			return module.Version{}, nil
		case len(f.soon) > 0:
			v := f.soon[0]
			f.soon = f.soon[1:]
			f.running++
			return v, func() { f.done(0) }
		case f.due():
			v := f.idle[0].version
			f.idle = f.idle[1:]
			delete(f.waiting, v)
			f.running++
			f.idling++
			return v, func() { f.done(1) }
		}
		f.changed.Wait()
	}
}

// passOver drops from the head of idle what is no longer there.
func (f *fills) passOver() {
	for len(f.idle) > 0 && !f.waiting[f.idle[0].version] {
		f.idle = f.idle[1:]
	}
}

func (f *fills) due() bool {
	return len(f.idle) > 0 && f.idling < idleWorkers && (f.clients == 0 || f.closing || !time.Now().Before(f.idle[0].until))
}

func (f *fills) done(idling int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.idling -= idling
	f.changed.Broadcast()
}

// close fetches what is in the queue, until ctx ends, and lets the workers end.
func (f *fills) close(ctx context.Context) error {
	defer context.AfterFunc(ctx, f.changed.Broadcast)()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
	f.changed.Broadcast()
	for ctx.Err() == nil && f.size()+f.running > 0 {
		f.changed.Wait()
	}
	left := f.size() + f.running
	f.closed, f.soon, f.idle = true, nil, nil
	clear(f.waiting)
	f.changed.Broadcast()
	if left == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Unavailable, Op: "fetch what is not whole yet", Err: fmt.Errorf("%d versions are left out", left),
		Hint: "they are fetched when they are asked for again"}
}
