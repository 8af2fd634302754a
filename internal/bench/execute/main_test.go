package execute_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
)

// subjects is the test binary of testdata/subjects, built once by TestMain.
var subjects execute.Program

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	tmp, err := os.MkdirTemp("", "execute")
	if err != nil {
		return say(err)
	}
	defer os.RemoveAll(tmp)
	dir, err := filepath.Abs("testdata/subjects")
	if err != nil {
		return say(err)
	}
	subjects = execute.Program{Path: filepath.Join(tmp, "subjects.test.exe"), Dir: dir}
	build := exec.Command("go", "test", "-c", "-o", subjects.Path, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOTOOLCHAIN=local", "PWD="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		return say(fmt.Errorf("build the subjects: %w\n%s", err, out))
	}
	return m.Run()
}

func say(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
