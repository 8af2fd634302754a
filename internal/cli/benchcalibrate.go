package cli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

func newBenchCalibrate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "calibrate [PACKAGE...] [-- TEST-FLAG...]",
		Short: "Say what a gate can tell on this machine",
		Long: `Calibrate compares the benchmarks of the work tree with themselves, in rounds as those
of a gate, until the budget is spent. From these rounds it says how noisy each
benchmark is, and which change so many rounds tell from none; how many of 500 gates,
replayed with the limits and the budget of .gopherwood.yaml, fail though nothing has
changed; and the smallest limit for ns/op that can be held within that budget.

Run it on a new runner, and again when the machine changes. JSON is a
BenchCalibration, which 'gopherwood bench report' shows, too.`,
		Example: `  gopherwood bench calibrate ./...
  gopherwood bench calibrate --bench Encode --budget 5m -o json -O calibration.json ./codec
  gopherwood bench calibrate -o html -O calibration.html ./...`,
	}
	f := addBench(cmd)
	flags := cmd.Flags()
	budget := flags.Duration("budget", bench.DefaultCalibration, "how long to measure")
	alpha := flags.Float64("alpha", judge.DefaultAlpha, "that of the gates that are replayed")
	file := flags.StringP("file", "O", "", "file to write to instead of standard output")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML, render.Markdown, render.HTML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *budget <= 0 || *alpha <= 0 || *alpha >= 0.5 {
			return usage(cmd, "--budget must be positive, --alpha between 0 and 0.5")
		}
		opt, err := f.calibration(cmd, a, args)
		if err != nil {
			return err
		}
		opt.Budget, opt.Alpha = *budget, *alpha
		doc, err := a.calibrate(cmd.Context(), opt)
		if err != nil {
			return err
		}
		return a.writeTo(*file, a.calibrationWriter(format.value, doc))
	}
	return cmd
}

// calibration returns what the flags and the configuration say.
func (f *benchFlags) calibration(cmd *cobra.Command, a *app, args []string) (opt bench.CalibrateOptions, err error) {
	p, err := loadProject(f.config)
	if err != nil {
		return opt, err
	}
	if opt.Options, err = f.options(cmd, a, args); err != nil {
		return opt, err
	}
	if p.Bench.Budget != "" {
		if opt.GateBudget, err = time.ParseDuration(p.Bench.Budget); err != nil {
			return opt, err
		}
	}
	opt.Direction = direction(p.Bench)
	opt.Limits, err = judge.NewLimits(p.Bench.Limits)
	return opt, err
}

func (a *app) calibrate(ctx context.Context, opt bench.CalibrateOptions) (*api.BenchCalibration, error) {
	view := startBenchView(a.stderr)
	defer view.stop()
	opt.Progress, opt.Log = view.report, view.log()
	return bench.Calibrate(ctx, opt)
}

// calibrationWriter returns what writes a calibration in a format.
func (a *app) calibrationWriter(f render.Format, doc *api.BenchCalibration) func(io.Writer) error {
	data := benchData()
	data.Calibration = doc
	return func(w io.Writer) error {
		switch f {
		case render.Markdown:
			return report.Markdown(w, data)
		case render.HTML:
			return report.HTML(w, data)
		}
		return render.BenchCalibration(w, f, doc, a.look)
	}
}
