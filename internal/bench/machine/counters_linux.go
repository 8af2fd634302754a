package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// event is what is counted, as in perf_event_open(2).
type event struct {
	kind   uint32
	config uint64
}

// instructions is what OpenCounters counts.
var instructions = event{unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS}

const (
	// userMode leaves out the kernel and the hypervisor, which unprivileged
	// processes may not count (perf_event_paranoid 2, the usual setting).
	userMode = unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv
	// onExec counts what the calling thread starts, not the thread.
	onExec = userMode | unix.PerfBitDisabled | unix.PerfBitInherit | unix.PerfBitEnableOnExec
)

// openEvent opens an event of the calling thread.
func openEvent(e event, bits uint64) (*os.File, error) {
	attr := unix.PerfEventAttr{
		Type: e.kind, Config: e.config, Bits: bits,
		Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING,
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, openError(err)
	}
	return os.NewFile(uintptr(fd), "perf event"), nil
}

// openError says what an errno of perf_event_open(2) means.
func openError(errno error) error {
	err := fmt.Errorf("perf_event_open: %w", errno)
	switch {
	case errors.Is(errno, unix.ENOENT), errors.Is(errno, unix.ENODEV), errors.Is(errno, unix.EOPNOTSUPP):
		return unsupported("this machine has no counters (virtual machines often have none)", err, "")
	case errors.Is(errno, unix.ENOSYS):
		return unsupported("this kernel has no counters", err, "")
	case errors.Is(errno, unix.EACCES), errors.Is(errno, unix.EPERM):
		return unsupported("this process may not use counters", err, "set kernel.perf_event_paranoid to 2 or less "+
			"with sysctl; in a container, allow perf_event_open in its seccomp profile")
	}
	return err
}

// unsupported returns an errors.ErrUnsupported.
func unsupported(what string, err error, hint string) error {
	return &unsupportedError{fmt.Errorf("%s: %w", what, err), hint}
}

// probe counts an event while this thread works: there are machines on which it
// can be opened and stays 0.
func probe(e event) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events, err := openEvent(e, userMode)
	if err != nil {
		return err
	}
	defer events.Close()
	NewLoop().Run()
	r, err := readEvent(events)
	if err == nil && r.value == 0 {
		err = &unsupportedError{errors.New("this machine's counters do not count"), ""}
	}
	return err
}

// readEvent reads an event and those that inherited it.
func readEvent(events *os.File) (reading, error) {
	var b [24]byte
	if _, err := io.ReadFull(events, b[:]); err != nil {
		return reading{}, err
	}
	word := binary.NativeEndian.Uint64
	return reading{value: word(b[:]), enabled: word(b[8:]), running: word(b[16:])}, nil
}

// diesWithThread says whether cmd ends with the thread that starts it.
func diesWithThread(cmd *exec.Cmd) bool {
	return cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0
}
