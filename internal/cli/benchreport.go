package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newBenchReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report FILE...",
		Short: "Write a page, a comment or annotations from what bench has found",
		Long: `Report shows documents that the other commands wrote with -o json: a gate, a
comparison, results, a history, a calibration, one of each; - is standard input.
Results may be of several files and in any format that docs/formats/benchresults.md
names.

HTML is one page with plots that needs nothing else; Markdown fits a comment on a
merge request. GitHub's annotations, GitLab's code quality report and JUnit XML are
of a gate; the lines of its benchmarks are looked up in the module at the working
directory. JSON is all documents one after the other, the results merged.`,
		Example: `  gopherwood bench report gate.json -O bench.html
  gopherwood bench report gate.json -o github
  gopherwood bench report history.json calibration.json -O bench.html`,
		Args: needArgs(1, "a FILE that a command of bench wrote with -o json"),
	}
	format := addFormat(cmd, render.HTML, render.Markdown, render.JSON, render.GitHub, render.CodeQuality, render.JUnit)
	file := cmd.Flags().StringP("file", "O", "", "file to write to instead of standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		data := benchData()
		for _, name := range args {
			if err := a.readReported(&data, name); err != nil {
				return err
			}
		}
		write, err := a.reportWriter(cmd, format.value, data)
		if err != nil {
			return err
		}
		return a.writeTo(*file, write)
	}
	return cmd
}

// readReported reads a document into data.
func (a *app) readReported(data *report.Data, name string) error {
	const op = "read benchmark document"
	r, err := a.openInput(op, name)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, results.MaxBytes+1))
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: op, Input: name, Err: err}
	}
	if len(text) > results.MaxBytes {
		return &fault.Error{Code: fault.Limit, Op: op, Input: name, Hint: fmt.Sprintf("such a file is at most %d MiB", results.MaxBytes>>20)}
	}
	known, err := addDocument(data, text)
	switch {
	case err != nil:
		return &fault.Error{Code: fault.Invalid, Op: op, Input: name, Err: err}
	case known:
		return nil
	}
	set, err := results.Read(bytes.NewReader(text), name)
	if err != nil {
		return err
	}
	if data.Results != nil {
		set = results.Merge(data.Results, set)
	}
	data.Results = set
	return nil
}

// addDocument adds the document in text to data. It returns false when it is none
// whose kind is known here, such as results, which have many forms.
func addDocument(data *report.Data, text []byte) (known bool, err error) {
	var of struct {
		SchemaVersion string `json:"schemaVersion"`
		Kind          string `json:"kind"`
	}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&of) != nil {
		return false, nil
	}
	switch of.Kind {
	case api.KindBenchGate:
		err = decodeOnce(&data.Gate, text)
	case api.KindBenchComparison:
		err = decodeOnce(&data.Comparison, text)
	case api.KindBenchHistory:
		err = decodeOnce(&data.History, text)
	case api.KindBenchCalibration:
		err = decodeOnce(&data.Calibration, text)
	default:
		return false, nil
	}
	if err == nil && of.SchemaVersion != api.SchemaVersion {
		err = fmt.Errorf("schemaVersion %q; this version of Gopherwood reads %s", of.SchemaVersion, api.SchemaVersion)
	}
	return true, err
}

// decodeOnce decodes a document for which there is one place.
func decodeOnce[T any](place **T, text []byte) error {
	if *place != nil {
		return errors.New("another file has a document of this kind: a report shows one")
	}
	return json.Unmarshal(text, place)
}

// reportWriter returns what writes data in a format.
func (a *app) reportWriter(cmd *cobra.Command, f render.Format, data report.Data) (func(io.Writer) error, error) {
	switch f {
	case render.HTML:
		return func(w io.Writer) error { return report.HTML(w, data) }, nil
	case render.Markdown:
		return func(w io.Writer) error { return report.Markdown(w, data) }, nil
	case render.JSON:
		return func(w io.Writer) error { return writeDocuments(w, data) }, nil
	}
	if data.Gate == nil {
		return nil, usage(cmd, "-o %s is of a gate, and there is none in the files", f)
	}
	return gateWriter(f, data.Gate)
}

// gateWriter returns what writes a gate in a format that only a gate has.
func gateWriter(f render.Format, g *api.BenchGate) (func(io.Writer) error, error) {
	if f == render.JUnit {
		return func(w io.Writer) error { return report.JUnit(w, g) }, nil
	}
	places, err := placesHere(g)
	if err != nil {
		return nil, err
	}
	write := report.GitHub
	if f == render.CodeQuality {
		write = report.CodeQuality
	}
	return func(w io.Writer) error { return write(w, g, places) }, nil
}

// writeDocuments writes the documents that there are as JSON, one after the other.
func writeDocuments(w io.Writer, data report.Data) error {
	var docs []any
	if data.Gate != nil {
		docs = append(docs, data.Gate)
	}
	if data.Comparison != nil {
		docs = append(docs, data.Comparison)
	}
	if data.Results != nil {
		docs = append(docs, data.Results)
	}
	if data.History != nil {
		docs = append(docs, data.History)
	}
	if data.Calibration != nil {
		docs = append(docs, data.Calibration)
	}
	for _, doc := range docs {
		if err := render.Document(w, render.JSON, doc); err != nil {
			return err
		}
	}
	return nil
}
