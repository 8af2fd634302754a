package mirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

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
// about to ask for the zip. Who asks for go.mod loads a module graph, and then wants
// the zips of the highest versions in it: those are fetched at once, too. All others
// are fetched when nobody waits for an answer, or when they have waited for long.
type fills struct {
	limit   int
	fill    func(module.Version)
	dropped func(module.Version)

	mu      sync.Mutex
	changed *sync.Cond // on mu: one of the below, or the time
	soon    []module.Version
	idle    []idleFill
	waiting map[module.Version]place
	highest map[string]string // what has been guessed of modules
	clients int               // who wait for an answer
	idling  int               // those that are being fetched and were in idle
	closing bool              // nothing is added, nothing waits for an idle proxy
	closed  bool
}

// place says where a version is, and why.
type place int

const (
	asked   place = iota + 1 // in soon: its .info was asked for
	guessed                  // in soon: it was the highest of its module
	patient                  // in idle
	running                  // it is being fetched
)

type idleFill struct {
	version module.Version
	until   time.Time // then it waits no longer
}

// newFills returns an empty queue for at most limit versions. dropped hears of
// those that found no place.
func newFills(limit int, fill, dropped func(module.Version)) *fills {
	f := &fills{limit: limit, fill: fill, dropped: dropped, waiting: map[module.Version]place{}, highest: map[string]string{}}
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

// add puts a version into the queue unless it is there. Of one that was named, its
// .info was asked for, of others go.mod.
func (f *fills) add(v module.Version, named bool) {
	if !f.tryAdd(v, named) {
		f.dropped(v)
	}
}

func (f *fills) tryAdd(v module.Version, named bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.waiting[v]
	switch {
	case was == asked, was == running, was != 0 && !named:
		return true
	case f.closing, was == 0 && len(f.waiting) >= f.limit:
		return false
	case named:
		f.waiting[v] = asked
	case f.isHighest(v):
		f.waiting[v] = guessed
	default:
		f.postpone(v)
	}
	// Where it was in idle, it is found there later, and passed over.
	if f.waiting[v] != patient && was != guessed {
		f.soon = append(f.soon, v)
	}
	f.changed.Broadcast()
	return true
}

// isHighest says whether no higher version of the module was guessed of late.
func (f *fills) isHighest(v module.Version) bool {
	if semver.Compare(v.Version, f.highest[v.Path]) < 0 {
		return false
	}
	if len(f.highest) >= f.limit {
		clear(f.highest)
	}
	f.highest[v.Path] = v.Version
	return true
}

// postpone lets a version wait for an idle proxy.
func (f *fills) postpone(v module.Version) {
	f.waiting[v] = patient
	f.idle = append(f.idle, idleFill{v, time.Now().Add(idlePatience)})
	time.AfterFunc(idlePatience, f.changed.Broadcast)
}

func (f *fills) pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting)
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
			f.waiting[v] = running
			return v, func() { f.done(v, 0) }
		case f.due():
			v := f.idle[0].version
			f.idle = f.idle[1:]
			f.waiting[v] = running
			f.idling++
			return v, func() { f.done(v, 1) }
		}
		f.changed.Wait()
	}
}

// passOver drops from the head of idle what is no longer there, and from that of soon
// what turned out not to be the highest of its module.
func (f *fills) passOver() {
	for len(f.idle) > 0 && f.waiting[f.idle[0].version] != patient {
		f.idle = f.idle[1:]
	}
	for len(f.soon) > 0 && f.waiting[f.soon[0]] == guessed && !f.isHighest(f.soon[0]) {
		f.postpone(f.soon[0])
		f.soon = f.soon[1:]
	}
}

func (f *fills) due() bool {
	return len(f.idle) > 0 && f.idling < idleWorkers && (f.clients == 0 || f.closing || !time.Now().Before(f.idle[0].until))
}

func (f *fills) done(v module.Version, idling int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, v)
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
	for ctx.Err() == nil && len(f.waiting) > 0 {
		f.changed.Wait()
	}
	left := len(f.waiting)
	f.closed, f.soon, f.idle = true, nil, nil
	clear(f.waiting)
	f.changed.Broadcast()
	if left == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Unavailable, Op: "fetch what is not whole yet", Err: fmt.Errorf("%d versions are left out", left),
		Hint: "they are fetched when they are asked for again"}
}
