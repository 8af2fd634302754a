//go:build linux && cgo

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// blocker is one way for a goroutine to wait for a byte from a pipe.
type blocker struct {
	name string
	// nonblocking is how the reading end is opened.
	nonblocking bool
	// wait returns when there is a byte; nil makes no goroutine at all.
	wait func(fd int) error
}

// blockers are the ways that are compared, by the name that the process of each
// is told.
var blockers = []blocker{
	{name: "no goroutine, the pipes only"},
	{name: "pure Go: `os.File.Read`, which waits in the runtime's poller", nonblocking: true, wait: readFile},
	{name: "pure Go: `syscall.Read`, which waits in the kernel", wait: readSyscall},
	{name: "cgo: `read()`", wait: readC},
}

func readFile(fd int) error {
	_, err := io.ReadFull(os.NewFile(uintptr(fd), "pipe"), make([]byte, 1))
	return err
}

func readSyscall(fd int) error {
	_, err := syscall.Read(fd, make([]byte, 1))
	return err
}

// blockCost is what a process with blocked goroutines holds.
type blockCost struct {
	threads int64
	// rss and virtual are bytes.
	rss, virtual int64
}

// blockVariable makes a process block as the blocker of that number does.
const blockVariable = "GOPHERWOOD_BENCH_BLOCK"

// measureBlock measures a blocker in a process of its own, from outside: what
// looks at itself changes what it sees.
func measureBlock(number, goroutines int) (cost blockCost, err error) {
	self, err := os.Executable()
	if err != nil {
		return blockCost{}, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", blockVariable, number, goroutines))
	cmd.Stderr = os.Stderr
	enough, err := cmd.StdinPipe()
	if err != nil {
		return blockCost{}, err
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return blockCost{}, err
	}
	if err := cmd.Start(); err != nil {
		return blockCost{}, err
	}
	if _, err = io.ReadFull(ready, make([]byte, 1)); err == nil {
		cost, err = settled(cmd.Process.Pid)
	}
	err = errors.Join(err, enough.Close(), cmd.Wait())
	if err != nil {
		return blockCost{}, fmt.Errorf("%s: %w", blockers[number].name, err)
	}
	return cost, nil
}

// block is that process: it blocks goroutines, says so with a byte on standard
// output, and lets them go when standard input ends.
func block(spec string) error {
	first, second, _ := strings.Cut(spec, ",")
	number, err := strconv.Atoi(first)
	if err != nil || number < 0 || number >= len(blockers) {
		return fmt.Errorf("%s=%q names no way to block", blockVariable, spec)
	}
	goroutines, err := strconv.Atoi(second)
	if err != nil {
		return fmt.Errorf("%s=%q: %w", blockVariable, spec, err)
	}
	way := blockers[number]
	done := make(chan error, goroutines)
	var writers []int
	for range goroutines {
		read, write, err := pipe(way.nonblocking)
		if err != nil {
			return err
		}
		writers = append(writers, write)
		if way.wait != nil {
			go func() { done <- way.wait(read) }()
		}
	}
	if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil || way.wait == nil {
		return err
	}
	return letGo(writers, done)
}

func pipe(nonblocking bool) (read, write int, err error) {
	flags := syscall.O_CLOEXEC
	if nonblocking {
		flags |= syscall.O_NONBLOCK
	}
	var ends [2]int
	err = syscall.Pipe2(ends[:], flags)
	return ends[0], ends[1], err
}

// letGo writes a byte into each pipe; every goroutine must have waited for it.
func letGo(writers []int, done <-chan error) error {
	select {
	case err := <-done:
		return errors.Join(errors.New("a goroutine did not wait"), err)
	default:
	}
	for _, fd := range writers {
		if _, err := syscall.Write(fd, []byte{1}); err != nil {
			return err
		}
	}
	for range writers {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// How long the number of threads and the memory must stay the same.
const (
	sampleEvery = 50 * time.Millisecond
	sameSamples = 10
	mostSamples = 400
)

// settled waits until a process no longer changes and returns what it holds.
func settled(pid int) (blockCost, error) {
	var last blockCost
	same := 0
	for range mostSamples {
		time.Sleep(sampleEvery)
		now, err := costOf(pid)
		if err != nil {
			return blockCost{}, err
		}
		if now == last {
			same++
		} else {
			last, same = now, 0
		}
		if same == sameSamples {
			return last, nil
		}
	}
	return blockCost{}, errors.New("the process does not come to rest")
}

// costOf reads a process's status, see proc_pid_status(5).
func costOf(pid int) (blockCost, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return blockCost{}, err
	}
	fields := map[string]int64{}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		if words := strings.Fields(value); len(words) > 0 {
			fields[key], _ = strconv.ParseInt(words[0], 10, 64) // the others are no numbers
		}
	}
	const kB = 1024
	return blockCost{threads: fields["Threads"], rss: fields["VmRSS"] * kB, virtual: fields["VmSize"] * kB}, nil
}
