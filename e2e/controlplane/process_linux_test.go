//go:build controlplane || e2e

package controlplane

import (
	"os/exec"
	"syscall"
)

// endWithTests lets the program end with this process, however that ends.
func endWithTests(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
