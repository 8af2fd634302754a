package layouts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// sighting is what _seen.json said when the file was what info describes: since
// when versions are known.
type sighting struct {
	info  os.FileInfo
	since map[string]time.Time
}

// seenFile is _seen.json.
type seenFile struct {
	Versions map[string]time.Time `json:"versions"`
}

// nextSeenName is the _seen.json that is being written.
const nextSeenName = ".seen.json"

// maxSeen is the longest _seen.json, in bytes.
const maxSeen = 16 << 20

func parseSeen(data []byte) (map[string]time.Time, error) {
	var doc seenFile
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc.Versions == nil {
		return nil, errors.New("it has no versions")
	}
	return doc.Versions, nil
}

// Seen implements store.Store.
func (s *Store) Seen(ctx context.Context, path string, versions []string, now time.Time) (map[string]time.Time, error) {
	l, err := s.layout(path)
	if err != nil {
		return nil, store.DiskFault("note versions of", path, err)
	}
	since, err := l.since(ctx, versions, now.UTC().Round(0))
	if err != nil {
		return nil, store.DiskFault("note versions of", path, err)
	}
	return since, nil
}

func (l layout) since(ctx context.Context, versions []string, now time.Time) (map[string]time.Time, error) {
	for _, v := range versions {
		if err := artifact.CheckVersion(module.Version{Path: l.path, Version: v}); err != nil {
			return nil, &fault.Error{Code: fault.Invalid, Err: err}
		}
	}
	have, err := l.sighting()
	if err != nil {
		return nil, err
	}
	if since, all := have.of(versions); all {
		return since, nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if have, err = l.sighting(); err != nil {
		return nil, err
	}
	next := maps.Clone(have.since)
	for _, v := range versions {
		if _, ok := next[v]; !ok {
			next[v] = now
		}
	}
	if err := l.writeSeen(next, have.info); err != nil {
		return nil, err
	}
	since, _ := (&sighting{since: next}).of(versions)
	return since, nil
}

// of returns since when the versions are known, and whether all are.
func (s *sighting) of(versions []string) (map[string]time.Time, bool) {
	found := make(map[string]time.Time, len(versions))
	for _, v := range versions {
		at, ok := s.since[v]
		if !ok {
			return nil, false
		}
		found[v] = at
	}
	return found, true
}

// sighting returns what _seen.json says now.
func (l layout) sighting() (*sighting, error) {
	none := &sighting{since: map[string]time.Time{}}
	name := filepath.Join(l.dir, seenName)
	info, err := l.disk.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	have, ok := l.seen.Get(l.repo)
	if ok && unchanged(have.info, info) {
		return have, nil
	}
	f, err := l.disk.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	data, err := readBounded(f, maxSeen)
	if err != nil {
		return nil, err
	}
	since, err := parseSeen(data)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the file %s: %w", name, err),
			Hint: "remove it: the module's versions are then known from now on"}
	}
	have = &sighting{info: info, since: since}
	const each = 150 // what it takes in memory, in bytes
	l.seen.Put(l.repo, have, int64(len(since)+1)*each)
	return have, nil
}

// writeSeen replaces _seen.json, with the module's lock.
func (l layout) writeSeen(since map[string]time.Time, old os.FileInfo) error {
	data, err := json.Marshal(seenFile{since})
	if err != nil {
		return err
	}
	if len(data) > maxSeen {
		return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the module's versions fill a record of %d bytes", maxSeen)}
	}
	next := filepath.Join(l.dir, nextSeenName)
	if err := l.clear(next); err != nil { // of a writer that was killed
		return err
	}
	err = l.writeFile(next, func(w io.Writer) error {
		if _, err := w.Write(data); err != nil {
			return err
		}
		return l.disk.Touch(next, after(old, l.opt.Now()))
	})
	if err == nil {
		err = l.disk.Rename(next, filepath.Join(l.dir, seenName))
	}
	if err != nil {
		_ = l.clear(next)
		return err
	}
	l.seen.Remove(l.repo)
	return l.syncNames(old == nil, l.dir)
}

// Used implements store.Store. The time is that of the zip's file.
func (s *Store) Used(m module.Version, at time.Time) {
	if last, ok := s.noted.Get(m); ok && at.Sub(last) < noteEvery {
		return
	}
	s.noted.Put(m, at, int64(len(m.Path)+len(m.Version))+200)
	l, err := s.layout(m.Path)
	if err != nil {
		return
	}
	e, err := l.get(m.Version)
	if err != nil {
		return
	}
	name := l.blob(e.ZipDigest)
	if info, err := s.disk.Stat(name); err == nil && at.Sub(info.ModTime()) >= noteEvery {
		_ = s.disk.Touch(name, at) // it is only seldom that somebody asks
	}
}

// noteEvery is how exactly it is kept when a version was used.
const noteEvery = time.Hour

// Uses implements store.Store.
func (s *Store) Uses(_ context.Context, path string) (map[string]time.Time, error) {
	l, err := s.layout(path)
	if err != nil {
		return nil, store.DiskFault("list uses of", path, err)
	}
	snap, err := l.snapshot()
	if err != nil {
		return nil, store.DiskFault("list uses of", path, err)
	}
	uses := make(map[string]time.Time, len(snap.versions))
	for version, desc := range snap.versions {
		if m, err := l.manifest(version, desc); err == nil {
			if info, err := s.disk.Stat(l.blob(m.Zip.Digest)); err == nil {
				uses[version] = info.ModTime()
			}
		}
	}
	return uses, nil
}
