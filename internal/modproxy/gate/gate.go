// Package gate decides which versions of modules may be used: it holds public
// versions back that are not known for long enough, refuses those with a known
// vulnerability (OSV) and those that break a rule of a policy
// (docs/formats/modulepolicy.md).
//
// It fails closed: what is not known counts as what is refused, and a rule that
// cannot be evaluated counts as broken.
package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options say what a Gate refuses. The zero value refuses nothing.
type Options struct {
	// CoolDown is how long a public version must be known here before it may be
	// used; 0 switches that off.
	CoolDown time.Duration
	// Allow are the modules that are exempt from the cool-down: patterns as
	// GOPRIVATE has them, which may end in @VERSION.
	Allow []string
	// Known are files in the form of go.sum. The versions in them are exempt
	// from the cool-down as long as their sums are those.
	Known []string
	// Policy is the file of an api.ModulePolicy; empty for none.
	Policy string
	// OSV are files, directories and zip archives with known vulnerabilities.
	OSV []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Audit is told of each refusal, warning and exemption; the same one at most
	// once an hour. It must not block. Nil for nobody.
	Audit func(context.Context, Event)
}

// Candidate is a version that somebody wants to use.
type Candidate struct {
	// Path and Version are the module's, not escaped.
	Path, Version string
	// Private is true for modules that do not come from public upstreams.
	Private bool
	// FirstSeen is since when the version is known here. Zero means not yet.
	FirstSeen time.Time
	// Published is what upstream says of when the version was made; zero when it
	// does not.
	Published time.Time
	// Partial says that the zip is not here yet. Then the rules about size and
	// licences are not asked, and without Published neither are those about age.
	Partial bool
	// Size is the length of the zip in bytes.
	Size int64
	// Licences are the names that LicenceFiles returns.
	Licences []string
	// Sum and GoModSum are the hashes as go.sum has them, empty when not known.
	Sum, GoModSum string
}

// Gate decides on versions. It is safe for concurrent use.
type Gate struct {
	opt   Options
	allow patterns
	state atomic.Pointer[state]
	audit *audit
}

// New reads the files that opt names.
func New(opt Options) (*Gate, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	allow, err := parsePatterns("read the modules that are exempt from the cool-down", opt.Allow)
	if err != nil {
		return nil, err
	}
	if opt.CoolDown < 0 {
		return nil, &fault.Error{Code: fault.Usage, Op: "set the cool-down", Input: opt.CoolDown.String(),
			Err: errors.New("a cool-down is not negative")}
	}
	g := &Gate{opt: opt, allow: allow, audit: newAudit(opt.Audit)}
	return g, g.Reload()
}

// CoolDown returns how long public versions are held back; 0 when they are not.
// Where it is 0 FirstSeen matters only to rules about seenAge.
func (g *Gate) CoolDown() time.Duration { return g.opt.CoolDown }

// NeedsZip reports whether a rule looks at what is known only when the zip is
// here: the size and the licences.
func (g *Gate) NeedsZip() bool {
	return slices.ContainsFunc(g.state.Load().rules, func(r *rule) bool { return r.needsZip() })
}

// NeedsSeen reports whether FirstSeen matters: to the cool-down or to a rule.
func (g *Gate) NeedsSeen() bool {
	return g.opt.CoolDown > 0 ||
		slices.ContainsFunc(g.state.Load().rules, func(r *rule) bool { return r.uses[varSeenAge] })
}

// Check returns nil when c may be used. Otherwise the error is a *fault.Error
// with the code fault.Denied, whose text is meant for the user of the go command:
// it names the module, each rule that is broken with the measured value, and the
// hint says the way out. The code is fault.Canceled when ctx ends first.
func (g *Gate) Check(ctx context.Context, c Candidate) error {
	v := g.verdict(ctx, c)
	if err := ctx.Err(); err != nil {
		return &fault.Error{Code: fault.Canceled, Op: opUse, Input: c.Path + "@" + c.Version, Err: err}
	}
	for _, e := range v.events {
		g.audit.tell(ctx, e)
	}
	if len(v.refused) == 0 {
		return nil
	}
	return v.refusal()
}

// opUse is what is being done in the errors of Check.
const opUse = "use module"

// Visible returns those of versions that a list may show, in their order: the
// ones that Check would not refuse for what is known of them without asking
// upstream. seen holds since when they are known here. Nobody is told of those
// that are left out.
func (g *Gate) Visible(ctx context.Context, path string, private bool, versions []string, seen map[string]time.Time) []string {
	visible := make([]string, 0, len(versions))
	for _, version := range versions {
		c := Candidate{Path: path, Version: version, Private: private, FirstSeen: seen[version], Partial: true}
		if v := g.verdict(ctx, c); len(v.refused) == 0 && ctx.Err() == nil {
			visible = append(visible, version)
		}
	}
	return visible
}

// finding is something that speaks against a version.
type finding struct {
	rule, severity string
	message, hint  string
	// vulnerabilities are the id and the aliases of the vulnerability that the
	// finding is about.
	vulnerabilities []string
	// fix is the version that mends it, empty when none is known.
	fix string
}

// verdict is what is found of a version.
type verdict struct {
	candidate Candidate
	refused   []finding
	events    []Event
}

// verdict asks all rules.
func (g *Gate) verdict(ctx context.Context, c Candidate) verdict {
	s, now := g.state.Load(), g.opt.Now()
	v := verdict{candidate: c}
	if f, held := s.coolDown(g.opt.CoolDown, c, now); held {
		if reason := g.exempt(s, c); reason != "" {
			v.note(now, f, DecisionExempted, reason)
		} else {
			v.add(s, f, now)
		}
	}
	for _, f := range s.vulnerabilities.findings(c.Path, c.Version) {
		v.add(s, f, now)
	}
	for _, f := range s.askRules(ctx, c, now) {
		v.add(s, f, now)
	}
	return v
}

// exempt says by which option c is exempt from the cool-down, or "".
func (g *Gate) exempt(s *state, c Candidate) string {
	switch {
	case g.allow.match(c.Path, c.Version):
		return "the module is on the allow-list of the cool-down"
	case s.known.has(c):
		return "a go.sum file that is trusted has the version"
	}
	return ""
}

// add counts f unless an exemption of the policy excuses it.
func (v *verdict) add(s *state, f finding, now time.Time) {
	e, ended := s.exemption(v.candidate, f, now)
	switch {
	case e != nil:
		v.note(now, f, DecisionExempted, fmt.Sprintf("exempted by %s until %s: %s", e.Owner, e.Expires, e.Reason))
	case f.severity == api.Warn:
		v.note(now, f, DecisionWarned, "")
	default:
		if ended != nil {
			f.message += fmt.Sprintf("; the exemption by %s ended on %s", ended.Owner, ended.Expires)
		}
		v.refused = append(v.refused, f)
		v.note(now, f, DecisionRefused, "")
	}
}

func (v *verdict) note(now time.Time, f finding, decision, reason string) {
	v.events = append(v.events, Event{Time: now, Path: v.candidate.Path, Version: v.candidate.Version,
		Rule: f.rule, Decision: decision, Message: f.message, Reason: reason})
}

// The go command prints some 600 bytes of a text.
const (
	maxReasons = 4 // that a refusal lists
	maxIDs     = 8 // of vulnerabilities, when there are several
)

// refusal returns the error that lists what speaks against the version.
func (v *verdict) refusal() error {
	reasons := v.reasons()
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(reasons[:maxReasons], fmt.Sprintf("and %d more reasons", more))
	}
	var hints []string
	for _, f := range mended(v.refused) {
		if f.hint != "" && !slices.Contains(hints, f.hint) {
			hints = append(hints, f.hint)
		}
	}
	return &fault.Error{Code: fault.Denied, Op: opUse, Input: v.candidate.Path + "@" + v.candidate.Version,
		Err: errors.New(strings.Join(reasons, "; ")), Hint: strings.Join(hints[:min(len(hints), maxReasons)], "; ")}
}

// reasons returns a reason a finding, but a single one for all vulnerabilities.
func (v *verdict) reasons() []string {
	var reasons, ids []string
	first := -1
	for _, f := range v.refused {
		if f.rule == api.RuleVulnerable {
			if ids = append(ids, f.vulnerabilities[0]); first >= 0 {
				continue
			}
			first = len(reasons)
		}
		reasons = append(reasons, fmt.Sprintf("%s (rule %s)", f.message, f.rule))
	}
	if n := len(ids); n > 1 {
		list := strings.Join(ids[:min(n, maxIDs)], ", ")
		if n > maxIDs {
			list += " …"
		}
		reasons[first] = fmt.Sprintf("it has %d known vulnerabilities, %s (rule %s)", n, list, api.RuleVulnerable)
	}
	return reasons
}

// coolDown returns the finding about a version that is held back.
func (s *state) coolDown(limit time.Duration, c Candidate, now time.Time) (finding, bool) {
	f := finding{rule: api.RuleCoolDown, severity: api.Deny,
		hint: "use a version that is known here for longer, or ask the people who run this proxy to exempt this one from the cool-down"}
	age := now.Sub(c.FirstSeen)
	switch {
	case limit == 0 || c.Private:
		return f, false
	case c.FirstSeen.IsZero():
		f.message = fmt.Sprintf("it is not known here yet, and new versions are held back for %s", formatDuration(limit))
	case age < limit:
		f.message = fmt.Sprintf("it was first seen here %s ago, and new versions are held back for %s, this one until %s",
			formatDuration(max(age, 0)), formatDuration(limit), formatTime(c.FirstSeen.Add(limit)))
	default:
		return f, false
	}
	return f, true
}

// formatTime writes a time that a version is free from; it is never earlier than t.
func formatTime(t time.Time) string {
	return t.Add(time.Minute - 1).UTC().Truncate(time.Minute).Format("2006-01-02 15:04 UTC")
}

// formatDuration writes d as people say it, to two units: "3d4h", "5h12m", "40s".
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		size, next  time.Duration
		name, small string
	}{{day, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "m"}, {time.Minute, time.Second, "m", "s"}} {
		if d < unit.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/unit.size, unit.name)
		if rest := d % unit.size / unit.next; rest > 0 {
			text += fmt.Sprintf("%d%s", rest, unit.small)
		}
		return text
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// prerelease reports whether version is one, which pseudo-versions are not
// counted as.
func prerelease(version string) bool {
	return semver.Prerelease(version) != "" && !module.IsPseudoVersion(version)
}
