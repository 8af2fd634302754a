package compile

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

const (
	// maxMessages is how much of what the go command prints to standard error is
	// kept, in bytes.
	maxMessages = 1 << 20
	// grace is how long the go command has to remove its temporary files when it
	// is interrupted.
	grace = 5 * time.Second
)

// toolchain is the go command of the user, as one build calls it.
type toolchain struct {
	command string
	dir     string
	// env is its whole environment.
	env []string
	log io.Writer
	// patient commands let others have the processor first.
	patient bool
	// settings are what the go command makes of the environment: `go env`.
	settings map[string]string
}

// settingNames are the variables of `go env` that a build depends on.
var settingNames = []string{
	"GOVERSION", "GOROOT", "GOMOD", "GOWORK", "GOMODCACHE", "GOHOSTOS", "GOHOSTARCH", "GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GO_EXTLINK_ENABLED", "CC", "CXX",
	"CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS",
	"GO386", "GOAMD64", "GOARM", "GOARM64", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64",
}

// newToolchain finds the go command on PATH. env is laid over opt.Env.
func newToolchain(opt Options, env ...string) (toolchain, error) {
	t := toolchain{log: opt.Log}
	var err error
	if t.dir, err = absolute(opt.Dir); err != nil {
		return t, err
	}
	t.env = slices.Concat(opt.Env, env, []string{"PWD=" + t.dir})
	if t.command, err = t.lookPath("go"); err != nil {
		return t, &fault.Error{Code: fault.Unsupported, Op: "find the go command", Err: err,
			Hint: "install Go (https://go.dev/dl) and put its bin directory on PATH"}
	}
	return t, nil
}

// choose makes t the toolchain of a version, for example "1.26.8", or whichever
// the go command chooses when it is empty, and asks for its settings. An error of
// the go command is a *commandError.
func (t *toolchain) choose(ctx context.Context, version string) error {
	name := "go" + strings.TrimPrefix(version, "go")
	if version != "" {
		if _, err := goversion.Parse(name); err != nil {
			return &fault.Error{Code: fault.Usage, Op: "choose Go", Input: version, Err: err, Hint: `name a release, for example "1.26.8"`}
		}
		t.env = append(t.env, "GOTOOLCHAIN="+name)
	}
	out, err := t.run(ctx, nil, append([]string{"env", "-json"}, settingNames...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &t.settings); err != nil {
		return &fault.Error{Code: fault.Internal, Op: "read", Input: "go env", Err: err}
	}
	if got := t.settings["GOVERSION"]; version != "" && releaseOf(got) != name {
		return &fault.Error{Code: fault.Unsupported, Op: "choose Go", Input: version,
			Err:  fmt.Errorf("the go command on PATH is %s and does not switch to another", got),
			Hint: "install Go 1.21 or newer, which fetches the toolchain that is asked for"}
	}
	return nil
}

// variable returns the last value of key in the environment.
func (t *toolchain) variable(key string) string {
	for _, entry := range slices.Backward(t.env) {
		if value, ok := strings.CutPrefix(entry, key+"="); ok {
			return value
		}
	}
	return ""
}

// lookPath finds a command along PATH of the toolchain's own environment.
// Relative directories of PATH are passed over, as package exec does.
func (t *toolchain) lookPath(name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return exec.LookPath(name)
	}
	for _, dir := range filepath.SplitList(t.variable("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("no %q on PATH", name)
}

// commandError is a command that failed, and what it said.
type commandError struct {
	message string
	err     error
}

func (e *commandError) Error() string { return e.message }
func (e *commandError) Unwrap() error { return e.err }

// run runs the go command with env laid over its environment and returns its
// standard output. The error is a *commandError with what it printed to
// standard error, or that of ctx.
func (t *toolchain) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	return t.exec(ctx, env, t.command, args...)
}

func (t *toolchain) exec(ctx context.Context, env []string, command string, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	messages := &messages{log: t.log}
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir, cmd.Env = t.dir, slices.Concat(t.env, env)
	cmd.Stdout, cmd.Stderr = &stdout, messages
	cmd.WaitDelay = grace
	endGroup := processgroup.Own(cmd)
	err := cmd.Start()
	if err == nil {
		if t.patient {
			giveWay(cmd)
		}
		err = cmd.Wait()
	}
	messages.take(messages.line)
	if ctx.Err() != nil {
		endGroup()
		return nil, ctx.Err()
	}
	if err == nil {
		messages.pass()
		return stdout.Bytes(), nil
	}
	message := strings.TrimSpace(messages.kept.String())
	if message == "" {
		message = filepath.Base(command) + ": " + err.Error()
	}
	return nil, &commandError{message: message, err: err}
}

// messages takes the standard error of a command. Downloads are passed to log
// at once, the rest is kept: only the end tells whether it is an error.
type messages struct {
	log  io.Writer
	line []byte
	kept bytes.Buffer
}

// Write keeps or passes on whole lines; it never fails.
func (m *messages) Write(p []byte) (int, error) {
	m.line = append(m.line, p...)
	for end := bytes.IndexByte(m.line, '\n'); end >= 0; end = bytes.IndexByte(m.line, '\n') {
		m.take(m.line[:end+1])
		m.line = m.line[end+1:]
	}
	if len(m.line) > maxMessages {
		m.line = nil
	}
	return len(p), nil
}

func (m *messages) take(line []byte) {
	if m.log != nil && bytes.HasPrefix(line, []byte("go: downloading ")) {
		_, _ = m.log.Write(line) // who cannot be told of progress goes without
		return
	}
	if m.kept.Len()+len(line) <= maxMessages {
		m.kept.Write(line)
	}
}

// pass gives what was kept to the log.
func (m *messages) pass() {
	if m.log != nil && m.kept.Len() > 0 {
		_, _ = m.log.Write(m.kept.Bytes())
	}
}

// asFault gives an error of the go command its code.
func asFault(err error) error {
	var failed *commandError
	if !errors.As(err, &failed) {
		return err
	}
	code, hint := classify(failed.message)
	return &fault.Error{Code: code, Err: failed, Hint: hint}
}
