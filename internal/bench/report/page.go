package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strconv"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// The page's parts. It loads nothing from anywhere, and its policy for the
// browser allows this style and this script only.
var (
	//go:embed page.html
	pageTemplate string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// page is what the template shows.
type page struct {
	Title, Subtitle       string
	Style                 template.CSS
	Script                template.JS
	StyleHash, ScriptHash string
	Gate                  *gateView
	Comparison            *comparisonView
	Results               *resultsView
	History               *historyView
	Calibration           *calibrationView
}

// HTML writes d as one page that needs nothing else: plots are SVG within it, and
// without its script it only cannot be sorted and filtered. The error is w's.
func HTML(w io.Writer, d Data) error {
	t, err := template.New("page").Funcs(template.FuncMap{"clean": harmless.Clean, "px": px}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	p := page{
		Title: d.Title, Subtitle: dots(d.Time, prefixed("gopherwood ", d.Tool)),
		Style: template.CSS(pageStyle), Script: template.JS(pageScript), StyleHash: hash(pageStyle), ScriptHash: hash(pageScript),
	}
	if p.Title == "" {
		p.Title = "Benchmarks"
	}
	if d.Gate != nil {
		p.Gate = newGateView(d.Gate, d.Measured)
	}
	if d.Comparison != nil {
		p.Comparison = newComparisonView(d.Comparison, d.Old, d.New)
	}
	if d.Results != nil {
		p.Results = newResultsView(d.Results)
	}
	if d.History != nil {
		p.History = newHistoryView(d.History)
	}
	if d.Calibration != nil {
		p.Calibration = newCalibrationView(d.Calibration)
	}
	return t.Execute(w, p)
}

// hash is how a Content-Security-Policy names inline content.
func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// fact is a name and what it stands for.
type fact struct{ Name, Value string }

// tools is a field that filters the elements of a class.
type tools struct {
	For   string
	Count int
}

// row is a line of a table of changes. The keys are what it is sorted by.
type row struct {
	Verdict, Class, ChangeClass, ChangeWord   string
	Rank                                      int
	Package, Name, Metric, Link               string
	Old, New, OldKey, NewKey                  string
	Change, ChangeKey, Interval               string
	Detectable, DetectableKey, Limit, Samples string
	Rounds, Confirmed                         int
	Reason                                    string
	Plot                                      *plot
}

// measured are the plots of what was measured.
type measured struct {
	ID, Name, Metric string
	Values, Ratios   *plot
}

// maxPlots bounds the large plots of a part of the page, to what a browser can
// still show.
const maxPlots = 300

// key writes a number for sorting; what there is none of sorts first.
func key(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }

func keyOf(v *float64) string {
	if v == nil {
		return ""
	}
	return key(*v)
}

// fullName is a benchmark's name with the number of processors where it matters.
func fullName(name string, procs int) string {
	if procs > 1 {
		return name + "-" + strconv.Itoa(procs)
	}
	return name
}

// messages returns errors as lines.
func messages(errs []api.Error) []string {
	var lines []string
	for _, e := range errs {
		lines = append(lines, joined(" — ", e.Message, e.Hint))
	}
	return lines
}
