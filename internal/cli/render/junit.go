package render

import (
	"encoding/xml"
	"io"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The JUnit types follow the schema that CI systems share (testsuites,
// testsuite, testcase with failure, error, skipped, system-out).

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class     string        `xml:"classname,attr"`
	Name      string        `xml:"name,attr"`
	Failure   *junitProblem `xml:"failure,omitempty"`
	Error     *junitProblem `xml:"error,omitempty"`
	Skipped   *junitProblem `xml:"skipped,omitempty"`
	SystemOut string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// junitXML writes a suite for each item and a test case for each finding:
// denied is failed, warned and informed is passed with a remark, exempted is
// skipped. An item without findings is one passed case.
func junitXML(w io.Writer, list *api.VerdictList) error {
	all := junitSuites{Name: "gopherwood check"}
	for i := range list.Items {
		all.add(junitItem(&list.Items[i]))
	}
	for _, e := range list.Errors {
		name := Clean(join(" ", "read", e.Input))
		all.add(junitSuite{Name: name, Tests: 1, Errors: 1, Cases: []junitCase{{
			Class: name, Name: Clean(e.Code),
			Error: &junitProblem{Message: Clean(e.Message), Type: Clean(e.Code), Text: Clean(e.Hint)},
		}}})
	}
	if err := write(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	return write(w, "\n")
}

func (all *junitSuites) add(s junitSuite) {
	all.Suites = append(all.Suites, s)
	all.Tests += s.Tests
	all.Failures += s.Failures
	all.Errors += s.Errors
}

func junitItem(v *api.Verdict) junitSuite {
	name := Clean(verdictName(v))
	suite := junitSuite{Name: name}
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
		suite.Cases = []junitCase{{Class: name, Name: "verdict"}}
	}
	suite.Tests = len(suite.Cases)
	return suite
}

func junitFinding(class string, v *api.Verdict, f api.Finding) junitCase {
	message := Clean(join(": ", findingPlace(v, f), f.Message))
	c := junitCase{Class: class, Name: Clean(f.Rule)}
	switch {
	case f.Exemption != nil:
		c.Skipped = &junitProblem{Message: Clean("exempted: " + exemption(f.Exemption)), Text: message}
	case f.Severity == api.Deny:
		c.Failure = &junitProblem{Message: message, Type: api.Deny, Text: Clean(f.Hint)}
	default:
		c.SystemOut = join(". ", Clean(f.Severity)+": "+message, Clean(f.Hint))
	}
	return c
}
