package cached

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// link remembers whether the other store could be reached, so that not everyone
// has to wait for it in vain.
type link struct {
	pause time.Duration
	tell  func(Event)

	mu    sync.Mutex
	down  error
	until time.Time
}

// use calls ask, which asks the other store something, unless it could not be
// reached less than pause ago: then the error is the same again.
func (l *link) use(ctx context.Context, ask func() error) error {
	if err := l.state(); err != nil {
		return err
	}
	err := ask()
	if ctx.Err() == nil {
		l.answered(err)
	}
	return err
}

// state returns why the other store cannot be reached. Once a while one caller
// finds that out; the others do not wait for him.
func (l *link) state() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down == nil {
		return nil
	}
	if time.Now().Before(l.until) {
		return &fault.Error{Code: fault.Unavailable, Err: fmt.Errorf("it could not be reached a moment ago: %w", l.down), Hint: fault.HintOf(l.down)}
	}
	l.until = time.Now().Add(l.pause)
	return nil
}

// answered takes down how the other store has answered.
func (l *link) answered(err error) {
	l.mu.Lock()
	was := l.down
	l.down = nil
	if fault.CodeOf(err) == fault.Unavailable {
		l.down, l.until = err, time.Now().Add(l.pause)
	}
	is := l.down
	l.mu.Unlock()
	switch {
	case was == nil && is != nil:
		l.tell(Event{Kind: Offline, Err: is})
	case was != nil && is == nil:
		l.tell(Event{Kind: Online})
	}
}
