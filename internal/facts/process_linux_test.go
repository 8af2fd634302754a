package facts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestOpenProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	copyFile(t, path, goTool(t))
	pid := start(t, path)
	ref := fmt.Sprintf("pid:%d", pid)
	s, err := openProcess(context.Background(), ref, pid, options())
	if err != nil {
		t.Fatal(err)
	}
	f := s.Files[0]
	if f.Ref != ref || f.Path != path || f.Go == nil || f.Digest == "" || len(f.Notes) != 0 {
		t.Errorf("wrong facts: %+v", f)
	}
	dir, _ := os.Getwd()
	want := &Process{
		Args:       []string{path},
		Env:        []string{"GOPHERWOOD_TEST=yes"},
		User:       fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()),
		WorkingDir: dir,
	}
	if diff := cmp.Diff(want, s.Process); diff != "" {
		t.Errorf("process (-want +got)\n%s", diff)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s, err = openProcess(context.Background(), ref, pid, options())
	if err != nil {
		t.Fatal(err)
	}
	if f := s.Files[0]; f.Path != path || len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "deleted") {
		t.Errorf("path %q and notes %q of a deleted file", f.Path, f.Notes)
	}
}

func TestOpenProcessErrors(t *testing.T) {
	_, err := openProcess(context.Background(), "pid:0", 1<<30, options())
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("error is %v", err)
	}
}

// A pipe whose other end nobody opens must not make anything wait.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := openFile(context.Background(), "ref", pipe, options())
		if got := walk(context.Background(), dir, options()); len(got) != 0 {
			err = fmt.Errorf("walk found %q", got)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("error is %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting for the pipe's other end")
	}
}

// start starts the Go executable at path, waiting for input, until the test ends.
func start(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(path) // gofmt reads standard input
	cmd.Env = []string{"GOPHERWOOD_TEST=yes"}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return cmd.Process.Pid
}
