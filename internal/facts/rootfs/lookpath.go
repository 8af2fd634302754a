package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// DefaultPath is the PATH that container runtimes give to an image that sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LookPath finds the program that name starts, as u would start it from the
// directory cwd with searchPath as PATH; it follows runc, which follows Go's
// exec.LookPath. A name with a slash is relative to cwd; any other is looked for
// in each directory of searchPath. Only an executable regular file is found.
//
// It returns the absolute name under which the file was found, which may be a
// symbolic link. The error matches fs.ErrNotExist when there is no such file.
// It matches fs.ErrPermission when there is one that u may not execute, and
// syscall.EISDIR when the name is a directory; the file is then returned too.
func LookPath(fsys FS, u User, searchPath, cwd, name string) (file string, err error) {
	if name == "" {
		return "", fmt.Errorf("empty program name: %w", fs.ErrNotExist)
	}
	if cwd == "" {
		cwd = "/"
	}
	if strings.Contains(name, "/") {
		file = name
		if !path.IsAbs(file) {
			file = strings.TrimSuffix(cwd, "/") + "/" + name
		}
		return file, executable(fsys, u, file)
	}
	refused := ""
	var reason error
	for dir := range strings.SplitSeq(searchPath, ":") {
		if !path.IsAbs(dir) {
			// exec.LookPath refuses what it finds through a relative directory.
			dir = path.Join(cwd, dir)
			if executable(fsys, u, path.Join(dir, name)) == nil {
				return "", fmt.Errorf("%s is in %s, which PATH names by a relative directory: %w", name, dir, fs.ErrNotExist)
			}
			continue
		}
		file = path.Join(dir, name)
		err := executable(fsys, u, file)
		if err == nil {
			return file, nil
		}
		if refused == "" && !missing(err) {
			refused, reason = file, err
		}
	}
	if refused != "" {
		return refused, reason
	}
	return "", fmt.Errorf("%s in PATH=%s: %w", name, searchPath, fs.ErrNotExist)
}

// executable returns nil when u may execute the regular file that name leads to.
func executable(fsys FS, u User, name string) error {
	real, node, err := Resolve(fsys, u, "/", name)
	switch {
	case err != nil:
		return err
	case node.Mode.IsDir():
		return fmt.Errorf("%s: %w", real, syscall.EISDIR)
	case !node.Mode.IsRegular() || !u.May(node, Execute):
		return fmt.Errorf("%s: %w", real, fs.ErrPermission)
	}
	return nil
}

// missing reports whether err says that a PATH directory does not hold the file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}
