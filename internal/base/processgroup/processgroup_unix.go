//go:build unix

package processgroup

import (
	"os/exec"
	"syscall"
)

// Own gives cmd a process group, which is interrupted as a whole when the context
// of cmd ends: the go command then stops its compilers and git, and all remove
// their temporary files. The function that it returns kills what is left of the
// group.
func Own(cmd *exec.Cmd) (end func()) {
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
