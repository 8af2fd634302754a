//go:build linux

// Command bench measures how fast gopherwood is beside the tools that do a part
// of its work, in one run and on the same files. It fails when a limit is missed.
//
// Run it in the repository:
//
//	go run ./bench            # the parts inspect and build
//	go run ./bench inspect    # beside openssl, which hashes the files; `go version -m`,
//	                          # which reads their build information; syft, which catalogs them
//	go run ./bench build      # beside ko, which makes images from the same programs
//	go run ./bench admission  # pods created through a real API server: what the webhooks add,
//	                          # beside Kyverno with a policy about images; images never seen before
//	go run ./bench fleet      # 5,000 pods on 2,000 simulated nodes: a whole scan, and staying up to date
//	go run ./bench modproxy   # the module proxy beside the upstream, files, and bare handlers
//
// The parts admission and fleet take minutes and build a control plane the first time; they need no
// rights, and run only when they are named.
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
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/machine"
	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

func main() {
	cluster.Main() // this program is also a part of the clusters that it starts
	if dir := os.Getenv(bareMode); dir != "" && len(os.Args) == 2 {
		fmt.Fprintln(os.Stderr, "bench:", serveBare(os.Args[1], dir))
		os.Exit(1)
	}
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
	athens  string
	soak    time.Duration
	output  string
	prepare bool
	write   bool
	parts   []string
}

// The parts of the benchmark.
const (
	partInspect   = "inspect"
	partBuild     = "build"
	partAdmission = "admission"
	partFleet     = "fleet"
	partModproxy  = "modproxy"
)

// measures are the parts by name.
func measures() map[string]func(context.Context, settings, string, *report) error {
	return map[string]func(context.Context, settings, string, *report) error{
		partInspect: measureInspect, partBuild: measureBuild, partAdmission: measureAdmission, partFleet: measureFleet,
		partModproxy: measureModproxy,
	}
}

// parse reads the command line.
func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 7, "how often each pair of commands is run, and each slice of time of admission; at least 3")
	flags.StringVar(&s.cache, "cache", "", "directory that keeps what was fetched and built (default $XDG_CACHE_HOME/gopherwood-bench)")
	flags.StringVar(&s.command, "gopherwood", "", "the gopherwood to measure (default: built from this repository)")
	flags.StringVar(&s.syft, "syft", "", "the syft to compare with (default: "+syft.String()+" is built once)")
	flags.StringVar(&s.ko, "ko", "", "the ko to compare with (default: "+ko.String()+" is built once)")
	flags.StringVar(&s.athens, "athens", "", "an Athens to compare the module proxy with (default: none)")
	flags.DurationVar(&s.soak, "soak", time.Minute, "how long the module proxy's memory is looked at under load")
	flags.StringVar(&s.output, "o", "table", "output format: table or json")
	flags.BoolVar(&s.prepare, "prepare", false, "only fetch and build what the benchmark needs")
	flags.BoolVar(&s.write, "write", false, "really create the pods of admission, instead of server-side dry runs")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.parts = flags.Args(); len(s.parts) == 0 {
		s.parts = []string{partInspect, partBuild}
	}
	for _, part := range s.parts {
		if all := measures(); all[part] == nil {
			return s, fmt.Errorf("unexpected argument %q: the parts are %q", part, slices.Sorted(maps.Keys(all)))
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
		if err := measures()[part](ctx, s, work, &report); err != nil {
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
