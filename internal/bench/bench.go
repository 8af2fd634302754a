// Package bench measures benchmarks and judges what changed: it joins the rooms
// that build test binaries, run them, know the machine, and decide.
package bench

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options are what all measurements have in common.
type Options struct {
	// Dir is a directory in a git repository; Packages are patterns as for go
	// test, relative to it; Bench is a pattern as for go test -bench, "" for all.
	Dir      string
	Packages []string
	Bench    string
	// Flags are flags of go build, TestFlags arguments of the test binaries.
	Flags, TestFlags []string
	// CacheDir keeps checkouts, binaries and journals. Env is the environment of
	// git, the go command and the benchmarks. Log takes what the go command says.
	CacheDir string
	Env      []string
	Log      io.Writer
	// Settings are those of the processes that are measured: GOMAXPROCS, GOGC,
	// GOMEMLIMIT and GODEBUG are taken from here where they are set, otherwise from
	// Env; CPUs and Layouts from here.
	Settings api.BenchSettings
	// Slice is how long a process measures; 0 means DefaultSlice. Timeout is how
	// long a benchmark may take in one before it hangs; 0 is derived from Slice.
	Slice, Timeout time.Duration
	// Seed is what the order of measurements is drawn from; 0 draws one.
	Seed uint64
	// Progress hears what happens; nil is nobody. There is one call at a time.
	Progress func(Progress)

	// counted starts processes of tests; nil is the processor's counter, if there is one.
	counted startCounted
}

// DefaultSlice is how long a process measures.
const DefaultSlice = 30 * time.Millisecond

// Stage is what a command is doing.
type Stage string

// The stages, in their order.
const (
	Building  Stage = "building"
	Listing   Stage = "listing benchmarks"
	Sizing    Stage = "choosing iterations"
	Measuring Stage = "measuring"
	// Recording and Replaying are those of a calibration, in place of Measuring.
	Recording Stage = "comparing programs with themselves"
	Replaying Stage = "replaying gates"
)

// Progress is how far a command is.
type Progress struct {
	Stage Stage
	// Done of Total packages are listed, benchmarks sized or decided, or samples
	// measured; 0 of 0 while building.
	Done, Total int
	// Spent of Budget has gone by, while measuring with one, and while recording.
	Spent, Budget time.Duration
	// Text names what is done: a side, a package, a benchmark.
	Text string
}

// lab is where one command measures.
type lab struct {
	Options
	// tmp is removed by close.
	tmp    string
	on     *machine.Affinity
	loop   *machine.Loop
	loops  []time.Duration
	before api.BenchMachine
	notes  []string
	// building is how long the go command took.
	building time.Duration
	// layouts is what the layouts are drawn from: always the same ones, unless a
	// seed was given, so that they are found in the cache, and a gate is resumed.
	layouts uint64
}

func newLab(opt Options) (*lab, error) {
	on, err := machine.Pin(opt.Settings.CPUs)
	if err != nil {
		return nil, err
	}
	opt.Settings.CPUs = on.String()
	if opt.Env == nil {
		opt.Env = os.Environ()
	}
	opt.Settings = fromEnviron(opt.Settings, opt.Env)
	layouts := opt.Seed
	if opt.Seed == 0 {
		opt.Seed = rand.Uint64N(1<<53-1) + 1 // what JSON keeps
	}
	opt.Slice = cmp.Or(opt.Slice, DefaultSlice)
	opt.Settings.Slice = opt.Slice.Seconds()
	if opt.Progress == nil {
		opt.Progress = func(Progress) {}
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	if opt.counted == nil {
		opt.counted = openCounters()
	}
	l := &lab{Options: opt, on: on, loop: machine.NewLoop(), before: machine.Facts(), layouts: layouts}
	if l.tmp, err = os.MkdirTemp("", "gopherwood-bench-"); err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "make a temporary directory", Err: err}
	}
	return l, nil
}

func (l *lab) note(notes ...string) { l.notes = append(l.notes, notes...) }

func (l *lab) close() error { return os.RemoveAll(l.tmp) }

// side builds a side, which must be closed. When the error is
// build.ErrNoBenchmarks, there is a side, with no binaries.
func (l *lab) side(ctx context.Context, name, revision string) (side, error) {
	began := time.Now()
	defer func() { l.building += time.Since(began) }()
	l.Progress(Progress{Stage: Building, Text: name})
	s, err := build.Open(ctx, build.Options{Name: name, Dir: l.Dir, Revision: revision, CacheDir: l.CacheDir, Env: l.Env, Log: l.Log})
	if err != nil {
		return side{}, err
	}
	built, err := s.Build(ctx, build.BuildOptions{
		Packages: l.Packages, Bench: l.Bench, Flags: l.Flags, Layouts: l.Settings.Layouts, LayoutSeed: l.layouts,
	})
	if errors.Is(err, build.ErrNoBenchmarks) {
		return side{s, &build.Built{}}, err
	}
	if err != nil {
		return side{}, errors.Join(err, s.Close())
	}
	l.note(s.Notes...)
	return side{s, built}, nil
}

// program is how a test binary runs.
func (l *lab) program(path, dir string) execute.Program {
	return execute.Program{
		Path: path, Dir: dir, Args: l.TestFlags, Env: execute.Environment(l.Env, l.Settings), Timeout: l.Timeout, Start: l.on.Start,
	}
}

// fromEnviron takes settings that are not set from the environment, where the
// processes would find them, so that they are recorded.
func fromEnviron(s api.BenchSettings, env []string) api.BenchSettings {
	for _, variable := range slices.Backward(env) { // the last one counts
		name, value, _ := strings.Cut(variable, "=")
		switch name {
		case "GOGC":
			s.GOGC = cmp.Or(s.GOGC, value)
		case "GOMEMLIMIT":
			s.GOMEMLIMIT = cmp.Or(s.GOMEMLIMIT, value)
		case "GODEBUG":
			s.GODEBUG = cmp.Or(s.GODEBUG, value)
		case "GOMAXPROCS":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				s.GOMAXPROCS = cmp.Or(s.GOMAXPROCS, n)
			}
		}
	}
	return s
}

// calibrate runs the loop of fixed work on the processors of the benchmarks.
func (l *lab) calibrate() (took time.Duration, err error) {
	err = l.on.Do(func() { took = l.loop.Run() })
	l.loops = append(l.loops, took)
	return took, err
}

// machine returns what the measurements ran on, and notes what changed meanwhile.
func (l *lab) machine() api.BenchMachine {
	after := machine.Facts()
	l.note(machine.Changes(l.before, after)...)
	if drift := machine.Drift(l.loops); drift != "" {
		l.note(drift)
	}
	after.Noise = machine.Noise(l.loops)
	return after
}

// copyBinary makes a file of its own of a test binary, for an arm, in a directory
// beside that of the binary, with a path as long: where the file lies in memory
// differs as it does between two builds, and nothing else.
func copyBinary(path string, of judge.Arm) (string, error) {
	dir, name := filepath.Split(path)
	above, last := filepath.Split(filepath.Clean(dir))
	to := filepath.Join(above, string("bnh"[of])+last[1:], name)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o700)
	}
	if err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "copy test binary", Input: path, Err: err}
	}
	return to, nil
}
