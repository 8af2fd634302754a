package api

// KindModulePolicy is the kind of ModulePolicy.
const KindModulePolicy = "ModulePolicy"

// ModulePolicy is a policy file of the module proxy: which versions of modules
// may be used. It is described in docs/formats/modulepolicy.md.
type ModulePolicy struct {
	SchemaVersion string            `json:"schemaVersion" yaml:"schemaVersion"`
	Kind          string            `json:"kind" yaml:"kind"`
	Metadata      PolicyMetadata    `json:"metadata" yaml:"metadata"`
	Rules         []ModuleRule      `json:"rules,omitempty" yaml:"rules,omitempty"`
	Exemptions    []ModuleExemption `json:"exemptions,omitempty" yaml:"exemptions,omitempty"`
}

// The rules of the module proxy that no document holds. Exemptions may name them.
const (
	// RuleCoolDown refuses public versions that are not known here for long enough.
	RuleCoolDown = "modules/cooldown"
	// RuleVulnerable refuses versions with a known vulnerability.
	RuleVulnerable = "modules/vulnerable"
)

// ModuleRule is one rule: where When holds, Require must hold too.
type ModuleRule struct {
	// ID has the form group/name, for example "licence/present".
	ID string `json:"id" yaml:"id"`
	// Severity is what a violation counts: deny, or warn to let the version pass
	// and say so in the log.
	Severity string `json:"severity" yaml:"severity"`
	// Description says why the rule is there.
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// When is a CEL expression that says what the rule is about; empty means all.
	When string `json:"when,omitempty" yaml:"when,omitempty"`
	// Require is the CEL expression that must be true.
	Require string `json:"require" yaml:"require"`
	// Message says what is wrong; {variables} in braces are replaced by values.
	Message string `json:"message" yaml:"message"`
	// Hint says what the user of the go command can do; a template like Message.
	Hint string `json:"hint,omitempty" yaml:"hint,omitempty"`
}

// ModuleExemption excuses modules from a rule for a while.
type ModuleExemption struct {
	// Rule is the id of a rule: the document's own, modules/cooldown or
	// modules/vulnerable.
	Rule string `json:"rule" yaml:"rule"`
	// Module is a pattern of module paths as GOPRIVATE has them, and may end in
	// @VERSION.
	Module string `json:"module" yaml:"module"`
	// Vulnerability narrows an exemption from modules/vulnerable to the one with
	// this id or alias, for example "GO-2024-2687" or "CVE-2023-45288".
	Vulnerability string `json:"vulnerability,omitempty" yaml:"vulnerability,omitempty"`
	// Owner answers for the exemption.
	Owner  string `json:"owner" yaml:"owner"`
	Reason string `json:"reason" yaml:"reason"`
	// Expires is the last day it holds, YYYY-MM-DD in UTC.
	Expires string `json:"expires" yaml:"expires"`
}
