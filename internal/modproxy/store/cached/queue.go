package cached

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// pendingDir is the directory, in that of the store on the disk, with a file for
// each version that the other store does not have yet.
const pendingDir = "_pending"

const (
	// scanEvery is how often it is looked for what other processes have left.
	scanEvery = time.Minute
	// abandonedAge is how old a mark without a version is at least that is taken for
	// what a killed process has left, where locks do not tell.
	abandonedAge = time.Hour
	// lastPushes is how long Close waits for pushes that have begun.
	lastPushes = 10 * time.Second
	// elsewhereWait is when a version is looked at again that another process
	// pushes.
	elsewhereWait = time.Second
	// maxMark is the longest mark in bytes.
	maxMark = 8 << 10
)

// queue pushes versions to the other store in the background. What waits is
// marked on the disk, so that it is found again.
type queue struct {
	dir string
	// staging is where marks are written before they are in dir.
	staging func() string
	opt     Options
	push    func(context.Context, module.Version) (done bool, err error)

	ctx    context.Context
	cancel context.CancelFunc
	// wake tells the loop that something has changed, ended that it is over.
	wake  chan struct{}
	ended chan struct{}
	pushs sync.WaitGroup

	mu    sync.Mutex
	items map[module.Version]*pending
	bytes int64
	// running is how many pushes are under way.
	running int
	// hold is until when nothing is pushed because the other store could not be
	// reached, pause how long that was the last time, and held when the push began
	// that found it.
	hold, held time.Time
	pause      time.Duration
	last       error
	closed     bool
	// changed is closed and replaced when a push has ended.
	changed chan struct{}
}

// pending is a version that waits to be pushed.
type pending struct {
	size int64
	// ready is false while it is not on the disk yet; held is then its mark, which
	// is locked.
	ready, running bool
	held           *os.File
	// elsewhere is true while another process pushes it.
	elsewhere bool
	// began is when it was pushed last, due when it is next.
	began, due time.Time
	pause      time.Duration
	err        error
}

func openQueue(dir string, staging func() string, opt Options, push func(context.Context, module.Version) (bool, error)) (*queue, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, store.DiskFault("open", dir, err)
	}
	q := &queue{
		dir: dir, staging: staging, opt: opt, push: push,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		items: map[module.Version]*pending{}, changed: make(chan struct{}),
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q, q.scan()
}

// start begins to push.
func (q *queue) start() {
	if q.opt.Jobs < 0 {
		close(q.ended)
		return
	}
	go q.loop()
}

// loop starts pushes when they are due.
func (q *queue) loop() {
	defer close(q.ended)
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	for {
		timer := time.NewTimer(q.startDue(time.Now()))
		select {
		case <-timer.C:
		case <-q.wake:
		case <-scan.C:
			_ = q.scan() // the directory was readable when it was opened, and is read again
		case <-q.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// startDue starts what is due and returns how long it is until the next is.
func (q *queue) startDue(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := scanEvery
	if q.closed {
		return next
	}
	if q.hold.After(now) {
		return q.hold.Sub(now)
	}
	for m, item := range q.items {
		if q.running >= q.jobs() {
			break // the end of a push wakes the loop
		}
		if !item.ready || item.running {
			continue
		}
		if wait := item.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		item.running, item.began = true, now
		q.running++
		q.pushs.Go(func() { q.one(m, item) })
	}
	return next
}

func (q *queue) jobs() int { return max(q.opt.Jobs, 1) }

// one pushes one version.
func (q *queue) one(m module.Version, item *pending) {
	done, err := q.push(q.ctx, m)
	q.mu.Lock()
	defer q.mu.Unlock()
	item.running, item.err, item.elsewhere = false, err, errors.Is(err, errElsewhere)
	q.running--
	switch {
	case done:
		q.remove(m, item)
		q.pause, q.hold = 0, time.Time{}
	case item.elsewhere:
		item.due = time.Now().Add(elsewhereWait)
	default:
		q.last = err
		item.pause = min(max(2*item.pause, q.opt.Retry), q.opt.RetryMax)
		item.due = time.Now().Add(item.pause)
		if fault.CodeOf(err) == fault.Unavailable {
			q.pause = min(max(2*q.pause, q.opt.Retry), q.opt.RetryMax)
			q.held = item.began
			q.hold = time.Now().Add(q.pause)
			item.due, item.pause = q.hold, 0
		}
	}
	q.signal()
}

// signal tells the loop and those who flush that something has changed; the lock
// is held.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add marks a version that is about to be put, and reports whether it was not
// marked already. It is an error when too much waits.
func (q *queue) add(ctx context.Context, m module.Version, size int64) (added bool, err error) {
	q.mu.Lock()
	if q.items[m] != nil {
		q.mu.Unlock()
		return false, nil
	}
	if q.bytes+size > q.opt.MaxPending {
		q.mu.Unlock()
		return false, errFull
	}
	item := &pending{size: size}
	q.items[m] = item
	q.bytes += size
	q.mu.Unlock()
	held, err := q.holdMark(ctx, m, size)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.remove(m, item)
		return false, err
	}
	item.held = held
	return true, nil
}

// errFull says that as much waits as may.
var errFull = errors.New("too much waits")

// full is the error of more than may wait when the other store does not take it
// because of why.
func (q *queue) full(why error) error {
	_, bytes := q.size()
	return &fault.Error{Code: fault.Limit, Hint: "see to it that the registry takes them, or let more wait",
		Err: fmt.Errorf("%d bytes of modules wait already until the registry takes them: %w", bytes, why)}
}

// ready says that the version is on the disk.
func (q *queue) ready(m module.Version) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if item := q.items[m]; item != nil {
		item.ready = true
		item.release()
	}
	q.signal()
}

// release unlocks the mark.
func (p *pending) release() {
	if p.held != nil {
		_ = p.held.Close()
		p.held = nil
	}
}

// drop removes the version from what waits.
func (q *queue) drop(m module.Version) {
	q.mu.Lock()
	if item := q.items[m]; item != nil {
		q.remove(m, item)
		q.signal()
	}
	q.mu.Unlock()
	_ = q.unmark(m) // a mark without a version is dropped when it is found
}

// remove forgets an item; the lock is held.
func (q *queue) remove(m module.Version, item *pending) {
	item.release()
	if q.items[m] == item {
		delete(q.items, m)
		q.bytes -= item.size
	}
}

func (q *queue) size() (versions int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}

// found takes up a version.
func (q *queue) found(m module.Version, size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items[m] == nil {
		q.items[m] = &pending{size: size, ready: true}
		q.bytes += size
		q.signal()
	}
}

// flush pushes everything now, each version once.
func (q *queue) flush(ctx context.Context) error {
	start := time.Now()
	for {
		q.mu.Lock()
		q.hurry(start)
		over, err := q.flushed(start)
		changed := q.changed
		q.mu.Unlock()
		if over {
			return err
		}
		next := time.NewTimer(q.startDue(time.Now()))
		select {
		case <-next.C:
		case <-changed:
		case <-ctx.Done():
			next.Stop()
			waiting, _ := q.size()
			return fmt.Errorf("%w, while %d versions wait", context.Cause(ctx), waiting)
		}
		next.Stop()
	}
}

// hurry makes everything due that has not been tried since start.
func (q *queue) hurry(start time.Time) {
	if q.held.Before(start) {
		q.hold = time.Time{}
	}
	for _, item := range q.items {
		if item.began.Before(start) && !item.elsewhere {
			item.due = start
		}
	}
}

// flushed reports whether all that waits has been tried since start.
func (q *queue) flushed(start time.Time) (over bool, err error) {
	if q.closed {
		return true, errClosed
	}
	held := !q.held.Before(start)
	for _, item := range q.items {
		switch {
		case item.running, item.elsewhere, !item.ready:
			return false, nil
		case item.began.Before(start) && !held:
			return false, nil
		case item.err != nil:
			err = item.err
		}
	}
	if len(q.items) == 0 {
		return true, nil
	}
	if err == nil {
		err = q.last // for which the others wait
	}
	return true, &fault.Error{Code: fault.CodeOf(err), Hint: fault.HintOf(err), Err: fmt.Errorf("%d versions wait: %w", len(q.items), err)}
}

// close ends pushing. What has begun may end, within some time.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	late := time.AfterFunc(lastPushes, q.cancel)
	defer late.Stop()
	q.pushs.Wait()
	q.cancel()
	<-q.ended
}
