package report

import (
	"encoding/xml"
	"io"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The JUnit types follow the schema that CI systems share (testsuites, testsuite,
// testcase with failure, error, skipped, system-out).

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

// JUnit writes a test suite a package and a test case a benchmark and metric:
// fail is failed, inconclusive skipped unless the gate fails or warns for that
// alone, warn and pass are passed with the reason as output. What could not be measured is an
// error. The error is w's.
func JUnit(w io.Writer, g *api.BenchGate) error {
	all := junitSuites{Name: "gopherwood bench gate"}
	var packages []string
	for i := range g.Items {
		if p := g.Items[i].Package; !slices.Contains(packages, p) {
			packages = append(packages, p)
		}
	}
	slices.Sort(packages)
	for _, p := range packages {
		all.add(junitPackage(g, p))
	}
	for _, e := range g.Errors {
		input := clean(joined(" ", "measure", e.Input))
		all.add(junitSuite{Name: input, Tests: 1, Errors: 1, Cases: []junitCase{{
			Class: input, Name: clean(e.Code), Error: &junitProblem{Message: clean(e.Message), Type: clean(e.Code), Text: clean(e.Hint)},
		}}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (all *junitSuites) add(s junitSuite) {
	all.Suites = append(all.Suites, s)
	all.Tests += s.Tests
	all.Failures += s.Failures
	all.Errors += s.Errors
}

// junitPackage is the suite of one package.
func junitPackage(g *api.BenchGate, pkg string) junitSuite {
	suite := junitSuite{Name: clean(pkg)}
	for i := range g.Items {
		item := &g.Items[i]
		if item.Package != pkg {
			continue
		}
		c := junitCase{Class: clean(pkg), Name: clean(joined(" ", itemName(item), item.Metric))}
		reason := clean(item.Reason)
		switch weight(g, item) {
		case api.BenchFail:
			c.Failure = &junitProblem{Message: reason, Type: string(item.Verdict)}
			suite.Failures++
		case api.BenchInconclusive:
			c.Skipped = &junitProblem{Message: "inconclusive: " + reason}
			suite.Skipped++
		default:
			c.SystemOut = joined(": ", string(item.Verdict), reason)
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	return suite
}
