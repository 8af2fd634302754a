package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes ties a child to this process's life, and keeps the terminal's
// interrupt from it: who owns it ends it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// startOf returns when the process started, in ticks since the system did
// (proc_pid_stat(5)). A process that has ended and only waits to be collected is
// none.
func startOf(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The second field, the name in parentheses, may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const state, start = 0, 19 // The third and the 22nd.
	if len(fields) <= start {
		return "", fmt.Errorf("process %d: %d fields in stat", pid, len(fields))
	}
	if s := fields[state][0]; s == 'Z' || s == 'X' {
		return "", os.ErrProcessDone
	}
	return string(fields[start]), nil
}

// bootID tells the running system from those before a restart.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
