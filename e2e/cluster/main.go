package cluster

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// The names under which this program is started again. A program is asked for a
// role by the name it is called with, which it does not hand down.
const (
	roleReaper     = "gopherwood-cluster-reaper"
	roleNode       = "gopherwood-cluster-node"
	roleSupervisor = "gopherwood-cluster-supervisor"
)

// markMain is the environment variable by which Main says that it was called in
// the process of that number.
const markMain = "GOPHERWOOD_CLUSTER_MAIN"

// Main must be called first thing in main or TestMain of a program that starts
// clusters: it turns this process into a part of a cluster if it was started as
// one, and does not return then.
func Main() {
	var code int
	switch filepath.Base(os.Args[0]) {
	case roleReaper:
		code = reap(os.Args[1:])
	case roleNode:
		code = nodeMain()
	case roleSupervisor:
		code = supervise()
	default:
		_ = os.Setenv(markMain, strconv.Itoa(os.Getpid())) // Fails for impossible names only.
		return
	}
	os.Exit(code)
}

// mainCalled says whether this program can be started again in a role.
func mainCalled() bool { return os.Getenv(markMain) == strconv.Itoa(os.Getpid()) }

// self returns the command that starts this program again in a role.
func self(role string, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path)
	cmd.Args = append([]string{role}, args...)
	cmd.Env = childEnviron(os.Environ())
	return cmd, nil
}

// reaper is the process that removes the cluster when its owner is gone: it waits
// for the end of its standard input, which the owner's end brings about.
type reaper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startReaper starts the reaper of r's cluster.
func startReaper(r *register) (*reaper, error) {
	cmd, err := self(roleReaper, r.dir)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = detachedAttributes()
	cmd.Dir = filepath.Dir(r.dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	re := &reaper{cmd, stdin}
	h, err := handleOf("reaper", cmd.Process.Pid)
	if err != nil {
		re.end()
		return nil, err
	}
	return re, r.update(func(s *state) { s.Reaper = h })
}

// end lets the reaper go, which has nothing to do if the cluster has been removed.
func (re *reaper) end() {
	_ = re.stdin.Close()
	_ = re.cmd.Wait() // It has no answer.
}

// reap is the reaper.
func reap(args []string) int {
	if len(args) != 1 {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // Ends with the owner.
	if err := removeAfter(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
