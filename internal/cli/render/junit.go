package render

import (
	"io"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/junit"
)

// junitXML writes a suite for each item and a test case for each finding:
// denied is failed, warned and informed is passed with a remark, exempted is
// skipped. An item without findings is one passed case.
func junitXML(w io.Writer, list *api.VerdictList) error {
	all := junit.Suites{Name: "gopherwood check"}
	for i := range list.Items {
		all.Add(junitItem(&list.Items[i]))
	}
	for _, e := range list.Errors {
		name := Clean(join(" ", "read", e.Input))
		all.Add(junit.Suite{Name: name, Tests: 1, Errors: 1, Cases: []junit.Case{{
			Class: name, Name: Clean(e.Code),
			Error: &junit.Problem{Message: Clean(e.Message), Type: Clean(e.Code), Text: Clean(e.Hint)},
		}}})
	}
	return all.Write(w)
}

func junitItem(v *api.Verdict) junit.Suite {
	name := Clean(verdictName(v))
	suite := junit.Suite{Name: name}
	for _, f := range v.Findings {
		c := junitFinding(name, v, f)
		if c.Failure != nil {
			suite.Failures++
		}
		if c.Skipped != nil {
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if len(suite.Cases) == 0 {
		suite.Cases = []junit.Case{{Class: name, Name: "verdict"}}
	}
	suite.Tests = len(suite.Cases)
	return suite
}

func junitFinding(class string, v *api.Verdict, f api.Finding) junit.Case {
	message := Clean(join(": ", findingPlace(v, f), f.Message))
	c := junit.Case{Class: class, Name: Clean(f.Rule)}
	switch {
	case f.Exemption != nil:
		c.Skipped = &junit.Problem{Message: Clean("exempted: " + exemption(f.Exemption)), Text: message}
	case f.Severity == api.Deny:
		c.Failure = &junit.Problem{Message: message, Type: api.Deny, Text: Clean(f.Hint)}
	default:
		c.SystemOut = join(". ", Clean(f.Severity)+": "+message, Clean(f.Hint))
	}
	return c
}
