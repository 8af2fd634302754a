package render_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// markup is what an image may say of itself.
const markup = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\x1b[31m\u202e"

func fleetList() *api.FleetList {
	old := false
	return &api.FleetList{
		Time: "2026-11-27T12:00:00Z", Cluster: "lab",
		Summary: api.FleetSummary{Workloads: 2, Pods: 4, Containers: 4, Images: 3, GoVersions: map[string]int{"1.9": 1, "1.26": 2, "other": 1},
			PastSupport: 1, Root: 1, Verdicts: map[string]int{api.Pass: 2, api.Deny: 1, api.Unknown: 1}},
		Items: []api.FleetItem{
			{Namespace: "team-a", Kind: "Deployment", Name: "web", Container: "main", ContainerKind: "container", Image: "r.example.org/web:1",
				Digest: "sha256:0123456789abcdef", Platform: &api.Platform{OS: "linux", Arch: "amd64"}, Pods: 2, Verdict: api.Pass,
				Facts: &api.FleetFacts{Program: "/app", GoVersion: "go1.26.8", Link: api.LinkStatic, Libc: api.LibcNone}},
			{Namespace: "team-a", Kind: "Pod", Name: strings.Repeat("long-", 30), Container: "very-long-container-name", ContainerKind: "initContainer",
				Image: markup, Pods: 1, Verdict: api.Deny,
				Facts: &api.FleetFacts{Program: markup, GoVersion: "go1.9", Supported: &old, Link: api.LinkDynamic, Libc: api.LibcGNU, Floor: "GLIBC_2.34", Root: true},
				Verdicts: []api.FleetVerdict{{Policy: "ClusterGoPolicy base", Action: "audit", Verdict: api.Deny, Findings: []api.Finding{
					{Rule: "go/old", Severity: api.Deny, Path: markup, Message: markup, Hint: markup},
					{Rule: "x/y", Severity: api.Warn, Message: "m", Exemption: &api.Exemption{Owner: "o", Reason: markup, Expires: "2027-01-01"}},
				}}}},
			{Namespace: "team-b", Kind: "DaemonSet", Name: "agent", Container: "main", ContainerKind: "container", Image: "r.example.org/agent:1",
				Pods: 1, Verdict: api.Unknown, Error: &api.Error{Code: "not-found", Message: "there is no such image", Hint: "push it"}},
		},
		Errors: []api.Error{{Message: markup, Hint: "https://example.org/help"}},
	}
}

func renderFleet(t *testing.T, f render.Format, verdicts bool) string {
	t.Helper()
	var b bytes.Buffer
	write := render.FleetFacts
	if verdicts {
		write = render.FleetVerdicts
	}
	if err := write(&b, f, fleetList(), render.Layout{}, "v1"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFleetTable(t *testing.T) {
	want := `WORKLOAD                   CONTAINER     PODS  GO        LINK     LIBC        NOTES          VERDICT
team-a
  Deployment/web           main          2     go1.26.8  static   none        -              pass
  Pod/lo…-long-long-long-  ver…ner-name  1     go1.9     dynamic  glibc 2.34  eos root init  deny
team-b
  DaemonSet/agent          main          1     -         -        -           -              unknown

4 pods in 2 workloads run 3 images
  pods by Go    1.26: 2, 1.9: 1, other: 1
  of these      1 past end of support, 1 as root
  verdicts      deny: 1, unknown: 1, pass: 2
`
	got := renderFleet(t, render.Table, false)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestFleetVerdicts(t *testing.T) {
	got := renderFleet(t, render.Table, true)
	for _, want := range []string{"deny  team-a/Pod/", "policy ClusterGoPolicy base, audit, deny", "deny  go/old", "1 more for information or exempted",
		"unknown  team-b/DaemonSet/agent main, 1 pod", "error there is no such image", "1 container passed"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.ContainsAny(got, "\x1b\u202e") {
		t.Error("control characters reach the terminal")
	}
}

// The page loads nothing, and what an image says stays text.
func TestFleetHTML(t *testing.T) {
	page := renderFleet(t, render.HTML, false)
	loads := regexp.MustCompile(`(?i)<(link|img|iframe|object|embed|base|form)\b|\bsrc\s*=\s*["']|\bhref\s*=|url\(|@import|\bfetch\(|XMLHttpRequest`)
	text := strings.ReplaceAll(page, "src=x onerror", "")
	if found := loads.FindAllString(text, -1); found != nil {
		t.Errorf("the page may load something: %q", found)
	}
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if strings.ContainsAny(page, "\x1b\u202e") {
		t.Error("control characters are left")
	}
	for _, want := range []string{"Content-Security-Policy", "default-src &#39;none&#39;", "&lt;script&gt;alert(1)", "prefers-color-scheme: dark",
		`aria-sort="ascending"`, "3 of 3 containers", `<td class="name">team-a/Deployment/web</td>`} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("no %q", want)
		}
	}
}

func TestFleetSARIF(t *testing.T) {
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID       string `json:"ruleId"`
				Suppressions []any
				Locations    []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
			Invocations []struct{ ExecutionSuccessful bool }
		}
	}
	if err := json.Unmarshal([]byte(renderFleet(t, render.SARIF, true)), &log); err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, r := range log.Runs[0].Results {
		rules = append(rules, r.RuleID)
	}
	if diff := cmp.Diff([]string{"go/old", "x/y"}, rules); diff != "" {
		t.Error(diff)
	}
	if log.Runs[0].Invocations[0].ExecutionSuccessful || len(log.Runs[0].Results[1].Suppressions) != 1 {
		t.Errorf("%+v", log)
	}
	if uri := log.Runs[0].Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; !strings.HasPrefix(uri, "team-a/Pod/long-") {
		t.Error(uri)
	}
}

func TestFleetMarkdown(t *testing.T) {
	got := renderFleet(t, render.Markdown, false)
	if strings.Contains(got, "<script") || strings.Contains(got, "Deployment/web") || !strings.Contains(got, "| unknown |") {
		t.Error(got)
	}
}
