package cached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// mark is the file of a version that waits.
type mark struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Size is that of the zip in bytes.
	Size int64 `json:"size"`
}

// errElsewhere says that another process pushes the version.
var errElsewhere = errors.New("another process pushes it")

// errNotHere says that a version is not on the disk.
var errNotHere = errors.New("it is not on the disk")

// locked calls push unless another process pushes the version, and removes its
// mark when it need not wait any more.
func (q *queue) locked(m module.Version, push func() (done bool, err error)) (done bool, err error) {
	name := q.file(m)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // another process has pushed it
	}
	if err != nil {
		return false, store.DiskFault("read", name, err)
	}
	defer f.Close()
	locked, lockErr := filelock.TryLock(f)
	if lockErr == nil && !locked {
		return false, errElsewhere
	}
	done, err = push()
	if errors.Is(err, errNotHere) {
		// Who puts it has the lock until it is there. Where locks are not to be had,
		// time must do.
		if done = locked || oldFile(f); !done {
			return false, errElsewhere
		}
		err = nil
	}
	if done {
		_ = f.Close() // or it cannot be removed everywhere
		err = q.unmark(m)
	}
	return done && err == nil, err
}

// holdMark writes the mark of a version and locks it, until the version is there:
// other processes drop marks without a version.
func (q *queue) holdMark(ctx context.Context, m module.Version, size int64) (*os.File, error) {
	for {
		if err := q.mark(m, size); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(q.file(m), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was dropped already
		}
		if err != nil {
			return nil, store.DiskFault("read", q.file(m), err)
		}
		locked, err := filelock.TryLock(f)
		if err != nil || locked && sameFile(f, q.file(m)) {
			return f, nil // without locks nobody drops marks so soon
		}
		_ = f.Close()
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// sameFile reports whether name is still the name of f.
func sameFile(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

// seize waits until nobody pushes the version, here or in another process, and
// keeps it so until release.
func (q *queue) seize(ctx context.Context, m module.Version) (release func(), err error) {
	for {
		f, err := os.OpenFile(q.file(m), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return func() {}, nil
		}
		if err != nil {
			return nil, store.DiskFault("read", q.file(m), err)
		}
		if locked, err := filelock.TryLock(f); locked || err != nil {
			return func() { _ = f.Close() }, nil
		}
		_ = f.Close()
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// has reports whether the version waits, in any process.
func (q *queue) has(m module.Version) bool {
	_, err := os.Lstat(q.file(m))
	return !errors.Is(err, fs.ErrNotExist)
}

// file returns the path of a version's mark.
func (q *queue) file(m module.Version) string {
	return filepath.Join(q.dir, strings.TrimPrefix(artifact.Digest([]byte(m.String())), "sha256:")+markSuffix)
}

const markSuffix = ".json"

// mark writes the mark of a version, durably.
func (q *queue) mark(m module.Version, size int64) error {
	data, err := json.Marshal(mark{m.Path, m.Version, size})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(q.staging(), "mark-*")
	if err != nil {
		return store.DiskFault("write", q.staging(), err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), q.file(m))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return store.DiskFault("write", q.dir, err)
	}
	return store.DiskFault("write", q.dir, filesystem.SyncDir(q.dir))
}

func (q *queue) unmark(m module.Version) error {
	if err := os.Remove(q.file(m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return store.DiskFault("remove", q.file(m), err)
	}
	return nil
}

// scan takes up the marks in the directory.
func (q *queue) scan() error {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return store.DiskFault("read", q.dir, err)
	}
	for _, e := range entries {
		if m, size, err := q.readMark(filepath.Join(q.dir, e.Name())); err == nil {
			q.found(m, size)
		} // others are no marks, and pin nothing
	}
	return nil
}

func oldFile(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && time.Since(info.ModTime()) > abandonedAge
}

// readMark reads a mark, which lies where it must.
func (q *queue) readMark(name string) (module.Version, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return module.Version{}, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMark))
	if err != nil {
		return module.Version{}, 0, err
	}
	m, size, err := parseMark(data)
	if err == nil && q.file(m) != name {
		err = errors.New("it is the mark of another version")
	}
	return m, size, err
}

// parseMark reads the content of a mark.
func parseMark(data []byte) (module.Version, int64, error) {
	var k mark
	if err := json.Unmarshal(data, &k); err != nil {
		return module.Version{}, 0, err
	}
	m := module.Version{Path: k.Path, Version: k.Version}
	if err := artifact.CheckVersion(m); err != nil {
		return module.Version{}, 0, err
	}
	if k.Size < 0 || k.Size > artifact.MaxZip {
		return module.Version{}, 0, fmt.Errorf("a zip of %d bytes", k.Size)
	}
	return m, k.Size, nil
}
