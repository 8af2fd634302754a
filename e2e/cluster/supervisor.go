package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// message is a line that a supervisor writes until the cluster is ready.
type message struct {
	Event *Event   `json:"event,omitempty"`
	Ready bool     `json:"ready,omitempty"`
	Error *problem `json:"error,omitempty"`
}

// problem is a fault.Error between processes.
type problem struct {
	Code  fault.Code `json:"code"`
	Op    string     `json:"op"`
	Input string     `json:"input"`
	Text  string     `json:"text"`
	Hint  string     `json:"hint"`
}

func problemOf(err error) *problem {
	p := &problem{Code: fault.CodeOf(err), Hint: fault.HintOf(err), Text: err.Error()}
	var e *fault.Error
	if errors.As(err, &e) && e.Err != nil && e.Error() == err.Error() {
		p.Op, p.Input, p.Text = e.Op, e.Input, e.Err.Error()
	}
	return p
}

func (p *problem) fault() error {
	return &fault.Error{Code: p.Code, Op: p.Op, Input: p.Input, Err: errors.New(p.Text), Hint: p.Hint}
}

// Launch starts a cluster in a process of its own, which stays until Stop, and
// returns when it is ready. The configuration must have a name; this program must
// have called Main. When ctx ends before the cluster is ready, it is removed.
//
// Errors: those of Start.
func Launch(ctx context.Context, config Config) (Info, error) {
	if config.Name == "" || !mainCalled() {
		return Info{}, &fault.Error{Code: fault.Usage, Op: "launch cluster", Err: errors.New("it needs a name, and Main to have been called")}
	}
	cmd, err := self(roleSupervisor)
	if err != nil {
		return Info{}, err
	}
	cmd.Env = append(os.Environ(), markMain+"=") // It builds, too: the settings of Go stay.
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = detachedAttributes()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Info{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Info{}, err
	}
	if err := cmd.Start(); err != nil {
		return Info{}, &fault.Error{Code: fault.CodeOf(err), Op: "launch cluster", Err: err}
	}
	// The supervisor ends when its standard input does before it is ready.
	stop := context.AfterFunc(ctx, func() { _ = stdin.Close() })
	defer stop()
	err = errors.Join(json.NewEncoder(stdin).Encode(config), follow(stdout, config.Progress))
	if err != nil {
		_ = stdin.Close()
		_ = cmd.Wait() // Its last message says why it ended.
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Info{}, err
	}
	_ = cmd.Process.Release()
	return Find(config.Name)
}

// follow reads the messages of a supervisor until the cluster is ready.
func follow(r io.Reader, progress Progress) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("supervisor says %q: %w", lines.Text(), err)
		}
		switch {
		case m.Error != nil:
			return m.Error.fault()
		case m.Ready:
			return nil
		case m.Event != nil && progress != nil:
			progress(*m.Event)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return &fault.Error{Code: fault.Unavailable, Op: "launch cluster", Err: errors.New("its process ended without a word")}
}

// supervise is the process that Launch starts.
func supervise() int {
	out := json.NewEncoder(os.Stdout)
	send := func(m message) { _ = out.Encode(m) } // Who launched may have gone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	var config Config
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&config); err != nil {
		send(message{Error: problemOf(err)})
		return 1
	}
	config.Progress = func(e Event) { send(message{Event: &e}) }
	_ = os.Setenv(markMain, fmt.Sprint(os.Getpid())) // As Main does: this program has roles.
	starting, cancel := context.WithCancelCause(ctx)
	ready := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		select {
		case <-ready:
		default:
			cancel(context.Canceled)
		}
	}()
	c, err := Start(starting, config)
	close(ready)
	if err != nil {
		send(message{Error: problemOf(err)})
		return 1
	}
	send(message{Ready: true})
	silence()
	<-ctx.Done()
	if c.Down() != nil {
		return 1
	}
	return 0
}

// silence lets go of who launched this process: its pipes and terminal.
func silence() {
	_ = os.Stdin.Close()
	_ = os.Stdout.Close()
	_ = os.Stderr.Close()
}

// stopWait is how long a supervisor may take to remove its cluster.
const stopWait = 60 * time.Second

// Stop ends the cluster called name, which Launch has started, and removes what
// is left of it; NotFound when there is none.
func Stop(ctx context.Context, name string) error {
	i, err := Find(name)
	if err != nil {
		return err
	}
	s, err := readState(i.Dir)
	if err != nil {
		return err
	}
	if i.Alive {
		if err := interruptHandle(s.Owner); err != nil {
			return &fault.Error{Code: fault.CodeOf(err), Op: "stop cluster", Input: name, Err: err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	return poll(ctx, 50*time.Millisecond, nil, func() error {
		if s.Owner.alive() {
			return fmt.Errorf("process %d does not end", s.Owner.PID)
		}
		if err := removeStale(i.Dir); err != nil {
			return err
		}
		if _, err := Find(name); fault.CodeOf(err) != fault.NotFound {
			return errors.New("it is being removed")
		}
		return nil
	})
}
