package cli

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// setForms explains the arguments of commands that take a set of versions.
const setForms = `

A set of versions is named by any of:
  FILE                  a go.sum or go.work.sum file: all that it lists
  DIR                   a main module or workspace: what 'go list -m all' and its
                        go.sum files list
  -m MODULE@VERSION     this version; without @VERSION the latest one
Where nothing is named, it is the main module in the working directory.`

// moduleSet holds the flags that name versions.
type moduleSet struct{ modules []string }

func addModuleSet(cmd *cobra.Command) *moduleSet {
	s := &moduleSet{}
	cmd.Flags().StringSliceVarP(&s.modules, "module", "m", nil, "MODULE or MODULE@VERSION; may be repeated")
	return s
}

// query is MODULE@VERSION where VERSION is none, or the name of a branch, say.
type query struct{ path, version string }

// read returns what flags and arguments name, and the queries among them that say
// no version.
func (s *moduleSet) read(cmd *cobra.Command, args []string, command keep.GoCommand) (*keep.Set, []query, error) {
	set := &keep.Set{}
	var queries []query
	for _, name := range s.modules {
		m, ok, err := keep.ParseVersion(name)
		switch {
		case err != nil:
			return nil, nil, usage(cmd, "--module: %w", err)
		case ok:
			set.Add(m)
		default:
			queries = append(queries, query{m.Path, m.Version})
		}
	}
	if len(args) == 0 && len(s.modules) == 0 {
		args = []string{"."}
	}
	return set, queries, readSums(cmd.Context(), set, args, command)
}

// readSums adds to set what files and directories list.
func readSums(ctx context.Context, set *keep.Set, names []string, command keep.GoCommand) error {
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			err = &fault.Error{Code: fault.CodeOf(err), Op: "read set of modules", Err: err, Hint: "name a go.sum file or the directory of a main module"}
		case info.IsDir():
			err = set.ReadGraph(ctx, name, command)
		default:
			err = set.ReadGoSumFile(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readGoSums returns what go.sum files list.
func readGoSums(files []string) (*keep.Set, error) {
	set := &keep.Set{}
	for _, name := range files {
		if err := set.ReadGoSumFile(name); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// moduleWork holds the flags that say how work on many versions is done.
type moduleWork struct{ jobs int }

func addModuleWork(cmd *cobra.Command) *moduleWork {
	w := &moduleWork{}
	cmd.Flags().IntVar(&w.jobs, "jobs", 8, "how many versions are worked on at once")
	return w
}

func (w *moduleWork) check(cmd *cobra.Command) error {
	if w.jobs < 1 {
		return usage(cmd, "--jobs must be at least 1")
	}
	return nil
}

// run does work while a bar on standard error says how far it is: "fetching
// versions: 3 of 20".
func (w *moduleWork) run(a *app, verb string, do func(keep.Work) error) error {
	counter := &versionCounter{verb: verb}
	bar := &bar{w: a.stderr, above: counter.lines}
	bar.start()
	defer bar.stop()
	return do(keep.Work{Jobs: w.jobs, Progress: counter})
}

// versionCounter is a progress.Sink that counts versions.
type versionCounter struct {
	verb           string
	expected, done atomic.Int64
}

// Expect implements progress.Sink.
func (c *versionCounter) Expect(n int64) { c.expected.Add(n) }

// Done implements progress.Sink.
func (c *versionCounter) Done(n int64) { c.done.Add(n) }

func (c *versionCounter) lines() []string {
	if c.expected.Load() == 0 {
		return []string{"listing modules"}
	}
	return []string{fmt.Sprintf("%s versions: %d of %d", c.verb, c.done.Load(), c.expected.Load())}
}

// hasRefused reports whether one of errs says that a version may not be used, or is
// not what it has to be.
func hasRefused(errs []error) bool {
	for _, err := range errs {
		if code := fault.CodeOf(err); code == fault.Denied || code == fault.Invalid {
			return true
		}
	}
	return false
}

// setOutcome is the exit code of a command that got some versions and failed with
// others.
func setOutcome(items int, errs []error) error {
	if hasRefused(errs) {
		return outcome(exitDenied)
	}
	return partial(items, len(errs))
}
