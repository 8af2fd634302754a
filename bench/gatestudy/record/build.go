// Package record measures real benchmarks in rounds, as the benchmark gate does,
// and writes what it measured to streams.
package record

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Package is that of the benchmarks.
const Package = "github.com/gopherwood-dev/gopherwood/bench/gatestudy/subjects"

// Binaries are the test binaries that are compared.
type Binaries struct {
	// Base and Null are the same bytes in two files.
	Base, Null string
	// Heads are by how much slower they are, in percent. They differ from the
	// base in text that is as long.
	Heads map[int]string
}

// Build builds the base and a head for each percentage in dir, with the go
// command, in the module of the working directory. The names of the files are as
// long, too, because they lie in the memory of the processes.
func Build(ctx context.Context, dir string, percents []int) (Binaries, error) {
	b := Binaries{filepath.Join(dir, "base00.test"), filepath.Join(dir, "null00.test"), map[int]string{}}
	for _, file := range []string{b.Base, b.Null} {
		if err := buildOne(ctx, file, "base", 0); err != nil {
			return b, err
		}
	}
	for _, p := range percents {
		b.Heads[p] = filepath.Join(dir, fmt.Sprintf("head%02d.test", p))
		if err := buildOne(ctx, b.Heads[p], "head", p); err != nil {
			return b, err
		}
	}
	return b, nil
}

func buildOne(ctx context.Context, file, label string, percent int) error {
	set := fmt.Sprintf("-X %s.percent=%02d -X %s.label=%s", Package, percent, Package, label)
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-ldflags", set, "-o", file, Package)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return nil
}
