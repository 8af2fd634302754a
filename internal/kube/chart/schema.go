package chart

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/internal/base/spelling"
)

// valueSchema is the part of JSON Schema that values.schema.json uses. A keyword that
// is not here makes Load fail, so that nothing which Helm would refuse is let
// through in silence.
type valueSchema struct {
	Draft                string                  `json:"$schema"`
	Title                string                  `json:"title"`
	Description          string                  `json:"description"`
	Type                 string                  `json:"type"`
	Properties           map[string]*valueSchema `json:"properties"`
	AdditionalProperties *additional             `json:"additionalProperties"`
	Required             []string                `json:"required"`
	Items                *valueSchema            `json:"items"`
	MinItems             int                     `json:"minItems"`
	Enum                 []string                `json:"enum"`
	Pattern              string                  `json:"pattern"`
	MinLength            int                     `json:"minLength"`
	Minimum              *int64                  `json:"minimum"`
	Maximum              *int64                  `json:"maximum"`
}

// additional is what a key must be that is not among the properties: false for
// nothing, or a schema.
type additional struct{ schema *valueSchema }

func (a *additional) UnmarshalJSON(data []byte) error {
	if string(data) == "false" {
		return nil
	}
	return json.Unmarshal(data, &a.schema)
}

// Problem is what is wrong with one value.
type Problem struct {
	// Path names the value, as in "webhook.replicas" and "image.pullSecrets[0]".
	Path    string
	Message string
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// check returns what is wrong with value, which stands at path.
func (s *valueSchema) check(path string, value any) []Problem {
	if problem := s.checkType(value); problem != "" {
		return []Problem{{path, problem}}
	}
	switch v := value.(type) {
	case map[string]any:
		return s.checkObject(path, v)
	case []any:
		return s.checkList(path, v)
	case string:
		return s.checkString(path, v)
	case json.Number:
		return s.checkNumber(path, v)
	}
	return nil
}

func (s *valueSchema) checkType(value any) string {
	got := "null"
	switch v := value.(type) {
	case map[string]any:
		got = "object"
	case []any:
		got = "array"
	case string:
		got = "string"
	case bool:
		got = "boolean"
	case json.Number:
		got = "number"
		if n, ok := new(big.Rat).SetString(v.String()); ok && n.IsInt() {
			got = "integer"
		}
	}
	if s.Type == "" || s.Type == got || s.Type == "number" && got == "integer" {
		return ""
	}
	return "want " + s.typeName() + ", got " + (&valueSchema{Type: got}).typeName()
}

// typeName names the type as one who writes YAML would.
func (s *valueSchema) typeName() string {
	switch s.Type {
	case "object":
		return "keys with values"
	case "array":
		return "a list"
	case "string":
		return "text"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	case "null":
		return "nothing"
	}
	return "a " + s.Type
}

func (s *valueSchema) checkObject(path string, object map[string]any) []Problem {
	var problems []Problem
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			problems = append(problems, Problem{path, "needs " + key})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at := key
		if path != "" {
			at = path + "." + key
		}
		switch of := s.Properties[key]; {
		case of != nil:
			problems = append(problems, of.check(at, object[key])...)
		case s.AdditionalProperties == nil:
		case s.AdditionalProperties.schema == nil:
			problems = append(problems, Problem{at, "there is no such value" + s.similar(key)})
		default:
			problems = append(problems, s.AdditionalProperties.schema.check(at, object[key])...)
		}
	}
	return problems
}

func (s *valueSchema) checkList(path string, list []any) []Problem {
	var problems []Problem
	if len(list) < s.MinItems {
		problems = append(problems, Problem{path, fmt.Sprintf("want at least %d in the list, got %d", s.MinItems, len(list))})
	}
	if s.Items == nil {
		return problems
	}
	for i, item := range list {
		problems = append(problems, s.Items.check(path+"["+strconv.Itoa(i)+"]", item)...)
	}
	return problems
}

func (s *valueSchema) checkString(path, text string) []Problem {
	switch {
	case s.Enum != nil && !slices.Contains(s.Enum, text):
		return []Problem{{path, fmt.Sprintf("want one of %q, got %q", s.Enum, text)}}
	case utf8.RuneCountInString(text) < s.MinLength:
		return []Problem{{path, "must not be empty"}}
	}
	if s.Pattern == "" {
		return nil
	}
	switch form, err := regexp.Compile(s.Pattern); {
	case err != nil:
		return []Problem{{path, "the chart's schema is wrong: " + err.Error()}}
	case !form.MatchString(text):
		return []Problem{{path, fmt.Sprintf("%q has not the form %s", text, s.Pattern)}}
	}
	return nil
}

func (s *valueSchema) checkNumber(path string, number json.Number) []Problem {
	n, ok := new(big.Rat).SetString(number.String())
	switch {
	case !ok:
		return []Problem{{path, fmt.Sprintf("%q is no number", number)}}
	case s.Minimum != nil && n.Cmp(new(big.Rat).SetInt64(*s.Minimum)) < 0:
		return []Problem{{path, fmt.Sprintf("want at least %d, got %s", *s.Minimum, number)}}
	case s.Maximum != nil && n.Cmp(new(big.Rat).SetInt64(*s.Maximum)) > 0:
		return []Problem{{path, fmt.Sprintf("want at most %d, got %s", *s.Maximum, number)}}
	}
	return nil
}

// similar suggests the property that key may be a slip for, or names them all.
func (s *valueSchema) similar(key string) string {
	names := slices.Sorted(maps.Keys(s.Properties))
	if len(names) == 0 {
		return ""
	}
	nearest := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(distance(key, a), distance(key, b)) })
	if distance(key, nearest) <= 2+len(key)/8 {
		return "; did you mean " + nearest + "?"
	}
	return fmt.Sprintf("; there are %s", join(names))
}

// distance is the number of letters by which a and b differ (Levenshtein), of
// which long ones count as wholly different.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	return spelling.Distance(a, b)
}
