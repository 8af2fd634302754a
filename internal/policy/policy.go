// Package policy holds facts against rules and gives a verdict.
//
// A policy is a document (docs/formats/policy.md) whose rules are CEL
// expressions over the types of package api. They are compiled and type-checked
// when it is loaded, so that a rule about a field that does not exist is an
// error at a line and column, not a rule that never fires. What fails only when
// it is evaluated counts as a violation: a policy fails closed.
package policy

import (
	_ "embed"
	"errors"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Policy is a compiled policy. It is safe for concurrent use.
type Policy struct {
	meta       api.PolicyMetadata
	envs       *environments
	rules      []*rule
	severities []severity
	exemptions []*exemption
	cases      []policyCase
}

// rule is a compiled rule.
type rule struct {
	api.PolicyRule
	// policy names the policy that it comes from.
	policy        string
	when          *expression // nil means always
	require       *expression
	message, hint *template
}

// severity is a compiled change of severity.
type severity struct {
	rule     glob
	severity string
}

// exemption is a compiled exemption.
type exemption struct {
	api.PolicyExemption
	rule, ref glob
	when      *expression // nil means always
	expires   time.Time
}

// policyCase is a case with its day parsed.
type policyCase struct {
	api.PolicyCase
	today time.Time
}

// The rules that no document holds.
const (
	// RuleFailed is the rule of findings about expressions that could not be
	// evaluated. They are always deny and cannot be excused.
	RuleFailed = "policy/rule-failed"
	// ExemptionExpired is the rule of findings about exemptions that have run
	// out while what they excused is still there.
	ExemptionExpired = "policy/exemption-expired"
)

// defaultName is what a document extends to build on the built-in policy.
const defaultName = "default"

//go:embed default.yaml
var defaultYAML []byte

// Default returns the built-in policy.
func Default() *Policy {
	p, err := Load("default.yaml", defaultYAML)
	if err != nil {
		panic(err) // the file is part of the program, and its tests load it
	}
	return p
}

// Load compiles the policy document in data; name is the file's name in errors.
// Every error names line and column in the file and has the code fault.Invalid.
func Load(name string, data []byte) (*Policy, error) {
	var file api.Policy
	doc, err := document.Decode("load policy", name, data, api.KindPolicy, &file)
	if err != nil {
		return nil, err
	}
	c := compiler{problems: doc, file: &file, out: &Policy{}}
	if err := c.run(); err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "load policy", Input: name, Err: err}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// Name returns the policy's name, and Description what it is for.
func (p *Policy) Name() string { return p.meta.Name }

// Description returns what the policy is for.
func (p *Policy) Description() string { return p.meta.Description }

// Setting is what a verdict depends on besides facts and policy.
type Setting struct {
	// Today is when the verdict is given; its day in UTC counts.
	Today time.Time
	// Matrix says which Go versions are supported.
	Matrix *matrix.Matrix
}

func (s Setting) check() error {
	var reason string
	switch {
	case s.Matrix == nil:
		reason = "no version matrix is given"
	case s.Today.IsZero():
		reason = "the day is not given"
	default:
		return nil
	}
	return &fault.Error{Code: fault.Usage, Op: "judge", Err: errors.New(reason)}
}
