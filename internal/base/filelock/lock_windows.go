package filelock

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// The flags and errors of LockFileEx, of which package syscall has none.
const (
	failImmediately = 1
	exclusiveLock   = 2

	errLockViolation syscall.Errno = 33
	errIOPending     syscall.Errno = 997
)

// lock locks a byte far behind the content, which others may go on reading and
// writing.
func lock(f *os.File, h how) (bool, error) {
	var flags uintptr
	if h.exclusive {
		flags |= exclusiveLock
	}
	if !h.wait {
		flags |= failImmediately
	}
	where := syscall.Overlapped{OffsetHigh: 1}
	done, _, err := lockFileEx.Call(f.Fd(), flags, 0, 1, 0, uintptr(unsafe.Pointer(&where)))
	switch {
	case done != 0:
		return true, nil
	case !h.wait && (errors.Is(err, errLockViolation) || errors.Is(err, errIOPending)):
		return false, nil
	}
	return false, err
}
