package machine

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// taskClock counts nanoseconds on a processor. Every kernel has it, also in
// virtual machines without counters: what is tested with it is everything but the
// counter itself.
var taskClock = event{unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK}

// clock returns counters of taskClock. Where this process may count nothing, the
// error must say so; there is nothing else to test then.
func clock(t *testing.T) *Counters {
	t.Helper()
	c, err := openCounters(taskClock)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		if fault.CodeOf(err) != fault.Unsupported || !errors.Is(err, errors.ErrUnsupported) || fault.HintOf(err) == "" {
			t.Errorf("not allowed: %v (%s)", err, fault.HintOf(err))
		}
		t.Skipf("this process may count nothing: %s", fault.HintOf(err))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCountersStart counts programs that start programs, some at the same time,
// some bound, between others that are not counted.
func TestCountersStart(t *testing.T) {
	c := clock(t)
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	last := &Affinity{allowed[len(allowed)-1:]}
	var wait sync.WaitGroup
	for is, on := range map[string]*Affinity{"work": last, "work,work": nil, "work,work,work": last, "report": nil} {
		wait.Go(func() { testCount(t, c, is, on) })
		wait.Go(func() {
			if err := child("work").Run(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if now, err := allowedCPUs(); err != nil || !slices.Equal(now, allowed) {
		t.Errorf("allowed are %v, %v; before %v", now, err, allowed)
	}
}

// testCount compares the count of a program with what the kernel says when it has
// ended. The kernel does not charge programs with the time that a hypervisor took
// (steal time), the clock does: it may say more, up to all the time that passed.
func testCount(t *testing.T, c *Counters, is string, on *Affinity) {
	cmd := child(is)
	start := time.Now()
	count, err := c.Start(cmd, on)
	if err != nil {
		t.Error(err)
		return
	}
	defer count.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	most := float64(time.Since(start)) * float64(runtime.NumCPU())
	got, err := count.Read()
	least := float64(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	const fork = 10 * time.Millisecond // what the kernel counts before execve
	if err != nil || got.Share != 1 || got.Instructions < 0.95*least-float64(fork) || got.Instructions > most {
		t.Errorf("%s on %v: counted %+v, %v; want %.0f to %.0f ns", is, on, got, err, least, most)
	}
}

// TestCountOnly starts programs while the count of another is open: they are not
// in it, whichever thread starts them.
func TestCountOnly(t *testing.T) {
	c := clock(t)
	cmd := child("report")
	count, err := c.Start(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer count.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	before, err := count.Read()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := child("report").Run(); err != nil {
			t.Error(err)
		}
	}
	if after, err := count.Read(); err != nil || after != before {
		t.Errorf("counted %+v, %v; before %+v", after, err, before)
	}
}

func TestCountersStartFails(t *testing.T) {
	c := clock(t)
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	before := open()
	for range 20 {
		if _, err := c.Start(exec.Command("/does/not/exist"), nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a program that is not there: %v", err)
		}
	}
	if after := open(); after > before+5 {
		t.Errorf("%d files are open, before %d", after, before)
	}
	cmd := child("report")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := c.Start(cmd, nil); fault.CodeOf(err) != fault.Usage || cmd.Process != nil {
		t.Errorf("a program that ends with its thread: %v", err)
	}
	absent := &Counters{event{unix.PERF_TYPE_SOFTWARE, 1 << 20}}
	if _, err := absent.Start(child("report"), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an event that does not exist: %v", err)
	}
}

// TestOpenCounters counts instructions where the processor can, and says why where
// it cannot.
func TestOpenCounters(t *testing.T) {
	c, err := OpenCounters()
	if err != nil {
		if c != nil || fault.CodeOf(err) != fault.Unsupported || !errors.Is(err, errors.ErrUnsupported) || fault.HintOf(err) == "" {
			t.Errorf("%v, %v (%s)", c, err, fault.HintOf(err))
		}
		return
	}
	cmd := child("work")
	count, err := c.Start(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer count.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	// A step of the loop is ten instructions or so.
	if got, err := count.Read(); err != nil || got.Instructions < 100*loopSteps {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOpenError(t *testing.T) {
	const usual = "timings alone decide"
	for _, test := range []struct {
		errno      error
		want, hint string
	}{
		{unix.ENOENT, "this machine has no counters (virtual machines often have none): perf_event_open: no such file or directory", usual},
		{unix.EOPNOTSUPP, "this machine has no counters (virtual machines often have none): perf_event_open: operation not supported", usual},
		{unix.ENOSYS, "this kernel has no counters: perf_event_open: function not implemented", usual},
		{unix.EMFILE, "perf_event_open: too many open files", ""},
		{
			unix.EACCES, "this process may not use counters: perf_event_open: permission denied",
			"set kernel.perf_event_paranoid to 2 or less with sysctl; in a container, allow perf_event_open in its seccomp profile",
		},
	} {
		err := countersError(openError(test.errno))
		if err.Error() != "count instructions: "+test.want || fault.HintOf(err) != test.hint || !errors.Is(err, test.errno) {
			t.Errorf("%v: %v (%s)", test.errno, err, fault.HintOf(err))
		}
		supported := test.hint == ""
		if errors.Is(err, errors.ErrUnsupported) == supported || (fault.CodeOf(err) == fault.Unsupported) == supported {
			t.Errorf("%v: code %s", test.errno, fault.CodeOf(err))
		}
	}
}
