//go:build e2e

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// gopherwood is the program under test.
var gopherwood string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if _, err := exec.LookPath("git"); err != nil {
		return 1, fmt.Errorf("%w; run: e2e/setup.sh", err)
	}
	dir, err := os.MkdirTemp("", "gopherwood-bench-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	gopherwood = filepath.Join(dir, "gopherwood")
	cmd := exec.Command("go", "build", "-trimpath", "-o", gopherwood, "./cmd/gopherwood")
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return m.Run(), nil
}
