//go:build linux

// Command bench measures how fast `gopherwood inspect` is beside the tools that
// do a part of its work, in one run and on the same files: openssl, which hashes
// them; `go version -m`, which reads their build information; and syft, which
// catalogs them. It fails when a limit is missed.
//
// Run it in the repository:
//
//	go run ./bench
//
// The files are Go executables of Debian packages and some that are built here.
// They are kept, with syft, below $XDG_CACHE_HOME/gopherwood-bench. Ratios are
// taken pair by pair of runs that follow one another, because the speed of a
// shared machine changes from one minute to the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := bench(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings is what the command line says.
type settings struct {
	rounds  int
	cache   string
	command string
	syft    string
	output  string
	prepare bool
}

// parse reads the command line.
func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 7, "how often each pair of commands is run, at least 3")
	flags.StringVar(&s.cache, "cache", "", "directory that keeps the corpus and syft (default $XDG_CACHE_HOME/gopherwood-bench)")
	flags.StringVar(&s.command, "gopherwood", "", "the gopherwood to measure (default: built from this repository)")
	flags.StringVar(&s.syft, "syft", "", "the syft to compare with (default: "+syftModule+" is built once)")
	flags.StringVar(&s.output, "o", "table", "output format: table or json")
	flags.BoolVar(&s.prepare, "prepare", false, "only fetch and build what the benchmark needs")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.rounds < 3:
		return s, fmt.Errorf("-rounds %d: at least 3 are needed for a median", s.rounds)
	case s.output != "table" && s.output != "json":
		return s, fmt.Errorf("-o %s: the formats are table and json", s.output)
	}
	if s.cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return s, err
		}
		s.cache = filepath.Join(cache, "gopherwood-bench")
	}
	return s, nil
}

// bench prepares, measures and reports.
func bench(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.syft == "" {
		if s.syft, err = buildSyft(ctx, s.cache); err != nil {
			return err
		}
	}
	files, err := prepareCorpus(ctx, s.cache, s.syft)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "gopherwood-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if s.prepare {
		return nil
	}
	if s.command == "" {
		if s.command, err = buildCommand(ctx, work); err != nil {
			return err
		}
	}
	contest := &contest{rounds: s.rounds, gopherwood: s.command, syft: s.syft, corpus: files, work: work}
	results, err := contest.run(ctx)
	if err != nil {
		return err
	}
	report := report{Machine: describeMachine(ctx, s), Corpus: files.summary(), Results: results}
	if err := report.write(os.Stdout, s.output); err != nil {
		return err
	}
	return report.missed()
}

// syftModule is the syft that is compared with.
const syftModule = "github.com/anchore/syft/cmd/syft@v1.44.0"

// buildSyft returns syft's path below cache and builds it when it is not there.
func buildSyft(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "bin")
	file := filepath.Join(dir, "syft")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	fmt.Fprintln(os.Stderr, "bench: building", syftModule)
	cmd := exec.CommandContext(ctx, "go", "install", syftModule)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if _, err := capture(cmd); err != nil {
		return "", err
	}
	return file, nil
}

// buildCommand builds this repository's gopherwood into dir.
func buildCommand(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, "gopherwood")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, "./cmd/gopherwood")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if _, err := capture(cmd); err != nil {
		return "", err
	}
	return file, nil
}
