//go:build unix

package direct

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd a process group, which is interrupted as a whole when the
// context of cmd ends: the go command and git then remove their temporary files.
// The function that it returns kills what is left of the group.
func ownGroup(cmd *exec.Cmd) (end func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signal := func(s syscall.Signal) error {
		if cmd.Process == nil {
			return nil
		}
		return syscall.Kill(-cmd.Process.Pid, s)
	}
	cmd.Cancel = func() error { return signal(syscall.SIGINT) }
	return func() { _ = signal(syscall.SIGKILL) } // none left is what is wanted
}
