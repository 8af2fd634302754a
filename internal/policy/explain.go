package policy

import (
	"errors"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/dockerfile"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Explanation says everything about one rule.
type Explanation struct {
	ID string `json:"id"`
	// Severity is what the rule's findings count under this policy: deny, warn,
	// info or off.
	Severity string `json:"severity"`
	// Policy names the policy that the rule comes from; empty for rules that are
	// part of Gopherwood itself.
	Policy      string `json:"policy,omitempty"`
	Description string `json:"description,omitempty"`
	// Scope, When, Require and Message are empty for rules without expressions.
	Scope   string `json:"scope,omitempty"`
	When    string `json:"when,omitempty"`
	Require string `json:"require,omitempty"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Rules explains every rule that a verdict of this policy can be about: the
// policy's, the start-up rules, that of attached facts, and the policy's own
// findings about itself.
func (p *Policy) Rules() []Explanation {
	var all []Explanation
	for _, r := range p.rules {
		all = append(all, Explanation{
			ID: r.ID, Severity: p.severityOf(r.ID, r.Severity), Policy: r.policy, Description: r.Description,
			Scope: r.Scope, When: r.When, Require: r.Require, Message: r.Message, Hint: r.Hint,
		})
	}
	for _, r := range builtinRules() {
		all = append(all, Explanation{
			ID: r.ID, Severity: p.severityOf(r.ID, r.Severity), Description: r.Description, Hint: r.Hint,
		})
	}
	return append(all, ownRules()...)
}

// builtinRules are the rules whose findings come from outside the policy: those
// of the start-up, of Dockerfiles and of attached facts.
func builtinRules() []start.Rule {
	return slices.Concat(start.Rules, dockerfile.Rules, []start.Rule{
		{ID: FactsMismatch, Severity: api.Deny, Description: mismatchDescription, Hint: mismatchHint},
		{ID: FactsUnread, Severity: api.Info,
			Description: "Whether facts are attached to the image could not be learnt, so they could not be compared with those that were measured. The verdict is that of the measured ones.",
			Hint:        "ask again when the registry answers"},
	})
}

func ownRules() []Explanation {
	return []Explanation{
		{ID: RuleFailed, Severity: api.Deny,
			Description: "An expression of the policy could not be evaluated for these facts, for example because it asks a map for a key that is not there, or costs too much. Whether the rule holds is not known, so the verdict is deny. It can be neither changed nor excused.",
			Hint:        "make the expression fit these facts: test what may be absent with has(…), and a map's key with in"},
		{ID: ExemptionExpired, Severity: api.Warn,
			Description: "An exemption's last day is over and what it excused is still there, so it counts again.",
			Hint:        "mend what it excused and remove it, or agree on a new day with its owner"},
	}
}

// Explain returns the explanation of the rule with the given id. The error has
// the code fault.NotFound when there is none.
func (p *Policy) Explain(id string) (Explanation, error) {
	rules := p.Rules()
	i := slices.IndexFunc(rules, func(e Explanation) bool { return e.ID == id })
	if i < 0 {
		return Explanation{}, &fault.Error{Code: fault.NotFound, Op: "explain rule", Input: id,
			Err: errors.New("no such rule"), Hint: "name a rule of a finding, or list all rules of the policy"}
	}
	return rules[i], nil
}
