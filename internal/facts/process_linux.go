package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// openProcess measures the executable that process pid runs, and fills in
// Process with what it was started with. The executable is read through /proc
// and so is the one that runs, even when its file was replaced or deleted.
func openProcess(ctx context.Context, ref string, pid int, opt Options) (*Subject, error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	link := proc + "/exe"
	target, err := os.Readlink(link)
	if err != nil {
		return nil, processError(pid, proc, err)
	}
	s, err := openFile(ctx, ref, link, opt)
	if err != nil {
		return nil, err
	}
	facts := &s.Files[0]
	target, deleted := strings.CutSuffix(target, " (deleted)")
	facts.Path = target
	if deleted {
		facts.Notes = append(facts.Notes, "the file was deleted or replaced since the process started")
	}
	s.Process, err = startOf(proc, target)
	if err != nil {
		return nil, processError(pid, proc, err)
	}
	return s, nil
}

// processError tells a process that is gone from one that has no executable.
func processError(pid int, proc string, err error) error {
	e := &fault.Error{Code: fault.CodeOf(err), Op: "inspect", Input: fmt.Sprintf("process %d", pid), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Err = fault.NotFound, errors.New("there is no such process")
		if _, statErr := os.Stat(proc); statErr == nil {
			e.Code, e.Err = fault.Invalid, errors.New("it has no executable: a kernel thread, or a process that ended")
		}
	case errors.Is(err, fs.ErrPermission):
		e.Err, e.Hint = fs.ErrPermission, "run as the process's user or as root"
	}
	return e
}

// startOf reads what the process in the directory proc was started with.
func startOf(proc, program string) (*Process, error) {
	p := &Process{}
	cmdline, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return nil, err
	}
	p.Args = splitNUL(cmdline)
	if len(p.Args) == 0 {
		p.Args = []string{program}
	}
	p.Args[0] = program // what it calls itself need not be a file
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil {
		return nil, err
	}
	p.Env = splitNUL(environ)
	if p.WorkingDir, err = os.Readlink(proc + "/cwd"); err != nil {
		return nil, err
	}
	p.User, err = userOf(proc)
	return p, err
}

// userOf returns the effective "uid:gid" of proc_pid_status(5).
func userOf(proc string) (string, error) {
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return "", err
	}
	var id [2]string
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line) // name, real, effective, saved, file system
		switch {
		case len(f) < 3:
		case f[0] == "Uid:":
			id[0] = f[2]
		case f[0] == "Gid:":
			id[1] = f[2]
		}
	}
	return id[0] + ":" + id[1], nil
}

func splitNUL(b []byte) []string {
	s := strings.TrimSuffix(string(b), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}
