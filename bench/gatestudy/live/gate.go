package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Gate is one run of `gopherwood bench gate`.
type Gate struct {
	// Wall is the time of the whole command.
	Wall time.Duration `json:"wallNs"`
	// Code is its exit code.
	Code     int           `json:"code"`
	Document api.BenchGate `json:"document"`
}

// refused is the exit code of a gate that says no.
const refused = 3

// Gate runs the program on the branch head, with its own flags after those for
// the base and the output. A gate that says no is no error.
func (r *Repository) Gate(ctx context.Context, program, head string, flags ...string) (*Gate, error) {
	if err := r.Checkout(ctx, head); err != nil {
		return nil, err
	}
	cmd := r.command(ctx, program, append([]string{"bench", "gate", "--base", Base, "-o", "json"}, flags...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	err := cmd.Run()
	g := &Gate{Wall: time.Since(begin)}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == refused {
		g.Code, err = refused, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, &stderr, &stdout)
	}
	if err := json.Unmarshal(stdout.Bytes(), &g.Document); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	if g.Document.Kind != api.KindBenchGate {
		return nil, fmt.Errorf("%v: it printed %q", cmd.Args, g.Document.Kind)
	}
	return g, nil
}

// Overhead is what a gate took besides running benchmarks and the go command.
func (g *Gate) Overhead() time.Duration {
	return g.Wall - seconds(g.Document.Measuring) - seconds(g.Document.Preparing) - seconds(g.Document.Building)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Test runs all benchmarks ten times with go test, as they are run for benchstat,
// and returns how long that took. It writes what was printed to a file. What go
// test has to build is built before.
func (r *Repository) Test(ctx context.Context, branch, file string) (time.Duration, error) {
	if err := r.Checkout(ctx, branch); err != nil {
		return 0, err
	}
	if _, err := output(r.command(ctx, "go", "test", "-run", "^$", "-bench", "^$", ".")); err != nil {
		return 0, err
	}
	begin := time.Now()
	said, err := output(r.command(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-count", "10", "-timeout", "1h", "."))
	if err != nil {
		return 0, err
	}
	return time.Since(begin), os.WriteFile(file, []byte(said), 0o600)
}
