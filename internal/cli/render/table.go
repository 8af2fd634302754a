package render

import (
	"strings"
)

// table collects rows and aligns their columns. One column gives way: it is
// shortened so that a line takes at most width columns.
type table struct {
	rows [][]string
	// flexible is the index of the column that is shortened, prose at its end and
	// names in their middle.
	flexible int
	prose    bool
}

// gap is what stands between two columns.
const gap = "  "

// row adds a line. Cells are cleaned; a row may be shorter than others.
func (t *table) row(cells ...string) {
	clean := make([]string, len(cells))
	for i, c := range cells {
		clean[i] = Clean(c)
	}
	t.rows = append(t.rows, clean)
}

// widths returns the width of each column.
func (t *table) widths() []int {
	var w []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], columns(cell))
		}
	}
	total := len(gap) * (len(w) - 1)
	for _, n := range w {
		total += n
	}
	if over := total - width; over > 0 && t.flexible < len(w) {
		w[t.flexible] = max(w[t.flexible]-over, minFlexible)
	}
	return w
}

// minFlexible keeps a shortened column readable.
const minFlexible = 16

// lines returns the rows as aligned lines.
func (t *table) lines() []string {
	w := t.widths()
	lines := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			if i == t.flexible {
				cell = t.shorten(cell, w[i])
			}
			if i > 0 {
				b.WriteString(gap)
			}
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", w[i]-columns(cell)))
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

func (t *table) shorten(cell string, limit int) string {
	if !t.prose || columns(cell) <= limit {
		return Shorten(cell, limit)
	}
	return strings.TrimRight(cut(cell, limit-1), " ,;:") + "…"
}
