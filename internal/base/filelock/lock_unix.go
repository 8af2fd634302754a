//go:build unix && !solaris && !illumos && !aix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

func lock(f *os.File, h how) (bool, error) {
	op := syscall.LOCK_SH
	if h.exclusive {
		op = syscall.LOCK_EX
	}
	if !h.wait {
		op |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), op)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}
