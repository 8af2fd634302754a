package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/ziphash"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Download is a version that is not in a store yet.
type Download struct {
	store.Version
	// Path is the zip's file.
	Path string
}

// Close removes the zip's file.
func (d *Download) Close() error { return os.Remove(d.Path) }

// Create makes the file of the zip, in dir, and sets Path.
func (d *Download) Create(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "upstream-*.zip")
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "make a file for", Input: d.Version.Version.String(), Err: err}
	}
	d.Path = file.Name()
	return file, nil
}

// Measure checks that the zip is one of the version, as the go command will, and
// sets its sum and length; in the background when nobody waits for it. The error
// names from, where it came from.
func (d *Download) Measure(ctx context.Context, from string, background bool) error {
	hash := ziphash.HashZip
	if background {
		hash = ziphash.HashZipInBackground
	}
	sum, size, err := measure(ctx, d.Version.Version, d.Path, hash)
	if err != nil {
		return zipFault(ctx, from, err)
	}
	d.Sum, d.ZipSize = sum, size
	return nil
}

func measure(ctx context.Context, m module.Version, path string, hash func(context.Context, io.ReaderAt, int64) (string, error)) (sum string, size int64, err error) {
	if _, err := modzip.CheckZip(m, path); err != nil {
		return "", 0, fmt.Errorf("its zip is not one of this version: %w", firstOf(err))
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	sum, err = hash(ctx, f, info.Size())
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("its zip is damaged: %w", err)
	}
	return sum, info.Size(), err
}

// firstOf shortens the list of all that is wrong with the files of a zip.
func firstOf(err error) error {
	var all modzip.FileErrorList
	if !errors.As(err, &all) || len(all) < 2 {
		return err
	}
	return fmt.Errorf("%w (and %d more)", all[0], len(all)-1)
}

// zipFault is the fault of a zip that was refused.
func zipFault(ctx context.Context, input string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &fault.Error{Code: fault.CodeOf(cause), Op: "read", Input: input, Err: cause}
	}
	var disk *os.PathError
	if errors.As(err, &disk) {
		return &fault.Error{Code: fault.Unavailable, Op: "read", Input: input, Err: disk.Err}
	}
	return &fault.Error{Code: fault.Invalid, Op: "read", Input: input, Err: err}
}

// Fill writes all of r to file, from its start. The error is that of r, or a
// *fault.Error about this machine's disk.
func Fill(file *os.File, r io.Reader) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return DiskFault(err)
	}
	if err := file.Truncate(0); err != nil {
		return DiskFault(err)
	}
	_, err := io.Copy(file, r)
	var p *os.PathError
	if errors.As(err, &p) {
		return DiskFault(err)
	}
	return err
}

// DiskFault is the fault of this machine's disk.
func DiskFault(err error) error {
	return &fault.Error{Code: fault.Unavailable, Err: err, Hint: "look at the space that is left on the disk"}
}

// Reason returns the reason in an error about a file that is named already.
func Reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
