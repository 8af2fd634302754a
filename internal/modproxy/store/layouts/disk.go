package layouts

import (
	"io"
	"os"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
)

// disk is all that layouts do to a file system. Tests put one in its place that
// fails, or that forgets what was not made durable.
type disk interface {
	Stat(name string) (os.FileInfo, error)
	ReadDir(name string) ([]os.DirEntry, error)
	// Open opens a file for reading.
	Open(name string) (*os.File, error)
	// Create makes a new file.
	Create(name string) (diskFile, error)
	// OpenLock opens a file that is only there to be locked, or makes it.
	OpenLock(name string) (*os.File, error)
	// Lock takes the lock of a file, which ends when the file is closed, or returns
	// false when another open file has it: exclusive, or shared.
	Lock(f *os.File, exclusive bool) (bool, error)
	// Mkdir makes one directory; that it is there already is no error.
	Mkdir(name string) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	// Touch sets when the file was used and changed.
	Touch(name string, at time.Time) error
	// Sync makes the content of a file last that somebody else wrote.
	Sync(f *os.File) error
	// SyncDir makes the names in a directory last.
	SyncDir(name string) error
}

// diskFile is a file that is being written.
type diskFile interface {
	io.WriteCloser
	Sync() error
}

// osDisk is the disk of the operating system.
type osDisk struct{}

func (osDisk) Stat(name string) (os.FileInfo, error)      { return os.Stat(name) }
func (osDisk) ReadDir(name string) ([]os.DirEntry, error) { return os.ReadDir(name) }
func (osDisk) Open(name string) (*os.File, error)         { return os.Open(name) }
func (osDisk) Create(name string) (diskFile, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return f, nil
}
func (osDisk) OpenLock(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
}
func (osDisk) Lock(f *os.File, exclusive bool) (bool, error) {
	if exclusive {
		return filelock.TryLock(f)
	}
	return filelock.TryShare(f)
}
func (osDisk) Mkdir(name string) error {
	err := os.Mkdir(name, 0o755)
	if os.IsExist(err) {
		return nil
	}
	return err
}
func (osDisk) Link(from, to string) error            { return os.Link(from, to) }
func (osDisk) Rename(from, to string) error          { return os.Rename(from, to) }
func (osDisk) Remove(name string) error              { return os.Remove(name) }
func (osDisk) Touch(name string, at time.Time) error { return os.Chtimes(name, at, at) }
func (osDisk) Sync(f *os.File) error                 { return f.Sync() }
func (osDisk) SyncDir(name string) error             { return filesystem.SyncDir(name) }
