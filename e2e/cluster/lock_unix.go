//go:build unix

package cluster

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock of path or returns errLocked. A file that was removed
// by who held the lock before is not the lock any more.
func tryLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || err == nil && !isFile(f, path) {
		err = errLocked
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &fileLock{f}, nil
}

// isFile says whether path still names f.
func isFile(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}
