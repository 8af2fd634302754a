package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newBench(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure Go benchmarks, and tell a change from noise",
		Long: `The benchmarks of two revisions are built once and run in turns on one machine,
in short slices, until it is known whether they differ by more than they may, or
the time is up. docs/bench.md shows how to use it, docs/bench-method.md what it
rests on.`,
		Example: `  gopherwood bench gate --base main ./...
  gopherwood bench run ./... > new.txt`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newBenchGate(a), newBenchRun(a), newBenchCompare(a), newBenchReport(a), newBenchHistory(a), newBenchCalibrate(a))
	return cmd
}

// goFlags lets people write the flags of bench as those of the go command, with one
// dash: -bench is --bench.
func goFlags(args []string) []string {
	if len(args) == 0 || args[0] != "bench" {
		return args
	}
	args = slices.Clone(args)
	for i, arg := range args[1:] {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"-bench", "-benchtime", "-count", "-tags", "-race", "-timeout"}, name) {
			args[1+i] = "-" + arg
		}
	}
	return args
}

// benchFlags are the flags of what measures.
type benchFlags struct {
	bench, tags, config string
	race                bool
	cpus, gogc, limit   string
	gomaxprocs, layouts int
	slice, timeout      time.Duration
	seed                uint64
}

func addBench(cmd *cobra.Command) *benchFlags {
	return addBenchAs(cmd, "slice", bench.DefaultSlice, "how long a process measures")
}

// addBenchAs is addBench with another flag for how long a process measures.
func addBenchAs(cmd *cobra.Command, slice string, length time.Duration, what string) *benchFlags {
	f := &benchFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.bench, "bench", ".", "which benchmarks, as for go test -bench")
	flags.StringVar(&f.tags, "tags", "", "build tags, separated by commas")
	flags.BoolVar(&f.race, "race", false, "build with the race detector")
	flags.StringVar(&f.cpus, "cpu-pin", "", "processors to run on, such as 2-3 (Linux)")
	flags.IntVar(&f.gomaxprocs, "gomaxprocs", 0, "GOMAXPROCS of the benchmarks")
	flags.StringVar(&f.gogc, "gogc", "", "GOGC of the benchmarks")
	flags.StringVar(&f.limit, "gomemlimit", "", "GOMEMLIMIT of the benchmarks")
	flags.IntVar(&f.layouts, "layouts", 1, "link each program in so many orders of its functions, and measure all")
	flags.DurationVar(&f.slice, slice, length, what)
	flags.DurationVar(&f.timeout, "timeout", 0, "how long a benchmark may take in a process; 0 derives it from --"+slice)
	flags.Uint64Var(&f.seed, "seed", 0, "what the order of measurements is drawn from; 0 draws one")
	flags.StringVar(&f.config, "config", "", "configuration file (default: .gopherwood.yaml of the module)")
	return f
}

// options returns what the flags say about the packages in args, of which those
// after -- are for the benchmarks themselves.
func (f *benchFlags) options(cmd *cobra.Command, a *app, args []string) (bench.Options, error) {
	if f.layouts < 1 || f.gomaxprocs < 0 || f.slice <= 0 || f.timeout < 0 {
		return bench.Options{}, usage(cmd, "--layouts and how long a process measures must be positive, --gomaxprocs and --timeout not negative")
	}
	cache := cacheDir(a.getenv)
	if cache == "" {
		return bench.Options{}, &fault.Error{Code: fault.Unsupported, Op: "find a cache directory", Hint: "set GOPHERWOOD_CACHE_DIR"}
	}
	packages, forTests := args, []string(nil)
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		packages, forTests = args[:n], args[n:]
	}
	opt := bench.Options{
		Dir: ".", Packages: packages, Bench: f.bench, TestFlags: forTests, CacheDir: filepath.Join(cache, "bench"), Env: a.environ, Log: a.stderr,
		Slice: f.slice, Timeout: f.timeout, Seed: f.seed,
		Settings: api.BenchSettings{GOMAXPROCS: f.gomaxprocs, GOGC: f.gogc, GOMEMLIMIT: f.limit, CPUs: f.cpus, Layouts: f.layouts},
	}
	if f.tags != "" {
		opt.Flags = append(opt.Flags, "-tags="+f.tags)
	}
	if f.race {
		opt.Flags = append(opt.Flags, "-race")
	}
	return opt, nil
}

// direction says which way metrics are better, by what is configured or known.
func direction(config api.BenchConfig) func(metric string) int {
	return func(metric string) int { return results.Direction(metric, nil, config.Units) }
}
