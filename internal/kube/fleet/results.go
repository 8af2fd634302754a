package fleet

import (
	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/kube/report"
)

// results returns what a report says of a workload's groups.
func results(groups []*Group, get lookup) []report.Result {
	var all []report.Result
	for _, g := range groups {
		for i, c := range g.Containers {
			if a := get(g.ID, i); a != nil {
				all = append(all, containerResults(g, c, a)...)
			}
		}
	}
	return all
}

func containerResults(g *Group, c Container, a *Assessment) []report.Result {
	properties := func() map[string]string {
		p := map[string]string{
			report.PropertyContainer: c.Name, report.PropertyImage: c.Image, report.PropertyDigest: a.Digest,
		}
		if g.Node.Platform != (api.Platform{}) {
			p[report.PropertyPlatform] = g.Node.Platform.String()
		}
		if a.Facts != nil {
			p[report.PropertyGo] = a.Facts.GoVersion
		}
		return p
	}
	if a.Err != nil {
		return []report.Result{{
			Policy: "gopherwood", Rule: "image/unread", Category: category, Severity: report.Medium, Result: report.Error,
			Scored: true, Message: a.Err.Error(), Properties: properties(),
		}}
	}
	var all []report.Result
	for _, v := range a.Verdicts {
		spoken := false
		for _, f := range v.Findings {
			if r, ok := findingResult(v, f, properties()); ok {
				all = append(all, r)
				spoken = spoken || f.Exemption == nil
			}
		}
		if !spoken {
			p := properties()
			p[report.PropertyAction] = v.Action
			all = append(all, report.Result{
				Policy: v.Policy, Category: category, Severity: report.Info, Result: report.Pass, Scored: true,
				Message: "no rule speaks against it", Properties: p,
			})
		}
	}
	return all
}

// category is that of all results.
const category = "Go programs"

// findingResult returns a finding as a result; false for what is only information.
func findingResult(v api.FleetVerdict, f api.Finding, p map[string]string) (report.Result, bool) {
	p[report.PropertyPath], p[report.PropertyFix], p[report.PropertyAction] = f.Path, f.Hint, v.Action
	r := report.Result{Policy: v.Policy, Rule: f.Rule, Category: category, Scored: true, Message: f.Message, Properties: p}
	switch {
	case f.Exemption != nil:
		r.Result, r.Severity, r.Scored = report.Skip, report.Low, false
		p[report.PropertyExemption] = f.Exemption.Reason + " (" + f.Exemption.Owner + ", until " + f.Exemption.Expires + ")"
	case f.Severity == api.Deny:
		r.Result, r.Severity = report.Fail, report.High
	case f.Severity == api.Warn:
		r.Result, r.Severity = report.Warn, report.Medium
	default:
		return r, false
	}
	return r, true
}
