package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// CaseResult is what came of one of a policy's cases.
type CaseResult struct {
	Name string `json:"name"`
	// Passed is true when the verdict was as expected.
	Passed bool `json:"passed"`
	// Problems say how it was not.
	Problems []string    `json:"problems,omitempty"`
	Verdict  api.Verdict `json:"verdict"`
}

// Test judges every case of the policy and compares the verdicts with what the
// cases expect. Each case brings its own day; the matrix is set's. The cases of
// a policy that this one extends are not among them.
func (p *Policy) Test(ctx context.Context, set Setting) []CaseResult {
	var results []CaseResult
	for _, c := range p.cases {
		results = append(results, p.testCase(ctx, c, set))
	}
	return results
}

func (p *Policy) testCase(ctx context.Context, c policyCase, set Setting) CaseResult {
	set.Today = c.today
	result := CaseResult{Name: c.Name}
	verdict, err := p.Judge(ctx, c.subject(), c.Start, set)
	if err != nil {
		result.Problems = []string{err.Error()}
		return result
	}
	result.Verdict = verdict
	result.Problems = c.problems(verdict)
	result.Passed = len(result.Problems) == 0
	return result
}

func (c policyCase) subject() *facts.Subject {
	s := &facts.Subject{Ref: c.Ref, Image: c.Image, Files: c.Files}
	switch {
	case c.Image != nil:
		s.Platform = c.Image.Platform
	case len(c.Files) == 1:
		s.Platform = c.Files[0].Platform
	}
	return s
}

// problems says how v is not what the case expects.
func (c policyCase) problems(v api.Verdict) []string {
	var problems []string
	if v.Verdict != c.Expect.Verdict {
		problems = append(problems, fmt.Sprintf("the verdict is %s, want %s", v.Verdict, c.Expect.Verdict))
	}
	counted := func(f api.Finding) bool { return f.Exemption == nil }
	excused := func(f api.Finding) bool { return f.Exemption != nil }
	problems = append(problems, compareRules("found", v.Findings, counted, c.Expect.Rules)...)
	return append(problems, compareRules("exempted", v.Findings, excused, c.Expect.Exempted)...)
}

// compareRules compares the rules of the findings that belong with those that
// are wanted; nil wants nothing in particular.
func compareRules(what string, findings []api.Finding, belongs func(api.Finding) bool, want []string) []string {
	if want == nil {
		return nil
	}
	got := []string{}
	for _, f := range findings {
		if belongs(f) {
			got = append(got, f.Rule)
		}
	}
	got, want = unique(got), unique(want)
	if slices.Equal(got, want) {
		return nil
	}
	return []string{fmt.Sprintf("%s [%s], want [%s]", what, strings.Join(got, " "), strings.Join(want, " "))}
}

func unique(words []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(words)))
}
