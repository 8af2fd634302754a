// Package layouts is the store of modules in a directory: an OCI layout for each
// module, which any number of processes may use at once, and which can be kept
// within a number of bytes.
package layouts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/base/lru"
	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options says how a directory of layouts is used. The zero value has the
// defaults.
type Options struct {
	// MaxBytes is what the versions may take on disk, in bytes: those that were
	// used least recently are removed when it is more. Each process that puts may
	// be a sixteenth of it ahead of what the others know. 0 means no bound.
	MaxBytes int64
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Problem is told why something failed that nobody waits for, if not nil: the
	// removal of versions for MaxBytes.
	Problem func(error)

	disk disk
}

// The bounds of what is kept in memory, in bytes.
const (
	maxSnapshots = 6 << 20
	maxEntries   = 4 << 20
	maxNoted     = 2 << 20
)

// maxSyncs is how many files are made durable at once, each by a thread that
// waits for the disk.
const maxSyncs = 32

// Store is a store.Store that keeps each module in an OCI layout of its own.
//
// A version is there as soon as index.json has it, which replaces the one before
// at once and after all that it refers to is durable. Readers need no lock for
// that. Writers, of this process or another, take the lock of the module.
type Store struct {
	dir  string
	opt  Options
	disk disk

	// writers has a lock a module, before that on disk, which polls.
	writers keylock.Locks
	// syncs bounds what is made durable at once.
	syncs chan struct{}

	// snapshots are what index.json of modules was, entries are versions by the
	// digests of their manifests, and seen is when versions were first seen.
	snapshots *lru.Cache[string, *snapshot]
	entries   *lru.Cache[string, *store.Entry]
	seen      *lru.Cache[string, *sighting]
	// noted has when the use of a version was written.
	noted *lru.Cache[module.Version, time.Time]
	// tidy has the modules in which nothing is left of a writer that was killed.
	tidy *lru.Cache[string, struct{}]

	staging staging
	evictor evictor
}

// Open returns the store in the directory at path, which is made if it is
// not there. It is closed after use.
func Open(path string, opt Options) (*Store, error) {
	dir, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, store.DiskFault("open store", path, err)
	}
	s := &Store{
		dir: dir, opt: opt, disk: opt.disk,
		syncs:     make(chan struct{}, maxSyncs),
		snapshots: lru.New[string, *snapshot](maxSnapshots),
		entries:   lru.New[string, *store.Entry](maxEntries),
		seen:      lru.New[string, *sighting](maxSnapshots),
		noted:     lru.New[module.Version, time.Time](maxNoted),
		tidy:      lru.New[string, struct{}](maxNoted),
	}
	if s.disk == nil {
		s.disk = osDisk{}
	}
	if s.opt.Now == nil {
		s.opt.Now = time.Now
	}
	s.staging.dir = filepath.Join(dir, stagingName)
	s.evictor.start(s)
	return s, nil
}

// Name implements store.Store.
func (s *Store) Name() string { return s.dir }

// Close implements store.Store.
func (s *Store) Close() error {
	s.evictor.stop()
	return store.DiskFault("close store", s.dir, s.staging.close())
}

// The names of what is beside modules' directories, of which none begins with "_".
// (Tools for OCI layouts take "@" for the beginning of a digest.)
const (
	layoutName  = "_oci"
	lockName    = "_lock"
	seenName    = "_seen.json"
	stagingName = "_staging"
)

// layout is where one module is.
type layout struct {
	*Store
	path, repo string
	// dir is the module's directory.
	dir string
}

func (s *Store) layout(path string) (layout, error) {
	repo, err := artifact.Repository(path)
	return s.in(path, repo), err
}

// in returns the layout in a repository; path may be empty.
func (s *Store) in(path, repo string) layout {
	return layout{Store: s, path: path, repo: repo, dir: filepath.Join(s.dir, filepath.FromSlash(repo))}
}

// file returns the path of a file of the OCI layout.
func (l layout) file(names ...string) string {
	return filepath.Join(append([]string{l.dir, layoutName}, names...)...)
}

// blob returns the path of a blob, whose digest has been checked.
func (l layout) blob(digest string) string {
	return l.file("blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, m module.Version) (*store.Entry, error) {
	l, err := s.layout(m.Path)
	if err != nil {
		return nil, s.fail("get", m, err)
	}
	e, err := l.get(m.Version)
	if err != nil {
		return nil, s.fail("get", m, err)
	}
	return e, nil
}

// get returns the version. What index.json had and is gone was deleted just now;
// what it still has is damaged.
func (l layout) get(version string) (*store.Entry, error) {
	for last := ""; ; {
		snap, err := l.snapshot()
		if err != nil {
			return nil, err
		}
		desc, ok := snap.versions[version]
		if !ok {
			return nil, store.ErrAbsent
		}
		e, err := l.entry(version, desc)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return e, err
		}
		if desc.Digest == last {
			return nil, damaged(fmt.Errorf("it has lost a file: %w", err))
		}
		last = desc.Digest
		l.snapshots.Remove(l.repo)
	}
}

func damaged(err error) error {
	return &fault.Error{Code: fault.Invalid, Err: err, Hint: "gopherwood modproxy verify --repair gets it again"}
}

// entry returns the version whose manifest desc describes.
func (l layout) entry(version string, desc artifact.Blob) (*store.Entry, error) {
	e, ok := l.entries.Get(desc.Digest)
	if !ok {
		m, err := l.manifest(version, desc)
		if err != nil {
			return nil, err
		}
		e = l.newEntry(m, desc.Digest)
		if e.Info, err = l.document(m.Info); err != nil {
			return nil, err
		}
		if e.Mod, err = l.document(m.Mod); err != nil {
			return nil, err
		}
		l.keep(e)
	}
	c := *e
	return &c, nil
}

// newEntry returns the entry of a manifest, but for its files.
func (l layout) newEntry(m artifact.Manifest, digest string) *store.Entry {
	return &store.Entry{
		Version: store.Version{
			Version: m.Version, Sum: m.Sum, GoModSum: m.GoModSum,
			ZipSize: m.Zip.Size, Origin: m.Origin, Stored: m.Created,
		},
		Manifest: digest, ZipDigest: m.Zip.Digest,
		Opener: func(ctx context.Context) (store.Zip, error) {
			f, err := l.openZip(ctx, m)
			if err != nil {
				return nil, l.fail("open zip of", m.Version, err)
			}
			return f, nil
		},
	}
}

func (l layout) keep(e *store.Entry) {
	const others = 1024 // what an entry takes besides, in bytes
	l.entries.Put(e.Manifest, e, int64(len(e.Info)+len(e.Mod)+others))
}

// manifest reads the manifest of a version, or of any when version is "".
func (l layout) manifest(version string, desc artifact.Blob) (artifact.Manifest, error) {
	data, err := l.document(desc)
	if err != nil {
		return artifact.Manifest{}, err
	}
	m, err := artifact.Parse(data)
	switch {
	case err != nil:
		return artifact.Manifest{}, damaged(err)
	case l.path != "" && m.Path != l.path, version != "" && m.Version.Version != version:
		return artifact.Manifest{}, damaged(fmt.Errorf("its manifest is of %s", m.Version))
	}
	return m, nil
}

// document reads a blob that is no zip, and verifies it.
func (l layout) document(desc artifact.Blob) ([]byte, error) {
	data, err := l.readFile(l.blob(desc.Digest), desc.Size)
	if err != nil {
		return nil, err
	}
	if got := artifact.BlobOf(data); got != desc {
		return nil, damaged(fmt.Errorf("the file %s has the digest %s", l.blob(desc.Digest), got.Digest))
	}
	return data, nil
}

// readFile reads a file of at most limit bytes.
func (s *Store) readFile(name string, limit int64) ([]byte, error) {
	f, err := s.disk.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, limit)
}

func readBounded(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, damaged(fmt.Errorf("the file %s is longer than %d bytes", f.Name(), limit))
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it became shorter meanwhile, which its digest will tell
	}
	return data[:n], err
}

// openZip opens the zip and takes its lock, which tells Delete of all processes
// that it is being read.
func (l layout) openZip(ctx context.Context, m artifact.Manifest) (*os.File, error) {
	f, err := l.disk.Open(l.blob(m.Zip.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.lost(m, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != m.Zip.Size {
		err = damaged(fmt.Errorf("the file %s has %d bytes and not %d", f.Name(), info.Size(), m.Zip.Size))
	}
	if err == nil {
		err = l.share(ctx, f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// share waits until nobody has the file's lock to delete it. Where files cannot
// be locked nobody deletes them.
func (l layout) share(ctx context.Context, f *os.File) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		locked, err := l.disk.Lock(f, false)
		if locked || err != nil {
			return nil
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}

// lost says whether a version whose zip is not there was deleted or is damaged.
func (l layout) lost(m artifact.Manifest, err error) error {
	l.snapshots.Remove(l.repo)
	if snap, snapErr := l.snapshot(); snapErr == nil {
		if _, ok := snap.versions[m.Version.Version]; ok {
			return damaged(fmt.Errorf("it has lost its zip: %w", err))
		}
	}
	return store.ErrAbsent
}

// fail returns err as an error about a module's version.
func (s *Store) fail(op string, m module.Version, err error) error {
	return store.DiskFault(op, m.String(), err)
}

// Keep says which versions are not evicted: those of which pinned is true. It is
// asked right before each eviction, with whatever locks the store holds, and must
// call nothing of the store.
func (s *Store) Keep(pinned func(module.Version) bool) { s.evictor.pinned.Store(&pinned) }
