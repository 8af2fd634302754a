package machine

import (
	"errors"
	"os"
	"os/exec"
	"runtime"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Counters counts the instructions that processes execute in user mode: a metric
// that neighbours and clock frequencies do not change. It is safe for concurrent use.
type Counters struct{ event event }

// OpenCounters tries the processor's counter of instructions.
//
// The error is a fault.Unsupported, and errors.ErrUnsupported, when the system or
// the machine has none, as most virtual machines, or does not let this process
// use it; its hint is the way out. It is a fault.Internal when the system failed.
func OpenCounters() (*Counters, error) { return openCounters(instructions) }

// openCounters tries an event on work that it does.
func openCounters(e event) (*Counters, error) {
	if err := probe(e); err != nil {
		return nil, countersError(err)
	}
	return &Counters{e}, nil
}

// countersError adds what was being done: a fault.Unsupported when err is
// errors.ErrUnsupported.
func countersError(err error) error {
	f := &fault.Error{Code: fault.Internal, Op: "count instructions", Err: err}
	if errors.Is(err, errors.ErrUnsupported) {
		f.Code, f.Hint = fault.Unsupported, "timings alone decide"
	}
	var known *unsupportedError
	if errors.As(err, &known) && known.hint != "" {
		f.Hint = known.hint
	}
	return f
}

// unsupportedError makes an error errors.ErrUnsupported without changing its text.
type unsupportedError struct {
	error
	// hint is the way out, the usual one when empty.
	hint string
}

func (e *unsupportedError) Unwrap() []error { return []error{e.error, errors.ErrUnsupported} }

// Count is being taken of a process and of all that it starts.
type Count struct{ events *os.File }

// Counted is what a process did, together with all that it started.
type Counted struct {
	// Instructions were executed in user mode, between the process's execve(2) and
	// the end, or the call of Read: those of the start of the program, too.
	Instructions float64
	// Share is the part of the time in which the counter was there for this process,
	// in (0, 1]; it is less than 1 when others were counted in turn, and
	// Instructions is then extrapolated from it.
	Share float64
}

// Start is on.Start(cmd), with the process counted. After cmd.Wait the count is
// read; Close has to be called when Start succeeded. The thread that starts the
// process ends, therefore SysProcAttr.Pdeathsig is a fault.Usage.
func (c *Counters) Start(cmd *exec.Cmd, on *Affinity) (*Count, error) {
	if diesWithThread(cmd) {
		return nil, &fault.Error{
			Code: fault.Usage, Op: "count instructions of", Input: cmd.Path,
			Err: errors.New("with Pdeathsig, the process would end at once"),
		}
	}
	var count *Count
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The event is one of this thread, which all that the thread starts inherit.
		// The thread is never unlocked, so that it ends and starts nothing else.
		runtime.LockOSThread()
		count, err = c.start(cmd, on)
	}()
	<-done
	return count, err
}

// start is Start on the calling thread.
func (c *Counters) start(cmd *exec.Cmd, on *Affinity) (*Count, error) {
	events, err := openEvent(c.event, onExec)
	if err != nil {
		return nil, countersError(err)
	}
	if err := on.Start(cmd); err != nil {
		return nil, errors.Join(err, events.Close())
	}
	return &Count{events}, nil
}

// Read returns what was counted until now.
//
// The error is a fault.Unavailable when the counter was never there for the
// process, because others used it all the time.
func (c *Count) Read() (Counted, error) {
	const op = "read the count of instructions"
	reading, err := readEvent(c.events)
	if err != nil {
		return Counted{}, &fault.Error{Code: fault.Internal, Op: op, Err: err}
	}
	counted, ok := reading.extrapolate()
	if !ok {
		return Counted{}, &fault.Error{
			Code: fault.Unavailable, Op: op, Err: errors.New("the counter was in use by others all the time"),
			Hint: "stop other profilers on this machine",
		}
	}
	return counted, nil
}

// Close ends the count.
func (c *Count) Close() error { return c.events.Close() }

// reading is what an event says, as in perf_event_open(2): times in nanoseconds.
type reading struct{ value, enabled, running uint64 }

// extrapolate returns the count of the whole time from that of the time in which
// the counter was there: value × enabled / running. ok is false when it was never.
func (r reading) extrapolate() (c Counted, ok bool) {
	if r.running == 0 || r.enabled < r.running {
		return Counted{}, false
	}
	share := float64(r.running) / float64(r.enabled)
	return Counted{Instructions: float64(r.value) / share, Share: share}, true
}
