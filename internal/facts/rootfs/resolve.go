package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links one path may cross (Linux's MAXSYMLINKS).
const maxLinks = 40

// User is who asks for a file. Root passes every read and search, and execute
// where any execute bit is set, as the kernel's CAP_DAC_OVERRIDE allows.
type User struct {
	UID    int
	GID    int
	Groups []int
}

// The permission bits of Access.
const (
	Read    fs.FileMode = 4
	Execute fs.FileMode = 1
)

// May reports whether u may do want to the file n.
func (u User) May(n Node, want fs.FileMode) bool {
	perm := n.Mode.Perm()
	if u.UID == 0 {
		return want&Execute == 0 || n.Mode.IsDir() || perm&0o111 != 0
	}
	switch {
	case u.UID == n.UID:
		perm >>= 6
	case u.GID == n.GID || slices.Contains(u.Groups, n.GID):
		perm >>= 3
	}
	return perm&want == want
}

// Resolve follows name through every symbolic link, as u and starting at dir
// when name is relative, and returns the real path and its node. "." and ".."
// are resolved after links, and ".." stops at the root, as in the kernel.
//
// The error matches fs.ErrNotExist, fs.ErrPermission (a directory that u may
// not search), syscall.ENOTDIR or syscall.ELOOP.
func Resolve(fsys FS, u User, dir, name string) (string, Node, error) {
	if name == "" {
		return "", Node{}, fs.ErrNotExist
	}
	if !path.IsAbs(name) {
		name = dir + "/" + name
	}
	todo := strings.Split(name, "/")
	at, links := "/", 0
	node, err := fsys.Lstat("/")
	if err != nil {
		return "", Node{}, err
	}
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" {
			continue
		}
		if !node.Mode.IsDir() {
			return "", Node{}, fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
		}
		if !u.May(node, Execute) {
			return "", Node{}, fmt.Errorf("%s: %w", at, fs.ErrPermission)
		}
		next := at
		switch part {
		case ".":
		case "..":
			next = path.Dir(at)
		default:
			next = path.Join(at, part)
		}
		child, err := fsys.Lstat(next)
		if err != nil {
			return "", Node{}, fmt.Errorf("%s: %w", next, bareNotExist(err))
		}
		if child.Mode&fs.ModeSymlink == 0 {
			at, node = next, child
			continue
		}
		if links++; links > maxLinks {
			return "", Node{}, fmt.Errorf("%s: %w", next, syscall.ELOOP)
		}
		if child.Target == "" {
			return "", Node{}, fmt.Errorf("%s: %w", next, fs.ErrNotExist)
		}
		todo = append(strings.Split(child.Target, "/"), todo...)
		if path.IsAbs(child.Target) {
			at = "/"
			if node, err = fsys.Lstat("/"); err != nil {
				return "", Node{}, err
			}
		}
	}
	return at, node, nil
}

// bareNotExist drops the path that os errors repeat.
func bareNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fs.ErrNotExist
	}
	return err
}
