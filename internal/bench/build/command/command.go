// Package command runs git and the go command: bounded, and ended with all that
// they have started.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/processgroup"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxOutput is how much a command may print to standard output, in bytes.
	maxOutput = 256 << 20
	// maxMessages is how much of its standard error is kept, in bytes.
	maxMessages = 1 << 20
	// grace is how long a command has to remove its temporary files when it is
	// interrupted.
	grace = 5 * time.Second
)

// Command is a program and what it runs in.
type Command struct {
	// Name is looked for along PATH of Env unless it is an absolute path.
	Name, Dir string
	// Env is its whole environment, as KEY=VALUE.
	Env []string
	// Log takes what it prints to standard error unless it fails; nil is nowhere.
	Log io.Writer
}

// Error is a command that failed, and what it printed to standard error.
type Error struct {
	Message string
	Err     error
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// Output runs the command without a shell and returns its standard output. The
// error is a *Error, a *fault.Error, or that of ctx; when ctx ends, all
// processes of the command end.
func (c Command) Output(ctx context.Context, args ...string) ([]byte, error) {
	path, err := c.find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdout := &bounded{limit: maxOutput, full: func() {
		cancel(&fault.Error{Code: fault.Limit, Op: "run", Input: c.Name, Err: fmt.Errorf("it printed more than %d bytes", maxOutput)})
	}}
	stderr := &bounded{limit: maxMessages, full: func() {}}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.Dir, slices.Concat(c.Env, []string{"PWD=" + c.Dir}), stdout, stderr, grace
	end := processgroup.Own(cmd)
	err = cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		end()
		return nil, cause
	}
	if err != nil {
		message := strings.TrimSpace(stderr.String())
		if message == "" {
			message = filepath.Base(c.Name) + ": " + err.Error()
		}
		return nil, &Error{Message: message, Err: err}
	}
	if c.Log != nil && stderr.Len() > 0 {
		_, _ = c.Log.Write(stderr.Bytes()) // who cannot be told goes without
	}
	return stdout.Bytes(), nil
}

// find looks for the program along PATH of the command's own environment.
// Relative directories of PATH are passed over, as package exec does.
func (c Command) find() (string, error) {
	if filepath.IsAbs(c.Name) {
		return c.Name, nil
	}
	for _, dir := range filepath.SplitList(variable(c.Env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, c.Name)); err == nil {
			return found, nil
		}
	}
	return "", &fault.Error{Code: fault.Unsupported, Op: "run", Input: c.Name, Err: errors.New("it is not on PATH"),
		Hint: "install " + c.Name + " and put it on PATH"}
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
	limit int
	full  func()
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.Len(); len(p) > room {
		b.Buffer.Write(p[:room])
		b.full()
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// FirstLines cuts a message after n lines.
func FirstLines(message string, n int) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	if len(lines) > n {
		lines = append(lines[:n], "…")
	}
	return strings.Join(lines, "\n")
}
