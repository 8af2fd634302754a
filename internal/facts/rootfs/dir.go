package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxKept is the most that is kept of one file's content.
const maxKept = 4 << 20

// Dir is a directory of this machine as a root file system. It measures files
// when they are asked for, once each, and cannot be led out of the directory by
// symbolic links.
type Dir struct {
	root    *os.Root
	maxFile int64
	mu      sync.Mutex
	files   map[string]File
}

// OpenDir opens the directory at name. Executables over maxFile bytes are not
// measured. The caller closes it.
func OpenDir(name string, maxFile int64) (*Dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root, maxFile: maxFile, files: map[string]File{}}, nil
}

// Close ends the use of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// local turns an absolute path into one below the root.
func local(path string) string {
	if path == "/" {
		return "."
	}
	return strings.TrimPrefix(path, "/")
}

// Lstat implements FS.
func (d *Dir) Lstat(path string) (Node, error) {
	info, err := d.root.Lstat(local(path))
	if err != nil {
		return Node{}, bareNotExist(err)
	}
	node := Node{Mode: info.Mode(), Size: info.Size()}
	node.UID, node.GID = owner(info)
	if node.Mode&fs.ModeSymlink != 0 {
		if node.Target, err = d.root.Readlink(local(path)); err != nil {
			return Node{}, err
		}
	}
	return node, nil
}

// ReadDir implements FS.
func (d *Dir) ReadDir(path string) ([]string, error) {
	f, err := d.root.Open(local(path))
	if err != nil {
		return nil, bareNotExist(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// File implements FS.
func (d *Dir) File(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if file, ok := d.files[path]; ok {
		return file, nil
	}
	file, err := d.measure(path)
	if err == nil {
		d.files[path] = file
	}
	return file, err
}

func (d *Dir) measure(path string) (File, error) {
	// Opening a FIFO would wait for its other end: look before.
	info, err := d.root.Lstat(local(path))
	if err != nil {
		return File{}, bareNotExist(err)
	}
	if !info.Mode().IsRegular() {
		return File{}, &fault.Error{Code: fault.Invalid, Op: "read", Input: path, Err: errors.New("no regular file")}
	}
	f, err := d.root.Open(local(path))
	if err != nil {
		return File{}, bareNotExist(err)
	}
	defer f.Close()
	head := make([]byte, HeadSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return File{}, err
	}
	head = head[:n]
	if exe.IsExecutable(head) {
		return d.object(path, f, info.Size())
	}
	if !Kept(path) {
		return File{Head: head}, nil
	}
	content, err := kept(path, f)
	return File{Head: head, Content: content}, err
}

// kept reads the content of a kept file.
func kept(path string, f *os.File) ([]byte, error) {
	content, err := io.ReadAll(io.NewSectionReader(f, 0, maxKept+1))
	if err == nil && len(content) > maxKept {
		err = &fault.Error{Code: fault.Invalid, Op: "read", Input: path, Err: fmt.Errorf("the file has more than %d bytes", maxKept)}
	}
	return content, err
}

func (d *Dir) object(path string, f *os.File, size int64) (File, error) {
	if size > d.maxFile {
		return File{}, &fault.Error{Code: fault.Limit, Op: "measure", Input: path,
			Err: errors.New("the file is larger than the limit"), Hint: "raise --max-file-size"}
	}
	object, err := exe.Measure(f, size, exe.Options{Links: true})
	if err != nil {
		return File{}, &fault.Error{Code: fault.CodeOf(err), Op: "measure", Input: path, Err: err}
	}
	return File{Object: object}, nil
}
