package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// historyView is what the page shows of a history.
type historyView struct {
	Sentence string
	Notes    []string
	Changes  []historyRow
	Tools    tools
	// Moved are the series with a change point or a drift, Quiet the others.
	Moved, Quiet []historyPlot
	// Left counts the series that are not drawn.
	Left   int
	Failed []string
	Facts  []fact
}

// historyRow is a change point or a drift.
type historyRow struct {
	What, Class, Link                       string
	Package, Name, Metric, Machine          string
	Commit, Subject, Time                   string
	Before, After, Change, Interval, PValue string
	ChangeKey                               string
	Notes                                   []string
	position                                int
}

// historyPlot is a series.
type historyPlot struct {
	ID, Name, Metric, Machine string
	Plot                      *plot
	Notes                     []string
}

func newHistoryView(h *api.BenchHistory) *historyView {
	v := &historyView{
		Sentence: historySentence(h), Notes: h.Notes, Changes: historyRows(h), Tools: tools{For: "series"},
		Failed: messages(h.Errors), Facts: historyFacts(h),
	}
	for i := range h.Series {
		v.addSeries(h, i)
	}
	slices.SortStableFunc(v.Moved, func(a, b historyPlot) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Metric, b.Metric))
	})
	v.Tools.Count = len(v.Moved) + len(v.Quiet)
	return v
}

// addSeries draws the i-th series. Those that moved are always drawn.
func (v *historyView) addSeries(h *api.BenchHistory, i int) {
	s := &h.Series[i]
	moved := len(s.Changes)+len(s.Drifts) > 0
	if !moved && len(v.Quiet) >= maxPlots {
		v.Left++
		return
	}
	p := historyPlot{ID: seriesID(i), Name: seriesName(s), Metric: s.Metric, Machine: seriesPlace(h, s), Plot: trend(h, s), Notes: s.Notes}
	if moved {
		v.Moved = append(v.Moved, p)
	} else {
		v.Quiet = append(v.Quiet, p)
	}
}

func seriesID(i int) string { return "series-" + strconv.Itoa(i) }

// seriesPlace says on which machine and with which settings a series was measured.
func seriesPlace(h *api.BenchHistory, s *api.BenchHistorySeries) string {
	where := "on a machine that is not known"
	if s.Machine != "" {
		where = "on " + short(s.Machine)
	}
	if i := slices.IndexFunc(h.Machines, func(m api.BenchMachine) bool { return m.ID == s.Machine }); s.Machine != "" && i >= 0 {
		where = joined(" ", where, prefixed("· ", h.Machines[i].CPU))
	}
	return dots(where, numbered("GOMAXPROCS=", s.Settings.GOMAXPROCS), prefixed("GOGC=", s.Settings.GOGC),
		prefixed("GOMEMLIMIT=", s.Settings.GOMEMLIMIT), prefixed("GODEBUG=", s.Settings.GODEBUG))
}

func historyFacts(h *api.BenchHistory) []fact {
	facts := []fact{
		{"errors", fmt.Sprintf("in a series that did not change, a change point is found with a probability of at most %s", unsigned(h.Alpha))},
		{"smallest change", unsigned(h.MinChange)}, {"smallest drift", unsigned(h.DriftLimit)},
		{"seed", strconv.FormatUint(h.Seed, 10)},
	}
	if h.Store != "" {
		facts = append(facts, fact{"kept in", h.Store})
	}
	for _, m := range h.Machines {
		facts = append(facts, fact{"machine " + harmless.Clean(short(m.ID)), dots(joined("/", m.OS, m.Arch), m.CPU, counted(m.CPUs, "processor"), quota(m.Quota), m.Virtualization)})
	}
	return facts
}

// unsigned writes a fraction in per cent without a sign.
func unsigned(v float64) string { return strings.TrimPrefix(percent(v), "+") }

// historyRows returns all change points and drifts, the latest first.
func historyRows(h *api.BenchHistory) []historyRow {
	var rows []historyRow
	for i := range h.Series {
		s := &h.Series[i]
		common := historyRow{Link: seriesID(i), Package: s.Package, Name: fullName(s.Name, s.Procs), Metric: s.Metric, Machine: seriesPlace(h, s)}
		for _, c := range s.Changes {
			rows = append(rows, changeRow(h, s, common, c))
		}
		for _, d := range s.Drifts {
			rows = append(rows, driftRow(h, common, d))
		}
	}
	slices.SortStableFunc(rows, func(a, b historyRow) int { return cmp.Compare(b.position, a.position) })
	return rows
}

func changeRow(h *api.BenchHistory, s *api.BenchHistorySeries, r historyRow, c api.BenchChangePoint) historyRow {
	scale := newScaler(s.Metric, c.Before, c.After)
	r.What, r.Class = c.Change, changeClass(c.Change)
	r.at(h, c.Commit)
	r.Before, r.After = scale.format(c.Before), scale.format(c.After)
	r.Change, r.ChangeKey, r.Interval = estimate(c.Estimate), keyOf(c.Estimate), interval(c.Low, c.High)
	switch {
	case c.Exact:
		r.Interval = "exact"
	case c.Estimate == nil:
		r.Interval = ""
	}
	if c.PValue != nil {
		r.PValue = pValue(*c.PValue)
	}
	r.Notes = c.Notes
	return r
}

func driftRow(h *api.BenchHistory, r historyRow, d api.BenchDrift) historyRow {
	r.What, r.Class = "drift, "+d.Change, changeClass(d.Change)
	r.at(h, d.To)
	r.Before, r.After = "from "+short(d.From), "to "+short(d.To)
	r.Change, r.ChangeKey, r.Interval = percent(d.Estimate), key(d.Estimate), interval(&d.Low, &d.High)
	r.PValue = pValue(d.PValue)
	r.Notes = []string{fmt.Sprintf("%s over %s, about %s each", percent(d.Estimate), plural(d.Points, "point"), percent(d.PerPoint))}
	return r
}

// at names the commit of a row.
func (r *historyRow) at(h *api.BenchHistory, hash string) {
	r.Commit = short(hash)
	r.position = slices.IndexFunc(h.Commits, func(c api.BenchCommit) bool { return c.Hash == hash })
	if r.position >= 0 {
		r.Subject, r.Time = h.Commits[r.position].Subject, day(h.Commits[r.position].Time)
	}
}

// pValue writes the probability that a test gives.
func pValue(p float64) string {
	if p < 0.0001 {
		return "p < 0.0001"
	}
	return "p = " + digits(p, 2, 4)
}
