//go:build unix

package cluster

import (
	"os"
	"syscall"
)

// detachedAttributes makes a child independent of this process and its terminal.
func detachedAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// terminate asks a process to end in order.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
