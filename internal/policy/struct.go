package policy

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
)

// Problem is what is wrong with a policy that is no file.
type Problem struct {
	// Path leads to the field, for example "rules[2].require".
	Path string
	// Line and Column, both from 1, are the place within the field's text; 0 when
	// the problem is the field itself, or that it is missing.
	Line, Column int
	Message      string
}

// String writes the problem in one line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.Path, p.Line, p.Column, p.Message)
}

// maxProblems is how many problems Compile lists.
const maxProblems = 50

// Compile compiles a policy that was decoded elsewhere, such as from a Kubernetes
// object, with the same checks as Load. name is the policy's, whatever the
// metadata of doc say; its kind and schemaVersion are not looked at. The policy
// is nil when there are problems, which are in the order of the fields.
func Compile(name string, doc api.Policy) (*Policy, []Problem) {
	doc.Metadata.Name = name
	list := &problemList{doc: reflect.ValueOf(doc)}
	c := compiler{problems: list, file: &doc, out: &Policy{}}
	if err := c.run(); err != nil {
		return nil, []Problem{{Message: err.Error()}}
	}
	if len(list.problems) > 0 {
		return nil, list.problems
	}
	return c.out, nil
}

// problemList collects the problems of a policy in a struct.
type problemList struct {
	doc      reflect.Value
	problems []Problem
}

// Report implements reporter.
func (l *problemList) Report(path document.Path, offset int, message string) {
	switch {
	case len(l.problems) > maxProblems:
		return
	case len(l.problems) == maxProblems:
		l.problems = append(l.problems, Problem{Message: "and more"})
		return
	}
	p := Problem{Path: path.String(), Message: message}
	if text := textAt(l.doc, path); text != "" {
		p.Line, p.Column = place(text, offset)
	}
	l.problems = append(l.problems, p)
}

// place returns the line and column, from 1, of an offset in runes.
func place(text string, offset int) (line, column int) {
	before := text
	for i := range text {
		if offset == 0 {
			before = text[:i]
			break
		}
		offset--
	}
	last := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[last:])
}

// textAt returns the string at path, "" when there is none.
func textAt(v reflect.Value, path document.Path) string {
	for _, step := range path {
		if v = below(v, step); !v.IsValid() {
			return ""
		}
	}
	if v.Kind() != reflect.String {
		return ""
	}
	return v.String()
}

// below returns the field or element of v that step names, by its json tag; an
// invalid value when there is none.
func below(v reflect.Value, step any) reflect.Value {
	switch step := step.(type) {
	case int:
		if v.Kind() == reflect.Slice && step < v.Len() {
			return v.Index(step)
		}
	case string:
		if v.Kind() != reflect.Struct {
			break
		}
		for i := range v.NumField() {
			if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == step {
				return v.Field(i)
			}
		}
	}
	return reflect.Value{}
}
