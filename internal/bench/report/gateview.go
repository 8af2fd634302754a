package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
)

// gateView is what the page shows of a gate.
type gateView struct {
	Verdict  api.BenchVerdict
	Sentence string
	Tiles    []tile
	Notes    []string
	Tools    tools
	Head     *plot
	Rows     []row
	Measured []measured
	Failed   []string
	Facts    []fact
}

// tile is a number with its name; Class gives a colour to what the name says.
type tile struct {
	Name, Class string
	Value       int
}

// severities has the verdicts from the best to the worst.
var severities = []api.BenchVerdict{api.BenchPass, api.BenchInconclusive, api.BenchWarn, api.BenchFail}

func newGateView(g *api.BenchGate, all []Measured) *gateView {
	counts := tally(g.Items)
	v := &gateView{
		Verdict: g.Verdict, Sentence: gateSentence(g), Notes: g.Notes, Tools: tools{"gaterow", len(g.Items)},
		Tiles: []tile{
			{"failed", "fail", counts[api.BenchFail]}, {"warned about", "warn", counts[api.BenchWarn]},
			{"inconclusive", "inconclusive", counts[api.BenchInconclusive]}, {"passed", "pass", counts[api.BenchPass]},
			{"benchmarks", "", benchmarks(g.Items)},
		},
		Failed: messages(g.Errors), Facts: gateFacts(g),
	}
	var changes []change
	for i := range g.Items {
		changes = append(changes, gateChange(&g.Items[i]))
	}
	a := forestAxis(changes)
	if len(changes) > 0 {
		v.Head = forestHead(a)
	}
	for i := range g.Items {
		item := &g.Items[i]
		r := gateRow(item)
		if item.Metric != "" {
			r.Plot = forest(a, changes[i])
		}
		if m, ok := gateMeasured(item, all); ok && len(v.Measured) < maxPlots {
			m.ID = "gate-" + strconv.Itoa(i)
			r.Link = m.ID
			v.Measured = append(v.Measured, m)
		}
		v.Rows = append(v.Rows, r)
	}
	return v
}

func gateRow(item *api.BenchGateItem) row {
	r := row{
		Verdict: string(item.Verdict), Class: string(item.Verdict), Rank: slices.Index(severities, item.Verdict),
		Package: item.Package, Name: itemName(item), Metric: item.Metric,
		Change: estimate(item.Estimate), ChangeKey: keyOf(item.Estimate), ChangeWord: changeWord(item.Change), ChangeClass: changeClass(item.Change), Interval: gateInterval(item),
		Limit: limitWords(item.Limit), Rounds: item.Rounds, Confirmed: item.Confirmed, Reason: item.Reason,
	}
	if item.Metric != "" {
		scale := newScaler(item.Metric, item.Base, item.Head)
		r.Old, r.New, r.OldKey, r.NewKey = scale.format(item.Base), scale.format(item.Head), key(item.Base), key(item.Head)
	}
	if item.MinDetectable != nil {
		r.Detectable, r.DetectableKey = detectable(*item.MinDetectable), key(*item.MinDetectable)
	}
	return r
}

// gateInterval is the confidence interval of an item; "exact" where none is needed.
func gateInterval(item *api.BenchGateItem) string {
	switch {
	case item.Exact:
		return "exact"
	case item.Metric == "":
		return ""
	}
	return interval(item.Low, item.High)
}

// changeWord says for whom a change is; nothing where there is none to speak of.
func changeWord(change string) string {
	if change == "worse" || change == "better" {
		return change
	}
	return ""
}

// changeClass is the colour of a change.
func changeClass(change string) string {
	switch change {
	case "worse":
		return "fail"
	case "better":
		return "pass"
	}
	return ""
}

// detectable returns the smallest change that would have been seen: "±3.2 %".
func detectable(v float64) string { return "±" + strings.TrimPrefix(percent(v), "+") }

func gateChange(item *api.BenchGateItem) change {
	c := change{estimate: item.Estimate, low: item.Low, high: item.High, null: item.Null, class: string(item.Verdict), exact: item.Exact}
	c.least, c.most = passing(item)
	return c
}

// passing returns the changes between which an item passes; NaN where nothing bounds them.
func passing(item *api.BenchGateItem) (least, most float64) {
	worse, better := fraction(item.Limit.Worse), fraction(item.Limit.Better)
	if higherIsBetter(item) {
		return -worse, better
	}
	return -better, worse
}

// fraction reads a percentage, "5%"; NaN when it is none.
func fraction(percentage string) float64 {
	number, ok := strings.CutSuffix(percentage, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return math.NaN()
	}
	return v / 100
}

// higherIsBetter tells the direction of an item's metric from its change, or else
// from its unit.
func higherIsBetter(item *api.BenchGateItem) bool {
	if item.Estimate != nil && *item.Estimate != 0 && (item.Change == "worse" || item.Change == "better") {
		return (item.Change == "better") == (*item.Estimate > 0)
	}
	return results.Direction(item.Metric, nil, nil) > 0
}

// gateMeasured returns the plots of an item, false when there is nothing to see:
// what does not vary needs none.
func gateMeasured(item *api.BenchGateItem, all []Measured) (measured, bool) {
	i := slices.IndexFunc(all, func(m Measured) bool {
		return m.Package == item.Package && m.Name == item.Name && m.Metric == item.Metric
	})
	if i < 0 || item.Exact {
		return measured{}, false
	}
	m := &all[i]
	values := distributions(item.Metric, []lane{{"base", "base", m.Base}, {"base again", "null", m.Null}, {"head", "head", m.Head}})
	if values == nil {
		return measured{}, false
	}
	return measured{Name: joined(".", item.Package, item.Name), Metric: fmt.Sprintf("%s, %s", item.Metric, item.Verdict),
		Values: values, Ratios: ratios(m.Changes, m.Nulls)}, true
}
