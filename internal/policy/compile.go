package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// What one policy may hold. Policies come from people who share a cluster.
const (
	maxRules         = 500
	maxExemptions    = 500
	maxSeverities    = 500
	maxTemplateRunes = maxExpressionRunes
	maxPolicyText    = 256 << 10 // bytes of expressions and templates
)

// reporter hears of what is wrong with a policy: at offset, in runes, of the
// value at path.
type reporter interface {
	Report(path document.Path, offset int, message string)
}

// compiler turns a policy as it is written into a Policy and reports what is
// wrong.
type compiler struct {
	problems reporter
	file     *api.Policy
	out      *Policy
}

func (c *compiler) report(path document.Path, format string, args ...any) {
	c.problems.Report(path, 0, fmt.Sprintf(format, args...))
}

// run compiles the whole policy. The error says that CEL could not be set up.
func (c *compiler) run() error {
	if !c.affordable() {
		return nil
	}
	if err := c.begin(); err != nil {
		return err
	}
	c.compile()
	return nil
}

// affordable reports a policy that is too large to be compiled.
func (c *compiler) affordable() bool {
	ok := true
	for _, part := range []struct {
		name      string
		have, max int
	}{
		{"rules", len(c.file.Rules), maxRules},
		{"severities", len(c.file.Severities), maxSeverities},
		{"exemptions", len(c.file.Exemptions), maxExemptions},
	} {
		if part.have > part.max {
			c.report(document.Path{part.name}, "there are %d %s, the limit is %d", part.have, part.name, part.max)
			ok = false
		}
	}
	text := 0
	for _, r := range c.file.Rules {
		text += len(r.When) + len(r.Require) + len(r.Message) + len(r.Hint)
	}
	for _, e := range c.file.Exemptions {
		text += len(e.When)
	}
	if text > maxPolicyText {
		c.report(document.Path{"rules"}, "the expressions and messages have %d bytes together, the limit is %d", text, maxPolicyText)
		ok = false
	}
	return ok
}

// begin prepares the policy that the document adds to: an empty one, or the
// built-in policy without its cases. The error says that CEL could not be set up.
func (c *compiler) begin() (err error) {
	switch c.file.Extends {
	case defaultName:
		*c.out = *Default()
		c.out.cases = nil
	default:
		c.report(document.Path{"extends"}, "extends is %q, want %q or nothing", c.file.Extends, defaultName)
		fallthrough
	case "":
		c.out.envs, err = newEnvironments()
	}
	c.out.meta = c.file.Metadata
	return err
}

func (c *compiler) compile() {
	c.required(document.Path{"metadata"}, "name", c.out.meta.Name)
	c.rules()
	for i, s := range c.file.Severities {
		c.severity(document.Path{"severities", i}, s)
	}
	for i, e := range c.file.Exemptions {
		c.exemption(document.Path{"exemptions", i}, e)
	}
	c.cases()
}

// ruleID is the form of rule ids.
var ruleID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)+$`)

// rules compiles the document's rules. One with the id of an inherited rule
// takes its place.
func (c *compiler) rules() {
	seen := map[string]bool{}
	for i, r := range c.file.Rules {
		path := document.Path{"rules", i}
		c.ruleID(path, r.ID)
		if r.ID != "" && seen[r.ID] {
			c.report(path.Join("id"), "rule %s is given twice", r.ID)
		}
		seen[r.ID] = true
		compiled := c.rule(path, r)
		inherited := slices.IndexFunc(c.out.rules, func(old *rule) bool { return old.ID == r.ID })
		if inherited >= 0 {
			c.out.rules[inherited] = compiled
		} else {
			c.out.rules = append(c.out.rules, compiled)
		}
	}
}

// ownGroups are the groups of rules that no policy may define.
var ownGroups = []string{"start/", "dockerfile/", "facts/", "policy/"}

func (c *compiler) ruleID(path document.Path, id string) {
	switch {
	case id == "":
		c.report(path, "id is missing")
	case !ruleID.MatchString(id):
		c.report(path.Join("id"), "id %q has not the form group/name of small letters, digits and hyphens", id)
	case slices.ContainsFunc(ownGroups, func(group string) bool { return strings.HasPrefix(id, group) }):
		c.report(path.Join("id"), "id %q: %s are Gopherwood's own", id, strings.Join(ownGroups, ", "))
	}
}

func (c *compiler) rule(path document.Path, r api.PolicyRule) *rule {
	env := c.out.envs.file
	switch r.Scope {
	case "", api.ScopeFile:
		r.Scope = api.ScopeFile
	case api.ScopeImage:
		env = c.out.envs.image
	default:
		c.report(path.Join("scope"), "scope is %q, want %s or %s", r.Scope, api.ScopeFile, api.ScopeImage)
	}
	c.oneOf(path, "severity", r.Severity, api.Deny, api.Warn, api.Info)
	c.required(path, "message", r.Message)
	out := &rule{PolicyRule: r, policy: c.out.meta.Name}
	if r.When != "" {
		out.when = c.condition(env, path.Join("when"), r.When)
	}
	if c.required(path, "require", r.Require) {
		out.require = c.condition(env, path.Join("require"), r.Require)
	}
	out.message = c.template(env, path.Join("message"), r.Message)
	out.hint = c.template(env, path.Join("hint"), r.Hint)
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

func (c *compiler) oneOf(path document.Path, key, value string, allowed ...string) {
	if c.required(path, key, value) && !slices.Contains(allowed, value) {
		c.report(path.Join(key), "%s is %q, want %s", key, value, strings.Join(allowed, ", "))
	}
}

// condition compiles an expression of type bool.
func (c *compiler) condition(env *cel.Env, path document.Path, text string) *expression {
	return c.expression(env, path, text, 0, func(t *cel.Type) string {
		if t.IsExactType(cel.BoolType) {
			return ""
		}
		return fmt.Sprintf("the expression is of type %s, want bool", t)
	})
}

// expression compiles text, which begins at offset of the value at path. refuse
// says what is wrong with the expression's type, or "".
func (c *compiler) expression(env *cel.Env, path document.Path, text string, offset int, refuse func(*cel.Type) string) *expression {
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			at := offset + runeOffset(text, e.Location.Line(), e.Location.Column())
			c.problems.Report(path, at, plainMessage(e.Message))
		}
		return nil
	}
	if problem := refuse(ast.OutputType()); problem != "" {
		c.problems.Report(path, offset, problem)
		return nil
	}
	e, err := newExpression(env, ast)
	if err != nil {
		c.problems.Report(path, offset, err.Error())
		return nil
	}
	return e
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

func (c *compiler) template(env *cel.Env, path document.Path, text string) *template {
	if utf8.RuneCountInString(text) > maxTemplateRunes {
		c.report(path, "the text is longer than %d characters", maxTemplateRunes)
		return nil
	}
	segments, wrong := splitTemplate(text)
	if wrong != nil {
		c.problems.Report(path, wrong.offset, wrong.Error())
		return nil
	}
	t := &template{}
	for _, s := range segments {
		p := part{text: s.text}
		if s.expr {
			p.expr = c.expression(env, path, s.text, s.offset, unprintable)
		}
		t.parts = append(t.parts, p)
	}
	return t
}

func unprintable(t *cel.Type) string {
	if printable(t) {
		return ""
	}
	return fmt.Sprintf("a value of type %s cannot stand in a text; choose a field of it or join a list of strings", t)
}

func (c *compiler) severity(path document.Path, s api.PolicySeverity) {
	c.oneOf(path, "severity", s.Severity, api.Deny, api.Warn, api.Info, api.SeverityOff)
	c.out.severities = append(c.out.severities, severity{c.rulePattern(path, s.Rule), s.Severity})
}

// rulePattern compiles a pattern of rule ids, of which at least one must exist.
func (c *compiler) rulePattern(path document.Path, pattern string) glob {
	g := c.glob(path.Join("rule"), pattern)
	switch {
	case !c.required(path, "rule", pattern):
	case strings.HasPrefix(pattern, "policy/"):
		c.report(path.Join("rule"), "findings of %s can be neither changed nor excused", pattern)
	case !slices.ContainsFunc(c.knownRules(), g.match):
		c.report(path.Join("rule"), "no rule has the id %q", pattern)
	}
	return g
}

// glob compiles a pattern, whose length decides what a match costs.
func (c *compiler) glob(path document.Path, pattern string) glob {
	if utf8.RuneCountInString(pattern) > maxPatternRunes {
		c.report(path, "the pattern is longer than %d characters", maxPatternRunes)
		pattern = ""
	}
	return newGlob(pattern)
}

// knownRules are the ids of the rules that a verdict can be about, without the
// policy's own.
func (c *compiler) knownRules() []string {
	var ids []string
	for _, r := range c.out.rules {
		ids = append(ids, r.ID)
	}
	for _, r := range builtinRules() {
		ids = append(ids, r.ID)
	}
	return ids
}

func (c *compiler) exemption(path document.Path, e api.PolicyExemption) {
	out := &exemption{PolicyExemption: e, rule: c.rulePattern(path, e.Rule), ref: c.glob(path.Join("ref"), e.Ref)}
	c.required(path, "owner", e.Owner)
	c.required(path, "reason", e.Reason)
	out.expires = c.date(path, "expires", e.Expires)
	if e.Ref == "" && e.Digest == "" && e.When == "" {
		c.report(path, "an exemption needs ref, digest or when: use severities to change a rule everywhere")
	}
	if e.When != "" {
		out.when = c.condition(c.out.envs.exemption, path.Join("when"), e.When)
	}
	c.out.exemptions = append(c.out.exemptions, out)
}

func (c *compiler) date(path document.Path, key, text string) time.Time {
	if !c.required(path, key, text) {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		c.report(path.Join(key), "%s: %q is no date: want YYYY-MM-DD", key, text)
	}
	return t
}

func (c *compiler) cases() {
	seen := map[string]bool{}
	for i, pc := range c.file.Cases {
		path := document.Path{"cases", i}
		if c.required(path, "name", pc.Name) && seen[pc.Name] {
			c.report(path.Join("name"), "case %q is given twice", pc.Name)
		}
		seen[pc.Name] = true
		c.oneOf(path.Join("expect"), "verdict", pc.Expect.Verdict, api.Pass, api.Warn, api.Deny)
		c.caseRules(path.Join("expect", "rules"), pc.Expect.Rules)
		c.caseRules(path.Join("expect", "exempted"), pc.Expect.Exempted)
		for j, f := range pc.Start {
			c.caseStart(path.Join("start", j), f)
		}
		c.out.cases = append(c.out.cases, policyCase{pc, c.date(path, "today", pc.Today)})
	}
}

func (c *compiler) caseRules(path document.Path, ids []string) {
	known := append(c.knownRules(), RuleFailed, ExemptionExpired)
	for i, id := range ids {
		if !slices.Contains(known, id) {
			c.report(path.Join(i), "no rule has the id %q", id)
		}
	}
}

func (c *compiler) caseStart(path document.Path, f api.Finding) {
	if !slices.ContainsFunc(start.Rules, func(r start.Rule) bool { return r.ID == f.Rule }) {
		c.report(path.Join("rule"), "no start-up rule has the id %q", f.Rule)
	}
	c.oneOf(path, "severity", f.Severity, api.Deny, api.Warn, api.Info)
}
