package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The names of files that are being written.
const (
	tempPrefix = ".gopherwood-"
	tempSuffix = ".tmp"
)

// writeFile makes the file appear at once and whole, with what write writes. When
// that fails, what was there before stays. That it stays after a loss of power
// takes filesystem.SyncDirIn.
func writeFile(root *os.Root, name string, write func(io.Writer) error) (err error) {
	temp := tempPrefix + rand.Text() + tempSuffix
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return writeError(root, name, err)
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	return writeError(root, name, err)
}

// writeError says which file could not be written, and what to do about it.
func writeError(root *os.Root, name string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	f := &fault.Error{Code: fault.CodeOf(err), Op: "write", Input: filepath.Join(root.Name(), filepath.FromSlash(name)), Err: err}
	var onFile *fs.PathError
	if errors.As(err, &onFile) {
		f.Err = onFile.Err // which names the temporary file
	}
	switch {
	case filesystem.Full(err):
		f.Code, f.Hint = fault.Unavailable, "make room on the disk, or write to another one"
	case f.Code == fault.Denied:
		f.Hint = "choose a directory that you may write to"
	case f.Code == fault.Internal:
		f.Code = fault.Unavailable
	}
	return f
}

// removeTemps removes what writers that were killed left in the directory. The
// caller has the lock that they held.
func removeTemps(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := root.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
