//go:build unix && !linux

package cluster

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes keeps the terminal's interrupt from a child: who owns it ends
// it. The system cannot tie it to this process's life.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// startOf returns when the process started, as ps(1) says it.
func startOf(pid int) (string, error) {
	cmd := exec.Command("ps", "-o", "stat=", "-o", "lstart=", "-p", strconv.Itoa(pid))
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		return "", os.ErrProcessDone
	}
	stat, start, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || strings.HasPrefix(stat, "Z") {
		return "", os.ErrProcessDone
	}
	return strings.TrimSpace(start), nil
}

// bootID is empty: the date of a process's start tells it from those before a
// restart.
func bootID() string { return "" }
