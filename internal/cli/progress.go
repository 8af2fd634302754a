package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// bar shows on a terminal how many bytes have been read or sent. Elsewhere it is
// silent.
type bar struct {
	w io.Writer
	// verb is what is done with the bytes: "reading", "sending".
	verb     string
	expected atomic.Int64
	done     atomic.Int64
	// above returns the lines to be shown above the bar's own; nil for none.
	above func() []string

	mu sync.Mutex
	// shown is how many lines are on the terminal.
	shown int
	quit  chan struct{}
	ended chan struct{}
}

var _ progress.Sink = (*bar)(nil)

// The pace of a bar: work that ends at once shows none.
const (
	barDelay    = 500 * time.Millisecond
	barInterval = 200 * time.Millisecond
)

// startBar starts a bar on w, which stop must end.
func startBar(w io.Writer) *bar {
	b := &bar{w: w, verb: "reading"}
	b.start()
	return b
}

func (b *bar) start() {
	b.quit, b.ended = make(chan struct{}), make(chan struct{})
	if isTerminal(b.w) {
		go b.run()
	} else {
		close(b.ended)
	}
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
	for {
		select {
		case <-timer.C:
			b.draw(b.lines())
			timer.Reset(barInterval)
		case <-b.quit:
			b.draw(nil)
			return
		}
	}
}

// draw puts lines in the place of those that are shown.
func (b *bar) draw(lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out bytes.Buffer
	b.erase(&out)
	width := terminalWidth(b.w)
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(render.Shorten(render.Clean(line), width-1))
	}
	b.shown = len(lines)
	fmt.Fprint(b.w, out.String())
}

// erase writes what removes the lines that are shown.
func (b *bar) erase(out *bytes.Buffer) {
	if b.shown > 0 {
		out.WriteString("\r" + strings.Repeat("\x1b[A", b.shown-1) + "\x1b[J")
	}
	b.shown = 0
}

// Write puts whole lines above the bar.
func (b *bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out bytes.Buffer
	b.erase(&out)
	out.Write(p)
	if _, err := b.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lines returns all that is to be shown.
func (b *bar) lines() []string {
	if b.above == nil {
		return []string{b.line()}
	}
	lines := b.above()
	if b.expected.Load() > 0 || b.done.Load() > 0 {
		lines = append(lines, b.line())
	}
	return lines
}

// line returns what the bar says, for example "reading 12.0 MiB of 80.5 MiB".
func (b *bar) line() string {
	done, expected := b.done.Load(), b.expected.Load()
	if expected < done {
		return b.verb + " " + render.Size(done)
	}
	return b.verb + " " + render.Size(done) + " of " + render.Size(expected)
}

// terminalWidth returns the number of w's columns.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
