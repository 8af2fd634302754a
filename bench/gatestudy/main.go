// Command gatestudy measures how often the benchmark gate is wrong, how small a
// change it finds, and how long it takes, on this machine.
//
// Run it in the repository, on a machine that does nothing else:
//
//	make bench-gate-study
//
// It records real benchmarks in rounds as the gate measures them, with identical
// builds and with builds that do 3 to 20 % more work, without and with another
// program that works on the other processors; runs the gate itself on commits of
// a repository that it makes; and replays the recorded rounds through the gate's
// decision and through benchstat's. What is recorded is kept in a directory: a
// study that was interrupted goes on where it was. The table of all results is
// written to docs/bench-study.md.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/record"
)

// sources are what the repository of live gates is made from.
//
//go:embed subjects/*.go
var sources embed.FS

func main() {
	if len(os.Args) == 3 && os.Args[1] == record.LoadArgument {
		exit(record.Load(os.Args[2], os.Stdin))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "gatestudy:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.record, s.live, s.speed, s.write} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// study is what is to be done, and where it is kept.
type study struct {
	dir, table, program string
	minutes             float64
	seed                uint64
	replaysSame         int
	replaysSlow         int
	only                bool
	begin               time.Time
}

// defaultSeed is what all random choices of the study are drawn from.
const defaultSeed = 20261127

func parse(args []string) (*study, error) {
	s := &study{begin: time.Now()}
	flags := flag.NewFlagSet("gatestudy", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "", "directory that keeps what was recorded (default: gopherwood-gate-study in the user's cache directory)")
	flags.StringVar(&s.table, "table", filepath.Join("docs", "bench-study.md"), "the file that the results are written to")
	flags.StringVar(&s.program, "gopherwood", filepath.Join("bin", "gopherwood"), "the gopherwood whose gate is run")
	flags.Float64Var(&s.minutes, "minutes", 100, "how long to measure in all; from 1")
	flags.Uint64Var(&s.seed, "seed", defaultSeed, "what all random choices are drawn from")
	flags.IntVar(&s.replaysSame, "same", 2000, "how many gates to replay with nothing slower, for each load")
	flags.IntVar(&s.replaysSlow, "slower", 1000, "how many gates to replay for each size and load")
	flags.BoolVar(&s.only, "replay", false, "measure nothing, only replay what was recorded")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 || s.minutes < 1 {
		return nil, fmt.Errorf("unexpected arguments %q, or less than a minute", flags.Args())
	}
	if s.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		s.dir = filepath.Join(cache, "gopherwood-gate-study")
	}
	var err error
	s.program, err = filepath.Abs(s.program)
	return s, err
}

// The directories of a study.
const (
	streamsDir  = "streams"
	liveDir     = "live"
	speedDir    = "speed"
	binariesDir = "bin"
)

func (s *study) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// open makes the directories, and refuses one of another study.
func (s *study) open() error {
	for _, d := range []string{streamsDir, liveDir, speedDir, binariesDir} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return err
		}
	}
	return s.mark("study.txt", fmt.Sprintf("seed %d, %g minutes", s.seed, s.minutes))
}

// mark keeps what a study is of in a file, and refuses a directory of another one.
func (s *study) mark(name, is string) error {
	file := s.path(name)
	was, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.WriteFile(file, []byte(is), 0o600)
	case err == nil && string(was) != is && !s.only:
		return fmt.Errorf("%s has another study (%q, not %q): name another directory with -dir, or remove it", s.dir, was, is)
	}
	return err
}

// say tells how far the study is.
func (s *study) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6s  %s\n", time.Since(s.begin).Round(time.Second), fmt.Sprintf(format, args...))
}
