package layouts_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
)

var errFault = errors.New("injected fault")

// fastDisk makes nothing durable.
type fastDisk struct{ layouts.OSDisk }

func (fastDisk) Sync(*os.File) error  { return nil }
func (fastDisk) SyncDir(string) error { return nil }
func (d fastDisk) Create(name string) (layouts.DiskFile, error) {
	f, err := d.OSDisk.Create(name)
	return fastFile{f}, err
}

type fastFile struct{ layouts.DiskFile }

func (fastFile) Sync() error { return nil }

// faultDisk fails in its n-th operation, and in crash mode in all from then on.
type faultDisk struct {
	layouts.Disk
	n     int
	crash bool

	mu    sync.Mutex
	count int
	// failed has what failed first, and syncs what was made durable.
	failed string
	syncs  []string
}

func (d *faultDisk) step(op, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	if d.n == 0 || d.count != d.n && (!d.crash || d.count < d.n) {
		return nil
	}
	if d.failed == "" {
		d.failed = op + " " + filepath.Base(name)
	}
	return &fs.PathError{Op: op, Path: name, Err: errFault}
}

func (d *faultDisk) sync(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs = append(d.syncs, filepath.Base(name))
}

func (d *faultDisk) Stat(name string) (os.FileInfo, error) {
	if err := d.step("stat", name); err != nil {
		return nil, err
	}
	return d.Disk.Stat(name)
}

func (d *faultDisk) ReadDir(name string) ([]os.DirEntry, error) {
	if err := d.step("readdir", name); err != nil {
		return nil, err
	}
	return d.Disk.ReadDir(name)
}

func (d *faultDisk) Open(name string) (*os.File, error) {
	if err := d.step("open", name); err != nil {
		return nil, err
	}
	return d.Disk.Open(name)
}

func (d *faultDisk) Create(name string) (layouts.DiskFile, error) {
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	f, err := d.Disk.Create(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{f, d, name}, nil
}

func (d *faultDisk) OpenLock(name string) (*os.File, error) {
	if err := d.step("openlock", name); err != nil {
		return nil, err
	}
	return d.Disk.OpenLock(name)
}

func (d *faultDisk) Lock(f *os.File, exclusive bool) (bool, error) {
	if err := d.step("lock", f.Name()); err != nil {
		return false, err
	}
	return d.Disk.Lock(f, exclusive)
}

func (d *faultDisk) Mkdir(name string) error {
	return cmpOr(d.step("mkdir", name), func() error { return d.Disk.Mkdir(name) })
}

func (d *faultDisk) Link(from, to string) error {
	return cmpOr(d.step("link", to), func() error { return d.Disk.Link(from, to) })
}

func (d *faultDisk) Rename(from, to string) error {
	return cmpOr(d.step("rename", to), func() error { return d.Disk.Rename(from, to) })
}

func (d *faultDisk) Remove(name string) error {
	return cmpOr(d.step("remove", name), func() error { return d.Disk.Remove(name) })
}

func (d *faultDisk) Touch(name string, at time.Time) error {
	return cmpOr(d.step("touch", name), func() error { return d.Disk.Touch(name, at) })
}

func (d *faultDisk) Sync(f *os.File) error {
	d.sync(f.Name())
	return cmpOr(d.step("sync", f.Name()), func() error { return d.Disk.Sync(f) })
}

func (d *faultDisk) SyncDir(name string) error {
	d.sync(name)
	return cmpOr(d.step("syncdir", name), func() error { return d.Disk.SyncDir(name) })
}

func cmpOr(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

// faultFile writes one half before it fails.
type faultFile struct {
	layouts.DiskFile
	disk *faultDisk
	name string
}

func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.disk.step("write", f.name); err != nil {
		n, _ := f.DiskFile.Write(p[:len(p)/2])
		return n, err
	}
	return f.DiskFile.Write(p)
}

func (f *faultFile) Sync() error {
	f.disk.sync(f.name)
	return cmpOr(f.disk.step("fsync", f.name), f.DiskFile.Sync)
}

func (f *faultFile) Close() error {
	err := f.disk.step("close", f.name)
	return errors.Join(err, f.DiskFile.Close())
}

// powerDisk remembers what of a directory would be there after a loss of power:
// content that was synced, and names in directories that were synced. Of the rest
// any part may be there.
type powerDisk struct {
	layouts.OSDisk
	root string

	mu sync.Mutex
	// dirs has every directory, and nodes the file that each name has now.
	dirs  map[string]*powerDir
	nodes map[string]*powerNode
}

// powerNode is the content of a file.
type powerNode struct {
	// durable is what was synced last, now is all that was written.
	durable, now []byte
	synced       bool
}

type powerDir struct {
	durable map[string]*powerNode // nil is a directory
	pending []powerChange
}

// powerChange is what one operation does to the names in a directory.
type powerChange struct {
	removed string
	added   string
	node    *powerNode
}

func newPowerDisk(t *testing.T, root string) *powerDisk {
	t.Helper()
	d := &powerDisk{root: root, dirs: map[string]*powerDir{}, nodes: map[string]*powerNode{}}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			d.dirs[name] = &powerDir{durable: map[string]*powerNode{}}
			if name != root {
				d.dirs[filepath.Dir(name)].durable[e.Name()] = nil
			}
			return nil
		}
		data, err := os.ReadFile(name)
		d.nodes[name] = &powerNode{durable: data, now: data, synced: true}
		d.dirs[filepath.Dir(name)].durable[e.Name()] = d.nodes[name]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// change does something to names, and remembers it if it worked.
func (d *powerDisk) change(dir string, c powerChange, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	d.dirs[dir].pending = append(d.dirs[dir].pending, c)
	if c.removed != "" {
		delete(d.nodes, filepath.Join(dir, c.removed))
	}
	if c.node != nil {
		d.nodes[filepath.Join(dir, c.added)] = c.node
	}
	return nil
}

func (d *powerDisk) Create(name string) (layouts.DiskFile, error) {
	var f layouts.DiskFile
	node := &powerNode{}
	err := d.change(filepath.Dir(name), powerChange{added: filepath.Base(name), node: node}, func() (err error) {
		f, err = d.OSDisk.Create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &powerFile{f, d, node}, nil
}

func (d *powerDisk) Mkdir(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	return d.change(filepath.Dir(name), powerChange{added: filepath.Base(name)}, func() error {
		err := d.OSDisk.Mkdir(name)
		if err == nil {
			d.dirs[name] = &powerDir{durable: map[string]*powerNode{}}
		}
		return err
	})
}

// staged returns the node of a file that was written by somebody else.
func (d *powerDisk) staged(name string) *powerNode {
	if d.nodes[name] == nil {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil
		}
		d.nodes[name] = &powerNode{now: data}
	}
	return d.nodes[name]
}

func (d *powerDisk) Link(from, to string) error {
	d.mu.Lock()
	node := d.staged(from)
	d.mu.Unlock()
	return d.change(filepath.Dir(to), powerChange{added: filepath.Base(to), node: node}, func() error { return d.OSDisk.Link(from, to) })
}

func (d *powerDisk) Rename(from, to string) error {
	d.mu.Lock()
	node := d.nodes[from]
	d.mu.Unlock()
	return d.change(filepath.Dir(to), powerChange{removed: filepath.Base(from), added: filepath.Base(to), node: node}, func() error { return d.OSDisk.Rename(from, to) })
}

func (d *powerDisk) Remove(name string) error {
	return d.change(filepath.Dir(name), powerChange{removed: filepath.Base(name)}, func() error { return d.OSDisk.Remove(name) })
}

func (d *powerDisk) Sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if node := d.staged(f.Name()); node != nil {
		node.durable, node.synced = bytes.Clone(node.now), true
	}
	return nil
}

func (d *powerDisk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.dirs[name]
	for _, c := range dir.pending {
		dir.durable = c.apply(dir.durable)
	}
	dir.pending = nil
	return nil
}

func (c powerChange) apply(names map[string]*powerNode) map[string]*powerNode {
	if c.removed != "" {
		delete(names, c.removed)
	}
	if c.added != "" {
		names[c.added] = c.node
	}
	return names
}

type powerFile struct {
	layouts.DiskFile
	disk *powerDisk
	node *powerNode
}

func (f *powerFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.node.now = append(f.node.now, p...)
	return f.DiskFile.Write(p)
}

func (f *powerFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.node.durable, f.node.synced = bytes.Clone(f.node.now), true
	return nil
}

// lose writes into dest what is there after a loss of power, by chance; without
// chance it is only what has to be there.
func (d *powerDisk) lose(t *testing.T, dest string, chance *rand.Rand) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loseDir(t, d.root, dest, chance)
}

func (d *powerDisk) loseDir(t *testing.T, dir, dest string, chance *rand.Rand) {
	t.Helper()
	if err := os.MkdirAll(dest, 0o755); err != nil {
		t.Fatal(err)
	}
	names := maps.Clone(d.dirs[dir].durable)
	for _, c := range d.dirs[dir].pending {
		if chance != nil && chance.IntN(3) > 0 {
			names = c.apply(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := names[name]
		if node == nil {
			if sub := filepath.Join(dir, name); d.dirs[sub] != nil {
				d.loseDir(t, sub, filepath.Join(dest, name), chance)
			}
			continue
		}
		if err := os.WriteFile(filepath.Join(dest, name), node.lose(chance), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// lose returns what may be left of the content.
func (n *powerNode) lose(chance *rand.Rand) []byte {
	if n.synced && bytes.Equal(n.durable, n.now) || chance == nil {
		return n.durable
	}
	switch chance.IntN(4) {
	case 0:
		return n.now
	case 1:
		return make([]byte, len(n.now))
	case 2:
		return n.now[:len(n.now)/2]
	}
	return n.durable
}
