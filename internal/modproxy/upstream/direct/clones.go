package direct

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
)

const (
	// keptUnused is how long a clone stays that nobody uses.
	keptUnused = 30 * 24 * time.Hour
	// touchInterval is how often a use is noted.
	touchInterval = time.Hour
	// lockInterval is how often the lock is tried: others have it alone for as
	// long as they rename directories.
	lockInterval = 5 * time.Millisecond
	// maxName bounds the file that names a clone's repository, in bytes.
	maxName = 64 << 10
)

// clones are what the go command has of repositories. Each is a directory, with
// its repository's name beside it in a file with the suffix ".info", and a lock
// with ".lock". The time of the directory is that of its last use; lists of
// versions, for which the go command asks the repository itself, are none.
type clones struct {
	dir string
	// lock is a file that calls of the go command share, and that a sweep has
	// alone, in this process and others.
	lock string
	// touched has when a use was noted, by URL.
	touched sync.Map
}

// use keeps clones from being discarded until done is called. Where there are no
// locks, discard discards nothing.
func (c *clones) use(ctx context.Context) (done func()) {
	f, err := os.OpenFile(c.lock, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return func() {}
	}
	for ctx.Err() == nil {
		if ok, err := filelock.TryShare(f); ok || err != nil {
			break
		}
		time.Sleep(lockInterval)
	}
	return func() { _ = f.Close() }
}

// touch notes that the clone of the repository at url was used.
func (c *clones) touch(url string) {
	now := time.Now()
	if last, ok := c.touched.Load(url); url == "" || ok && now.Sub(last.(time.Time)) < touchInterval {
		return
	}
	c.touched.Store(url, now)
	names, err := filepath.Glob(filepath.Join(c.dir, "*.info"))
	if err != nil {
		return
	}
	for _, name := range names {
		data, err := readFileLimited(name, maxName)
		if _, of, ok := strings.Cut(strings.TrimSpace(string(data)), ":"); err == nil && ok && of == url { // "git3:https://…"
			_ = os.Chtimes(strings.TrimSuffix(name, ".info"), time.Time{}, now) // a clone that seems old is made again
		}
	}
}

// discard removes the clones that were not used for long, by way of the directory
// work. While others use clones it removes none.
func (c *clones) discard(work string) {
	for _, dir := range c.takeUnused(work) {
		_ = os.RemoveAll(dir) // or else a sweep does
	}
}

// takeUnused moves the clones that were not used for long to temporary
// directories below work.
func (c *clones) takeUnused(work string) (taken []string) {
	f, err := os.OpenFile(c.lock, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil
	}
	defer f.Close()
	if ok, err := filelock.TryLock(f); !ok || err != nil {
		return nil
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || time.Since(info.ModTime()) < keptUnused {
			continue
		}
		from, to := filepath.Join(c.dir, e.Name()), filepath.Join(work, temporaryPrefix+"clone-"+e.Name())
		if os.Rename(from, to) != nil {
			continue
		}
		taken = append(taken, to)
		_ = os.Remove(from + ".info") // without the clone it says nothing
		_ = os.Remove(from + ".lock")
	}
	return taken
}
