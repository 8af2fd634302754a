//go:build linux

// Command bench measures how fast gopherwood is beside the tools that do a part
// of its work, in one run and on the same files. It fails when a limit is missed.
//
// Run it in the repository:
//
//	go run ./bench            # all parts
//	go run ./bench inspect    # beside openssl, which hashes the files; `go version -m`,
//	                          # which reads their build information; syft, which catalogs them
//	go run ./bench build      # beside ko, which makes images from the same programs
//
// The files are Go executables of Debian packages and some that are built here;
// the programs are Caddy, nats-server and gopherwood itself. What was fetched and
// built is kept below $XDG_CACHE_HOME/gopherwood-bench. Ratios are taken pair by
// pair of runs that follow one another, because the speed of a shared machine
// changes from one minute to the next.
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
	"slices"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/bench/machine"
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
	ko      string
	output  string
	prepare bool
	parts   []string
}

// The parts of the benchmark.
const (
	partInspect = "inspect"
	partBuild   = "build"
)

// parse reads the command line.
func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 7, "how often each pair of commands is run, at least 3")
	flags.StringVar(&s.cache, "cache", "", "directory that keeps what was fetched and built (default $XDG_CACHE_HOME/gopherwood-bench)")
	flags.StringVar(&s.command, "gopherwood", "", "the gopherwood to measure (default: built from this repository)")
	flags.StringVar(&s.syft, "syft", "", "the syft to compare with (default: "+syft.String()+" is built once)")
	flags.StringVar(&s.ko, "ko", "", "the ko to compare with (default: "+ko.String()+" is built once)")
	flags.StringVar(&s.output, "o", "table", "output format: table or json")
	flags.BoolVar(&s.prepare, "prepare", false, "only fetch and build what the benchmark needs")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	all := []string{partInspect, partBuild}
	if s.parts = flags.Args(); len(s.parts) == 0 {
		s.parts = all
	}
	for _, part := range s.parts {
		if !slices.Contains(all, part) {
			return s, fmt.Errorf("unexpected argument %q: the parts are %q", part, all)
		}
	}
	switch {
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
	work, err := os.MkdirTemp("", "gopherwood-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if s.command == "" {
		if s.command, err = buildCommand(ctx, work); err != nil {
			return err
		}
	}
	report := report{Machine: machine.Describe(), Versions: map[string]string{}}
	for _, part := range s.parts {
		measure := measureInspect
		if part == partBuild {
			measure = measureBuild
		}
		if err := measure(ctx, s, work, &report); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	if s.prepare {
		return nil
	}
	if err := report.write(os.Stdout, s.output); err != nil {
		return err
	}
	return report.missed()
}

// peer is a tool to compare with, built from its module.
type peer struct{ name, path, version string }

func (p peer) String() string { return p.path + "@" + p.version }

// The peers that are built here.
var (
	syft = peer{"syft", "github.com/anchore/syft/cmd/syft", "v1.44.0"}
	ko   = peer{"ko", "github.com/google/ko", "v0.19.1"}
)

// build returns the peer's path below cache and builds it when it is not there.
func (p peer) build(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "bin", p.version)
	file := filepath.Join(dir, p.name)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	fmt.Fprintln(os.Stderr, "bench: building", p)
	cmd := exec.CommandContext(ctx, "go", "install", p.String())
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
