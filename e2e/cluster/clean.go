package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// removeWait is how long the removal of one cluster may take.
const removeWait = 30 * time.Second

// lockPath returns the lock of the cluster whose directory is dir.
func lockPath(dir string) string { return dir + ".lock" }

// Clean removes what killed processes have left of their clusters: processes,
// namespaces, links, cgroups and files. Clusters whose owner lives are left
// alone. Every Start does this first.
func Clean() error {
	root, err := runRoot()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(root, strings.TrimSuffix(e.Name(), ".lock"))
		if err := removeStale(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeStale removes the cluster whose directory is dir, unless its owner lives.
func removeStale(dir string) error {
	lock, err := tryLock(lockPath(dir))
	if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "lock", Input: dir, Err: err}
	}
	return removeLocked(dir, lock)
}

// removeAfter removes the cluster whose directory is dir, whose owner is ending,
// unless that has removed it.
func removeAfter(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeWait)
	defer cancel()
	lock, err := lockFile(ctx, lockPath(dir), nil)
	if err != nil {
		return err
	}
	return removeLocked(dir, lock)
}

// removeLocked removes the cluster whose directory is dir and whose lock is held.
func removeLocked(dir string, lock *fileLock) error {
	r := &register{dir: dir, lock: lock}
	s, err := readState(dir)
	switch {
	case err == nil && s.Boot == bootID():
		r.state = s
	case err == nil:
		r.state.Dirs = s.Dirs // Nothing but files outlives the system.
	}
	return r.remove()
}

// remove removes everything that the state names, and the state last. The lock is
// released.
func (r *register) remove() error {
	defer r.lock.unlock()
	s := r.view()
	handles := s.Processes
	for _, n := range s.Nodes {
		handles = append(handles, n.Process)
	}
	err := endProcesses(handles, removeWait)
	err = errors.Join(err, removeLinks(s.Links), removeCgroups(s.Cgroups, removeWait))
	for _, dir := range s.Dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "remove cluster", Input: s.ID, Err: err, Hint: "it is tried again when the next cluster starts"}
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	_ = os.Remove(lockPath(r.dir)) // Windows keeps it while it is open; Clean removes it.
	return nil
}

// endProcesses kills the processes and waits until they are gone.
func endProcesses(handles []handle, wait time.Duration) error {
	for _, h := range handles {
		if err := killHandle(h); err != nil {
			return fmt.Errorf("end %s (%d): %w", h.Name, h.PID, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return poll(ctx, 5*time.Millisecond, nil, func() error {
		for _, h := range handles {
			if h.alive() {
				return fmt.Errorf("%s (%d) does not end", h.Name, h.PID)
			}
		}
		return nil
	})
}
