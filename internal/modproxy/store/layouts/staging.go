package layouts

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
)

// staging is this process's directory for files that Put is to take. Beside it is
// a file that is locked, by which it is told from those of killed processes.
type staging struct {
	// dir is where those of all processes are.
	dir string

	once sync.Once
	own  string
	held *os.File
}

const stagingLock = ".lock"

// Staging implements store.Store. Where the directory cannot be made, making a file in
// it says why.
func (s *Store) Staging() string {
	s.staging.once.Do(s.staging.open)
	return s.staging.own
}

func (t *staging) open() {
	t.own = filepath.Join(t.dir, rand.Text())
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return
	}
	all, err := os.OpenFile(filepath.Join(t.dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return
	}
	defer all.Close()
	if waitLock(all) {
		t.clean()
	}
	t.held, err = os.OpenFile(t.own+stagingLock, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return
	}
	_, _ = filelock.TryLock(t.held) // without locks nothing is ever cleaned
	_ = os.Mkdir(t.own, 0o755)
}

// waitLock waits for the lock under which directories are made and cleaned, but
// not for a process that has been stopped.
func waitLock(f *os.File) bool {
	for range 200 {
		if locked, err := filelock.TryLock(f); locked || err != nil {
			return locked
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// clean removes what processes have left that were killed.
func (t *staging) clean() {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := filepath.Join(t.dir, e.Name())
		dir, ok := strings.CutSuffix(name, stagingLock)
		if !ok || !abandoned(name) {
			continue
		}
		if os.RemoveAll(dir) == nil {
			_ = os.Remove(name)
		}
	}
}

// abandoned reports whether no process has the file's lock.
func abandoned(name string) bool {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	locked, err := filelock.TryLock(f)
	return err == nil && locked
}

// close removes the directory.
func (t *staging) close() error {
	t.once.Do(func() {}) // it was never needed
	if t.held == nil {
		return nil
	}
	err := os.RemoveAll(t.own)
	_ = t.held.Close()
	if err == nil {
		err = os.Remove(t.held.Name())
	}
	t.held = nil
	return err
}
