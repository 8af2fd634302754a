package cli

import (
	"context"
	"errors"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/tree"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// historyFile is the history of a project that names no other, historyEnv the
// variable that may.
const (
	historyFile = "bench-history.sqlite"
	historyEnv  = "GOPHERWOOD_BENCH_HISTORY"
)

// historySource are the flags that say where results are kept.
type historySource struct{ history, config string }

func addHistorySource(cmd *cobra.Command) *historySource {
	f := &historySource{}
	cmd.Flags().StringVar(&f.history, "history", "", "SQLite file or postgres:// URL with the results (default: $"+historyEnv+", or else "+historyFile+" beside the configuration or here)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (default: .gopherwood.yaml of the module)")
	return f
}

// source returns where results are kept. It may have a password in it.
func (f *historySource) source(p *project, getenv func(string) string) string {
	if f.history != "" {
		return f.history
	}
	if source := getenv(historyEnv); source != "" {
		return source
	}
	return p.file(historyFile)
}

// use opens the history that there is, lets do have it, and closes it.
func (f *historySource) use(ctx context.Context, a *app, do func(history.Store, *project) error) error {
	p, err := loadProject(f.config)
	if err != nil {
		return err
	}
	store, err := history.OpenExisting(ctx, f.source(p, a.getenv))
	if err != nil {
		return err
	}
	return errors.Join(do(store, p), store.Close())
}

// historyFlags are the flags of bench history.
type historyFlags struct {
	*historySource
	bench  string
	filter history.Filter
	since  momentFlag
	branch string
	all    bool
	file   string
	format *formatFlag
}

func newBenchHistory(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show where benchmarks changed over commits",
		Long: `History shows results that were kept by commit: where a benchmark went from one level
to another (change points, also those that no gate has seen), slow drifts of which
each step is too small for a gate, and the level that each benchmark has now.

Series of different machines are never joined. For runners that are made anew for
each run, --by-kind joins those of one kind: the same processors, as many of them,
the same system.

In a git repository the commits are those of HEAD and its ancestors, unless --branch
or --all says otherwise. Which changes are worse is said by bench.units of
.gopherwood.yaml, by the results, or by the unit. docs/formats/benchhistory.md
describes the store.`,
		Example: `  gopherwood bench history
  gopherwood bench history --since 2160h --bench Encode --metric ns/op
  gopherwood bench history --history postgres://bench@db.corp.example.com/bench -o html -O history.html`,
		Args: subcommandOnly,

		SuggestionsMinimumDistance: 2,
	}
	f := &historyFlags{historySource: addHistorySource(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Package, "package", "", "only benchmarks of the package with this import path")
	flags.StringVar(&f.bench, "bench", "", "only benchmarks in whose name this regular expression is found")
	flags.StringVar(&f.filter.Metric, "metric", "", "only this metric, such as ns/op")
	flags.StringVar(&f.filter.Machine, "machine", "", "only the machine with this ID, or those of this kind")
	flags.BoolVar(&f.filter.ByKind, "by-kind", false, "join the series of machines of one kind")
	flags.Var(&f.since, "since", "only commits of this time and later: a date, or a duration back from now such as 2160h (90 days)")
	flags.StringVar(&f.branch, "branch", "", "the revision whose commits are shown, with its ancestors (default: HEAD)")
	flags.BoolVar(&f.all, "all", false, "show commits of all branches")
	flags.StringVarP(&f.file, "file", "O", "", "file to write to instead of standard output")
	f.format = addFormat(cmd, render.Table, render.JSON, render.YAML, render.Markdown, render.HTML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.showHistory(cmd, f) }
	cmd.AddCommand(newBenchHistoryAdd(a), newBenchHistoryExport(a), newBenchHistoryPrune(a))
	return cmd
}

// check completes the filter.
func (f *historyFlags) check(cmd *cobra.Command) (err error) {
	if f.all && f.branch != "" {
		return usage(cmd, "--all and --branch exclude each other")
	}
	f.filter.Since = f.since.Time
	if f.bench == "" {
		return nil
	}
	if f.filter.Name, err = regexp.Compile(f.bench); err != nil {
		return usage(cmd, "--bench: %w", err)
	}
	return nil
}

func (a *app) showHistory(cmd *cobra.Command, f *historyFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	ctx := cmd.Context()
	var found *api.BenchHistory
	err := f.use(ctx, a, func(store history.Store, p *project) (err error) {
		commits, note, err := a.commitsShown(ctx, f)
		if err != nil {
			return err
		}
		f.filter.Commits = commits
		if found, err = searched(ctx, store, f.filter, p.Bench); err != nil {
			return err
		}
		if note != "" {
			found.Notes = append(found.Notes, note)
		}
		return nil
	})
	if err != nil {
		return err
	}
	data := benchData()
	data.History = found
	return a.writeTo(f.file, func(w io.Writer) error {
		switch f.format.value {
		case render.Markdown:
			return report.Markdown(w, data)
		case render.HTML:
			return report.HTML(w, data)
		}
		look := a.look
		look.Color = look.Color && f.file == ""
		return render.BenchHistory(w, f.format.value, found, look)
	})
}

// searched looks for changes in what a filter leaves.
func searched(ctx context.Context, store history.Store, filter history.Filter, c api.BenchConfig) (*api.BenchHistory, error) {
	selection, err := store.Query(ctx, filter)
	if err != nil {
		return nil, err
	}
	if len(selection.Series) == 0 {
		e := &fault.Error{Code: fault.NotFound, Op: "search history", Input: store.Name(), Err: errors.New("it has no results of what is asked for"),
			Hint: "leave out some of --package, --bench, --metric, --machine and --since"}
		if len(filter.Commits) > 0 {
			e.Hint += "; --all shows commits of other branches, too"
		}
		return nil, e
	}
	found, err := history.Analyze(ctx, selection, history.Options{Better: func(s history.Series) int {
		return results.Direction(s.Metric, map[string]map[string]string{s.Metric: s.Unit}, c.Units)
	}})
	if err != nil {
		return nil, err
	}
	found.Store = store.Name()
	return found, nil
}

// commitsShown returns the commits to show, none for all, and why it is all when
// nobody asked for that.
func (a *app) commitsShown(ctx context.Context, f *historyFlags) (commits []string, note string, err error) {
	if f.all {
		return nil, "", nil
	}
	repo, err := tree.OpenRepository(ctx, ".", a.environ)
	if f.branch != "" {
		if err == nil {
			commits, err = ancestors(ctx, repo, f.branch)
		}
		return commits, "", err
	}
	if err == nil && repo.Shallow() {
		return nil, "the clone is shallow, so that commits of all branches are shown", nil
	}
	if err == nil {
		commits, err = repo.Ancestors(ctx, "HEAD")
	}
	if code := fault.CodeOf(err); code == fault.NotFound || code == fault.Unsupported {
		err = nil // no repository, no commit in it, no git: what is kept is shown
	}
	return commits, "", err
}

// ancestors returns a commit and all its ancestors, children before parents.
func ancestors(ctx context.Context, repo *tree.Repository, revision string) ([]string, error) {
	if repo.Shallow() {
		return nil, &fault.Error{Code: fault.NotFound, Op: "list the ancestors of", Input: revision, Err: errors.New("the clone is shallow and does not have them all"),
			Hint: "fetch the history: git fetch --unshallow, in GitHub Actions fetch-depth: 0 for actions/checkout, in GitLab GIT_DEPTH: 0"}
	}
	return repo.Ancestors(ctx, revision)
}

// momentFlag is a time: a day, a time in RFC 3339, or a duration back from now.
type momentFlag struct{ time.Time }

func (f *momentFlag) String() string {
	if f.IsZero() {
		return ""
	}
	return f.Format(time.RFC3339)
}

func (f *momentFlag) Type() string { return "time" }

func (f *momentFlag) Set(s string) error {
	if back, err := time.ParseDuration(s); err == nil && back > 0 {
		f.Time = time.Now().Add(-back)
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			f.Time = t
			return nil
		}
	}
	return errors.New("write a date (2026-01-31), a time (2026-01-31T12:00:00Z), or a duration back from now (2160h)")
}
