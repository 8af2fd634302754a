package layouts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, v store.Version, path string) (*store.Entry, error) {
	l, err := s.layout(v.Path)
	if err != nil {
		return nil, s.fail("store", v.Version, err)
	}
	e, added, err := l.put(ctx, v, path)
	if err != nil {
		return nil, s.fail("store", v.Version, err)
	}
	s.evictor.grew(added)
	return e, nil
}

// put returns the version and by how many bytes the store grew.
func (l layout) put(ctx context.Context, v store.Version, path string) (*store.Entry, int64, error) {
	if e, err := l.there(v); e != nil || err != nil {
		return e, 0, err
	}
	staged, err := l.disk.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer staged.Close()
	w := &writer{layout: l, staged: staged}
	if err := w.prepare(ctx, v); err != nil {
		return nil, 0, err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	if e, err := l.there(v); e != nil || err != nil {
		return e, 0, err
	}
	if err := w.write(ctx); err != nil {
		return nil, 0, err
	}
	e := l.newEntry(w.manifest, w.desc.Digest)
	e.Info, e.Mod = v.Info, v.Mod
	l.keep(e)
	c := *e
	return &c, w.size(), nil
}

// there returns the version if it is there with the same sums, and an error if it
// is there with others. It is durable then, also if who committed it was killed
// right afterwards.
func (l layout) there(v store.Version) (*store.Entry, error) {
	e, err := l.get(v.Version.Version)
	if errors.Is(err, store.ErrAbsent) {
		return nil, nil
	}
	if err == nil {
		err = store.CheckSums(e.Version, v)
	}
	if err == nil {
		err = l.syncDir(l.file())
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// lock takes the module's lock: in this process, and then on disk.
func (l layout) lock(ctx context.Context) (unlock func(), err error) {
	leave, err := l.writers.Lock(ctx, l.repo)
	if err != nil {
		return nil, err
	}
	f, err := l.lockFile(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		_ = f.Close()
		leave()
	}, nil
}

func (l layout) lockFile(ctx context.Context) (*os.File, error) {
	name := filepath.Join(l.dir, lockName)
	f, err := l.disk.OpenLock(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.mkdirs(l.dir); err == nil {
			f, err = l.disk.OpenLock(name)
		}
	}
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		locked, err := l.disk.Lock(f, true)
		if err != nil {
			err = &fault.Error{Code: fault.Unsupported, Op: "lock", Input: name, Err: err, Hint: "choose a directory on another file system"}
		} else if !locked {
			err = pause.For(ctx, wait)
		}
		if locked {
			return f, nil
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
	}
}

// mkdirs makes a directory below the store's and what it is in.
func (s *Store) mkdirs(dir string) error {
	err := s.disk.Mkdir(dir)
	if !errors.Is(err, fs.ErrNotExist) || dir == s.dir {
		return err
	}
	if err := s.mkdirs(filepath.Dir(dir)); err != nil {
		return err
	}
	return s.disk.Mkdir(dir)
}

// above lists the directories from the store's to the one given.
func (s *Store) above(dir string) []string {
	all := []string{dir}
	for dir != s.dir {
		dir = filepath.Dir(dir)
		all = append(all, dir)
	}
	return all
}

// writer puts a version into a layout.
type writer struct {
	layout
	staged   *os.File
	manifest artifact.Manifest
	desc     indexEntry
	// files are the blobs besides the zip, by digest.
	files map[string][]byte

	mu sync.Mutex
	// made are the files that are new.
	made []string
}

// size is what the version takes on disk, in bytes.
func (w *writer) size() int64 { return versionSize(w.manifest, w.desc.blob()) }

func versionSize(m artifact.Manifest, desc artifact.Blob) int64 {
	return m.Info.Size + m.Mod.Size + m.Zip.Size + desc.Size
}

// prepare makes the manifest, and the zip's content durable.
func (w *writer) prepare(ctx context.Context, v store.Version) error {
	if sum := artifact.GoModSum(v.Mod); sum != v.GoModSum {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("go.mod has the hash %s and not %s", sum, v.GoModSum)}
	}
	zip, err := w.readStaged(ctx)
	if err != nil {
		return err
	}
	if v.ZipSize != 0 && v.ZipSize != zip.Size {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("its zip has %d bytes and not %d", zip.Size, v.ZipSize)}
	}
	if v.Stored.IsZero() {
		v.Stored = w.opt.Now()
	}
	w.manifest = artifact.Manifest{
		Version: v.Version, Sum: v.Sum, GoModSum: v.GoModSum, Origin: v.Origin, Created: v.Stored.UTC().Round(0),
		Info: artifact.BlobOf(v.Info), Mod: artifact.BlobOf(v.Mod), Zip: zip,
	}
	raw, err := w.manifest.Marshal()
	if err != nil {
		return err
	}
	if w.desc, err = descriptor(w.manifest, raw); err != nil {
		return err
	}
	w.files = map[string][]byte{
		w.desc.Digest: raw, w.manifest.Info.Digest: v.Info, w.manifest.Mod.Digest: v.Mod,
	}
	delete(w.files, artifact.ConfigDigest)
	return nil
}

// readStaged returns what blob the zip is. A zip that is to be linked is made
// durable meanwhile.
func (w *writer) readStaged(ctx context.Context) (blob artifact.Blob, err error) {
	var group errgroup.Group
	if w.linkable() {
		group.Go(func() error { return w.sync(func() error { return w.disk.Sync(w.staged) }) })
	}
	blob, err = artifact.CopyBlob(ctx, io.Discard, w.staged)
	return blob, errors.Join(err, group.Wait())
}

// linkable reports whether the zip is in Staging, and therefore not written to
// any more.
func (w *writer) linkable() bool {
	rel, err := filepath.Rel(w.Store.staging.dir, w.staged.Name())
	return err == nil && filepath.IsLocal(rel)
}

// sync does what makes something durable.
func (s *Store) sync(do func() error) error {
	s.syncs <- struct{}{}
	defer func() { <-s.syncs }()
	return do()
}

func (s *Store) syncDir(name string) error {
	return s.sync(func() error { return s.disk.SyncDir(name) })
}

// write commits what was prepared, with the module's lock. When it fails, nothing
// is left of it.
func (w *writer) write(ctx context.Context) error {
	old, err := w.begin()
	if err != nil {
		return err
	}
	doc := old.doc
	raw, err := json.Marshal(w.desc)
	if err != nil {
		return err
	}
	doc.Manifests = append(doc.Manifests, raw)
	return w.replace(ctx, old, doc, w)
}

// start implements change.
func (w *writer) start(ctx context.Context, group *errgroup.Group, first bool) {
	if first {
		group.Go(func() error { return w.putFile(w.file(markerName), []byte(marker)) })
		group.Go(func() error { return w.putFile(w.blob(artifact.ConfigDigest), []byte(artifact.Config)) })
	}
	for digest, data := range w.files {
		group.Go(func() error { return w.putFile(w.blob(digest), data) })
	}
	group.Go(func() error { return w.putZip(ctx) })
}

// undo implements change.
func (w *writer) undo() bool {
	whole := true
	for _, name := range w.made {
		whole = w.clear(name) == nil && whole
	}
	return whole
}

// created remembers a file that is to be removed if the version is not committed.
func (w *writer) created(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = append(w.made, name)
}

// putFile makes the file have the content, durably. Nobody reads it before
// index.json refers to it.
func (w *writer) putFile(name string, data []byte) error {
	if there, err := w.readFile(name, int64(len(data))); err == nil && bytes.Equal(there, data) {
		return w.again(name)
	}
	if err := w.clear(name); err != nil {
		return err
	}
	w.created(name)
	return w.writeFile(name, func(to io.Writer) error {
		_, err := to.Write(data)
		return err
	})
}

// again makes a file durable that was there: a writer that was killed may have
// left it.
func (w *writer) again(name string) error {
	f, err := w.disk.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.sync(func() error { return w.disk.Sync(f) })
}

// clear removes a file that may be there.
func (l layout) clear(name string) error {
	if err := l.disk.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile makes a new file, durably but for its name.
func (s *Store) writeFile(name string, write func(io.Writer) error) error {
	f, err := s.disk.Create(name)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = s.sync(f.Sync)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// putZip links or copies the zip.
func (w *writer) putZip(ctx context.Context) error {
	name := w.blob(w.manifest.Zip.Digest)
	if there, err := w.zipThere(ctx, name); there || err != nil {
		return err
	}
	w.created(name)
	err := errors.ErrUnsupported
	if w.linkable() {
		err = w.disk.Link(w.staged.Name(), name)
	}
	if err != nil {
		err = w.copyZip(ctx, name)
	}
	if err != nil {
		return err
	}
	return w.disk.Touch(name, w.opt.Now())
}

// zipThere reports whether the zip is there, whole and durable. Other content is
// removed.
func (w *writer) zipThere(ctx context.Context, name string) (bool, error) {
	f, err := w.disk.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	blob, err := artifact.CopyBlob(ctx, io.Discard, f)
	if err != nil {
		return false, err
	}
	if blob != w.manifest.Zip {
		return false, w.clear(name)
	}
	return true, w.sync(func() error { return w.disk.Sync(f) })
}

func (w *writer) copyZip(ctx context.Context, name string) error {
	if err := w.clear(name); err != nil {
		return err
	}
	return w.writeFile(name, func(to io.Writer) error {
		got, err := artifact.CopyBlob(ctx, to, io.NewSectionReader(w.staged, 0, artifact.MaxZip+1))
		if err == nil && got != w.manifest.Zip {
			err = &fault.Error{Code: fault.Invalid, Err: errors.New("its zip was written to while it was stored")}
		}
		return err
	})
}
