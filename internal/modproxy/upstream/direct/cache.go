package direct

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// moduleCache is the directory of a module cache, whose layout is part of the Go
// Modules Reference.
type moduleCache string

// read reads a file of a version.
func (c moduleCache) read(m module.Version, suffix string, limit int64) ([]byte, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: m.String(), Err: err}
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "get", Input: m.String(), Err: err}
	}
	data, err := readFileLimited(filepath.Join(string(c), "cache", "download", filepath.FromSlash(path), "@v", version+suffix), limit)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: "the module cache's " + m.String() + suffix, Err: upstream.Reason(err)}
	}
	return data, nil
}

// repositories is where the go command keeps what it has of version control.
func (c moduleCache) repositories() string { return filepath.Join(string(c), "cache", "vcs") }

// readFileLimited is os.ReadFile with a limit in bytes.
func readFileLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("it has more than %d bytes", limit)}
	}
	return data, err
}

// temporaryPrefix begins the names of temporary directories.
const temporaryPrefix = "temporary-"

// temporary makes a temporary directory, and sweeps.
func (d *Source) temporary() (string, error) {
	if d.dir == "" {
		return "", noDirectory()
	}
	err := os.MkdirAll(d.work, 0o777)
	var dir string
	if err == nil {
		dir, err = os.MkdirTemp(d.work, temporaryPrefix+"*")
	}
	if err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "make a directory for", Input: "version control", Err: upstream.Reason(err)}
	}
	d.sweep()
	return dir, nil
}

// sweep removes the temporary directories that killed processes left, and the
// clones that nobody uses any more. What cannot be removed is for the next sweep.
func (d *Source) sweep() {
	d.clones.discard(d.work)
	entries, err := os.ReadDir(d.work)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), temporaryPrefix) && time.Since(info.ModTime()) > max(time.Hour, 2*d.timeout) {
			_ = os.RemoveAll(filepath.Join(d.work, e.Name()))
		}
	}
}

// temporaryCache makes a module cache for one fetch: what the go command leaves
// besides the repositories is of no use after that, and several fetches of one
// version must not take away each other's files.
func (d *Source) temporaryCache() (moduleCache, error) {
	dir, err := d.temporary()
	if err != nil {
		return "", err
	}
	cache := moduleCache(dir)
	err = os.MkdirAll(d.cache.repositories(), 0o777)
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "cache"), 0o777)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "make a directory for", Input: "version control", Err: upstream.Reason(err)}
	}
	// Where there are no links, as on some Windows machines, every fetch clones.
	_ = os.Symlink(d.cache.repositories(), cache.repositories())
	return cache, nil
}

// take moves the file at path into the place of file, or copies it where that is
// on another disk.
func take(path string, file *os.File) error {
	if os.Rename(path, file.Name()) == nil {
		return nil
	}
	from, err := os.Open(path)
	if err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: "take", Input: "a zip from the module cache", Err: err}
	}
	defer from.Close()
	if err := upstream.Fill(file, from); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "copy", Input: "a zip from the module cache", Err: err}
	}
	return nil
}
