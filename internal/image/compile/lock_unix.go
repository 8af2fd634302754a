//go:build unix && !solaris && !illumos && !aix

package compile

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the exclusive lock of f; false when another has it. Closing f
// gives it up.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
