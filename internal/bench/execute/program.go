// Package execute runs benchmarks of test binaries that have been built before:
// it lists them, finds how many iterations take a given time, and measures one
// slice, which is one short process that runs one benchmark so often.
//
// Benchmarks are code of users, which may do anything: fail, panic, exit, hang,
// print in the middle of their results, start other programs. What each of them
// does is told in an error that wraps one of the package's reasons; the process
// and all that it has started is ended when a call returns.
//
// Names are as in package api, without the prefix Benchmark and without the
// suffix with GOMAXPROCS: "Encode/size=1k".
package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/processgroup"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The reasons why there is no measurement. Errors of this package that are the
// benchmark's own wrap one of them in a *fault.Error; what is wrong outside of
// the benchmark (no such file, cancelled) wraps none.
var (
	// ErrFailed: the benchmark called Error, Fatal or Fail.
	ErrFailed = errors.New("the benchmark failed")
	// ErrDied: the process panicked, exited or was killed.
	ErrDied = errors.New("the test binary died")
	// ErrHung: it did not end within the limit.
	ErrHung = errors.New("the benchmark hangs")
	// ErrMissing: the test binary has no benchmark of this name.
	ErrMissing = errors.New("there is no such benchmark")
	// ErrOutput: what the process printed is not the result that was asked for.
	ErrOutput = errors.New("the output is not understood")
)

const (
	// benchmarkTimeout is how long one benchmark may run that is listed or sized.
	benchmarkTimeout = time.Minute
	// grace is how long a process may take to end when it is told to, and how
	// long its output is waited for when it has left children behind.
	grace = 2 * time.Second
)

// Program is a test binary, and how it is run.
type Program struct {
	// Path is the test binary. Dir is where it runs, the directory of its
	// package: benchmarks open their files relative to it.
	Path, Dir string
	// Args are further arguments, after those of package testing.
	Args []string
	// Env is the whole environment; nil is that of this process.
	Env []string
	// Start starts a process; nil is (*exec.Cmd).Start. It is where processes are
	// bound to processors, or counted.
	Start func(*exec.Cmd) error
	// Timeout is how long one benchmark may run in a process before it is said to
	// hang; 0 is a minute when it is listed or sized, and for a slice the larger
	// of ten seconds and a hundred times of what is expected.
	Timeout time.Duration
}

// ended is what is known of a process that has ended.
type ended struct {
	// took is from before its start until it was waited for, cpu what it and the
	// children that it waited for used of processors.
	took, cpu time.Duration
	// err says that it did not exit with 0.
	err error
	// hung says that it was ended because it made no progress.
	hung           bool
	stdout, stderr excerpt
}

// listener is told each line of standard output, without its end, while the
// process runs.
type listener func(line []byte)

// run runs p with the arguments, and ends it when it has not been alive for the
// timeout: alive, which run gives to listen, says that it makes progress. The
// error says that it was not run, that ctx ended, or that it printed too much; how
// a process ended that was run is no error.
func (p Program) run(ctx context.Context, timeout time.Duration, args []string, listen func(alive func()) listener) (*ended, error) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(ErrHung) })
	defer timer.Stop()

	result := &ended{}
	cmd := exec.CommandContext(running, p.Path, append(args, p.Args...)...)
	cmd.Dir, cmd.Env = p.Dir, p.environment()
	out := &lines{listen: listen(func() { timer.Reset(timeout) }), excerpt: &result.stdout}
	cmd.Stdout, cmd.Stderr = out, &result.stderr
	cmd.WaitDelay = grace
	endGroup := processgroup.Own(cmd)
	defer endGroup()
	interrupt := cmd.Cancel
	cmd.Cancel = func() error {
		if !errors.Is(context.Cause(running), ErrHung) {
			return interrupt()
		}
		err := dump(cmd.Process)
		result.hung = err == nil // it has not ended meanwhile
		return err
	}

	begin := time.Now()
	if err := p.start(cmd); err != nil {
		return nil, notStarted(ctx, p.Path, err)
	}
	err := cmd.Wait()
	result.took = time.Since(begin)
	out.flush()
	result.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if out.exceeded {
		return nil, &fault.Error{Code: fault.Limit, Op: "read output", Input: p.Path,
			Err:  fmt.Errorf("%w: more than %d MiB were printed", ErrOutput, maxOutput>>20),
			Hint: "a benchmark that prints measures the reader of its output: let it print to io.Discard"}
	}
	if !errors.Is(err, exec.ErrWaitDelay) { // it has exited with 0 and left children
		result.err = err
	}
	return result, nil
}

func (p Program) start(cmd *exec.Cmd) error {
	if p.Start != nil {
		return p.Start(cmd)
	}
	return cmd.Start()
}

// environment returns Env with PWD as a shell and the go command set it, so that
// it does not tell the directory of whoever runs Gopherwood.
func (p Program) environment() []string {
	env := p.Env
	if env == nil {
		env = os.Environ()
	}
	if p.Dir == "" {
		return env
	}
	return append(env[:len(env):len(env)], "PWD="+p.Dir)
}

// Environment returns base with the settings after it, so that they count. What
// the settings do not say is left as it is.
func Environment(base []string, s api.BenchSettings) []string {
	env := slices.Clone(base)
	if s.GOMAXPROCS > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(s.GOMAXPROCS))
	}
	for _, v := range [][2]string{{"GOGC", s.GOGC}, {"GOMEMLIMIT", s.GOMEMLIMIT}, {"GODEBUG", s.GODEBUG}} {
		if v[1] != "" {
			env = append(env, v[0]+"="+v[1])
		}
	}
	return env
}

// timeout returns Timeout, or the default.
func (p Program) timeout(otherwise time.Duration) time.Duration {
	if p.Timeout > 0 {
		return p.Timeout
	}
	return otherwise
}

func notStarted(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	failed := &fault.Error{Code: fault.CodeOf(err), Op: "start test binary", Input: path, Err: err}
	if errors.Is(err, fs.ErrNotExist) {
		failed.Hint = "the test binary, or the directory of its package, has been removed: build it again"
	}
	return failed
}

// failure tells why a process that has ended gave no measurement of a benchmark.
// detail is what the benchmark said; empty is what the process did.
func (e *ended) failure(name string, reason error, detail string) error {
	f := &fault.Error{Code: fault.Invalid, Op: "run", Input: "Benchmark" + name}
	switch {
	case e.hung && !errors.Is(reason, ErrFailed):
		reason, f.Code = ErrHung, fault.Limit
		detail = fmt.Sprintf("it was ended after %v", e.took.Round(100*time.Millisecond))
		f.Hint = "find where in the goroutines of its output; raise --timeout when it is only slow"
	case errors.Is(reason, ErrDied):
		detail = strings.TrimSpace(fmt.Sprintf("%s (%v)", e.cause(), e.err))
	case errors.Is(reason, ErrFailed):
		f.Hint = "run it alone with go test -bench"
	}
	f.Err = reason
	if detail = strings.TrimSpace(detail); detail != "" {
		f.Err = fmt.Errorf("%w: %s", reason, detail)
	}
	return f
}

// cause returns the line that is likeliest to tell why the process failed; empty
// when there is none. A verbose test binary has its errors on standard output.
func (e *ended) cause() string {
	said, last := e.stderr.cause()
	also, _ := e.stdout.cause()
	return cmp.Or(said, also, last)
}

// panicked says whether the process ended by a panic.
func (e *ended) panicked() bool {
	said, _ := e.stderr.cause()
	return e.err != nil && strings.HasPrefix(said, "panic: ")
}

// output returns what people need to see of both outputs.
func (e *ended) output() string {
	return strings.TrimSpace(e.stdout.String() + "\n" + e.stderr.String())
}
