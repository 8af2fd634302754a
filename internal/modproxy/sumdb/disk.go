package sumdb

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// disk is the directory of one database. A nil disk keeps nothing.
//
//	latest        the signed tree that everything else was verified with
//	lock          taken by who changes latest
//	pack-…        records and complete tiles
//	tile/…/NNN.p  incomplete tiles, which grow
//	tmp/          files that are being written
//
// Whatever goes wrong with records and tiles looks like their absence: they are
// verified again when they are read. The signed tree is different: it is
// what a database that shows different trees to different people, or at
// different times, is found out by.
type disk struct {
	root *os.Root
	pack *pack
}

const (
	latestFile = "latest"
	lockFile   = "lock"
	tempDir    = "tmp"
	// maxFile is the largest file that is read whole.
	maxFile = 1 << 20
	// abandoned is the age at which a file that is being written is taken for
	// left behind.
	abandoned = time.Hour
)

// openDisk opens or makes the directory of the database with the name.
func openDisk(dir, name string, max int64) (*disk, error) {
	if dir == "" {
		return nil, nil
	}
	dir = filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(name, ":", "!")))
	if err := os.MkdirAll(filepath.Join(dir, tempDir), 0o755); err != nil {
		return nil, diskError("make directory", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskError("open directory", dir, err)
	}
	d := &disk{root: root, pack: newPack(root, max)}
	d.removeTemps(time.Now().Add(-abandoned))
	return d, nil
}

func diskError(op, name string, err error) error {
	code := fault.CodeOf(err)
	if code == fault.Internal {
		code = fault.Unavailable
	}
	return &fault.Error{Code: code, Op: op, Input: name, Err: err, Hint: "choose a directory that you may write to, on a disk that has room"}
}

func (d *disk) close() {
	if d != nil {
		d.pack.close()
		_ = d.root.Close()
	}
}

// removeTemps removes what writers that were killed before the time left.
func (d *disk) removeTemps(before time.Time) {
	entries, _ := fs.ReadDir(d.root.FS(), tempDir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			_ = d.root.Remove(tempDir + "/" + e.Name())
		}
	}
}

// read returns a record or a tile of records.
func (d *disk) read(key string) ([]byte, bool) {
	if d == nil {
		return nil, false
	}
	return d.pack.get(key)
}

// write keeps a record or a tile of records.
func (d *disk) write(key string, data []byte) {
	if d != nil {
		d.pack.put(key, data)
	}
}

// tileNames returns the names of a complete and an incomplete tile.
func tileNames(t tlog.Tile) (complete, partial string) {
	t.W = 1 << t.H
	return t.Path(), t.Path() + ".p"
}

func (d *disk) readTile(t tlog.Tile) ([]byte, bool) {
	if d == nil {
		return nil, false
	}
	complete, partial := tileNames(t)
	want := t.W * tlog.HashSize
	data, ok := d.pack.get(complete)
	if !ok && t.W < full {
		var err error
		data, err = d.readFile(partial)
		ok = err == nil
	}
	if !ok || len(data) < want {
		return nil, false
	}
	return data[:want:want], true
}

func (d *disk) writeTile(t tlog.Tile, data []byte) {
	if d == nil {
		return
	}
	complete, partial := tileNames(t)
	if t.W == full {
		d.pack.put(complete, data)
		_ = d.root.Remove(partial)
		return
	}
	if there, err := d.readFile(partial); err != nil || len(there) < len(data) || !bytes.HasPrefix(there, data) {
		_ = d.replace(partial, data, false)
	}
}

func (d *disk) readFile(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errors.New("the file is too large")
	}
	return data, err
}

// replace makes the file appear at once and whole.
func (d *disk) replace(name string, data []byte, durable bool) (err error) {
	temp := tempDir + "/" + rand.Text()
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(temp)
		}
	}()
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = d.rename(temp, name)
	}
	if err == nil && durable {
		err = filesystem.SyncDirIn(d.root, ".")
	}
	return err
}

func (d *disk) rename(temp, name string) error {
	err := d.root.Rename(temp, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return d.root.Rename(temp, name)
}

// latest returns the signed tree, or nothing when there is none yet.
func (d *disk) latest() ([]byte, error) {
	if d == nil {
		return nil, nil
	}
	data, err := d.readFile(latestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError("read", d.latestName(), err)
	}
	if len(data) == 0 {
		return nil, d.damaged(errors.New("the file is empty"))
	}
	return data, nil
}

func (d *disk) latestName() string { return filepath.Join(d.root.Name(), latestFile) }

// damaged says that the signed tree cannot be used.
func (d *disk) damaged(err error) error {
	return &fault.Error{Code: fault.Invalid, Op: "read", Input: d.latestName(), Err: err,
		Hint: "restore the file, which guards against a database that takes back what it said, or remove it to trust the database's next answer"}
}

// swap replaces the signed tree, unless it is no longer the old one: then it
// returns false.
func (d *disk) swap(old, new []byte) (bool, error) {
	if d == nil {
		return true, nil
	}
	f, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		defer f.Close()
		err = filelock.Lock(f)
	}
	if err != nil {
		return false, diskError("lock", filepath.Join(d.root.Name(), lockFile), err)
	}
	there, err := d.latest()
	if err != nil || !bytes.Equal(there, old) {
		return false, err
	}
	if err := d.replace(latestFile, new, true); err != nil {
		return false, diskError("write", d.latestName(), err)
	}
	return true, nil
}
