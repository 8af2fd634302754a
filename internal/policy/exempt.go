package policy

import (
	"fmt"

	"cel.dev/cel-go/cel"

	"github.com/gopherwood-dev/gopherwood/api"
)

// exempt marks the findings that the policy excuses. It adds findings about
// exemptions that would excuse something had they not expired, and about those
// whose expression failed; such an exemption excuses nothing. When there is no
// time left, what was not looked at is not excused.
func (j *judgement) exempt() {
	expired, broken := map[*exemption]bool{}, map[*exemption]error{}
	for i := range j.findings {
		if j.stop() {
			break
		}
		f := &j.findings[i]
		if own(*f) {
			continue
		}
		matching := j.matching(f, broken)
		for _, e := range matching {
			if !j.today.After(e.expires) {
				f.Exemption = &api.Exemption{Owner: e.Owner, Reason: e.Reason, Expires: e.Expires}
				break
			}
		}
		for _, e := range matching {
			expired[e] = expired[e] || f.Exemption == nil
		}
	}
	for _, e := range j.policy.exemptions {
		if expired[e] {
			j.findings = append(j.findings, expiredFinding(e))
		}
		if err := broken[e]; err != nil {
			j.failed(fmt.Sprintf("the exemption of %s by %s", e.Rule, e.Owner), "", err)
		}
	}
}

func expiredFinding(e *exemption) api.Finding {
	return api.Finding{
		Rule: ExemptionExpired, Severity: api.Warn,
		Message: fmt.Sprintf("the exemption of %s expired on %s (owner %s: %s)", e.Rule, e.Expires, e.Owner, e.Reason),
		Hint:    fmt.Sprintf("mend what it excused and remove it, or agree on a new day with %s", e.Owner),
	}
}

// matching returns the exemptions that are about f, whatever the day. It notes
// those whose expression fails in broken.
func (j *judgement) matching(f *api.Finding, broken map[*exemption]error) []*exemption {
	var out []*exemption
	for _, e := range j.policy.exemptions {
		if j.ctx.Err() != nil {
			return nil
		}
		matches, err := j.matches(e, f)
		if err != nil {
			broken[e] = err
		} else if matches {
			out = append(out, e)
		}
	}
	return out
}

func (j *judgement) matches(e *exemption, f *api.Finding) (bool, error) {
	if !e.rule.match(f.Rule) || e.Ref != "" && !e.ref.match(j.subject.Ref) {
		return false, nil
	}
	file := j.byPath[f.Path]
	if file == nil {
		file = &api.Facts{} // f is about no executable
	}
	if e.Digest != "" && e.Digest != j.digest() && e.Digest != file.Digest {
		return false, nil
	}
	if e.when == nil {
		return true, nil
	}
	image := j.subject.Image
	if image == nil {
		image = &api.Image{}
	}
	vars, err := cel.FunctionVars(map[string]any{varFinding: f, varFile: file, varImage: image, varToday: j.today}, j.functions)
	if err != nil {
		return false, err
	}
	return e.when.holds(j.ctx, vars)
}
