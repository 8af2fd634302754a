package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/image"
)

// board shows on a terminal which step each image is at, and below that how much
// has been sent. When it is verbose, every step is also a line of text.
type board struct {
	*bar
	verbose bool

	steps sync.Mutex
	// rows are the images that are not done, in the order of their first steps.
	rows []boardRow
}

// boardRow is the step that the image of one package and platform is at; the
// platform is zero when the step is about all of them.
type boardRow struct {
	pkg      string
	platform api.Platform
	step     string
}

func (r boardRow) String() string {
	if r.platform == (api.Platform{}) {
		return r.pkg + ": " + r.step
	}
	return r.pkg + " " + r.platform.String() + ": " + r.step
}

var _ image.Progress = (*board)(nil)

// maxBoard is how many images are shown at once.
const maxBoard = 12

// startBoard starts a board on w, which stop must end.
func startBoard(w io.Writer, verbose bool) *board {
	b := &board{bar: &bar{w: w, verb: "sending"}, verbose: verbose}
	b.above = b.table
	b.start()
	return b
}

// Step implements image.Progress.
func (b *board) Step(pkg string, platform api.Platform, step image.Step, detail string) {
	row := boardRow{pkg, platform, strings.TrimSpace(string(step) + " " + detail)}
	b.steps.Lock()
	b.put(row, step == image.StepDone)
	b.steps.Unlock()
	if b.verbose {
		fmt.Fprintln(b, render.Clean(row.String()))
	}
}

// put makes row take the place of those that it goes on from; what is done has
// none.
func (b *board) put(row boardRow, done bool) {
	at := len(b.rows)
	from := func(r boardRow) bool {
		return r.pkg == row.pkg && (r.platform == row.platform || row.platform == (api.Platform{}))
	}
	if i := slices.IndexFunc(b.rows, from); i >= 0 {
		at = i
	}
	b.rows = slices.DeleteFunc(b.rows, from)
	if !done {
		b.rows = slices.Insert(b.rows, at, row)
	}
}

// table returns a line for each image.
func (b *board) table() []string {
	b.steps.Lock()
	defer b.steps.Unlock()
	var lines []string
	for i, row := range b.rows {
		if i == maxBoard {
			return append(lines, fmt.Sprintf("and %d more", len(b.rows)-maxBoard))
		}
		lines = append(lines, row.String())
	}
	return lines
}
