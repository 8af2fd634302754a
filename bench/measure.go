//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// The limits, from what the work costs at least.
const (
	hashLimit   = 1.25        // × the time to hash each byte once
	factsLimit  = 5           // × the time to read the build information
	syftLimit   = 0.25        // × syft's time
	memoryLimit = 150_000_000 // bytes
	fetchLimit  = 1.02        // × the image's compressed size
)

// contest measures gopherwood beside its peers.
type contest struct {
	rounds     int
	gopherwood string
	syft       string
	corpus     *corpus
	// work is a directory for files of this run.
	work string
}

// run returns every result; an error means that nothing could be measured.
func (c *contest) run(ctx context.Context) ([]result, error) {
	if err := c.corpus.warm(); err != nil {
		return nil, err
	}
	hash, memory, err := c.hashing(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := c.against(ctx, "inspect --no-digest / go version -m", factsLimit,
		c.inspect("--no-digest", c.corpus.dir), timed(nil, "go", "version", "-m", c.corpus.dir))
	if err != nil {
		return nil, err
	}
	syft, err := c.against(ctx, "inspect / syft dir:", syftLimit,
		c.inspect(c.corpus.dir), timed([]string{"SYFT_CHECK_FOR_APP_UPDATE=false"}, c.syft, "scan", "-q", "-o", "json", "dir:"+c.corpus.dir))
	if err != nil {
		return nil, err
	}
	image, err := c.images(ctx)
	if err != nil {
		return nil, err
	}
	return append([]result{hash, memory, facts, syft}, image...), nil
}

// hashing compares with openssl and also takes the peak of memory.
func (c *contest) hashing(ctx context.Context) (ratio, memory result, err error) {
	var peak int64
	inspect := c.inspect(c.corpus.dir)
	ours := func(ctx context.Context) (cost, error) {
		spent, err := inspect(ctx)
		peak = max(peak, spent.peak)
		return spent, err
	}
	ratio, err = c.against(ctx, "inspect / openssl dgst -sha256", hashLimit, ours, c.openssl())
	memory = result{Name: "inspect: peak memory", Unit: "bytes", Value: float64(peak), Limit: memoryLimit}
	return ratio, memory, err
}

// cost is what one run of a command took.
type cost struct {
	wall time.Duration
	// peak is the most memory it held at once (resident set), in bytes.
	peak int64
}

// command runs something once.
type command func(context.Context) (cost, error)

// inspect is a run of gopherwood, with a cache of its own that starts empty.
func (c *contest) inspect(args ...string) command {
	return func(ctx context.Context) (cost, error) {
		cache, err := os.MkdirTemp(c.work, "cache-")
		if err != nil {
			return cost{}, err
		}
		defer os.RemoveAll(cache)
		return c.inspectWith(cache, args...)(ctx)
	}
}

// inspectWith is a run of gopherwood with the given cache.
func (c *contest) inspectWith(cache string, args ...string) command {
	return timed([]string{"XDG_CACHE_HOME=" + cache}, c.gopherwood, append([]string{"inspect", "-o", "json"}, args...)...)
}

// openssl hashes the corpus with as many processes as there are processors.
func (c *contest) openssl() command {
	var processes []command
	for _, files := range c.corpus.shares(runtime.NumCPU()) {
		processes = append(processes, timed(nil, "openssl", append([]string{"dgst", "-sha256"}, files...)...))
	}
	return func(ctx context.Context) (cost, error) {
		start := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		for _, process := range processes {
			group.Go(func() error { _, err := process(ctx); return err })
		}
		err := group.Wait()
		return cost{wall: time.Since(start)}, err
	}
}

// timed is a run of a program with env added to the environment.
func timed(env []string, name string, args ...string) command {
	return func(ctx context.Context) (cost, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), env...)
		start := time.Now()
		if _, err := capture(cmd); err != nil {
			return cost{}, err
		}
		wall := time.Since(start)
		usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			return cost{}, fmt.Errorf("%s: this system does not tell how much memory a process used", name)
		}
		return cost{wall: wall, peak: usage.Maxrss * 1024}, nil
	}
}

// capture runs cmd and returns its standard output; an error carries what it said.
func capture(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:min(4, len(cmd.Args))], " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// against runs two commands in turns, once unmeasured and then c.rounds times,
// and compares their wall times pair by pair.
func (c *contest) against(ctx context.Context, name string, limit float64, ours, theirs command) (result, error) {
	var a, b, ratios []float64
	for round := range c.rounds + 1 {
		us, err := ours(ctx)
		if err != nil {
			return result{}, err
		}
		them, err := theirs(ctx)
		if err != nil {
			return result{}, err
		}
		if round == 0 {
			continue
		}
		a, b = append(a, us.wall.Seconds()), append(b, them.wall.Seconds())
		ratios = append(ratios, us.wall.Seconds()/them.wall.Seconds())
	}
	return result{
		Name: name, Unit: "ratio", Value: median(ratios), Limit: limit,
		Least: slices.Min(ratios), Most: slices.Max(ratios),
		Ours: median(a), Theirs: median(b),
	}, nil
}

// median is the middle of values, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
