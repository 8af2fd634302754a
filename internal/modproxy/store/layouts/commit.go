package layouts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// oldIndex is the index.json that a writer replaces; info is nil when there is
// none.
type oldIndex struct {
	doc     index
	entries []indexEntry
	info    os.FileInfo
}

// begin reads the index, with the module's lock, and removes what writers have
// left that were killed.
func (l layout) begin() (oldIndex, error) {
	old := oldIndex{doc: index{SchemaVersion: 2, MediaType: indexType, Manifests: []json.RawMessage{}}}
	data, info, err := l.readIndex()
	if err == nil {
		old.info = info
		old.doc, old.entries, err = parseIndex(data)
		if err != nil {
			return old, badIndex(l.file(indexName), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return old, err
	}
	return old, l.recover(old.entries)
}

// recover removes what is left of a writer that was killed. It shows by the next
// index being there; before its first write, a process looks anyway, for a loss
// of power may have kept the rest.
func (l layout) recover(entries []indexEntry) error {
	_, err := l.disk.Stat(l.file(nextName))
	if _, tidy := l.tidy.Get(l.repo); tidy && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.sweep(entries)
	return l.clear(l.file(nextName))
}

// change is what a new index needs besides.
type change interface {
	// start makes files, durably but for their names, in the group; the first index
	// of a layout needs more of them.
	start(ctx context.Context, group *errgroup.Group, first bool)
	// undo removes these files, and reports whether all are gone.
	undo() bool
}

// replace makes doc the index, after all that c starts. When it fails, the index
// is the old one, or doc is not sure to last.
func (l layout) replace(ctx context.Context, old oldIndex, doc index, c change) error {
	data, err := json.Marshal(doc)
	if err == nil && len(data) > maxIndex {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the module's versions fill an index of %d bytes", maxIndex), Hint: "remove versions with gopherwood modproxy gc"}
	}
	if err == nil && old.info == nil {
		err = l.mkdirs(l.file("blobs", "sha256"))
	}
	if err != nil {
		return err
	}
	// It comes first, for it tells of a writer that is killed.
	f, err := l.disk.Create(l.file(nextName))
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return l.finish(f, data, after(old.info, l.opt.Now())) })
	c.start(ctx, &group, old.info == nil)
	if err = group.Wait(); err == nil {
		err = l.commit(ctx, old.info == nil)
	}
	if err != nil {
		// As long as the next index is there, the next writer looks for what is left.
		if c.undo() {
			_ = l.clear(l.file(nextName))
		}
		return err
	}
	l.snapshots.Remove(l.repo)
	if err := l.syncDir(l.file()); err != nil {
		l.tidy.Remove(l.repo) // what the old index needs stays until the next writer
		return err
	}
	return nil
}

// commit makes the names of blobs last, those of all directories if the layout is
// new, and then the next index the one that counts.
func (l layout) commit(ctx context.Context, first bool) error {
	if err := l.syncNames(first, l.file("blobs", "sha256")); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.disk.Rename(l.file(nextName), l.file(indexName))
}

// finish writes the next index.
func (l layout) finish(f diskFile, data []byte, at time.Time) error {
	_, err := f.Write(data)
	if err == nil {
		err = l.disk.Touch(l.file(nextName), at)
	}
	if err == nil {
		err = l.sync(f.Sync)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncNames makes the names in a directory last, and with all those of the
// directories that it is in.
func (s *Store) syncNames(all bool, dir string) error {
	dirs := []string{dir}
	if all {
		dirs = s.above(dir)
	}
	var group errgroup.Group
	for _, dir := range dirs {
		group.Go(func() error { return s.syncDir(dir) })
	}
	return group.Wait()
}

// sweep removes the blobs that nothing in the index refers to. When that cannot
// be told, nothing is removed. What stays takes room and does no harm.
func (l layout) sweep(entries []indexEntry) {
	l.tidy.Remove(l.repo)
	needed := map[string]bool{}
	for _, e := range entries {
		if l.collect(needed, e.blob()) != nil {
			return
		}
	}
	files, err := l.disk.ReadDir(l.file("blobs", "sha256"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, f := range files {
		if !needed["sha256:"+f.Name()] && l.clear(l.file("blobs", "sha256", f.Name())) != nil {
			return
		}
	}
	l.tidy.Put(l.repo, struct{}{}, int64(len(l.repo))+200)
}

// maxReferrer is the longest manifest of others that is read, in bytes.
const maxReferrer = 4 << 20

// collect adds a manifest or an index and all that it refers to.
func (l layout) collect(needed map[string]bool, desc artifact.Blob) error {
	if needed[desc.Digest] {
		return nil
	}
	needed[desc.Digest] = true
	if err := artifact.CheckDigest(desc.Digest); err != nil {
		return err
	}
	data, err := l.readFile(l.blob(desc.Digest), maxReferrer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var doc struct {
		Config    indexEntry   `json:"config"`
		Layers    []indexEntry `json:"layers"`
		Manifests []indexEntry `json:"manifests"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	for _, part := range append(doc.Layers, doc.Config) {
		needed[part.Digest] = true
	}
	for _, m := range doc.Manifests {
		if err := l.collect(needed, m.blob()); err != nil {
			return err
		}
	}
	return nil
}
