package tree

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The names in a cache directory.
const (
	// binariesDir has a file a binary: FAMILY-FILES-DIGEST.
	binariesDir = "binaries"
	// treesDir has a directory a checkout: TREE.N, all of one tree alike.
	treesDir = "trees"
	// workDir has a directory for each side that is in use.
	workDir = "work"
	// lockFile is held by who uses a checkout or a work directory; of a checkout,
	// its time is that of the last use.
	lockFile = "lock"
)

// abandoned is the age at which what has no lock is taken for left behind.
const abandoned = time.Hour

// Cache is a directory that any number of processes may use. What is in it may be
// deleted at any time when none does.
type Cache struct {
	dir string
	max int64
	// temporary caches end with the side.
	temporary bool
}

// OpenCache returns the cache in a directory, which it makes, or one in a temporary
// directory when dir is empty. It may have max bytes, and more while they are used.
// The error is a *fault.Error.
func OpenCache(dir string, max int64) (*Cache, error) {
	c := &Cache{dir: dir, max: max, temporary: dir == ""}
	var err error
	if c.temporary {
		c.dir, err = os.MkdirTemp("", "gopherwood-")
	} else {
		c.dir, err = filepath.Abs(dir)
	}
	if err == nil {
		c.dir, err = realDir(c.dir)
	}
	for _, sub := range []string{binariesDir, treesDir, workDir} {
		if err == nil {
			err = os.MkdirAll(filepath.Join(c.dir, sub), 0o700)
		}
	}
	if err != nil {
		return nil, CacheError(errors.Join(err, c.Close()))
	}
	return c, nil
}

// realDir makes a directory and returns its name without symbolic links, which
// the go command and git resolve, too.
func realDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// Close removes a temporary cache.
func (c *Cache) Close() error {
	if c.temporary {
		return CacheError(os.RemoveAll(c.dir))
	}
	return nil
}

// CacheError says that the cache directory could not be used; it returns nil for nil.
func CacheError(err error) error {
	var e *fault.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &e):
		return err
	}
	code := fault.CodeOf(err)
	if filesystem.Full(err) {
		code = fault.Limit
	}
	return &fault.Error{Code: code, Op: "keep builds of benchmarks", Err: err,
		Hint: "the cache directory must be writable and have room; it may be deleted when no benchmark runs"}
}

// Key names a binary in the cache: by package, flags and toolchain, which those of
// one family share, and by files.
type Key struct{ Family, Files string }

// Binary is an executable and its SHA-256 in hexadecimal digits.
type Binary struct{ Name, Digest string }

// Find returns the binary of k, or with exact unset any of its family, of those
// the one that was used last; its Name is "" when there is none. What has not the
// content that its name says is removed.
func (c *Cache) Find(k Key, exact bool) Binary {
	pattern := k.Family + "-*"
	if exact {
		pattern = k.Family + "-" + k.Files + "-*"
	}
	found, err := filepath.Glob(filepath.Join(c.dir, binariesDir, pattern))
	if err != nil {
		return Binary{}
	}
	slices.SortFunc(found, func(a, b string) int { return modTime(b).Compare(modTime(a)) })
	for _, name := range found {
		digest, err := HashFile(name)
		if err == nil && digestOf(name) == digest {
			now := time.Now()
			_ = os.Chtimes(name, now, now) // only the order of removal depends on it
			return Binary{Name: name, Digest: digest}
		}
		_ = os.Remove(name) // another process may have been faster
	}
	return Binary{}
}

// digestOf is what the name of a binary in the cache ends with.
func digestOf(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }

func modTime(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// Keep puts a binary into the cache. That it cannot be kept costs time only.
func (c *Cache) Keep(k Key, made Binary) {
	name := filepath.Join(c.dir, binariesDir, k.Family+"-"+k.Files+"-"+made.Digest)
	temp := filepath.Join(c.dir, workDir, randomName())
	if err := LinkOrCopy(temp, made.Name); err != nil {
		_ = os.Remove(temp)
		return
	}
	if err := os.Rename(temp, name); err != nil {
		_ = os.Remove(temp)
		return
	}
	_ = os.Remove(temp) // it is left where both names already were the same file
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// LinkOrCopy gives a file, which nobody changes, another name.
func LinkOrCopy(to, from string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	return copyFile(to, from) // a file system without hard links
}

// HashFile returns the SHA-256 of a file in hexadecimal digits.
func HashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// randomName is always as long: where programs lie may cost them time.
func randomName() string { return rand.Text()[:16] }

// Stage is the directory Dir, whose files others leave alone until it is closed.
type Stage struct {
	Dir  string
	lock *os.File
}

// OpenStage makes a directory with a name that is always as long. The error is a
// *fault.Error.
func (c *Cache) OpenStage() (*Stage, error) {
	s := &Stage{Dir: filepath.Join(c.dir, workDir, randomName())}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return nil, CacheError(err)
	}
	var err error
	if s.lock, err = lockDir(s.Dir); err == nil && s.lock == nil {
		err = errors.New("another process has the lock of a new directory")
	}
	if err != nil {
		return nil, CacheError(errors.Join(err, os.RemoveAll(s.Dir)))
	}
	return s, nil
}

// Close removes the directory. Windows needs the lock closed first.
func (s *Stage) Close() error {
	return CacheError(errors.Join(s.lock.Close(), os.RemoveAll(s.Dir)))
}

// lockDir takes the lock of a directory, or returns nil when another has it or has
// just removed the directory.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	locked, err := filelock.TryLock(f)
	if locked && isFile(name, f) {
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// isFile says whether name still leads to f.
func isFile(name string, f *os.File) bool {
	at, errAt := os.Stat(name)
	open, errOpen := f.Stat()
	return errAt == nil && errOpen == nil && os.SameFile(at, open)
}

// removeDir removes a directory unless its lock is taken. The lock's file goes
// last: until then nobody else gets the lock, and afterwards it is known to be gone.
func removeDir(dir string) bool {
	lock, err := lockDir(dir)
	if err != nil || lock == nil {
		return false
	}
	defer lock.Close()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != lockFile {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return os.Remove(filepath.Join(dir, lockFile)) == nil && os.Remove(dir) == nil
}

// kept is a binary or a checkout in the cache.
type kept struct {
	name string
	dir  bool
	size int64
	used time.Time
}

// Prune removes what processes that were killed have left, and then what was not
// used for longest until the rest fits. What it cannot remove, such as a checkout
// that is in use, is left for another time.
func (c *Cache) Prune() {
	c.sweep()
	all := append(c.binaries(), c.checkouts()...)
	var total int64
	for _, k := range all {
		total += k.size
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		if total <= c.max {
			return
		}
		if k.dir && removeDir(k.name) || !k.dir && os.Remove(k.name) == nil {
			total -= k.size
		}
	}
}

func (c *Cache) sweep() {
	dir := filepath.Join(c.dir, workDir)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(name, lockFile)); err == nil {
			removeDir(name)
			continue
		}
		if time.Since(modTime(name)) > abandoned {
			_ = os.RemoveAll(name)
		}
	}
}

// binaries lists those in the cache. Of several names of one file, the first has
// its size.
func (c *Cache) binaries() (all []kept) {
	dir := filepath.Join(c.dir, binariesDir)
	entries, _ := os.ReadDir(dir)
	counted := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		k := kept{name: filepath.Join(dir, e.Name()), used: info.ModTime()}
		if digest := digestOf(e.Name()); !counted[digest] {
			counted[digest], k.size = true, info.Size()
		}
		all = append(all, k)
	}
	return all
}

// checkouts lists those that are complete, and removes those that never will be.
func (c *Cache) checkouts() (all []kept) {
	dir := filepath.Join(c.dir, treesDir)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		used := modTime(filepath.Join(name, lockFile))
		size, err := readSize(name)
		if err != nil {
			if time.Since(used) > abandoned {
				removeDir(name)
			}
			continue // or it is being made
		}
		all = append(all, kept{name: name, dir: true, size: size, used: used})
	}
	return all
}
