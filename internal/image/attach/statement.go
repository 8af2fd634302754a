package attach

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The types of in-toto statements: the one that is written, and its predecessor,
// which cosign still writes for some predicates.
const (
	statementType   = "https://in-toto.io/Statement/v1"
	statementTypeV0 = "https://in-toto.io/Statement/v0.1"
)

// Statement says something about its subjects: an in-toto statement
// (github.com/in-toto/attestation, spec/v1/statement.md). Its JSON form is the
// same for the same statement.
type Statement struct {
	Subjects      []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate,omitempty"`
	// Created is when it was made, for the attachment's manifest; the statement
	// itself does not hold it. The zero time is left out.
	Created time.Time `json:"-"`
}

// Subject is what a statement is about.
type Subject struct {
	Name string `json:"name,omitempty"`
	// Digest has hex digests by the name of their algorithm, "sha256".
	Digest map[string]string `json:"digest"`
}

// NewStatement returns a statement about one manifest. name is what people call
// it, and may be empty; predicate is encoded as JSON.
func NewStatement(subject v1.Hash, name, predicateType string, predicate any) (Statement, error) {
	data, err := json.Marshal(predicate)
	if err != nil {
		return Statement{}, &fault.Error{Code: fault.Invalid, Op: "make statement", Input: predicateType, Err: err}
	}
	return Statement{
		Subjects:      []Subject{{Name: name, Digest: map[string]string{subject.Algorithm: subject.Hex}}},
		PredicateType: predicateType,
		Predicate:     data,
	}, nil
}

// signature is the statement by which cosign signs an image.
func signature(subject v1.Hash, created time.Time) Statement {
	return Statement{
		Subjects:      []Subject{{Digest: map[string]string{subject.Algorithm: subject.Hex}}},
		PredicateType: api.PredicateSignature,
		Predicate:     json.RawMessage("{}"),
		Created:       created,
	}
}

// fields is a Statement without its methods.
type fields Statement

// wire is a statement as JSON.
type wire struct {
	Type string `json:"_type"`
	fields
}

// MarshalJSON returns the statement in version 1 of the format.
func (s Statement) MarshalJSON() ([]byte, error) {
	return json.Marshal(wire{statementType, fields(s)})
}

// ParseStatement reads an in-toto statement. Its errors have the code
// fault.Invalid, or fault.Limit when data is longer than 32 MiB.
func ParseStatement(data []byte) (Statement, error) {
	s, err := parseStatement(data)
	if err != nil {
		code := fault.Invalid
		if len(data) > maxStatement {
			code = fault.Limit
		}
		return Statement{}, &fault.Error{Code: code, Op: "read statement", Err: err}
	}
	return s, nil
}

func parseStatement(data []byte) (Statement, error) {
	if len(data) > maxStatement {
		return Statement{}, fmt.Errorf("it has %d bytes, more than the limit of %d", len(data), maxStatement)
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return Statement{}, fmt.Errorf("no JSON of an in-toto statement: %w", err)
	}
	switch {
	case w.Type != statementType && w.Type != statementTypeV0:
		return Statement{}, fmt.Errorf("the type %q is that of no in-toto statement", w.Type)
	case w.PredicateType == "":
		return Statement{}, errors.New("the statement has no predicate type")
	case len(w.Subjects) == 0:
		return Statement{}, errors.New("the statement is about nothing: it has no subject")
	}
	return Statement(w.fields), nil
}

// about reports whether digest is one of the statement's subjects.
func (s Statement) about(digest v1.Hash) bool {
	return slices.ContainsFunc(s.Subjects, func(subject Subject) bool {
		return digest.Hex != "" && subject.Digest[digest.Algorithm] == digest.Hex
	})
}
