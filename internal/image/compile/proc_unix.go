//go:build unix

package compile

import (
	"os/exec"
	"syscall"
)

// giveWay lowers the priority of cmd, which has just started. Where that cannot
// be done, it only competes with others.
func giveWay(cmd *exec.Cmd) { _ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, 10) }
