package gate

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What one policy may hold.
const (
	maxRules      = 200
	maxExemptions = 2_000
)

// ownGroup is the group of the rules that no policy may define.
const ownGroup = "modules/"

// rule is a compiled rule.
type rule struct {
	api.ModuleRule
	when          cel.Program // nil means always
	require       cel.Program
	message, hint template
	// uses are the variables that the rule looks at or shows.
	uses map[string]bool
}

func (r *rule) needsZip() bool { return r.uses[varSize] || r.uses[varLicences] }

// exemption is a compiled exemption.
type exemption struct {
	api.ModuleExemption
	module pattern
	// end is the first moment at which it no longer holds.
	end time.Time
}

// loadPolicy compiles a policy document; name is the file's name in errors, which
// have line and column and the code fault.Invalid.
func (s *state) loadPolicy(name string, data []byte) error {
	const op = "load module policy"
	env, err := environment()
	if err != nil {
		return &fault.Error{Code: fault.Internal, Op: op, Input: name, Err: err}
	}
	c := &compiler{env: env, state: s}
	if c.doc, err = document.Decode(op, name, data, api.KindModulePolicy, &c.file); err != nil {
		return err
	}
	if c.affordable() {
		c.compile()
	}
	return c.doc.Err()
}

// compiler turns a policy as it is written into rules and reports what is wrong.
type compiler struct {
	env   *cel.Env
	doc   *document.Document
	file  api.ModulePolicy
	state *state
}

func (c *compiler) report(path document.Path, format string, args ...any) {
	c.doc.Report(path, 0, fmt.Sprintf(format, args...))
}

// affordable reports a policy that is too large to be compiled.
func (c *compiler) affordable() bool {
	if n := len(c.file.Rules); n > maxRules {
		c.report(document.Path{"rules"}, "there are %d rules, the limit is %d", n, maxRules)
	}
	if n := len(c.file.Exemptions); n > maxExemptions {
		c.report(document.Path{"exemptions"}, "there are %d exemptions, the limit is %d", n, maxExemptions)
	}
	return c.doc.Err() == nil
}

func (c *compiler) compile() {
	c.required(document.Path{"metadata"}, "name", c.file.Metadata.Name)
	for i, r := range c.file.Rules {
		c.state.rules = append(c.state.rules, c.rule(document.Path{"rules", i}, r))
	}
	for i, e := range c.file.Exemptions {
		c.state.exemptions = append(c.state.exemptions, c.exemption(document.Path{"exemptions", i}, e))
	}
}

// ruleID is the form of rule ids.
var ruleID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)+$`)

func (c *compiler) ruleID(path document.Path, id string) {
	switch {
	case !c.required(path, "id", id):
	case !ruleID.MatchString(id):
		c.report(path.Join("id"), "id %q has not the form group/name of small letters, digits and hyphens", id)
	case strings.HasPrefix(id, ownGroup):
		c.report(path.Join("id"), "id %q: %s is Gopherwood's own", id, ownGroup)
	case slices.ContainsFunc(c.state.rules, func(r *rule) bool { return r.ID == id }):
		c.report(path.Join("id"), "rule %s is given twice", id)
	}
}

func (c *compiler) rule(path document.Path, r api.ModuleRule) *rule {
	c.ruleID(path, r.ID)
	if c.required(path, "severity", r.Severity) && r.Severity != api.Deny && r.Severity != api.Warn {
		c.report(path.Join("severity"), "severity is %q, want %s or %s", r.Severity, api.Deny, api.Warn)
	}
	c.required(path, "message", r.Message)
	out := &rule{ModuleRule: r, uses: map[string]bool{}}
	if r.When != "" {
		out.when = c.condition(path.Join("when"), r.When, out.uses)
	}
	if c.required(path, "require", r.Require) {
		out.require = c.condition(path.Join("require"), r.Require, out.uses)
	}
	out.message = c.template(path.Join("message"), r.Message, out.uses)
	out.hint = c.template(path.Join("hint"), r.Hint, out.uses)
	return out
}

// required reports a value that is missing.
func (c *compiler) required(path document.Path, key, value string) bool {
	if strings.TrimSpace(value) == "" {
		c.report(path, "%s is missing", key)
		return false
	}
	return true
}

// condition compiles an expression of type bool and notes the variables in it.
func (c *compiler) condition(path document.Path, text string, uses map[string]bool) cel.Program {
	ast, issues := c.env.Compile(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			c.doc.Report(path, runeOffset(text, e.Location.Line(), e.Location.Column()), plainMessage(e.Message))
		}
		return nil
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		c.report(path, "the expression is of type %s, want bool", t)
		return nil
	}
	program, err := newProgram(c.env, ast)
	if err != nil {
		c.report(path, "%v", err)
		return nil
	}
	for _, ref := range ast.NativeRep().ReferenceMap() {
		if slices.Contains(variableNames, ref.Name) {
			uses[ref.Name] = true
		}
	}
	return program
}

// plainMessage takes out of a message of CEL what only its own developers need.
func plainMessage(message string) string {
	message, _, _ = strings.Cut(message, " expecting {")
	return strings.ReplaceAll(message, " (in container '')", "")
}

// runeOffset turns CEL's line (from 1) and column (from 0) into an offset.
func runeOffset(text string, line, column int) int {
	offset := 0
	for i, l := range strings.SplitAfter(text, "\n") {
		if i+1 >= line {
			break
		}
		offset += len([]rune(l))
	}
	return offset + max(column, 0)
}

func (c *compiler) template(path document.Path, text string, uses map[string]bool) template {
	t, wrong := parseTemplate(text)
	if wrong != nil {
		c.doc.Report(path, wrong.offset, wrong.Error())
	}
	for _, p := range t {
		if p.variable != "" {
			uses[p.variable] = true
		}
	}
	return t
}

func (c *compiler) exemption(path document.Path, e api.ModuleExemption) *exemption {
	out := &exemption{ModuleExemption: e}
	if c.required(path, "rule", e.Rule) && !c.knowsRule(e.Rule) {
		c.report(path.Join("rule"), "no rule has the id %q", e.Rule)
	}
	if e.Vulnerability != "" && e.Rule != api.RuleVulnerable {
		c.report(path.Join("vulnerability"), "vulnerability narrows exemptions from %s only", api.RuleVulnerable)
	}
	c.required(path, "owner", e.Owner)
	c.required(path, "reason", e.Reason)
	if c.required(path, "module", e.Module) {
		var err error
		if out.module, err = parsePattern(e.Module); err != nil {
			c.report(path.Join("module"), "%v", err)
		}
	}
	if c.required(path, "expires", e.Expires) {
		last, err := time.Parse(time.DateOnly, e.Expires)
		if err != nil {
			c.report(path.Join("expires"), "expires: %q is no date: want YYYY-MM-DD", e.Expires)
		}
		out.end = last.AddDate(0, 0, 1)
	}
	return out
}

func (c *compiler) knowsRule(id string) bool {
	return id == api.RuleCoolDown || id == api.RuleVulnerable ||
		slices.ContainsFunc(c.file.Rules, func(r api.ModuleRule) bool { return r.ID == id })
}

// exemption returns what excuses f, or else what did so once.
func (s *state) exemption(c Candidate, f finding, now time.Time) (valid, ended *exemption) {
	for _, e := range s.exemptions {
		switch {
		case e.Rule != f.rule || !e.module.match(c.Path, c.Version):
		case e.Vulnerability != "" && !slices.Contains(f.vulnerabilities, e.Vulnerability):
		case now.Before(e.end):
			return e, nil
		default:
			ended = e
		}
	}
	return nil, ended
}

// askRules returns a finding for each rule of the policy that c breaks.
func (s *state) askRules(ctx context.Context, c Candidate, now time.Time) []finding {
	if len(s.rules) == 0 {
		return nil
	}
	var found []finding
	vars := &variables{c, now}
	for _, r := range s.rules {
		if c.Partial && (r.needsZip() || r.uses[varAge] && c.Published.IsZero()) {
			continue
		}
		broken, err := r.broken(ctx, vars)
		switch {
		case err != nil:
			found = append(found, finding{rule: r.ID, severity: api.Deny,
				message: fmt.Sprintf("the rule could not be evaluated: %v", err),
				hint:    "ask the people who run this proxy to mend the rule"})
		case broken:
			found = append(found, finding{rule: r.ID, severity: r.Severity,
				message: r.message.render(vars), hint: r.hint.render(vars)})
		}
	}
	return found
}

func (r *rule) broken(ctx context.Context, vars *variables) (bool, error) {
	if r.when != nil {
		if applies, err := holds(ctx, r.when, vars); err != nil || !applies {
			return false, err
		}
	}
	ok, err := holds(ctx, r.require, vars)
	return !ok, err
}
