//go:build e2e

package e2e

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// TestInstalledPrograms predicts, for every dynamically linked program of this
// machine, whether its loader finds all it needs, and asks the loader itself,
// which in trace mode ends before the program's own code runs.
func TestInstalledPrograms(t *testing.T) {
	root, err := rootfs.OpenDir("/", facts.DefaultLimits.File)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	asked := 0
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			program := filepath.Join(dir, e.Name())
			real, node, err := rootfs.Resolve(root, rootfs.User{}, "/", program)
			// The loader of a program with other rights is not to be asked: it starts it.
			if err != nil || node.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				continue
			}
			file, err := root.File(real)
			if err != nil || file.Object == nil || file.Object.ELF == nil || !file.Object.ELF.HasInterp {
				continue
			}
			asked++
			finds, said := trace(t, program)
			if predicted, why := loads(root, program); predicted != finds {
				t.Errorf("%s: predicted %v %v, the loader says %v:\n%s", program, predicted, why, finds, said)
			}
		}
	}
	t.Logf("%d programs", asked)
	if asked < 100 {
		t.Errorf("only %d dynamically linked programs: want at least 100", asked)
	}
}

// loads predicts whether program's loader is content, and why not.
func loads(root rootfs.FS, program string) (bool, []string) {
	s := &facts.Subject{Ref: program, Root: root, Process: &facts.Process{Args: []string{program}}}
	var why []string
	for _, f := range start.Check(s, start.Options{}) {
		if f.Severity == api.Deny {
			why = append(why, f.Message)
		}
	}
	return len(why) == 0, why
}

// trace asks the loader what it would load for program.
func trace(t *testing.T, program string) (finds bool, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1", "LD_WARN=yes"}
	out, err := cmd.CombinedOutput()
	return err == nil && !strings.Contains(string(out), "not found"), string(out)
}
