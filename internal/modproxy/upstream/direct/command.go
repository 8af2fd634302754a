package direct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/processgroup"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxMessages is how much of what a command prints to standard error is
	// kept, in bytes.
	maxMessages = 64 << 10
	// grace is how long a command has to remove its temporary files when it is
	// interrupted.
	grace = 5 * time.Second
)

// command is a program and what it runs in.
type command struct {
	name, dir string
	// env is its whole environment.
	env []string
	// limit bounds its standard output, in bytes.
	limit int64
}

// commandError is a command that failed, and what it printed to standard error.
type commandError struct {
	message string
	err     error
}

func (e *commandError) Error() string { return e.message }
func (e *commandError) Unwrap() error { return e.err }

// output runs the command without a shell and returns its standard output, also
// when it failed. The error is a *commandError, a *fault.Error, or that of ctx;
// when ctx ends, all processes of the command end.
func (c command) output(ctx context.Context, args ...string) ([]byte, error) {
	path, err := c.find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdout := &bounded{limit: c.limit, full: func() {
		cancel(&fault.Error{Code: fault.Limit, Op: "run", Input: c.name, Err: fmt.Errorf("it printed more than %d bytes", c.limit)})
	}}
	stderr := &bounded{limit: maxMessages, full: func() {}}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.dir, c.env, stdout, stderr, grace
	endGroup := processgroup.Own(cmd)
	err = cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		endGroup()
		return nil, cause
	}
	if err != nil {
		message := strings.TrimSpace(stderr.String())
		if message == "" {
			message = filepath.Base(c.name) + ": " + err.Error()
		}
		err = &commandError{message: message, err: err}
	}
	return stdout.Bytes(), err
}

// find looks for the program along PATH of the command's own environment.
func (c command) find() (string, error) {
	if strings.ContainsRune(c.name, filepath.Separator) {
		path, err := exec.LookPath(c.name)
		if err != nil {
			return "", missing(c.name, err)
		}
		return path, nil
	}
	for _, dir := range filepath.SplitList(variable(c.env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, c.name)); err == nil {
			return found, nil
		}
	}
	return "", missing(c.name, errors.New("it is not on PATH"))
}

func missing(name string, err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return &fault.Error{Code: fault.Unsupported, Op: "run", Input: name, Err: err,
		Hint: "install " + filepath.Base(name) + " where the module proxy runs, or take direct off its list of upstreams"}
}

// variable returns the last value of a variable in an environment.
func variable(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// bounded keeps the first bytes that are written, and never fails. full is called
// for what is over the limit.
type bounded struct {
	bytes.Buffer
	limit int64
	full  func()
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.limit - int64(b.Len())
	if int64(len(p)) > room {
		b.Buffer.Write(p[:max(0, room)])
		b.full()
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
