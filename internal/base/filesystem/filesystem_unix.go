//go:build unix

package filesystem

import (
	"errors"
	"os"
	"syscall"
)

func syncDir(open func() (*os.File, error)) error {
	d, err := open()
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
