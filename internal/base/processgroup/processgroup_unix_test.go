//go:build unix

package processgroup_test

import (
	"bufio"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/processgroup"
)

// TestOwn cancels a shell that ignores the interrupt and has a child that does
// so, too: neither is left.
func TestOwn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "sh", "-c", `trap "" INT; sleep 60 & echo $!; wait`)
	cmd.WaitDelay = 100 * time.Millisecond
	end := processgroup.Own(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = cmd.Wait() // it was killed
	end()
	for begin := time.Now(); syscall.Kill(child, 0) == nil && !zombie(t, child); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the child is left")
		}
	}
}

// zombie says whether a process has ended and only nobody has asked how.
func zombie(t *testing.T, pid int) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
