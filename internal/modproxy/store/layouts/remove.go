package layouts

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, m module.Version) (bool, error) {
	l, err := s.layout(m.Path)
	if err != nil {
		return false, s.fail("delete", m, err)
	}
	r, err := l.remove(ctx, func(version string) bool { return version == m.Version })
	if err == nil && len(r.gone) == 0 && !r.busy {
		err = store.ErrAbsent
	}
	return len(r.gone) > 0, s.fail("delete", m, err)
}

// removal is what became of versions that were to be removed.
type removal struct {
	// gone are those that are not there any more.
	gone []string
	// busy says that others are being read.
	busy bool
}

// remove removes the versions that are chosen, but for those that are being read.
func (l layout) remove(ctx context.Context, chosen func(version string) bool) (removal, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return removal{}, err
	}
	defer unlock()
	old, err := l.begin()
	if err != nil {
		return removal{}, err
	}
	var r removal
	doc, kept := old.doc, []indexEntry{}
	doc.Manifests = []json.RawMessage{}
	var held holds
	defer held.release()
	for i, e := range old.entries {
		version := l.versionOf(e)
		free := false
		if version != "" && chosen(version) {
			if free, err = held.take(l, version, e); err != nil {
				return removal{}, err
			}
			r.busy = r.busy || !free
		}
		if free {
			r.gone = append(r.gone, version)
			continue
		}
		doc.Manifests, kept = append(doc.Manifests, old.doc.Manifests[i]), append(kept, e)
	}
	if len(r.gone) == 0 {
		return r, nil
	}
	if err := l.replace(ctx, old, doc, noFiles{}); err != nil {
		return removal{}, err
	}
	held.release() // for Windows removes nothing that is open
	l.sweep(kept)
	return r, nil
}

// holds are the locks of zips that nobody reads.
type holds []*os.File

// take locks the version's zip. It returns false if somebody reads it.
func (h *holds) take(l layout, version string, e indexEntry) (bool, error) {
	m, err := l.manifest(version, e.blob())
	if err != nil {
		return true, nil // nobody can read it
	}
	f, err := l.disk.Open(l.blob(m.Zip.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	*h = append(*h, f)
	return l.disk.Lock(f, true)
}

func (h *holds) release() {
	for _, f := range *h {
		_ = f.Close()
	}
	*h = nil
}

// noFiles is the change of an index that needs nothing new.
type noFiles struct{}

func (noFiles) start(context.Context, *errgroup.Group, bool) {}
func (noFiles) undo() bool                                   { return true }
