package render

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// fleetPage is the page's template. It loads nothing from anywhere, and its
// policy for the browser says so, too.
//
//go:embed fleet.html
var fleetPage string

// fleetView is what the page shows.
type fleetView struct {
	Tool, Cluster, Time string
	Scope               string
	Tiles               []fleetTile
	Versions            []fleetBar
	Items               []fleetRow
	Errors              []api.Error
}

type fleetTile struct {
	Name  string
	Value int
	// Class gives a colour to what the name says already.
	Class string
}

type fleetBar struct {
	Name    string
	Pods    int
	Percent int
}

type fleetRow struct {
	*api.FleetItem
	GoVersion, Link, Libc, Notes, Where, Rules string
	Findings                                   []fleetFinding
	// Rank sorts verdicts by gravity.
	Rank int
}

type fleetFinding struct {
	api.Finding
	Policy, Action, Excuse string
}

// fleetHTML writes list as one page that needs nothing else.
func fleetHTML(w io.Writer, list *api.FleetList, tool string) error {
	page, err := template.New("fleet").Funcs(template.FuncMap{"clean": Clean, "short": shortDigest}).Parse(fleetPage)
	if err != nil {
		return err
	}
	return page.Execute(w, newFleetView(list, tool))
}

func newFleetView(list *api.FleetList, tool string) *fleetView {
	s := &list.Summary
	v := &fleetView{
		Tool: tool, Cluster: list.Cluster, Time: list.Time, Errors: list.Errors,
		Scope: join(", ", strings.Join(list.Namespaces, ", "), list.Selector),
		Tiles: []fleetTile{
			{"pods", s.Pods, ""}, {"workloads", s.Workloads, ""}, {"images", s.Images, ""},
			{"denied", s.Verdicts[api.Deny], api.Deny}, {"unknown", s.Verdicts[api.Unknown], api.Unknown},
			{"warned about", s.Verdicts[api.Warn], api.Warn}, {"passed", s.Verdicts[api.Pass], api.Pass},
			{"past end of support", s.PastSupport, ""}, {"as root", s.Root, ""},
			{"linked with glibc", s.Glibc, ""}, {"linked with musl", s.Musl, ""}, {"without Go", s.NoGo, ""},
		},
	}
	for _, name := range newestFirst(s.GoVersions) {
		n := s.GoVersions[name]
		v.Versions = append(v.Versions, fleetBar{Name: name, Pods: n, Percent: 100 * n / max(1, s.Pods)})
	}
	for i := range list.Items {
		v.Items = append(v.Items, newFleetRow(&list.Items[i]))
	}
	return v
}

func newFleetRow(item *api.FleetItem) fleetRow {
	r := fleetRow{FleetItem: item, GoVersion: "-", Link: "-", Libc: "-", Notes: fleetNotes(item), Rules: why(item),
		Rank: slices.Index([]string{api.Pass, api.Warn, api.Unknown, api.Deny}, item.Verdict)}
	if item.Error != nil {
		r.Rules = item.Error.Code
	}
	if f := item.Facts; f != nil {
		r.GoVersion, r.Link, r.Libc = orDash(f.GoVersion), orDash(f.Link), fleetLibc(f)
	}
	if item.Platform != nil {
		r.Where = platform(*item.Platform)
	}
	for _, verdict := range item.Verdicts {
		for _, f := range verdict.Findings {
			finding := fleetFinding{Finding: f, Policy: verdict.Policy, Action: verdict.Action}
			if f.Exemption != nil {
				finding.Excuse = exemption(f.Exemption)
			}
			r.Findings = append(r.Findings, finding)
		}
	}
	return r
}
