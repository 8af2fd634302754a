package cluster

import (
	"os"
	"strconv"
	"syscall"
)

// These processes get no console window and none of its interrupts.
const createNewProcessGroup, createNoWindow = 0x200, 0x08000000

func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: createNewProcessGroup | createNoWindow}
}

func detachedAttributes() *syscall.SysProcAttr { return childAttributes() }

// terminate ends a process: there is no way to ask.
func terminate(p *os.Process) error { return p.Kill() }

// startOf returns when the process started, in units of 100 ns.
func startOf(pid int) (string, error) {
	const queryLimited, stillActive = 0x1000, 259
	h, err := syscall.OpenProcess(queryLimited, false, uint32(pid))
	if err != nil {
		return "", os.ErrProcessDone
	}
	defer func() { _ = syscall.CloseHandle(h) }()
	var code uint32
	if err := syscall.GetExitCodeProcess(h, &code); err != nil || code != stillActive {
		return "", os.ErrProcessDone
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), nil
}

// bootID is empty: the date of a process's start tells it from those before a
// restart.
func bootID() string { return "" }
