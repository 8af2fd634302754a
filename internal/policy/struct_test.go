package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// rule is a policy rule that is right.
func rule(id, require string) api.PolicyRule {
	return api.PolicyRule{ID: id, Severity: api.Deny, Require: require, Message: "no"}
}

func TestCompile(t *testing.T) {
	p, problems := policy.Compile("team-a/strict", api.Policy{
		Extends: "default", Rules: []api.PolicyRule{rule("team/net", `!("net" in file.capabilities)`)},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if p.Name() != "team-a/strict" {
		t.Errorf("the name is %q", p.Name())
	}
	v := judge(t, p, program())
	if v.Verdict != api.Deny || v.Findings[0].Rule != "team/net" {
		t.Errorf("got %+v", v)
	}
}

func TestCompileProblems(t *testing.T) {
	doc := api.Policy{
		Extends: "other",
		Rules: []api.PolicyRule{
			rule("team/one", "true"),
			{Severity: "fatal", Require: "true &&\n  file.nonsense", Message: "a {file.digest} b {1 +}"},
		},
		Severities: []api.PolicySeverity{{Rule: "none/such", Severity: api.Warn}},
		Exemptions: []api.PolicyExemption{{Rule: "team/one", Owner: "a", Reason: "b", Expires: "soon", Ref: strings.Repeat("*", 2000)}},
	}
	_, problems := policy.Compile("p", doc)
	var got []string
	for _, p := range problems {
		where, _, _ := strings.Cut(p.Message, ":")
		got = append(got, fmt.Sprintf("%s %d %d %.40s", p.Path, p.Line, p.Column, where))
	}
	want := []string{
		`extends 1 1 extends is "other", want "default" or no`,
		"rules[1] 0 0 id is missing",
		`rules[1].severity 1 1 severity is "fatal", want deny, warn, in`,
		"rules[1].require 2 7 undefined field 'nonsense'",
		"rules[1].message 1 23 Syntax error",
		`severities[0].rule 1 1 no rule has the id "none/such"`,
		"exemptions[0].ref 1 1 the pattern is longer than 1000 characte",
		"exemptions[0].expires 1 1 expires",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What one policy may hold is bounded, and so is what is said about it.
func TestCompileLimits(t *testing.T) {
	many := func(n int) []api.PolicyRule {
		rules := make([]api.PolicyRule, n)
		for i := range rules {
			rules[i] = rule(fmt.Sprintf("team/r%d", i), "true")
		}
		return rules
	}
	long := rule("team/long", "true")
	long.Message = strings.Repeat("x", 9000)
	large := many(400)
	for i := range large {
		large[i].Hint = strings.Repeat("x", 4000)
	}
	for _, c := range []struct {
		name, path string
		doc        api.Policy
	}{
		{"rules", "rules", api.Policy{Rules: many(501)}},
		{"exemptions", "exemptions", api.Policy{Exemptions: make([]api.PolicyExemption, 501)}},
		{"severities", "severities", api.Policy{Severities: make([]api.PolicySeverity, 501)}},
		{"message", "rules[0].message", api.Policy{Rules: []api.PolicyRule{long}}},
		{"all text", "rules", api.Policy{Rules: large}},
	} {
		p, problems := policy.Compile("p", c.doc)
		if p != nil || len(problems) != 1 || problems[0].Path != c.path {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
	wrong := many(500)
	for i := range wrong {
		wrong[i].Require = "nothing"
	}
	if _, problems := policy.Compile("p", api.Policy{Rules: wrong}); len(problems) != 51 {
		t.Errorf("%d problems are listed", len(problems))
	}
}

// bomb is an expression whose cost is just within what one may cost.
const bomb = `[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, ` +
	`[0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3].all(e, a + b + c + d + e >= 0)))))`

func bombs(t *testing.T, n int) *policy.Policy {
	t.Helper()
	doc := api.Policy{}
	for i := range n {
		doc.Rules = append(doc.Rules, rule(fmt.Sprintf("bomb/r%d", i), bomb))
	}
	doc.Exemptions = []api.PolicyExemption{{Rule: "bomb/**", Ref: "**", Owner: "a", Reason: "b", Expires: "2030-01-01"}}
	p, problems := policy.Compile("bomb", doc)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// A policy of many rules, each within its own limit, takes no longer than the
// context, and what was not asked is not allowed.
func TestJudgeBomb(t *testing.T) {
	p := bombs(t, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	v, err := p.Judge(ctx, image(100), nil, setting("2026-11-22"))
	took := time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	if took > 5*time.Second {
		t.Errorf("the verdict took %v", took)
	}
	if v.Verdict != api.Deny || len(v.Findings) != 1 || v.Findings[0].Rule != policy.RuleFailed ||
		!strings.Contains(v.Findings[0].Message, "time for the verdict ran out") {
		t.Errorf("got %.500v", v)
	}
}

func TestJudgeExpiredAndCancelled(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	v, err := policy.Default().Judge(ctx, program(), nil, setting("2026-11-22"))
	if err != nil || v.Verdict != api.Deny {
		t.Errorf("after the deadline: %v, %v", v.Verdict, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := policy.Default().Judge(ctx, program(), nil, setting("2026-11-22")); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// Many rules that every file violates end as one finding more, not as gigabytes.
func TestJudgeManyFindings(t *testing.T) {
	doc := api.Policy{}
	for i := range 500 {
		doc.Rules = append(doc.Rules, api.PolicyRule{ID: fmt.Sprintf("many/r%d", i), Severity: api.Info, Require: "false", Message: "no"})
	}
	p, problems := policy.Compile("many", doc)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v := judge(t, p, image(50))
	if v.Verdict != api.Deny || len(v.Findings) > 5_010 || v.Findings[0].Rule != policy.RuleFailed {
		t.Errorf("%s with %d findings, first %+v", v.Verdict, len(v.Findings), v.Findings[0])
	}
}
