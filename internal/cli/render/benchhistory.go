package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// BenchHistory writes a history as tables, JSON or YAML: changes, drifts and the
// present level of each series, by machine.
func BenchHistory(w io.Writer, f Format, h *api.BenchHistory, look Layout) error {
	if f != Table {
		return Document(w, f, h)
	}
	v := historyView{look: look, document: h}
	for _, n := range h.Notes { // they say whether what follows means anything
		hang(&v.b, look.paint(yellow, "note")+": ", 2, n)
	}
	for _, machine := range machinesOf(h.Series) {
		v.machine(machine)
	}
	v.commits()
	v.total()
	return write(w, strings.TrimPrefix(v.b.String(), "\n"))
}

// historyView is a history that is being written.
type historyView struct {
	b        strings.Builder
	look     Layout
	document *api.BenchHistory
	changes  int
	drifts   int
}

// machinesOf returns the machines of series, each once.
func machinesOf(series []api.BenchHistorySeries) []string {
	var ids []string
	for i := range series {
		ids = append(ids, series[i].Machine)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// machine writes what was measured on a machine.
func (v *historyView) machine(id string) {
	var series []*api.BenchHistorySeries
	for i := range v.document.Series {
		if s := &v.document.Series[i]; s.Machine == id {
			series = append(series, s)
		}
	}
	v.b.WriteString("\n")
	hang(&v.b, v.look.paint(bold, "machine")+" ", 2, v.machineText(id))
	v.changeTable(series)
	v.driftTable(series)
	v.levelTable(series)
}

func (v *historyView) machineText(id string) string {
	if id == "" {
		return "that is not known"
	}
	i := slices.IndexFunc(v.document.Machines, func(m api.BenchMachine) bool { return m.ID == id })
	if i < 0 {
		return id
	}
	m := v.document.Machines[i]
	processors := ""
	if m.CPUs > 0 {
		processors = count(m.CPUs, "processor")
	}
	return join(", ", id, join("/", m.OS, m.Arch), m.CPU, processors)
}

// changeTable has the change points, the latest first.
func (v *historyView) changeTable(series []*api.BenchHistorySeries) {
	type row struct {
		position int
		cells    []string
	}
	var rows []row
	for _, s := range series {
		for _, c := range s.Changes {
			interval, p := span(c.Low, c.High), "-"
			if c.Exact {
				interval = "exact"
			}
			if c.PValue != nil {
				p = strconv.FormatFloat(*c.PValue, 'g', 2, 64)
			}
			rows = append(rows, row{c.Position, []string{
				c.Change, seriesName(s), s.Metric, commitRange(c.Previous, c.Commit), metricValue(c.Before, s.Metric), change(c.Estimate), interval, p,
			}})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.position, a.position) })
	t := &table{flexible: 1}
	t.row("CHANGE", "BENCHMARK", "METRIC", "COMMITS", "BEFORE", "BY", "INTERVAL", "P")
	for _, r := range rows {
		t.row(r.cells...)
	}
	v.changes += len(rows)
	v.table(t)
}

func (v *historyView) driftTable(series []*api.BenchHistorySeries) {
	t := &table{flexible: 1}
	t.row("DRIFT", "BENCHMARK", "METRIC", "COMMITS", "POINTS", "BY", "INTERVAL", "P")
	for _, s := range series {
		for _, d := range s.Drifts {
			t.row(d.Change, seriesName(s), s.Metric, commitRange(d.From, d.To), strconv.Itoa(d.Points), change(&d.Estimate),
				span(&d.Low, &d.High), strconv.FormatFloat(d.PValue, 'g', 2, 64))
		}
	}
	v.drifts += len(t.rows) - 1
	v.table(t)
}

// levelTable has where each series is now.
func (v *historyView) levelTable(series []*api.BenchHistorySeries) {
	t := &table{flexible: 0}
	t.row("BENCHMARK", "METRIC", "LEVEL", "LATEST", "COMMIT", "POINTS")
	for _, s := range series {
		if len(s.Points) == 0 {
			continue
		}
		last := s.Points[len(s.Points)-1]
		t.row(seriesName(s), s.Metric, metricValue(level(s), s.Metric), metricValue(last.Median, s.Metric), shortHash(last.Commit), strconv.Itoa(len(s.Points)))
	}
	v.table(t)
}

// table writes a table that has more than its head.
func (v *historyView) table(t *table) {
	if len(t.rows) > 1 {
		v.b.WriteString("\n")
		headed(&v.b, t, v.look)
	}
}

// commits says what the commits are at which something changed, the latest first.
func (v *historyView) commits() {
	notes := map[string][]string{}
	for i := range v.document.Series {
		for _, c := range v.document.Series[i].Changes {
			notes[c.Commit] = append(notes[c.Commit], c.Notes...)
		}
	}
	if len(notes) > 0 {
		v.b.WriteString("\n")
	}
	for _, c := range slices.Backward(v.document.Commits) {
		of, changed := notes[c.Hash]
		if !changed {
			continue
		}
		day, _, _ := strings.Cut(c.Time, "T")
		hang(&v.b, shortHash(c.Hash)+"  "+Clean(day)+"  ", 2, cmp.Or(c.Subject, "(what it says is not known)"))
		slices.Sort(of)
		for _, n := range slices.Compact(of) {
			hang(&v.b, "  "+v.look.paint(yellow, "note")+": ", 4, n)
		}
	}
}

func (v *historyView) total() {
	h := v.document
	fmt.Fprintf(&v.b, "\n%d series over %s: %s, %s\n", len(h.Series), count(len(h.Commits), "commit"),
		count(v.changes, "change point"), count(v.drifts, "drift"))
}

// level returns the median of a series' points since its last change, of at most
// 30.
func level(s *api.BenchHistorySeries) float64 {
	points := s.Points
	if n := len(s.Changes); n > 0 {
		from := slices.IndexFunc(points, func(p api.BenchHistoryPoint) bool { return p.Position >= s.Changes[n-1].Position })
		points = points[max(0, from):]
	}
	points = points[max(0, len(points)-30):]
	medians := make([]float64, len(points))
	for i, p := range points {
		medians[i] = p.Median
	}
	slices.Sort(medians)
	half := len(medians) / 2
	if len(medians)%2 == 0 {
		return (medians[half-1] + medians[half]) / 2
	}
	return medians[half]
}

// seriesName is a benchmark as in comparisons, with the settings that are part of
// the series.
func seriesName(s *api.BenchHistorySeries) string {
	name := comparedName(&api.BenchComparisonItem{Package: s.Package, Name: s.Name, Procs: s.Procs})
	set := func(name, value string) string {
		if value == "" {
			return ""
		}
		return name + "=" + value
	}
	procs := ""
	if s.Settings.GOMAXPROCS > 0 {
		procs = strconv.Itoa(s.Settings.GOMAXPROCS)
	}
	return join(" ", name, set("GOMAXPROCS", procs), set("GOGC", s.Settings.GOGC), set("GOMEMLIMIT", s.Settings.GOMEMLIMIT), set("GODEBUG", s.Settings.GODEBUG))
}

// commitRange names the commits after one up to another, as git does.
func commitRange(after, to string) string { return shortHash(after) + ".." + shortHash(to) }

func shortHash(hash string) string { return Clean(hash[:min(len(hash), 7)]) }

// BenchHistoryUpdate writes what was added to a history or removed from it, as a
// line, JSON or YAML.
func BenchHistoryUpdate(w io.Writer, f Format, u *api.BenchHistoryUpdate) error {
	if f != Table {
		return Document(w, f, u)
	}
	said := fmt.Sprintf("%s removed", count(u.Removed, "run"))
	switch {
	case u.DryRun:
		said = fmt.Sprintf("%s would be removed", count(u.Removed, "run"))
	case u.Added+u.Present > 0:
		said = fmt.Sprintf("%s added, %d there already", count(u.Added, "run"), u.Present)
	}
	return write(w, Clean(u.Store)+": "+said+"\n")
}
