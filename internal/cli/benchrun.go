package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// runFlags are the flags of bench run.
type runFlags struct {
	*benchFlags
	count          int
	revision, file string
	format         *formatFlag
}

func newBenchRun(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [PACKAGE...] [-- TEST-FLAG...]",
		Short: "Measure benchmarks",
		Long: `Run measures the benchmarks of the work tree, or of another revision. Each sample is
a process of its own. It goes through all benchmarks once for each sample, every
time in another order, so that what slows the machine down for a while meets a
sample of many benchmarks instead of all samples of one.

What it prints is the Go benchmark format, as go test -bench does, with the commit,
the machine, its noise and the settings in configuration lines; JSON and YAML are a
BenchResults. Both are described in docs/formats/benchresults.md. 'gopherwood bench
compare' compares two of them; to decide about a change, 'gopherwood bench gate'
measures both sides at once.

The exit code is 4 when some benchmarks could not be measured, 1 when none could.`,
		Example: `  gopherwood bench run ./... > new.txt
  gopherwood bench run --bench Encode --count 20 --rev HEAD~1 ./codec
  gopherwood bench run -o json -O results.json ./...`,
	}
	f := &runFlags{benchFlags: addBenchAs(cmd, "benchtime", bench.DefaultSample, "how long a sample measures")}
	flags := cmd.Flags()
	flags.IntVar(&f.count, "count", bench.DefaultCount, "how many samples each benchmark gets")
	flags.StringVar(&f.revision, "rev", "", "the revision that is measured (default: the work tree as it is)")
	f.format = addFormat(cmd, render.Text, render.JSON, render.YAML)
	flags.StringVarP(&f.file, "file", "O", "", "file to write to instead of standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opt, err := f.run(cmd, a, args)
		if err != nil {
			return err
		}
		set, err := a.benchRun(cmd.Context(), opt)
		if err != nil {
			return err
		}
		return a.showResults(set, f)
	}
	return cmd
}

// run returns what the flags and the configuration say.
func (f *runFlags) run(cmd *cobra.Command, a *app, args []string) (bench.RunOptions, error) {
	if f.count < 1 {
		return bench.RunOptions{}, usage(cmd, "--count must be positive")
	}
	p, err := loadProject(f.config)
	if err != nil {
		return bench.RunOptions{}, err
	}
	common, err := f.options(cmd, a, args)
	return bench.RunOptions{Options: common, Revision: f.revision, Count: f.count, Direction: direction(p.Bench)}, err
}

func (a *app) benchRun(ctx context.Context, opt bench.RunOptions) (*api.BenchResults, error) {
	view := startBenchView(a.stderr)
	defer view.stop()
	opt.Progress, opt.Log = view.report, view.log()
	return bench.Run(ctx, opt)
}

// showResults writes the answer, and says on standard error what it lacks.
func (a *app) showResults(set *api.BenchResults, f *runFlags) error {
	for i := range set.Errors {
		a.report.document(&set.Errors[i])
	}
	write := func(w io.Writer) error { return render.Document(w, f.format.value, set) }
	if f.format.value == render.Text {
		for _, note := range set.Notes {
			fmt.Fprintln(a.stderr, "note: "+render.Clean(note))
		}
		write = func(w io.Writer) error { return results.Write(w, set) }
	}
	if err := a.writeTo(f.file, write); err != nil {
		return err
	}
	return partial(len(set.Runs), len(set.Errors))
}
