//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a program that runs beside the benchmark until it is stopped.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// startProcess starts a program with env added to the environment; what it says
// goes to a file in dir.
func startProcess(ctx context.Context, dir, name string, env []string, file string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, file, args...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its state
		close(p.done)
	}()
	return p, nil
}

// stop ends the process at once.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// waitFor waits until ready says nil, and no longer than the process runs.
func (p *process) waitFor(ctx context.Context, wait time.Duration, ready func() error) error {
	ended := fmt.Errorf("%s has ended", filepath.Base(p.cmd.Path))
	err := until(ctx, wait, filepath.Base(p.cmd.Path), func() error {
		select {
		case <-p.done:
			return ended
		default:
			return ready()
		}
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, p.tail())
	}
	return err
}

// tail is the end of what the process said.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// memory reads VmRSS or VmHWM of /proc/PID/status: what the process has in memory
// and the most that it has had, in bytes.
func (p *process) memory(field string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", p.cmd.Process.Pid, field)
}

// clockTicks is how many a second the kernel counts processor time in, for every
// program on Linux.
const clockTicks = 100

// processor is the time that the process has had a processor.
func (p *process) processor() (time.Duration, error) { return processorOf(p.cmd.Process.Pid) }

// processorOf is the time that a process has had a processor.
func processorOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold spaces: what follows it begins with field 3.
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// freeAddress is a loopback address that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
