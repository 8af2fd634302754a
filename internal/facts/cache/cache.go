// Package cache keeps what was measured of immutable content, by its digest, in
// a bounded directory that any number of processes may use at once.
//
// A cache only ever saves work: whatever goes wrong with it (a full or read-only
// disk, a damaged record, a record that another process removed) looks to the
// caller like content that was never kept.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultSize is how many bytes a cache may take on disk unless it is told.
const DefaultSize = 512 << 20

// Key names a record.
type Key struct {
	// Kind says what the record is, for example "layer".
	Kind string
	// Version is that of the code which makes such records. Records of another
	// version are never found, and are the first to be removed in time.
	Version string
	// Digest is the digest of the content that the record is about.
	Digest string
	// Packed says that the record cannot be made smaller: it is kept as it is.
	Packed bool
}

// String returns the key in the form that is kept within its record.
func (k Key) String() string { return k.Kind + "\x00" + k.Version + "\x00" + k.Digest }

// Dir is a cache in a directory. A nil Dir is a cache that keeps nothing.
type Dir struct {
	path string
	size int64
}

// Open returns the cache in the directory at path, which is made, for its owner
// only, when the first record is put. It may take size bytes; 0 means
// DefaultSize. Open of "" returns nil.
func Open(path string, size int64) *Dir {
	if path == "" {
		return nil
	}
	if size == 0 {
		size = DefaultSize
	}
	return &Dir{path: path, size: size}
}

// The names of the files in a cache directory.
const (
	recordSuffix = ".record"
	tempPattern  = "put-*.tmp"
	tempSuffix   = ".tmp"
)

// abandoned is the age at which a file that a process was writing is taken for
// left behind.
const abandoned = time.Hour

// file returns where the record of key is. Hashing makes any key a safe name.
func (d *Dir) file(key Key) string {
	sum := sha256.Sum256([]byte(key.String()))
	return filepath.Join(d.path, hex.EncodeToString(sum[:])+recordSuffix)
}

// Get returns the record of key. A damaged record is removed.
func (d *Dir) Get(key Key) (data []byte, ok bool) {
	if d == nil {
		return nil, false
	}
	file := d.file(key)
	sealed, err := readBounded(file, d.size)
	if err != nil {
		return nil, false
	}
	data, err = unseal(key, sealed)
	if err != nil {
		d.Remove(key)
		return nil, false
	}
	now := time.Now()
	_ = os.Chtimes(file, now, now) // the order of removal is all that depends on it
	return data, true
}

// Put keeps data as the record of key and removes the records that were not
// used for longest when the cache is over its size.
func (d *Dir) Put(key Key, data []byte) {
	if d == nil {
		return
	}
	sealed := seal(key, data)
	if int64(len(sealed)) > d.size || len(data) > maxRecord {
		return
	}
	if err := d.write(d.file(key), sealed); err != nil {
		return
	}
	d.trim(time.Now())
}

// Remove forgets the record of key, for a reader that cannot make sense of it.
func (d *Dir) Remove(key Key) {
	if d != nil {
		_ = os.Remove(d.file(key))
	}
}

// write makes the file appear at once and whole.
func (d *Dir) write(file string, data []byte) (err error) {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, tempPattern) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

// trim removes abandoned files, and the records used least recently until the
// rest fits. Other processes may do the same at the same time.
func (d *Dir) trim(now time.Time) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return
	}
	var records []fs.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch {
		case strings.HasSuffix(e.Name(), recordSuffix):
			records = append(records, info)
			total += info.Size()
		case strings.HasSuffix(e.Name(), tempSuffix) && now.Sub(info.ModTime()) > abandoned:
			_ = os.Remove(filepath.Join(d.path, e.Name()))
		}
	}
	if total <= d.size {
		return
	}
	slices.SortFunc(records, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, r := range records {
		if total <= d.size {
			return
		}
		// One that is gone already counts as removed.
		_ = os.Remove(filepath.Join(d.path, r.Name()))
		total -= r.Size()
	}
}
