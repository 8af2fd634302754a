package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/tree"
	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// historyAdd are the flags of bench history add.
type historyAdd struct {
	*historySource
	commit, machine string
	time            momentFlag
	format          *formatFlag
}

func newBenchHistoryAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add FILE...",
		Short: "Keep results by commit",
		Long: `Add puts results into a history, which is made when there is none. A FILE is what
'gopherwood bench run' or go test -bench prints, or anything else that
docs/formats/benchresults.md names; - is standard input. Results that are there
already are not added again.

The commits must be in the git repository of the working directory, which says when
they were made and what came before. What results do not say has to be said: of
which commit they are with --commit, on which machine they were measured with
--machine, and when with --time. Results of a work tree with changes that are not
committed are refused: 'gopherwood bench run --rev HEAD' measures the commit.

The exit code is 4 when some lines of a file could not be read.`,
		Example: `  gopherwood bench history add results.json
  gopherwood bench history add --history postgres://bench@db.corp.example.com/bench results.json
  go test -json -bench . ./... | gopherwood bench history add --commit HEAD --machine runner-1 -`,
		Args: needArgs(1, "a FILE with results"),
	}
	f := &historyAdd{historySource: addHistorySource(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&f.commit, "commit", "", "the commit of results that do not say of which they are")
	flags.StringVar(&f.machine, "machine", "", "the machine of results that do not say it; before a hyphen is its kind")
	flags.Var(&f.time, "time", "when results were measured that do not say it: a date or a time")
	f.format = addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.addHistory(cmd.Context(), f, args) }
	return cmd
}

// keptRun is a run that is put into a history.
type keptRun struct {
	api.BenchRun
	commit history.Commit
}

func (a *app) addHistory(ctx context.Context, f *historyAdd, files []string) (err error) {
	p, err := loadProject(f.config)
	if err != nil {
		return err
	}
	update := historyUpdate()
	runs, err := a.runsToKeep(ctx, f, files, update)
	if err != nil {
		return err
	}
	source := f.source(p, a.getenv)
	a.tellNewFile(p, source)
	store, err := history.Open(ctx, source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	update.Store = store.Name()
	for _, r := range runs {
		added, err := store.Put(ctx, r.BenchRun, r.commit)
		if err != nil {
			return err
		}
		if added {
			update.Added++
		} else {
			update.Present++
		}
	}
	if err := render.BenchHistoryUpdate(a.stdout, f.format.value, update); err != nil {
		return err
	}
	return partial(len(runs), len(update.Errors))
}

func historyUpdate() *api.BenchHistoryUpdate {
	return &api.BenchHistoryUpdate{SchemaVersion: api.SchemaVersion, Kind: api.KindBenchHistoryUpdate}
}

// tellNewFile says that the default file comes to be: it is in the work tree.
func (a *app) tellNewFile(p *project, source string) {
	if _, err := os.Stat(source); source == p.file(historyFile) && err != nil {
		fmt.Fprintf(a.stderr, "note: %s is new: let git ignore it, or keep results elsewhere with --history\n", render.Clean(source))
	}
}

// runsToKeep reads files and completes their runs. What could not be read of them
// is in the errors of update.
func (a *app) runsToKeep(ctx context.Context, f *historyAdd, files []string, update *api.BenchHistoryUpdate) ([]keptRun, error) {
	commits := &commitFinder{ctx: ctx, env: a.environ, found: map[string]tree.Commit{}}
	var runs []keptRun
	for _, file := range files {
		set, err := a.readResults([]string{file})
		if err != nil {
			return nil, err
		}
		update.Errors = append(update.Errors, set.Errors...)
		for _, run := range set.Runs {
			kept, err := f.complete(run, commits)
			if err != nil {
				return nil, &fault.Error{Code: fault.CodeOf(err), Op: "add to history", Input: file, Err: err}
			}
			runs = append(runs, kept)
		}
	}
	return runs, nil
}

// complete adds to a run what the flags and git say.
func (f *historyAdd) complete(run api.BenchRun, commits *commitFinder) (keptRun, error) {
	if run.Side.Dirty {
		return keptRun{}, incomplete("they are of a work tree with changes that are not committed", "measure the commit: gopherwood bench run --rev HEAD")
	}
	if run.Side.Commit == "" && f.commit == "" {
		return keptRun{}, incomplete("they do not say of which commit they are", "name it: --commit HEAD")
	}
	commit, err := commits.find(cmp.Or(run.Side.Commit, f.commit))
	if err != nil {
		return keptRun{}, err
	}
	if f.commit != "" {
		named, err := commits.find(f.commit)
		if err != nil {
			return keptRun{}, err
		}
		if named.Hash != commit.Hash {
			return keptRun{}, incomplete("they say that they are of commit "+commit.Hash+", which --commit is not", "leave out --commit")
		}
	}
	run.Side.Commit = commit.Hash
	if run.Machine.ID = cmp.Or(run.Machine.ID, f.machine); run.Machine.ID == "" {
		return keptRun{}, incomplete("they do not say on which machine they were measured", "name it: --machine NAME; or measure with gopherwood bench run, which knows it")
	}
	if run.Time == "" {
		if f.time.IsZero() {
			return keptRun{}, incomplete("they do not say when they were measured", "say it: --time 2026-01-31; or measure with gopherwood bench run, or go test -json")
		}
		run.Time = f.time.UTC().Format(time.RFC3339)
	}
	return keptRun{run, history.Commit{Time: commit.Time, Parents: commit.Parents, Subject: commit.Subject}}, nil
}

func incomplete(reason, hint string) error {
	return &fault.Error{Code: fault.Usage, Err: errors.New(reason), Hint: hint}
}

// commitFinder asks git for commits, once for each.
type commitFinder struct {
	ctx   context.Context
	env   []string
	repo  *tree.Repository
	found map[string]tree.Commit
}

func (c *commitFinder) find(revision string) (tree.Commit, error) {
	if found, ok := c.found[revision]; ok {
		return found, nil
	}
	var err error
	if c.repo == nil {
		if c.repo, err = tree.OpenRepository(c.ctx, ".", c.env); fault.CodeOf(err) == fault.NotFound {
			return tree.Commit{}, incomplete("the commits are to be in the git repository of the working directory, and there is none",
				"run it in a clone of what was measured")
		}
		if err != nil {
			return tree.Commit{}, err
		}
	}
	found, err := c.repo.Commit(c.ctx, revision)
	if err == nil {
		c.found[revision] = found
	}
	return found, err
}

// hashName is a full name of git's objects, by SHA-1 or SHA-256.
var hashName = regexp.MustCompile(`^(?i:[0-9a-f]{40}|[0-9a-f]{64})$`)

// commitHash returns the name of a commit that the repository has or, by its full
// name, the history only.
func (a *app) commitHash(ctx context.Context, revision string) (string, error) {
	if hashName.MatchString(revision) {
		return strings.ToLower(revision), nil
	}
	repo, err := tree.OpenRepository(ctx, ".", a.environ)
	if fault.CodeOf(err) == fault.NotFound {
		return "", &fault.Error{Code: fault.NotFound, Op: "find revision", Input: revision, Err: errors.New("there is no git repository here to ask"),
			Hint: "give the full name of the commit, or run it in the repository"}
	}
	if err != nil {
		return "", err
	}
	commit, err := repo.Commit(ctx, revision)
	return commit.Hash, err
}

// historyExport are the flags of bench history export.
type historyExport struct {
	*historySource
	machine string
	nearest bool
	file    string
	format  *formatFlag
}

func newBenchHistoryExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export COMMIT",
		Short: "Print the results of a commit",
		Long: `Export prints the results that a history has of a commit, as they were added: in the
Go benchmark format, or as a BenchResults in JSON or YAML. They are a baseline for
'gopherwood bench compare'. With --nearest it is the last ancestor of COMMIT that was
measured, when COMMIT itself was not.`,
		Example: `  gopherwood bench history export main > old.txt
  gopherwood bench history export --nearest origin/main | gopherwood bench compare - new.txt
  gopherwood bench history export v1.4.0 -o json -O baseline.json`,
		Args: cobra.MatchAll(needArgs(1, "a COMMIT, such as main"), maxArgs(1)),
	}
	f := &historyExport{historySource: addHistorySource(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&f.machine, "machine", "", "only what was measured on the machine with this ID, or on those of this kind")
	flags.BoolVar(&f.nearest, "nearest", false, "take the last ancestor that was measured")
	flags.StringVarP(&f.file, "file", "O", "", "file to write to instead of standard output")
	f.format = addFormat(cmd, render.Text, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var set *api.BenchResults
		err := f.use(cmd.Context(), a, func(store history.Store, _ *project) (err error) {
			set, err = a.exportHistory(cmd.Context(), store, f, args[0])
			return err
		})
		if err != nil {
			return err
		}
		return a.writeTo(f.file, func(w io.Writer) error {
			if f.format.value == render.Text {
				return results.Write(w, set)
			}
			return render.Document(w, f.format.value, set)
		})
	}
	return cmd
}

func (a *app) exportHistory(ctx context.Context, store history.Store, f *historyExport, revision string) (*api.BenchResults, error) {
	commit, err := a.exported(ctx, store, f, revision)
	if err != nil {
		return nil, err
	}
	runs, err := store.Runs(ctx, commit)
	if err != nil {
		return nil, err
	}
	if f.machine != "" {
		runs = slices.DeleteFunc(runs, func(r api.BenchRun) bool {
			return r.Machine.ID != f.machine && machine.Kind(r.Machine.ID) != f.machine
		})
	}
	if len(runs) == 0 {
		return nil, &fault.Error{Code: fault.NotFound, Op: "export from history", Input: store.Name(),
			Err: fmt.Errorf("it has no run of commit %s on machine %s", commit, f.machine), Hint: "leave out --machine"}
	}
	return &api.BenchResults{SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: runs}, nil
}

// exported returns the commit whose results are asked for.
func (a *app) exported(ctx context.Context, store history.Store, f *historyExport, revision string) (string, error) {
	if !f.nearest {
		return a.commitHash(ctx, revision)
	}
	repo, err := tree.OpenRepository(ctx, ".", a.environ)
	if err != nil {
		return "", err
	}
	all, err := ancestors(ctx, repo, revision)
	if err != nil {
		return "", err
	}
	measured, err := store.Commits(ctx, f.machine)
	if err != nil {
		return "", err
	}
	has := map[string]bool{}
	for _, hash := range measured {
		has[hash] = true
	}
	for _, hash := range all {
		if has[hash] {
			return hash, nil
		}
	}
	return "", &fault.Error{Code: fault.NotFound, Op: "export from history", Input: store.Name(),
		Err: fmt.Errorf("it has no run of an ancestor of %s", revision), Hint: "measure one, and add its results"}
}

// historyPrune are the flags of bench history prune.
type historyPrune struct {
	*historySource
	which  history.Which
	older  time.Duration
	before momentFlag
	commit string
	dryRun bool
	format *formatFlag
}

func newBenchHistoryPrune(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove results from a history",
		Long: `Prune removes the runs to which all applies that is said: when they were measured, of
which commit they are, on which machine they were measured.`,
		Example: `  gopherwood bench history prune --older-than 17520h --dry-run
  gopherwood bench history prune --before 2025-01-01
  gopherwood bench history prune --commit HEAD --machine 0123456789ab-cdef01234567`,
		Args: maxArgs(0),
	}
	f := &historyPrune{historySource: addHistorySource(cmd)}
	flags := cmd.Flags()
	flags.DurationVar(&f.older, "older-than", 0, "what was measured longer ago, for example 17520h (2 years)")
	flags.Var(&f.before, "before", "what was measured before a date or a time")
	flags.StringVar(&f.commit, "commit", "", "what was measured of this commit")
	flags.StringVar(&f.which.Machine, "machine", "", "what was measured on the machine with this ID, or on those of this kind")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say how much would be removed, and remove nothing")
	f.format = addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return a.pruneHistory(cmd.Context(), f)
	}
	return cmd
}

// check wants something that says what to remove.
func (f *historyPrune) check(cmd *cobra.Command) error {
	switch {
	case f.older < 0:
		return usage(cmd, "--older-than must not be below 0")
	case f.older > 0 && !f.before.IsZero():
		return usage(cmd, "--older-than and --before exclude each other")
	case f.older == 0 && f.before.IsZero() && f.commit == "" && f.which.Machine == "":
		return usage(cmd, "needs --older-than, --before, --commit or --machine")
	}
	f.which.Before = f.before.Time
	if f.older > 0 {
		f.which.Before = time.Now().Add(-f.older)
	}
	return nil
}

func (a *app) pruneHistory(ctx context.Context, f *historyPrune) (err error) {
	if f.commit != "" {
		if f.which.Commit, err = a.commitHash(ctx, f.commit); err != nil {
			return err
		}
	}
	update := historyUpdate()
	update.DryRun = f.dryRun
	err = f.use(ctx, a, func(store history.Store, _ *project) (err error) {
		update.Store = store.Name()
		remove := store.Delete
		if f.dryRun {
			remove = store.Count
		}
		update.Removed, err = remove(ctx, f.which)
		return err
	})
	if err != nil {
		return err
	}
	return render.BenchHistoryUpdate(a.stdout, f.format.value, update)
}
