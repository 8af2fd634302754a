package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// bar shows on a terminal how many bytes have been read. Elsewhere it is
// silent.
type bar struct {
	w        io.Writer
	expected atomic.Int64
	done     atomic.Int64
	quit     chan struct{}
	ended    chan struct{}
}

var _ progress.Sink = (*bar)(nil)

// The pace of a bar: work that ends at once shows none.
const (
	barDelay    = 500 * time.Millisecond
	barInterval = 200 * time.Millisecond
)

// startBar starts a bar on w, which stop must end.
func startBar(w io.Writer) *bar {
	b := &bar{w: w, quit: make(chan struct{}), ended: make(chan struct{})}
	if isTerminal(w) {
		go b.run()
	} else {
		close(b.ended)
	}
	return b
}

// Expect implements progress.Sink.
func (b *bar) Expect(n int64) { b.expected.Add(n) }

// Done implements progress.Sink.
func (b *bar) Done(n int64) { b.done.Add(n) }

// stop removes the bar from the terminal.
func (b *bar) stop() {
	close(b.quit)
	<-b.ended
}

func (b *bar) run() {
	defer close(b.ended)
	timer := time.NewTimer(barDelay)
	defer timer.Stop()
	shown := false
	for {
		select {
		case <-timer.C:
			shown = true
			fmt.Fprintf(b.w, "\r\x1b[K%s", b.line())
			timer.Reset(barInterval)
		case <-b.quit:
			if shown {
				fmt.Fprint(b.w, "\r\x1b[K")
			}
			return
		}
	}
}

// line returns what the bar says, for example "reading 12.0 MiB of 80.5 MiB".
func (b *bar) line() string {
	done, expected := b.done.Load(), b.expected.Load()
	if expected < done {
		return "reading " + render.Size(done)
	}
	return "reading " + render.Size(done) + " of " + render.Size(expected)
}
