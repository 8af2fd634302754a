package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// judgeTime is the longest that one verdict may take. The cost limit of each
// expression is far stricter; this is for many rules on many files.
const judgeTime = 30 * time.Second

// maxFindings is how many findings the rules of one verdict may make: many rules
// on many files would fill the memory with what nobody reads.
const maxFindings = 5_000

// Judge evaluates the policy on s. start holds the start-up findings about s
// (package start), whose severities the policy may change. Verdicts are never
// cached: they depend on the day.
//
// The error says that set is not complete, or that ctx was cancelled. What goes
// wrong in evaluating a rule becomes a finding of RuleFailed, and so does a
// deadline of ctx that passes: the rules that were not asked may have been
// violated, and no exemption is looked at.
func (p *Policy) Judge(ctx context.Context, s *facts.Subject, start []api.Finding, set Setting) (api.Verdict, error) {
	if err := set.check(); err != nil {
		return api.Verdict{}, err
	}
	limited, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	j := newJudgement(limited, p, s, set)
	j.askAll()
	j.findings = append(j.findings, start...)
	j.changeSeverities()
	j.exempt()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return api.Verdict{}, &fault.Error{Code: fault.Canceled, Op: "judge", Input: s.Ref, Err: err}
	}
	return j.verdict(), nil
}

// askAll evaluates the rules until one finding says why it goes no further.
func (j *judgement) askAll() {
	for _, f := range j.files {
		j.ask(api.ScopeFile, f.Path, map[string]any{varFile: f, varToday: j.today})
	}
	if j.subject.Image != nil {
		j.ask(api.ScopeImage, "", map[string]any{varImage: j.subject.Image, varFiles: j.files, varToday: j.today})
	}
	j.stop() // the last rule may have been interrupted
}

// judgement is one verdict in the making.
type judgement struct {
	ctx     context.Context
	policy  *Policy
	subject *facts.Subject
	today   time.Time
	// files are the subject's, each with its image.
	files     []*api.Facts
	byPath    map[string]*api.Facts
	functions map[string]cel.LateBoundFunction
	findings  []api.Finding
	// stopped is set when no more rules are asked.
	stopped bool
}

// stop reports whether no more may be evaluated. The first time that it is so,
// it adds the finding that says why.
func (j *judgement) stop() bool {
	if j.stopped {
		return true
	}
	var reason, hint string
	switch {
	case j.ctx.Err() != nil:
		reason = "the time for the verdict ran out"
		hint = "make the policy's expressions cheaper: use fewer rules, and conditions that exclude most files first"
	case len(j.findings) > maxFindings:
		reason = fmt.Sprintf("there are more than %d findings", maxFindings)
		hint = "narrow the rules that nearly every file violates"
	default:
		return false
	}
	j.stopped = true
	j.findings = append(j.findings, api.Finding{
		Rule: RuleFailed, Severity: api.Deny, Hint: hint,
		Message: fmt.Sprintf("policy %s could not be evaluated to its end: %s", j.policy.meta.Name, reason),
	})
	return true
}

func newJudgement(ctx context.Context, p *Policy, s *facts.Subject, set Setting) *judgement {
	j := &judgement{ctx: ctx, policy: p, subject: s, today: day(set.Today),
		functions: p.envs.bind(set), byPath: make(map[string]*api.Facts, len(s.Files))}
	for i := range s.Files {
		f := &s.Files[i]
		if f.Image == nil && s.Image != nil {
			withImage := *f
			withImage.Image = s.Image
			f = &withImage
		}
		j.files = append(j.files, f)
		j.byPath[f.Path] = f
	}
	return j
}

// ask evaluates all rules of one scope with the given variables. path is the
// file that they are about.
func (j *judgement) ask(scope, path string, values map[string]any) {
	vars, err := cel.FunctionVars(values, j.functions)
	for _, r := range j.policy.rules {
		if r.Scope != scope {
			continue
		}
		if j.stop() {
			return
		}
		if err != nil {
			j.failed("rule "+r.ID, path, err)
			continue
		}
		j.askRule(r, path, vars)
	}
}

func (j *judgement) askRule(r *rule, path string, vars cel.Activation) {
	violated, err := r.violated(j.ctx, vars)
	if j.ctx.Err() != nil {
		return // stop says so, once for all rules
	}
	if err != nil {
		j.failed("rule "+r.ID, path, err)
		return
	}
	if violated {
		j.findings = append(j.findings, api.Finding{
			Rule: r.ID, Severity: r.Severity, Path: path,
			Message: r.message.render(j.ctx, vars), Hint: r.hint.render(j.ctx, vars),
		})
	}
}

func (r *rule) violated(ctx context.Context, vars cel.Activation) (bool, error) {
	if r.when != nil {
		if applies, err := r.when.holds(ctx, vars); err != nil || !applies {
			return false, err
		}
	}
	holds, err := r.require.holds(ctx, vars)
	return !holds, err
}

// failed adds the finding that what could not be evaluated.
func (j *judgement) failed(what, path string, err error) {
	j.findings = append(j.findings, api.Finding{
		Rule: RuleFailed, Severity: api.Deny, Path: path,
		Message: shorten(fmt.Sprintf("%s of policy %s could not be evaluated: %v", what, j.policy.meta.Name, err)),
		Hint:    "make the expression fit these facts: test what may be absent with has(…), and a map's key with in",
	})
}

// own reports whether a finding is the policy's own, about itself.
func own(f api.Finding) bool { return strings.HasPrefix(f.Rule, "policy/") }

// changeSeverities applies the policy's severities; of several that match a rule
// the last wins.
func (j *judgement) changeSeverities() {
	kept := j.findings[:0]
	changed := map[[2]string]string{} // by rule and its own severity
	for _, f := range j.findings {
		if key := [2]string{f.Rule, f.Severity}; !own(f) {
			if changed[key] == "" {
				changed[key] = j.policy.severityOf(f.Rule, f.Severity)
			}
			f.Severity = changed[key]
		}
		if f.Severity != api.SeverityOff {
			kept = append(kept, f)
		}
	}
	j.findings = kept
}

// severityOf returns what findings of rule count, given what they count by
// themselves.
func (p *Policy) severityOf(rule, severity string) string {
	for _, s := range p.severities {
		if s.rule.match(rule) {
			severity = s.severity
		}
	}
	return severity
}

// verdict sums the findings up.
func (j *judgement) verdict() api.Verdict {
	s := j.subject
	v := api.Verdict{Ref: s.Ref, Platform: s.Platform, Digest: j.digest(), Verdict: api.Pass, Findings: j.findings}
	if s.Image == nil && len(s.Files) == 1 {
		v.Path = s.Files[0].Path
	}
	if v.Findings == nil {
		v.Findings = []api.Finding{}
	}
	slices.SortStableFunc(v.Findings, compareFindings)
	for _, f := range v.Findings {
		if f.Exemption == nil && gravity(f.Severity) > gravity(v.Verdict) && f.Severity != api.Info {
			v.Verdict = f.Severity
		}
	}
	return v
}

// digest returns the digest that the verdict is about.
func (j *judgement) digest() string {
	switch s := j.subject; {
	case s.Image != nil:
		return s.Image.Digest
	case len(s.Files) == 1:
		return s.Files[0].Digest
	}
	return ""
}

// compareFindings orders the gravest first, then by rule, path, line and message.
func compareFindings(a, b api.Finding) int {
	return cmp.Or(
		cmp.Compare(gravity(b.Severity), gravity(a.Severity)),
		cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Message, b.Message),
	)
}

func gravity(severity string) int {
	return slices.Index([]string{api.Pass, api.Info, api.Warn, api.Deny}, severity)
}
