package cli

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/compare"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newBenchCompare(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Compare two sets of results",
		Long: `Compare says how results differ that were measured one after the other: what
'gopherwood bench run' and go test -bench print, also with -json, and what
docs/formats/benchresults.md names besides. OLD and NEW are a file each, or several
with commas between, whose results are taken together; - is standard input.

Each change comes with an interval: the changes that the samples leave possible. It
shows everything that changed between the two measurements, the machine's mood
included; what differs besides the code is said first, above all when the machines
do. To decide about a change, use 'gopherwood bench gate'.

The exit code is 4 when some lines of a file could not be read, or are of benchmarks
that failed. It says nothing of the changes.`,
		Example: `  gopherwood bench compare old.txt new.txt
  gopherwood bench compare monday.json,tuesday.json new.txt -o markdown
  go test -bench . -count 10 | gopherwood bench compare old.txt -`,
		Args: cobra.MatchAll(needArgs(2, "OLD and NEW, a file each or several with commas between"), maxArgs(2)),
	}
	flags := cmd.Flags()
	alpha := flags.Float64("alpha", compare.DefaultAlpha, "1 minus the confidence of each interval")
	configFile := flags.String("config", "", "configuration file (default: .gopherwood.yaml of the module)")
	html := flags.String("html", "", "also write a page with plots to this file")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML, render.Markdown)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *alpha <= 0 || *alpha >= 1 {
			return usage(cmd, "--alpha must be between 0 and 1")
		}
		p, err := loadProject(*configFile)
		if err != nil {
			return err
		}
		old, new, err := a.readSides(cmd, args[0], args[1])
		if err != nil {
			return err
		}
		c, err := compared(old, new, compare.Options{Old: args[0], New: args[1], Alpha: *alpha, Units: p.Bench.Units})
		if err != nil {
			return err
		}
		data := benchData()
		data.Comparison, data.Old, data.New = c, old, new
		if err := a.showComparison(data, format.value, *html); err != nil {
			return err
		}
		return partial(1, len(old.Errors)+len(new.Errors))
	}
	return cmd
}

// benchData is a report that shows nothing yet.
func benchData() report.Data {
	return report.Data{Tool: buildVersion().Version, Time: time.Now().UTC().Format(time.RFC3339)}
}

// readSides reads two lists of files.
func (a *app) readSides(cmd *cobra.Command, old, new string) (before, after *api.BenchResults, err error) {
	names := strings.Split(old+","+new, ",")
	if n := len(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name != "-" })); n > 1 {
		return nil, nil, usage(cmd, "standard input can be read once only")
	}
	if before, err = a.readResults(strings.Split(old, ",")); err != nil {
		return nil, nil, err
	}
	after, err = a.readResults(strings.Split(new, ","))
	return before, after, err
}

// readResults reads files and merges what is in them. It says on standard error
// what could not be read.
func (a *app) readResults(names []string) (*api.BenchResults, error) {
	sets := make([]*api.BenchResults, len(names))
	for i, name := range names {
		r, err := a.openInput("read benchmark results", name)
		if err != nil {
			return nil, err
		}
		sets[i], err = results.Read(r, name)
		_ = r.Close() // it was only read
		if err != nil {
			return nil, err
		}
	}
	merged := results.Merge(sets...)
	for i := range merged.Errors {
		a.report.document(&merged.Errors[i])
	}
	return merged, nil
}

// openInput opens a file, or standard input for "-".
func (a *app) openInput(op, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: op, Err: err, Hint: "check the file's name"}
	}
	return f, nil
}

// compared compares two sets that have something in common.
func compared(old, new *api.BenchResults, opt compare.Options) (*api.BenchComparison, error) {
	c, err := compare.Compare(old, new, opt)
	if err != nil {
		return nil, err
	}
	if len(c.Items) == 0 {
		return nil, &fault.Error{
			Code: fault.NotFound, Op: "compare", Input: opt.Old + " and " + opt.New, Err: errors.New(strings.Join(append([]string{"they have no metric of a benchmark in common"}, c.Notes...), "\n")),
			Hint: "compare results of the same packages; GOMAXPROCS is part of a benchmark's name, too",
		}
	}
	return c, nil
}

func (a *app) showComparison(data report.Data, f render.Format, html string) error {
	if html != "" {
		if err := replaceFile(html, func(w io.Writer) error { return report.HTML(w, data) }); err != nil {
			return err
		}
	}
	if f == render.Markdown {
		return report.Markdown(a.stdout, data)
	}
	return render.BenchComparison(a.stdout, f, data.Comparison, a.look)
}
