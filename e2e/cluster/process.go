package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// process is a child that logs into a file.
type process struct {
	name   string
	log    string
	handle handle
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	err    error         // why; valid after done
}

// spawner starts children that do not outlive this process, where the system can
// do that. On Linux a child is tied to the thread that started it: all of them
// are started by one that lives as long as the spawner.
type spawner struct{ work chan func() }

func newSpawner() *spawner {
	s := &spawner{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // Never unlocked: the thread ends with the goroutine.
		for f := range s.work {
			f()
		}
	}()
	return s
}

// start starts cmd.
func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.work <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the spawner; children that still run are killed.
func (s *spawner) close() { close(s.work) }

// startProcess starts program with args, its output appended to dir/NAME.log.
// prepare may change the command.
func (s *spawner) startProcess(dir, name, program string, args []string, prepare func(*exec.Cmd)) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = childEnviron(os.Environ())
	p.cmd.SysProcAttr = childAttributes()
	if prepare != nil {
		prepare(p.cmd)
	}
	if err := s.start(p.cmd); err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "start", Input: name, Err: err}
	}
	p.handle, err = handleOf(name, p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err != nil {
		p.kill()
		return nil, p.failure("start", err)
	}
	return p, nil
}

// childEnviron leaves out what would change how the programs behave: proxies for
// their connections to each other, and settings of the Go runtime.
func childEnviron(env []string) []string {
	var kept []string
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "KUBECONFIG", "NOTIFY_SOCKET",
			"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR", markMain:
			continue
		}
		if strings.HasPrefix(name, "ETCD_") || strings.HasPrefix(name, "KUBE_") {
			continue
		}
		kept = append(kept, pair)
	}
	return kept
}

// ended says whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended.
	select {
	case <-p.done:
	case <-time.After(10 * time.Second): // In the kernel; the state still names it.
	}
}

// failure is the error of a process that did not do what it should, with the end
// of its log.
func (p *process) failure(op string, err error) error {
	if p.ended() && p.err != nil {
		err = errors.Join(err, p.err)
	}
	if end := logTail(p.log, 10); end != "" {
		err = fmt.Errorf("%w; the end of its log:\n%s", err, end)
	}
	return &fault.Error{Code: fault.Unavailable, Op: op, Input: p.name, Err: err}
}

// logTail returns the last n lines of a log.
func logTail(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	const most = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	return tail(io.LimitReader(f, most), n)
}

// killHandle kills the process if it is still the one that is meant. The process
// is pinned before it is looked at, where the system can do that, so that none
// that follows it with the same number is hit.
func killHandle(h handle) error {
	return withProcess(h, (*os.Process).Kill)
}

// interruptHandle asks the process to end in order.
func interruptHandle(h handle) error { return withProcess(h, terminate) }

func withProcess(h handle, do func(*os.Process) error) error {
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return nil //nolint:nilerror // There is no such process.
	}
	defer func() { _ = p.Release() }()
	if !h.alive() {
		return nil
	}
	if err := do(p); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
