// Package render turns the documents of package api into what a person or
// another program reads: tables, JSON, YAML, SARIF, JUnit XML and Markdown.
//
// Everything that comes from an artifact (paths, messages, environment lines)
// may be hostile. Each format makes it harmless in its own way: control
// characters never reach a terminal, and markup never leaves its field.
package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Format is the value of -o.
type Format string

// The formats.
const (
	Table    Format = "table"
	JSON     Format = "json"
	YAML     Format = "yaml"
	SARIF    Format = "sarif"
	JUnit    Format = "junit"
	Markdown Format = "markdown"
	// Text is the Go benchmark format.
	Text Format = "text"
	// GitHub are annotations of a workflow, CodeQuality a report of GitLab's.
	GitHub      Format = "github"
	CodeQuality Format = "codequality"
)

// Layout is how a table looks.
type Layout struct {
	// Verbose prints everything of each item instead of one line.
	Verbose bool
	// Color allows colour, which never carries meaning alone.
	Color bool
}

// width is the number of columns that a table may take.
const width = 100

// Facts writes list as a table, JSON or YAML.
func Facts(w io.Writer, f Format, list *api.FactsList, look Layout) error {
	switch f {
	case Table:
		return write(w, factsTable(list, look))
	case JSON, YAML:
		return Document(w, f, list)
	}
	return unknown(f)
}

// Verdicts writes list in any of the formats. tool is the version of Gopherwood
// that SARIF names.
func Verdicts(w io.Writer, f Format, list *api.VerdictList, look Layout, tool string) error {
	switch f {
	case Table:
		return write(w, verdictTable(list, look))
	case JSON, YAML:
		return Document(w, f, list)
	case SARIF:
		return Document(w, JSON, sarifLog(list, tool))
	case JUnit:
		return junitXML(w, list)
	case Markdown:
		return write(w, markdown(list))
	}
	return unknown(f)
}

// Versions writes list as a table, JSON or YAML.
func Versions(w io.Writer, f Format, list *api.GoVersionList, look Layout) error {
	switch f {
	case Table:
		return write(w, versionsTable(list, look))
	case JSON, YAML:
		return Document(w, f, list)
	}
	return unknown(f)
}

// Document writes any document as JSON or YAML.
func Document(w io.Writer, f Format, doc any) error {
	switch f {
	case JSON:
		data, err := jsonText(doc, "  ")
		if err != nil {
			return err
		}
		return write(w, string(data))
	case YAML:
		data, err := yamlText(doc)
		if err != nil {
			return err
		}
		return write(w, string(data))
	}
	return unknown(f)
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

func unknown(f Format) error { return fmt.Errorf("no format %q", f) }

// join returns the elements that are not empty, separated by sep.
func join(sep string, elems ...string) string {
	var kept []string
	for _, e := range elems {
		if e != "" {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, sep)
}
