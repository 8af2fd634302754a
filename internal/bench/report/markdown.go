package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// maxComment is how many bytes a comment may have: GitHub takes 65,536 characters.
const maxComment = 60_000

// Mark is the first line of what Markdown writes. A job that comments on a merge
// request finds its earlier comment by it, and replaces that one.
const Mark = "<!-- gopherwood bench -->"

// Markdown writes d as GitHub-flavoured Markdown that fits a comment on a merge
// request, in 60,000 bytes at most: the verdict first, then what matters, the
// rest folded. What does not fit is counted. The error is w's.
func Markdown(w io.Writer, d Data) error {
	c := &comment{}
	c.put(Mark + "\n")
	if d.Gate != nil {
		c.gate(d.Gate)
	}
	if d.Comparison != nil {
		c.comparison(d.Comparison)
	}
	if d.Results != nil {
		c.results(d.Results)
	}
	if d.History != nil {
		c.history(d.History)
	}
	if d.Calibration != nil {
		c.calibration(d.Calibration)
	}
	_, err := io.WriteString(w, c.String())
	return err
}

// comment is Markdown of a bounded size.
type comment struct{ strings.Builder }

// put writes the parts of a document that have a bound of their own.
func (c *comment) put(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// reserve is room that is kept for what closes and counts.
const reserve = 2_000

// maxCell bounds the characters of one text from outside.
const maxCell = 300

// fits reports whether s can be written, and writes it if so.
func (c *comment) fits(s string) bool {
	if c.Len()+len(s) > maxComment-reserve {
		return false
	}
	c.WriteString(s)
	return true
}

// table writes rows that fit, and counts those that do not.
func (c *comment) table(head []string, rows [][]string) {
	c.put("\n| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for i, r := range rows {
		if !c.fits("| " + strings.Join(r, " | ") + " |\n") {
			c.put("\n%d more are in the full report.\n", len(rows)-i)
			return
		}
	}
}

// list writes lines that fit.
func (c *comment) list(lines []string) {
	if len(lines) == 0 {
		return
	}
	c.put("\n")
	for i, line := range lines {
		if !c.fits("- " + harmless.Markdown(shorten(line, maxCell)) + "\n") {
			c.put("- %d more are in the full report.\n", len(lines)-i)
			return
		}
	}
}

// folded writes a part that is closed until somebody opens it.
func (c *comment) folded(summary string, body func()) {
	c.put("\n<details><summary>%s</summary>\n", summary)
	body()
	c.put("\n</details>\n")
}

func (c *comment) facts(facts []fact) {
	var lines []string
	for _, f := range facts {
		lines = append(lines, f.Name+": "+f.Value)
	}
	c.list(lines)
}

// sign is what a verdict looks like at a glance, beside its name.
func sign(v api.BenchVerdict) string {
	switch v {
	case api.BenchPass:
		return "✅"
	case api.BenchFail:
		return "❌"
	case api.BenchWarn:
		return "⚠️"
	}
	return "❔"
}

func (c *comment) gate(g *api.BenchGate) {
	c.put("\n### %s Benchmarks: %s\n\n%s\n", sign(g.Verdict), harmless.Markdown(string(g.Verdict)), harmless.Markdown(shorten(gateSentence(g), 2*maxCell)))
	c.list(g.Notes)
	head := []string{"Verdict", "Benchmark", "Metric", "Base", "Head", "Change", "Interval", "Limit", "Why"}
	var matter, rest [][]string
	for i := range g.Items {
		item := &g.Items[i]
		if r := gateCells(item); item.Verdict != api.BenchPass || item.Change == "worse" || item.Change == "better" {
			matter = append(matter, r)
		} else {
			rest = append(rest, r[1:len(r)-1])
		}
	}
	if len(matter) > 0 {
		c.table(head, matter)
	}
	if len(g.Errors) > 0 {
		c.put("\n**Not measured**\n")
		c.list(messages(g.Errors))
	}
	if len(rest) > 0 {
		c.folded(fmt.Sprintf("%d passed without a change", len(rest)), func() { c.table(head[1:len(head)-1], rest) })
	}
	c.folded("Where and how", func() { c.facts(gateFacts(g)) })
}

// gateCells are the cells of an item, of which the first is the verdict and the
// last the reason.
func gateCells(item *api.BenchGateItem) []string {
	r := gateRow(item)
	return []string{
		sign(item.Verdict) + " " + harmless.Markdown(r.Verdict), name(r), harmless.Markdown(shorten(r.Metric, maxCell)), harmless.Markdown(r.Old), harmless.Markdown(r.New),
		harmless.Markdown(joined(" ", r.Change, r.ChangeWord)), harmless.Markdown(r.Interval), harmless.Markdown(shorten(r.Limit, maxCell)), harmless.Markdown(shorten(r.Reason, maxCell)),
	}
}

// name is the name of a row's benchmark, with its package.
func name(r row) string {
	return joined("<br>", harmless.MarkdownCode(shorten(r.Name, maxCell)), harmless.Markdown(shorten(r.Package, maxCell)))
}

func (c *comment) comparison(cmp *api.BenchComparison) {
	c.put("\n### Benchmarks compared\n\n%s\n", harmless.Markdown(shorten(comparisonSentence(cmp), 2*maxCell)))
	if means := geomeanSentence(cmp); means != "" {
		c.put("\n%s\n", harmless.Markdown(shorten(means, 2*maxCell)))
	}
	c.list(cmp.Notes)
	head := []string{"Change", "Benchmark", "Metric", "Old", "New", "Estimate", "Interval", "Samples"}
	var changed, rest [][]string
	for i := range cmp.Items {
		item := &cmp.Items[i]
		r := comparisonRow(item)
		cells := []string{harmless.Markdown(r.Verdict), name(r), harmless.Markdown(shorten(r.Metric, maxCell)), harmless.Markdown(r.Old), harmless.Markdown(r.New), harmless.Markdown(r.Change), harmless.Markdown(r.Interval), r.Samples}
		if item.Change == "worse" || item.Change == "better" {
			changed = append(changed, cells)
		} else {
			rest = append(rest, cells)
		}
	}
	if len(changed) > 0 {
		c.table(head, changed)
	}
	if len(rest) > 0 {
		c.folded(fmt.Sprintf("%d without a change that can be told", len(rest)), func() { c.table(head, rest) })
	}
}

func (c *comment) history(h *api.BenchHistory) {
	c.put("\n### Benchmarks over time\n\n%s\n", harmless.Markdown(historySentence(h)))
	c.list(h.Notes)
	var rows [][]string
	for _, r := range historyRows(h) {
		rows = append(rows, []string{
			harmless.Markdown(r.What), joined("<br>", harmless.MarkdownCode(shorten(r.Name, maxCell)), harmless.Markdown(shorten(r.Package, maxCell)), harmless.Markdown(shorten(r.Machine, maxCell))),
			harmless.Markdown(shorten(r.Metric, maxCell)), harmless.Markdown(r.Change), harmless.Markdown(r.Interval), harmless.Markdown(r.Before), harmless.Markdown(r.After),
			joined("<br>", joined(" ", harmless.Markdown(r.Time), harmless.MarkdownCode(r.Commit), harmless.Markdown(shorten(r.Subject, maxCell))), harmless.Markdown(shorten(strings.Join(r.Notes, "; "), maxCell))),
		})
	}
	if len(rows) > 0 {
		c.table([]string{"What", "Benchmark", "Metric", "Change", "Interval", "Before", "After", "Commit"}, rows)
	}
	if len(h.Errors) > 0 {
		c.put("\n**Not read**\n")
		c.list(messages(h.Errors))
	}
	c.folded("How", func() { c.facts(historyFacts(h)) })
}

func (c *comment) calibration(k *api.BenchCalibration) {
	c.put("\n### Calibration\n\n%s\n", harmless.Markdown(shorten(calibrationSentence(k), 2*maxCell)))
	c.list(k.Notes)
	var rows [][]string
	for i := range k.Items {
		r := newCalibrationRow(&k.Items[i])
		rows = append(rows, []string{
			joined("<br>", harmless.MarkdownCode(shorten(r.Name, maxCell)), harmless.Markdown(shorten(r.Package, maxCell))), r.Noise, r.Round, r.Detectable,
		})
	}
	if len(rows) > 0 {
		c.table([]string{"Benchmark", "Noise of a round", "One round", "Detectable"}, rows)
	}
	c.folded("Where", func() { c.facts(machineFacts(k.Machine, api.BenchSettings{})) })
}
