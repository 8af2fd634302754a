package compile

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxUnused is how long an executable is kept that nobody builds any more.
	maxUnused = 7 * 24 * time.Hour
	// lockPoll is how often a lock is tried that another build has.
	lockPoll = 20 * time.Millisecond

	lockFile    = "lock"
	programFile = "program"
	// memoryFile has a memory, as JSON.
	memoryFile = "packages.json"
	tempPrefix = "tmp-"
	// usePrefix names the links through which executables are used.
	usePrefix = "use-"
)

// slot is the directory that keeps one executable. Whoever has it open is alone
// in building there. The executable itself is given out under another name, a
// hard link: the go command never writes into a file but makes a new one, so the
// link keeps its content while somebody else builds in the slot.
type slot struct {
	dir string
	// lock is nil for a directory that ends with its executable's use.
	lock *os.File
	// taken is true once the executable has been given out.
	taken bool
}

// openSlot opens the slot of key below cacheDir, waiting for who builds in it,
// or one in a temporary directory when cacheDir is empty.
func openSlot(ctx context.Context, cacheDir, key string) (*slot, error) {
	if cacheDir == "" {
		dir, err := os.MkdirTemp("", "gopherwood-")
		if err != nil {
			return nil, cacheError(err)
		}
		return &slot{dir: dir}, nil
	}
	cacheDir, err := absolute(cacheDir)
	if err != nil {
		return nil, err
	}
	s := &slot{dir: filepath.Join(cacheDir, key)}
	for s.lock == nil && err == nil {
		if s.lock, err = lockSlot(s.dir); err == nil && s.lock == nil {
			err = sleep(ctx, lockPoll)
		}
	}
	if err != nil {
		return nil, cacheError(err)
	}
	prune(cacheDir, time.Now().Add(-maxUnused))
	s.removeTemp()
	return s, nil
}

// lockSlot locks the slot in dir and marks it as used. It returns nil when
// another build has the lock, or when the slot has just been pruned.
func lockSlot(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	locked, err := filelock.TryLock(f)
	if locked && isFile(name, f) {
		now := time.Now()
		return f, os.Chtimes(name, now, now)
	}
	return nil, errors.Join(err, f.Close())
}

// isFile says whether name still leads to f.
func isFile(name string, f *os.File) bool {
	at, errAt := os.Stat(name)
	open, errOpen := f.Stat()
	return errAt == nil && errOpen == nil && os.SameFile(at, open)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// program is where the go command keeps the executable.
func (s *slot) program() string { return filepath.Join(s.dir, programFile) }

// temp makes a directory for one run of the go command. It lies beside the
// executable, which is then moved there, not copied; without a slot it lies where
// temporary files do.
func (s *slot) temp() (string, error) {
	parent := ""
	if s != nil {
		parent = s.dir
	}
	dir, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return "", cacheError(err)
	}
	return dir, nil
}

// removeTemp removes the temporary directories of builds that were killed.
func (s *slot) removeTemp() {
	files, _ := os.ReadDir(s.dir)
	for _, file := range files {
		if strings.HasPrefix(file.Name(), tempPrefix) {
			_ = os.RemoveAll(filepath.Join(s.dir, file.Name())) // if not now, then next time
		}
	}
}

// remember keeps what was learnt about the packages of the program.
func (s *slot) remember(m memory) {
	// Without it the next build only takes longer.
	if data, err := json.Marshal(m); err == nil {
		_ = os.WriteFile(filepath.Join(s.dir, memoryFile), data, 0o644)
	}
}

// recall returns what was remembered, nothing in a new slot.
func (s *slot) recall() (m memory) {
	if data, err := os.ReadFile(filepath.Join(s.dir, memoryFile)); err != nil || json.Unmarshal(data, &m) != nil {
		return memory{}
	}
	return m
}

// take returns a name of the executable that is the caller's own until release.
func (s *slot) take() (name string, release func() error, err error) {
	if s.lock == nil {
		s.taken = true
		return s.program(), func() error { return os.RemoveAll(s.dir) }, nil
	}
	dir, err := os.MkdirTemp(s.dir, usePrefix)
	if err != nil {
		return "", nil, cacheError(err)
	}
	name = filepath.Join(dir, programFile)
	if err := os.Link(s.program(), name); err != nil {
		err = copyFile(name, s.program()) // a file system without hard links
		if err != nil {
			return "", nil, errors.Join(cacheError(err), os.RemoveAll(dir))
		}
	}
	return name, func() error { return os.RemoveAll(dir) }, nil
}

// close lets others build in the slot.
func (s *slot) close() error {
	switch {
	case s.lock != nil:
		return s.lock.Close()
	case !s.taken:
		return os.RemoveAll(s.dir)
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// prune removes the slots below cacheDir that nobody has used since, and links
// of that age, whose users must have died. It is best effort: what it leaves is
// pruned another time.
func prune(cacheDir string, since time.Time) {
	slots, _ := os.ReadDir(cacheDir)
	for _, entry := range slots {
		dir := filepath.Join(cacheDir, entry.Name())
		if info, err := os.Stat(filepath.Join(dir, lockFile)); err == nil && info.ModTime().Before(since) {
			pruneSlot(dir)
			continue
		}
		files, _ := os.ReadDir(dir)
		for _, file := range files {
			if info, err := file.Info(); err == nil && strings.HasPrefix(file.Name(), usePrefix) && info.ModTime().Before(since) {
				_ = os.RemoveAll(filepath.Join(dir, file.Name()))
			}
		}
	}
}

// pruneSlot removes a slot unless somebody builds in it. The lock goes last:
// until then nobody else gets it, and afterwards it is known to be gone.
func pruneSlot(dir string) {
	name := filepath.Join(dir, lockFile)
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	if locked, err := filelock.TryLock(f); !locked || err != nil || !isFile(name, f) {
		return
	}
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		if file.Name() != lockFile {
			_ = os.RemoveAll(filepath.Join(dir, file.Name()))
		}
	}
	_ = os.Remove(name)
	_ = os.Remove(dir)
}

// cacheError says that the directory of executables could not be used.
func cacheError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "keep the executable", Err: err,
		Hint: "the cache directory must be writable and have room; it may be deleted at any time"}
}
