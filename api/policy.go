package api

// Policy is a policy file. It is described in docs/formats/policy.md.
type Policy struct {
	SchemaVersion string         `json:"schemaVersion" yaml:"schemaVersion"`
	Kind          string         `json:"kind" yaml:"kind"`
	Metadata      PolicyMetadata `json:"metadata" yaml:"metadata"`
	// Extends is "default" to build on the built-in policy, or empty.
	Extends string       `json:"extends,omitempty" yaml:"extends,omitempty"`
	Rules   []PolicyRule `json:"rules,omitempty" yaml:"rules,omitempty"`
	// Severities change what findings count; of several that match, the last wins.
	Severities []PolicySeverity  `json:"severities,omitempty" yaml:"severities,omitempty"`
	Exemptions []PolicyExemption `json:"exemptions,omitempty" yaml:"exemptions,omitempty"`
	// Cases are the policy's own tests.
	Cases []PolicyCase `json:"cases,omitempty" yaml:"cases,omitempty"`
}

// PolicyMetadata names a policy.
type PolicyMetadata struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
}

// The values of PolicyRule.Scope.
const (
	// ScopeFile: the rule is asked once for each executable; variables file and today.
	ScopeFile = "file"
	// ScopeImage: the rule is asked once for each image; variables image, files and today.
	ScopeImage = "image"
)

// PolicyRule is one rule: where When holds, Require must hold too.
type PolicyRule struct {
	// ID has the form group/name, for example "build/trimpath".
	ID string `json:"id" yaml:"id"`
	// Severity is what a violation counts: deny, warn or info.
	Severity string `json:"severity" yaml:"severity"`
	// Scope is file or image; empty means file.
	Scope string `json:"scope,omitempty" yaml:"scope,omitempty"`
	// Description says why the rule is there.
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// When is a CEL expression that says what the rule is about; empty means all.
	When string `json:"when,omitempty" yaml:"when,omitempty"`
	// Require is the CEL expression that must be true.
	Require string `json:"require" yaml:"require"`
	// Message says what is wrong; {expressions} in braces are replaced by values.
	Message string `json:"message" yaml:"message"`
	// Hint says what mends it; a template like Message.
	Hint string `json:"hint,omitempty" yaml:"hint,omitempty"`
}

// SeverityOff is the value of PolicySeverity.Severity that drops a finding.
const SeverityOff = "off"

// PolicySeverity gives the findings of some rules another severity.
type PolicySeverity struct {
	// Rule is a pattern of rule ids, for example "start/*".
	Rule string `json:"rule" yaml:"rule"`
	// Severity is deny, warn, info or off.
	Severity string `json:"severity" yaml:"severity"`
}

// PolicyExemption excuses findings for a while. Of Ref, Digest and When at least
// one is given; a finding is excused when all that are given match.
type PolicyExemption struct {
	// Rule is a pattern of rule ids.
	Rule string `json:"rule" yaml:"rule"`
	// Ref is a pattern of references as the user gives them.
	Ref string `json:"ref,omitempty" yaml:"ref,omitempty"`
	// Digest is the image's or the executable's, "sha256:…".
	Digest string `json:"digest,omitempty" yaml:"digest,omitempty"`
	// When is a CEL expression over finding, file, image and today.
	When string `json:"when,omitempty" yaml:"when,omitempty"`
	// Owner answers for the exemption.
	Owner  string `json:"owner" yaml:"owner"`
	Reason string `json:"reason" yaml:"reason"`
	// Expires is the last day it holds, YYYY-MM-DD.
	Expires string `json:"expires" yaml:"expires"`
}

// PolicyCase is a test of a policy: facts, and the verdict that they should get.
type PolicyCase struct {
	Name string `json:"name" yaml:"name"`
	// Today is the day of the verdict, YYYY-MM-DD.
	Today string `json:"today" yaml:"today"`
	// Ref is the reference that exemptions are matched with.
	Ref string `json:"ref,omitempty" yaml:"ref,omitempty"`
	// Files are the executables; what a case leaves out is empty.
	Files []Facts `json:"files,omitempty" yaml:"files,omitempty"`
	// Image makes the case one about a container image.
	Image *Image `json:"image,omitempty" yaml:"image,omitempty"`
	// Start are the start-up findings.
	Start  []Finding  `json:"start,omitempty" yaml:"start,omitempty"`
	Expect PolicyWant `json:"expect" yaml:"expect"`
}

// PolicyWant is what a case expects.
type PolicyWant struct {
	// Verdict is pass, warn or deny.
	Verdict string `json:"verdict" yaml:"verdict"`
	// Rules are the rules of all findings that are not excused, each once, in any
	// order; not looked at when absent.
	Rules []string `json:"rules,omitempty" yaml:"rules,omitempty"`
	// Exempted are the rules of all excused findings, likewise.
	Exempted []string `json:"exempted,omitempty" yaml:"exempted,omitempty"`
}
