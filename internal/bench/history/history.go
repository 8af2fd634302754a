// Package history keeps results of benchmarks by commit, and finds where they
// changed: at once, or slowly enough that no gate sees it.
//
// Results are kept in an SQLite file, which many processes may use at the same
// time, or in a PostgreSQL database. Both have the same tables; the format is
// versioned, and a store of an older version is brought to this one when it is
// opened.
package history

import (
	"context"
	"regexp"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Store keeps runs by commit. It is safe for concurrent use, also by many
// processes. All errors are *fault.Error: Canceled when the context ended,
// Unavailable when the database does not answer or is busy, Denied when it
// refuses, Invalid when what it holds or was given cannot be right.
type Store interface {
	// Put adds a run of the commit that its side names and says whether it was
	// new: a run that is there with the same content is not added again. What is
	// known of the commit is completed, never changed. A run of a dirty tree and
	// one without a commit are Usage errors.
	Put(ctx context.Context, run api.BenchRun, commit Commit) (added bool, err error)
	// Query returns the commits and series that a filter leaves.
	Query(ctx context.Context, filter Filter) (*Selection, error)
	// Commits returns the hashes of the commits that have runs on the machine with
	// an ID, or on those of a kind; on any when it is empty.
	Commits(ctx context.Context, machine string) ([]string, error)
	// Runs returns the runs of a commit as they were put, ordered by time. Without
	// any, the error is NotFound.
	Runs(ctx context.Context, commit string) ([]api.BenchRun, error)
	// Delete removes runs, then commits without runs, and returns how many runs.
	Delete(ctx context.Context, which Which) (int, error)
	// Count returns how many runs Delete would remove.
	Count(ctx context.Context, which Which) (int, error)
	// Name is where the results are, without a password.
	Name() string
	// Close releases the store.
	Close() error
}

// Commit is what git says of a commit.
type Commit struct {
	// Time is when it was committed.
	Time time.Time
	// Parents are object names; of a sparse history the nearest ancestors that
	// were measured are as good.
	Parents []string
	// Subject is the first line of its message; it may be empty.
	Subject string
}

// Filter says what to query. The zero value is everything.
type Filter struct {
	// Package and Metric are equal to those of a series, Machine to the ID of its
	// machine or to the kind of it ([machine.Kind]), unless empty.
	Package, Metric, Machine string
	// ByKind joins the series of machines of one kind: the kind stands for the ID
	// then. For runners that are made anew for each run it is the only way to see
	// more than one commit in a series.
	ByKind bool
	// Name matches the names of benchmarks, unless nil.
	Name *regexp.Regexp
	// Since leaves commits from this time on, unless zero.
	Since time.Time
	// Commits leaves only these, such as those of one branch, unless empty.
	Commits []string
	// Limit leaves the newest commits, at most so many, unless 0.
	Limit int
}

// Which says what to delete. A run is deleted when all that is set applies to
// it; the zero value is a Usage error.
type Which struct {
	// Before is when the run began; of a run that does not say, when it was put.
	Before time.Time
	// Commit is a hash, Machine an ID or a kind.
	Commit, Machine string
}

// Selection is what a query found.
type Selection struct {
	// Commits are in their order: parents first, then by time.
	Commits []api.BenchCommit
	// Machines are those of the series, as they were in the newest run of each.
	Machines []api.BenchMachine
	// Series are ordered by package, name, processors, metric, machine and settings.
	Series []Series
}

// Series is one metric of one benchmark on one machine with one set of settings.
type Series struct {
	Package string
	Name    string
	Procs   int
	Metric  string
	Machine string
	// Machines counts the machines that are joined: more than one only with
	// Filter.ByKind, which makes Machine their kind.
	Machines int
	Settings api.BenchSettings
	// Unit is what the newest run that says so has as metadata of the metric.
	Unit   map[string]string
	Points []Point
}

// Point is what was measured of one commit.
type Point struct {
	// Position is the index in the selection's commits.
	Position int
	// Values are all samples, in the unit of the metric, of Runs runs.
	Values []float64
	Runs   int
	// Environment is what may change measurements besides the code, by name: Go
	// version, settings of the build, kernel and more.
	Environment map[string]string
}
