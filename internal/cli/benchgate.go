package cli

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// gateFlags are the flags of bench gate.
type gateFlags struct {
	*benchFlags
	base, head, inconclusive string
	budget                   time.Duration
	alpha                    float64
	always, fresh            bool
	html, file               string
	format                   *formatFlag
	verbose                  bool
}

func newBenchGate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate --base REV [PACKAGE...] [-- TEST-FLAG...]",
		Short: "Say whether benchmarks have become slower than a revision's",
		Long: `Gate builds the test binaries of the base and of the work tree (or of --head), and
runs their benchmarks in turns: four short slices a round, head-base-base-head or
the other way around as a seeded draw has it, one of the base's being the null arm
that compares the base with itself. It stops as soon as every benchmark is decided,
at the latest when the budget is spent, and confirms what it suspects in rounds of
their own before it says fail.

Limits are read from bench.limits of .gopherwood.yaml; without any, ns/op fails
when it is more than 5% worse, and B/op and allocs/op warn when they change by
more than 3%. What could not be told is inconclusive, and counts as
--inconclusive says. What is the same program on both sides is not measured.

The exit code is 3 when the verdict is fail, and 0 when it is anything else. An
interrupted gate goes on where it was when it is started again.`,
		Example: `  gopherwood bench gate --base main ./...
  gopherwood bench gate --base HEAD~1 --bench Encode --budget 2m ./codec
  gopherwood bench gate --base origin/main -o markdown --html gate.html ./... > comment.md`,
	}
	f := &gateFlags{benchFlags: addBench(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&f.base, "base", "", "the revision to compare with (required)")
	flags.StringVar(&f.head, "head", "", "the revision that is judged (default: the work tree as it is)")
	flags.DurationVar(&f.budget, "budget", bench.DefaultBudget, "how long to measure at most")
	flags.Float64Var(&f.alpha, "alpha", judge.DefaultAlpha, "the probability that a gate may fail though nothing is beyond its limit")
	flags.StringVar(&f.inconclusive, "inconclusive", config.Inconclusive()[0], "what it means when it cannot be told: pass|warn|fail")
	complete(cmd, "inconclusive", config.Inconclusive()...)
	flags.BoolVar(&f.always, "always", false, "measure also programs that are the same on both sides")
	flags.BoolVar(&f.fresh, "fresh", false, "forget what an interrupted gate has measured")
	flags.StringVar(&f.html, "html", "", "also write a page with plots to this file")
	flags.StringVarP(&f.file, "file", "O", "", "file to write to instead of standard output")
	f.format = addFormat(cmd, render.Table, render.JSON, render.YAML, render.Markdown, render.JUnit, render.GitHub, render.CodeQuality)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also print what passed, and why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opt, err := f.gate(cmd, a, args)
		if err != nil {
			return err
		}
		return a.gate(cmd.Context(), opt, f)
	}
	return cmd
}

// gate returns what the flags and the configuration say.
func (f *gateFlags) gate(cmd *cobra.Command, a *app, args []string) (bench.GateOptions, error) {
	if f.base == "" {
		return bench.GateOptions{}, usage(cmd, "--base names the revision to compare with, such as main or HEAD~1")
	}
	if f.alpha <= 0 || f.alpha >= 0.5 || f.budget <= 0 {
		return bench.GateOptions{}, usage(cmd, "--alpha must be between 0 and 0.5, and --budget positive")
	}
	p, err := loadProject(f.config)
	if err != nil {
		return bench.GateOptions{}, err
	}
	if err := f.configured(cmd, p.Bench); err != nil {
		return bench.GateOptions{}, err
	}
	common, err := f.options(cmd, a, args)
	if err != nil {
		return bench.GateOptions{}, err
	}
	limits, err := judge.NewLimits(p.Bench.Limits)
	return bench.GateOptions{
		Options: common, Base: f.base, Head: f.head, Budget: f.budget, Alpha: f.alpha, Limits: limits, Direction: direction(p.Bench),
		Inconclusive: api.BenchVerdict(f.inconclusive), Always: f.always, Fresh: f.fresh,
	}, err
}

// configured takes from the configuration what no flag says.
func (f *gateFlags) configured(cmd *cobra.Command, c api.BenchConfig) (err error) {
	if c.Budget != "" && !cmd.Flags().Changed("budget") {
		f.budget, err = time.ParseDuration(c.Budget)
	}
	if c.Inconclusive != "" && !cmd.Flags().Changed("inconclusive") {
		f.inconclusive = c.Inconclusive
	}
	if !slices.Contains(config.Inconclusive(), f.inconclusive) {
		return usage(cmd, "--inconclusive must be pass, warn or fail, not %q", f.inconclusive)
	}
	return err
}

func (a *app) gate(ctx context.Context, opt bench.GateOptions, f *gateFlags) error {
	view := startBenchView(a.stderr)
	opt.Progress, opt.Log = view.report, view.log()
	gated, err := bench.Gate(ctx, opt)
	view.stop()
	if err != nil {
		return err
	}
	if err := a.showGate(gated, f); err != nil {
		return err
	}
	if gated.Gate.Verdict == api.BenchFail {
		return outcome(exitDenied)
	}
	return nil
}

// showGate writes the answer, and the page if one is wanted.
func (a *app) showGate(gated *bench.Gated, f *gateFlags) error {
	data := benchData()
	data.Gate, data.Measured = gated.Gate, gated.Measured
	if f.html != "" {
		if err := replaceFile(f.html, func(w io.Writer) error { return report.HTML(w, data) }); err != nil {
			return err
		}
	}
	return a.writeTo(f.file, func(w io.Writer) error { return a.writeGate(w, gated, data, f) })
}

func (a *app) writeGate(w io.Writer, gated *bench.Gated, data report.Data, f *gateFlags) error {
	switch f.format.value {
	case render.Markdown:
		return report.Markdown(w, data)
	case render.JUnit:
		return report.JUnit(w, gated.Gate)
	case render.GitHub:
		return report.GitHub(w, gated.Gate, gated.Places)
	case render.CodeQuality:
		return report.CodeQuality(w, gated.Gate, gated.Places)
	}
	look := a.look
	look.Verbose = f.verbose
	look.Color = look.Color && f.file == ""
	return render.BenchGate(w, f.format.value, gated.Gate, look)
}
