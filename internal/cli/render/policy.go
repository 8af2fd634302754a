package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// The kinds of documents about policies.
const (
	KindRuleList = "RuleList"
	KindCaseList = "PolicyCaseList"
)

// RuleList is what `gopherwood policy show` and `policy explain` print.
type RuleList struct {
	SchemaVersion string               `json:"schemaVersion"`
	Kind          string               `json:"kind"`
	Policy        string               `json:"policy"`
	Description   string               `json:"description,omitempty"`
	Items         []policy.Explanation `json:"items"`
}

// CaseList is what `gopherwood policy test` prints.
type CaseList struct {
	SchemaVersion string      `json:"schemaVersion"`
	Kind          string      `json:"kind"`
	Items         []Cases     `json:"items"`
	Errors        []api.Error `json:"errors,omitempty"`
}

// Cases are the results of one policy file's cases.
type Cases struct {
	File    string              `json:"file"`
	Policy  string              `json:"policy"`
	Results []policy.CaseResult `json:"results"`
}

// Failed returns how many cases failed.
func (c Cases) Failed() int {
	n := 0
	for _, r := range c.Results {
		if !r.Passed {
			n++
		}
	}
	return n
}

// Rules writes list as a table, JSON or YAML.
func Rules(w io.Writer, f Format, list *RuleList, look Layout) error {
	switch f {
	case Table:
		return write(w, rulesTable(list, look))
	case JSON, YAML:
		return Document(w, f, list)
	}
	return unknown(f)
}

// rulesTable returns one line a rule, or all of each when verbose.
func rulesTable(list *RuleList, look Layout) string {
	var b strings.Builder
	if look.Verbose {
		for i, r := range list.Items {
			if i > 0 {
				b.WriteString("\n")
			}
			ruleDetail(&b, r, look)
		}
		return b.String()
	}
	t := &table{flexible: 2, prose: true}
	t.row("RULE", "SEVERITY", "DESCRIPTION")
	for _, r := range list.Items {
		description, _, _ := strings.Cut(r.Description, ". ")
		t.row(r.ID, r.Severity, description)
	}
	lines := t.lines()
	lines[0] = look.paint(bold, lines[0])
	hang(&b, "policy "+Clean(list.Policy)+": ", 2, list.Description)
	b.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return b.String()
}

// ruleDetail writes everything known of r.
func ruleDetail(b *strings.Builder, r policy.Explanation, look Layout) {
	fmt.Fprintln(b, look.paint(bold, Clean(r.ID)))
	d := detail{b}
	d.line("severity", r.Severity)
	d.line("policy", cmp.Or(r.Policy, "part of Gopherwood"))
	d.line("why", r.Description)
	d.line("scope", r.Scope)
	d.line("when", r.When)
	d.line("require", r.Require)
	d.line("message", r.Message)
	d.line("fix", r.Hint)
}

// CaseResults writes list as a table, JSON or YAML.
func CaseResults(w io.Writer, f Format, list *CaseList, look Layout) error {
	switch f {
	case Table:
		return write(w, casesTable(list, look))
	case JSON, YAML:
		return Document(w, f, list)
	}
	return unknown(f)
}

// casesTable returns the failed cases with what is wrong, and a line a file.
func casesTable(list *CaseList, look Layout) string {
	var b strings.Builder
	for _, c := range list.Items {
		for _, r := range c.Results {
			if r.Passed {
				continue
			}
			fmt.Fprintf(&b, "%s  %s: %s\n", look.paint(red, "fail"), Clean(c.File), Clean(r.Name))
			for _, p := range r.Problems {
				hang(&b, "      ", 6, p)
			}
		}
		word := look.paint(green, "ok  ")
		if c.Failed() > 0 {
			word = look.paint(red, "fail")
		}
		fmt.Fprintf(&b, "%s  %s: %d cases, %d failed\n", word, Clean(c.File), len(c.Results), c.Failed())
	}
	return b.String()
}
