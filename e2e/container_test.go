//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// containerSpec is the environment variable that makes the test binary enter a
// container instead of running tests.
const containerSpec = "GOPHERWOOD_E2E_CONTAINER"

// container is one program to start in one root file system, as a container
// runtime is told to.
type container struct {
	// Layers are directories laid over one another, the lowest first.
	Layers []string
	// Mount is an empty directory to mount them on, Changes one that keeps what
	// the program changes; without it the root file system is read-only.
	Mount   string
	Changes string
	Args    []string
	Env     []string
	User    string
	WorkDir string
	// CPU is the processor that qemu is to imitate, with Emulator its path in
	// the root file system; empty for the machine's own.
	CPU      string
	Emulator string
}

// outcome is what really happened.
type outcome struct {
	// Rule is the id of the rule that should have foretold it; "" when the
	// program started.
	Rule string
	// Detail is what the kernel or the loader said.
	Detail string
}

// startTimeout is far more than any of the programs needs.
const startTimeout = 30 * time.Second

// run really starts the program. The error is about the container, or a program
// that neither starts nor fails in a known way.
func (c container) run(ctx context.Context) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r, err := c.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	unexecuted, err := r.wait()
	switch {
	case ctx.Err() != nil:
		return outcome{}, fmt.Errorf("the program did not end: %w: %s", ctx.Err(), &r.stderr)
	case unexecuted == nil:
		return classify(r.stdout.String(), r.stderr.String(), err)
	case unexecuted.Rule == "":
		return outcome{}, errors.New(unexecuted.Detail)
	}
	return *unexecuted, nil
}

// says starts the program with further arguments and returns what it prints; it
// must end well.
func (c container) says(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c.Args = append(slices.Clone(c.Args), args...)
	r, err := c.start(ctx)
	if err != nil {
		return "", err
	}
	unexecuted, err := r.wait()
	if unexecuted != nil {
		return "", fmt.Errorf("%s: %s", unexecuted.Rule, unexecuted.Detail)
	}
	if err != nil {
		err = fmt.Errorf("%q: %w: %s", args, err, &r.stderr)
	}
	return r.stdout.String(), err
}

// serves starts the program with further arguments, and ends it once it has
// answered a request for url, with the answer.
func (c container) serves(ctx context.Context, url string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c.Args = append(slices.Clone(c.Args), args...)
	r, err := c.start(ctx)
	if err != nil {
		return "", err
	}
	var unexecuted *outcome
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		unexecuted, err = r.wait()
	}()
	for {
		select {
		case <-ended:
			return "", fmt.Errorf("the server ended: %w: %s (%+v)", err, &r.stderr, unexecuted)
		case <-time.After(20 * time.Millisecond):
		}
		response, getErr := http.Get(url)
		if getErr != nil {
			continue
		}
		body, readErr := io.ReadAll(response.Body)
		response.Body.Close()
		cancel()
		<-ended
		return string(body), readErr
	}
}

// running is a container that was told to start.
type running struct {
	cmd            *exec.Cmd
	report         *os.File
	stdout, stderr bytes.Buffer
}

func (c container) start(ctx context.Context) (*running, error) {
	spec, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	report, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	r := &running{cmd: exec.CommandContext(ctx, "/proc/self/exe"), report: report}
	r.cmd.Env = []string{containerSpec + "=" + string(spec)}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	r.cmd.ExtraFiles = []*os.File{write}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if err := r.cmd.Start(); err != nil {
		report.Close()
		return nil, fmt.Errorf("enter a mount and a process namespace: %w", err)
	}
	return r, nil
}

// wait returns why the program was not executed, or else how it ended.
func (r *running) wait() (unexecuted *outcome, err error) {
	defer r.report.Close()
	var before outcome
	decodeErr := json.NewDecoder(r.report).Decode(&before)
	err = r.cmd.Wait()
	if decodeErr != nil { // execve succeeded and closed the pipe
		return nil, err
	}
	return &before, err
}

// reports is the file descriptor on which the container says why it could not
// execute the program.
const reports = 3

// enterContainer turns this process into the container's program. It does what
// a container runtime does, in its order, and never returns.
func enterContainer(spec string) {
	unix.CloseOnExec(reports)
	var c container
	err := json.Unmarshal([]byte(spec), &c)
	var found outcome
	if err == nil {
		found, err = c.enter()
	}
	if err != nil {
		found = outcome{Detail: err.Error()}
	}
	if err := json.NewEncoder(os.NewFile(reports, "reports")).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, "report what failed:", err)
	}
	os.Exit(1)
}

// enter returns only when the program cannot be executed, with the reason, or
// with an error when the container itself could not be made.
func (c container) enter() (outcome, error) {
	if err := c.mount(); err != nil {
		return outcome{}, err
	}
	id, err := lookupUser(c.User)
	if err != nil {
		return outcome{start.UserUnknown, err.Error()}, nil
	}
	if err := id.assume(); err != nil {
		return outcome{}, err
	}
	os.Clearenv()
	for _, line := range c.Env {
		key, value, _ := strings.Cut(line, "=")
		os.Setenv(key, value)
	}
	program, err := exec.LookPath(c.Args[0])
	if err != nil {
		return outcome{lookupRule(err), err.Error()}, nil
	}
	args := c.Args
	if c.Emulator != "" {
		args = append([]string{c.Emulator, "-cpu", c.CPU, "-0", c.Args[0], program}, c.Args[1:]...)
		program = c.Emulator
	}
	err = syscall.Exec(program, args, c.Env)
	return blame(program, err), nil
}

// mount makes the layers this process's root directory, with /proc in it.
func (c container) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lower := "lowerdir="
	for i := len(c.Layers) - 1; i >= 0; i-- {
		lower += c.Layers[i] + ":"
	}
	lower = strings.TrimSuffix(lower, ":")
	flags := uintptr(unix.MS_RDONLY)
	if c.Changes != "" {
		upper, work := filepath.Join(c.Changes, "upper"), filepath.Join(c.Changes, "work")
		if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
			return err
		}
		lower += ",upperdir=" + upper + ",workdir=" + work
		flags = 0
	}
	if err := unix.Mount("overlay", c.Mount, "overlay", flags, lower); err != nil {
		return fmt.Errorf("mount overlay (%s): %w", lower, err)
	}
	if err := unix.Mount("proc", filepath.Join(c.Mount, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Chroot(c.Mount); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	dir := c.WorkDir
	if dir == "" {
		dir = "/"
	}
	return os.Chdir(dir)
}

// lookupRule names the rule for a program that the runtime does not find: a
// missing file, or one that is there and may not be executed.
func lookupRule(err error) string {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EISDIR) {
		return start.NotExecutable
	}
	return start.EntrypointMissing
}

// blame finds out which file made execve(program) fail with errno.
func blame(program string, errno error) outcome {
	detail := fmt.Sprintf("execve %s: %v", program, errno)
	head := make([]byte, 256)
	script := false
	for {
		n, err := readHead(program, head)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return outcome{start.ScriptInterpreterMissing, detail}
		case unix.Access(program, unix.X_OK) != nil, script && isDir(program):
			return outcome{start.NotExecutable, detail}
		}
		interp, ok := scriptInterpreter(head[:n])
		if !ok {
			return outcome{binaryRule(errno, head[:n]), detail}
		}
		script, program = true, interp
	}
}

// readHead reads the first bytes of the file name, as root's capabilities or the
// user's permissions allow.
func readHead(name string, head []byte) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, _ := f.Read(head)
	return n, nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// scriptInterpreter returns what a #! line names.
func scriptInterpreter(head []byte) (string, bool) {
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return "", false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return "", false
	}
	return string(words[0]), true
}

// binaryRule names the rule for an execve that failed with errno on a file that
// is there and may be executed.
func binaryRule(errno error, head []byte) string {
	switch {
	case errors.Is(errno, unix.ENOENT):
		return start.InterpreterMissing
	case errors.Is(errno, unix.ENOEXEC) && isForeign(head):
		return start.Arch
	case errors.Is(errno, unix.ENOEXEC):
		return start.ExecFormat
	case errors.Is(errno, unix.ELIBBAD), errors.Is(errno, unix.EACCES):
		return start.InterpreterInvalid
	}
	return fmt.Sprintf("unknown: %v", errno)
}

// isForeign reports whether a file with this head is an executable of another
// processor or operating system.
func isForeign(head []byte) bool {
	if bytes.HasPrefix(head, []byte("MZ")) {
		return true
	}
	const machine = 18 // e_machine's place in an ELF header
	return bytes.HasPrefix(head, []byte(elf.ELFMAG)) && len(head) >= machine+2 &&
		elf.Machine(binary.LittleEndian.Uint16(head[machine:])) != elf.EM_X86_64
}
