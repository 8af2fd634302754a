package machine

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Affinity is a set of processors that code and processes are bound to. A nil
// *Affinity binds to none. It is safe for concurrent use.
type Affinity struct{ cpus []int }

// Pin returns the affinity to a list of processors as in cpuset(7), "0,2-3"; to
// none, nil, for an empty list.
//
// Errors: fault.Usage for what is no list, and for processors that this process
// may not use or that are not online; fault.Unsupported, which is
// errors.ErrUnsupported, on systems other than Linux.
func Pin(list string) (*Affinity, error) {
	const op = "bind to processors"
	cpus, err := parseCPUs(list)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: op, Input: list, Err: err, Hint: `write a list such as "0,2-3"`}
	}
	if len(cpus) == 0 {
		return nil, nil
	}
	allowed, err := allowedCPUs()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, &fault.Error{
			Code: fault.Unsupported, Op: op, Input: list, Hint: "leave the processors to the system",
			Err: fmt.Errorf("%s cannot bind processes: %w", runtime.GOOS, errors.ErrUnsupported),
		}
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: op, Input: list, Err: err}
	}
	if both := intersect(cpus, allowed); len(both) < len(cpus) {
		missing := slices.DeleteFunc(cpus, func(cpu int) bool { return slices.Contains(both, cpu) })
		return nil, &fault.Error{
			Code: fault.Usage, Op: op, Input: list,
			Err:  fmt.Errorf("processors %s are not online or not allowed", formatCPUs(missing)),
			Hint: "choose from " + formatCPUs(allowed),
		}
	}
	return &Affinity{cpus}, nil
}

// CPUs returns the numbers of the processors in ascending order.
func (a *Affinity) CPUs() []int {
	if a == nil {
		return nil
	}
	return slices.Clone(a.cpus)
}

// String returns the list in its shortest form: "0,2-3".
func (a *Affinity) String() string { return formatCPUs(a.CPUs()) }

// Start is cmd.Start, with the process bound to the processors from its first
// instruction on, and all that it starts as well. GOMAXPROCS of a Go program is
// then their number, unless it is set.
func (a *Affinity) Start(cmd *exec.Cmd) error {
	var started error
	if err := a.Do(func() { started = cmd.Start() }); err != nil {
		if started == nil && cmd.Process != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		return err
	}
	return started
}

// Do calls f on a thread that is bound to the processors, in the goroutine of the
// caller. Goroutines that f starts are not bound. When the error is not nil, f was
// not called, or the thread stays bound and stays with this goroutine: it ends
// with it.
func (a *Affinity) Do(f func()) (err error) {
	if a == nil {
		f()
		return nil
	}
	runtime.LockOSThread()
	restore, err := bindThread(a.cpus)
	if err != nil {
		runtime.UnlockOSThread()
		return a.failed(err)
	}
	defer func() {
		if e := restore(); e != nil {
			err = a.failed(e)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
	return nil
}

// failed says that a thread could not be bound, or not freed again.
func (a *Affinity) failed(err error) error {
	return &fault.Error{
		Code: fault.CodeOf(err), Op: "bind to processors", Input: a.String(), Err: err,
		Hint: "a processor went offline, or a cpuset changed: run again",
	}
}
