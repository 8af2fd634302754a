package rootfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Overlay is base with one more regular file at name, which hides what base has
// there; missing parent directories appear with mode 0755.
func Overlay(base FS, name string, node Node, file File) FS {
	return &overlay{FS: base, name: path.Clean("/" + name), node: node, file: file}
}

type overlay struct {
	FS
	name string
	node Node
	file File
}

// above reports whether dir is a parent of the added file.
func (o *overlay) above(dir string) bool {
	return dir == "/" || strings.HasPrefix(o.name, dir+"/")
}

func (o *overlay) Lstat(name string) (Node, error) {
	if name == o.name {
		return o.node, nil
	}
	node, err := o.FS.Lstat(name)
	if err != nil && o.above(name) {
		return Node{Mode: fs.ModeDir | 0o755}, nil
	}
	return node, err
}

func (o *overlay) File(name string) (File, error) {
	if name == o.name {
		return o.file, nil
	}
	return o.FS.File(name)
}

func (o *overlay) ReadDir(dir string) ([]string, error) {
	names, err := o.FS.ReadDir(dir)
	if !o.above(dir) {
		return names, err
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(o.name, dir), "/")
	added, _, _ := strings.Cut(rest, "/")
	if !slices.Contains(names, added) {
		names = append(slices.Clone(names), added)
		slices.Sort(names)
	}
	return names, nil
}
