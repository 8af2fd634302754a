package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Tree is the root file system that layers make together. It is immutable and
// safe for concurrent use.
type Tree struct {
	root *entry
}

// Stack lays layers over each other, the lowest first, as overlayfs shows them:
// directories are merged and have the attributes of the uppermost layer that
// names them; everything else hides what is below it, and so does a directory
// over something else. Deletions and opaque directories act on lower layers
// only. Directories that no layer names have mode 0755 and belong to root.
//
// The error is of code Invalid: a hard link to a file that no layer has.
func Stack(layers []*Layer) (*Tree, error) {
	t := &Tree{root: newDirectory(false)}
	for i, layer := range layers {
		links, err := t.linked(layer)
		if err != nil {
			return nil, err
		}
		m := merger{layer: i, links: links}
		m.merge(t.root, layer.root)
	}
	return t, nil
}

// linked returns the files of t that the hard links of layer lead to.
func (t *Tree) linked(layer *Layer) (map[*entry]*entry, error) {
	links := map[*entry]*entry{}
	var broken error
	layer.root.walk("/", func(at string, e *entry) {
		if e.link == "" || broken != nil {
			return
		}
		dir, base := path.Split(e.link)
		real, _, err := Resolve(t, User{}, "/", dir)
		target := t.root.find(path.Join(real, base))
		if err != nil || target == nil || target.isDir() {
			broken = &fault.Error{Code: fault.Invalid, Op: "stack layers", Input: at,
				Err: fmt.Errorf("it is a hard link to %.200q, which no layer has", e.link)}
			return
		}
		links[e] = target
	})
	return links, broken
}

// merger lays one layer over a tree.
type merger struct {
	layer int
	links map[*entry]*entry
}

// merge lays the directory src over the directory dst.
func (m *merger) merge(dst, src *entry) {
	if src.opaque {
		clear(dst.children)
	}
	if !src.implied {
		dst.node, dst.layer = src.node, m.layer
	}
	for name, child := range src.children {
		if child.whiteout {
			delete(dst.children, name)
			continue
		}
		if !child.isDir() {
			if target := m.links[child]; target != nil {
				child = target
			}
			dst.children[name] = &entry{node: child.node, body: child.body, layer: m.layer}
			continue
		}
		below := dst.children[name]
		if below == nil || !below.isDir() {
			below = newDirectory(false)
			below.layer = m.layer
			dst.children[name] = below
		}
		m.merge(below, child)
	}
}

// get returns the entry at name or fs.ErrNotExist.
func (t *Tree) get(name string) (*entry, error) {
	if e := t.root.find(name); e != nil {
		return e, nil
	}
	return nil, fs.ErrNotExist
}

// Lstat implements FS.
func (t *Tree) Lstat(name string) (Node, error) {
	e, err := t.get(name)
	if err != nil {
		return Node{}, err
	}
	return e.node, nil
}

// File implements FS.
func (t *Tree) File(name string) (File, error) {
	e, err := t.get(name)
	if err != nil {
		return File{}, err
	}
	if e.body == nil {
		return File{}, &fault.Error{Code: fault.Invalid, Op: "read", Input: name, Err: errors.New("no regular file")}
	}
	return e.body.file, e.body.failure.about(name)
}

// ReadDir implements FS.
func (t *Tree) ReadDir(name string) ([]string, error) {
	e, err := t.get(name)
	if err != nil {
		return nil, err
	}
	if !e.isDir() {
		return nil, &fault.Error{Code: fault.Invalid, Op: "list", Input: name, Err: errors.New("no directory")}
	}
	return slices.Sorted(maps.Keys(e.children)), nil
}

// Executable is a file of a Tree that begins like an executable.
type Executable struct {
	// Paths are the names of the file, sorted; more than one for hard links.
	Paths []string
	// Node and Layer are those of the first name; Layer is an index into the
	// layers that were stacked.
	Node  Node
	Layer int
	// File holds the measured object unless Err says why there is none.
	File File
	Err  error
}

// Executables yields every executable and shared library once, sorted by the
// first of its names, and what should be one and could not be measured.
func (t *Tree) Executables() iter.Seq[Executable] {
	var found []Executable
	index := map[*body]int{}
	var visit func(at string, dir *entry)
	visit = func(at string, dir *entry) {
		for _, name := range slices.Sorted(maps.Keys(dir.children)) {
			e, name := dir.children[name], path.Join(at, name)
			visit(name, e)
			if e.body == nil || e.body.file.Object == nil && e.body.failure == nil {
				continue
			}
			i, seen := index[e.body]
			if !seen {
				i = len(found)
				index[e.body] = i
				found = append(found, Executable{Node: e.node, Layer: e.layer, File: e.body.file, Err: e.body.failure.about(name)})
			}
			found[i].Paths = append(found[i].Paths, name)
		}
	}
	visit("/", t.root)
	for i := range found {
		slices.Sort(found[i].Paths)
	}
	slices.SortFunc(found, func(a, b Executable) int { return slices.Compare(a.Paths, b.Paths) })
	return slices.Values(found)
}
