// Package report shows what benchmarks measured to people and to continuous
// integration: a self-contained HTML page with plots, Markdown for a comment on
// a merge request, annotations of GitHub, GitLab's code quality, JUnit XML.
//
// It takes the documents of package api and changes none of them. Names,
// reasons and labels in them come from repositories that nobody vouches for:
// whatever they hold, it is shown as text.
package report

import (
	"github.com/gopherwood-dev/gopherwood/api"
)

// Data is what a report shows. Each document may be absent; those that are
// there are shown in the order of the fields.
type Data struct {
	// Title heads the page: a project's name. Without one it says "Benchmarks".
	Title string
	// Tool is Gopherwood's version, Time when the report was made, in RFC 3339;
	// both may be empty.
	Tool, Time string

	Gate *api.BenchGate
	// Measured has the measurements of Gate, for its plots.
	Measured []Measured

	Comparison *api.BenchComparison
	// Old and New have the measurements of Comparison, for its plots.
	Old, New *api.BenchResults

	Results     *api.BenchResults
	History     *api.BenchHistory
	Calibration *api.BenchCalibration
}

// Measured has what a gate measured of one metric of a benchmark.
type Measured struct {
	// Package, Name and Metric are those of the gate's item.
	Package, Name, Metric string
	// Base, Null and Head have every value that was measured, in the unit of the
	// metric and in the order of the measurements. Null is the base once more.
	Base, Null, Head []float64
	// Changes has the change from base to head of each round as a fraction, Nulls
	// that from base to null; NaN where a round has none.
	Changes, Nulls []float64
}

// Place is a line of a file in the repository.
type Place struct {
	// File is relative to the repository's root, with slashes.
	File string
	// Line counts from 1; 0 when only the file is known.
	Line int
}

// Places knows where benchmarks are declared.
type Places map[Declared]Place

// Declared names a benchmark's function.
type Declared struct {
	// Package is an import path; Function has the prefix Benchmark.
	Package, Function string
}
