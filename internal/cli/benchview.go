package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench"
)

// benchView shows on a terminal what bench is doing. Elsewhere it says the stages,
// a line each, so that a log of continuous integration is not silent for minutes.
type benchView struct {
	*bar
	mu    sync.Mutex
	at    bench.Progress
	plain io.Writer
}

func startBenchView(w io.Writer) *benchView {
	v := &benchView{bar: &bar{w: w}}
	v.above = v.text
	if !isTerminal(w) {
		v.plain = w
	}
	v.start()
	return v
}

// log is where the go command's messages go.
func (v *benchView) log() io.Writer { return v.bar }

func (v *benchView) report(p bench.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.plain != nil && p.Stage != v.at.Stage {
		fmt.Fprintln(v.plain, line(p))
	}
	v.at = p
}

func (v *benchView) text() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return []string{line(v.at)}
}

func line(p bench.Progress) string {
	switch p.Stage {
	case bench.Building:
		return fmt.Sprintf("%s the %s", p.Stage, p.Text)
	case bench.Recording:
		return fmt.Sprintf("%s: %s of %s: %s", p.Stage, p.Spent.Round(time.Second), p.Budget.Round(time.Second), p.Text)
	case bench.Measuring:
		if p.Budget == 0 {
			break
		}
		return fmt.Sprintf("%s: %d of %d decided, %s of at most %s: %s", p.Stage, p.Done, p.Total,
			p.Spent.Round(time.Second), p.Budget.Round(time.Second), p.Text)
	}
	return fmt.Sprintf("%s: %d of %d: %s", p.Stage, p.Done, p.Total, p.Text)
}
