//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cost is what one run of a command took.
type cost struct {
	wall time.Duration
	// peak is the most memory it held at once (resident set), in bytes.
	peak int64
}

// command runs something once.
type command func(context.Context) (cost, error)

// timed is a run of a program with env added to the environment.
func timed(env []string, name string, args ...string) command { return timedIn("", env, name, args...) }

// timedIn is a run of a program in dir; "" is the present directory.
func timedIn(dir string, env []string, name string, args ...string) command {
	return func(ctx context.Context) (cost, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), env...)
		_, c, err := clocked(cmd)
		return c, err
	}
}

// clocked runs cmd and returns its standard output and what it took.
func clocked(cmd *exec.Cmd) ([]byte, cost, error) {
	start := time.Now()
	out, err := capture(cmd)
	if err != nil {
		return nil, cost{}, err
	}
	wall := time.Since(start)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, cost{}, fmt.Errorf("%s: this system does not tell how much memory a process used", cmd.Path)
	}
	return out, cost{wall: wall, peak: usage.Maxrss * 1024}, nil
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

// inTurns runs two commands in turns, once unmeasured and then as often as rounds,
// and compares their wall times pair by pair.
func inTurns(ctx context.Context, rounds int, name string, limit float64, ours, theirs command) (result, error) {
	var a, b, ratios []float64
	for round := range rounds + 1 {
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
