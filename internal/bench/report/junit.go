package report

import (
	"io"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
	"github.com/gopherwood-dev/gopherwood/internal/base/junit"
)

// JUnit writes a test suite a package and a test case a benchmark and metric:
// fail is failed, inconclusive skipped unless the gate fails or warns for that
// alone, warn and pass are passed with the reason as output. What could not be measured is an
// error. The error is w's.
func JUnit(w io.Writer, g *api.BenchGate) error {
	all := junit.Suites{Name: "gopherwood bench gate"}
	var packages []string
	for i := range g.Items {
		if p := g.Items[i].Package; !slices.Contains(packages, p) {
			packages = append(packages, p)
		}
	}
	slices.Sort(packages)
	for _, p := range packages {
		all.Add(junitPackage(g, p))
	}
	for _, e := range g.Errors {
		input := harmless.Clean(joined(" ", "measure", e.Input))
		all.Add(junit.Suite{Name: input, Tests: 1, Errors: 1, Cases: []junit.Case{{
			Class: input, Name: harmless.Clean(e.Code), Error: &junit.Problem{Message: harmless.Clean(e.Message), Type: harmless.Clean(e.Code), Text: harmless.Clean(e.Hint)},
		}}})
	}
	return all.Write(w)
}

// junitPackage is the suite of one package.
func junitPackage(g *api.BenchGate, pkg string) junit.Suite {
	suite := junit.Suite{Name: harmless.Clean(pkg)}
	for i := range g.Items {
		item := &g.Items[i]
		if item.Package != pkg {
			continue
		}
		c := junit.Case{Class: harmless.Clean(pkg), Name: harmless.Clean(joined(" ", itemName(item), item.Metric))}
		reason := harmless.Clean(item.Reason)
		switch weight(g, item) {
		case api.BenchFail:
			c.Failure = &junit.Problem{Message: reason, Type: string(item.Verdict)}
			suite.Failures++
		case api.BenchInconclusive:
			c.Skipped = &junit.Problem{Message: "inconclusive: " + reason}
			suite.Skipped++
		default:
			c.SystemOut = joined(": ", string(item.Verdict), reason)
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	return suite
}
