package filesystem

import (
	"errors"
	"os"
	"syscall"
)

// syncDir does nothing: Windows writes names with the file's own data.
func syncDir(func() (*os.File, error)) error { return nil }

// The errors of a full disk, of which package syscall has none.
const (
	errHandleDiskFull syscall.Errno = 39
	errDiskFull       syscall.Errno = 112
)

func full(err error) bool {
	return errors.Is(err, errDiskFull) || errors.Is(err, errHandleDiskFull)
}
