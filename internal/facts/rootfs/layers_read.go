package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The longest names that Linux can hold (PATH_MAX, NAME_MAX), in bytes.
const (
	maxPath = 4095
	maxName = 255
)

// maxLayerLinks is how many symbolic links the parent of one entry may cross.
const maxLayerLinks = 255

// LayerOptions says how layers are read.
type LayerOptions struct {
	// MaxFile is the largest executable that is measured, in bytes; larger ones
	// are indexed with an error of code Limit.
	MaxFile int64
	// Budget is what the image has left.
	Budget *Budget
	// Buffers is shared by the layers that are read at the same time.
	Buffers *Buffers
}

// ReadLayer indexes an uncompressed layer tar in one pass, by the rules of the
// OCI image specification (layer.md). It reads r to its end.
//
// As overlay-based runtimes do, it unpacks the layer on its own: a symbolic link
// of the same layer is followed by the entries below it, one of a lower layer is
// not. Names are taken as relative to the root; one that climbs out of it makes
// the layer invalid. Of several entries for one name the last counts.
//
// A file that cannot be measured does not fail the layer: its error is returned
// when the file is asked for. All other errors are *fault.Error: Invalid for a
// layer that no runtime could unpack, Limit, or what r returned.
func ReadLayer(ctx context.Context, r io.Reader, opt LayerOptions) (*Layer, error) {
	in := &meter{r: r, budget: opt.Budget}
	b := &layerReader{ctx: ctx, opt: opt, in: in, tar: tar.NewReader(in), root: newDirectory(true)}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hdr, err := b.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, layerError("", err)
		}
		if err := b.add(hdr); err != nil {
			return nil, layerError(hdr.Name, err)
		}
	}
	// What follows the end marker is part of the layer's digest.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, layerError("", err)
	}
	return &Layer{root: b.root, bytes: in.n, entries: b.entries}, nil
}

func layerError(name string, err error) error {
	code := fault.CodeOf(err)
	if code == fault.Internal {
		code = fault.Invalid
	}
	e := &fault.Error{Code: code, Op: "read layer", Err: err}
	if name != "" {
		e.Op, e.Input = "read layer entry", fmt.Sprintf("%.200q", name)
	}
	return e
}

// layerReader builds the tree of one layer.
type layerReader struct {
	ctx     context.Context
	opt     LayerOptions
	in      *meter
	tar     *tar.Reader
	root    *entry
	entries int
	head    [HeadSize]byte
}

// The names that mark deletions (OCI image specification, layer.md). Other names
// with the double prefix are a storage driver's own.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = whiteoutPrefix + whiteoutPrefix
	whiteoutOpaque = whiteoutMeta + ".opq"
)

// add applies one tar entry.
func (b *layerReader) add(hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := confine(hdr.Name)
	if err != nil {
		return err
	}
	if name == "/" {
		return nil // runtimes make the root directory themselves
	}
	if err := b.charge(len(name) + len(hdr.Linkname)); err != nil {
		return err
	}
	dir, base := path.Split(name)
	parent, err := b.directory(dir)
	if err != nil {
		return err
	}
	switch {
	case base == whiteoutOpaque:
		parent.opaque = true
		return nil
	case strings.HasPrefix(base, whiteoutMeta):
		return nil
	case strings.HasPrefix(base, whiteoutPrefix):
		return b.hide(parent, strings.TrimPrefix(base, whiteoutPrefix))
	}
	e, err := b.entry(hdr, name)
	if err != nil {
		return err
	}
	put(parent, strings.Clone(base), e) // not the whole path with it
	return nil
}

// confine turns an entry's name into an absolute clean path.
func confine(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("the entry has no name")
	case len(name) > maxPath:
		return "", fmt.Errorf("the name has %d bytes, more than %d", len(name), maxPath)
	case strings.ContainsRune(name, 0):
		return "", errors.New("the name contains a NUL byte")
	}
	name = path.Clean(strings.TrimLeft(name, "/"))
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", errors.New("the name leads out of the root directory")
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxName {
			return "", fmt.Errorf("a part of the name has %d bytes, more than %d", len(part), maxName)
		}
	}
	return path.Join("/", name), nil
}

// charge counts an entry that keeps n bytes of names or content. Each KiB counts
// as one entry more, so that the limit on entries bounds memory too.
func (b *layerReader) charge(n int) error { return b.take(1 + n/1024) }

func (b *layerReader) take(cost int) error {
	b.entries += cost
	return b.opt.Budget.Take(0, cost)
}

// directory returns the directory that entries in dir go to, and makes what is
// missing of it.
func (b *layerReader) directory(dir string) (*entry, error) {
	names, err := b.resolve(dir)
	if err != nil {
		return nil, err
	}
	return b.mkdirs(names)
}

// resolve returns the names that lead to dir when the layer's own symbolic links
// are followed. What does not exist is taken for a directory.
func (b *layerReader) resolve(dir string) ([]string, error) {
	todo := strings.Split(dir, "/")
	names, entries := []string{}, []*entry{b.root} // entries[i] is where names[:i] leads, or nil
	links := 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			up := max(0, len(names)-1)
			names, entries = names[:up], entries[:up+1]
			continue
		}
		var child *entry
		if parent := entries[len(names)]; parent != nil {
			child = parent.children[part]
		}
		if child == nil || child.node.Mode&fs.ModeSymlink == 0 {
			names, entries = append(names, part), append(entries, child)
			continue
		}
		if links++; links > maxLayerLinks {
			return nil, syscall.ELOOP
		}
		if path.IsAbs(child.node.Target) {
			names, entries = names[:0], entries[:1]
		}
		todo = append(strings.Split(child.node.Target, "/"), todo...)
	}
	return names, nil
}

// mkdirs returns the directory that names lead to and makes what is missing.
func (b *layerReader) mkdirs(names []string) (*entry, error) {
	if len(strings.Join(names, "/")) >= maxPath {
		return nil, syscall.ENAMETOOLONG
	}
	dir := b.root
	for _, name := range names {
		child := dir.children[name]
		switch {
		case child == nil || child.whiteout:
			if err := b.charge(0); err != nil {
				return nil, err
			}
			made := newDirectory(true)
			put(dir, name, made)
			child = made
		case !child.isDir():
			return nil, fmt.Errorf("%q is no directory: %w", name, syscall.ENOTDIR)
		}
		dir = child
	}
	return dir, nil
}

// put gives e the name in dir. A directory keeps what it holds when it gets new
// attributes; one in the place of a deletion hides the lower layers' directory.
func put(dir *entry, name string, e *entry) {
	old := dir.children[name]
	if old != nil && e.isDir() {
		e.opaque = old.opaque || old.whiteout
		if old.isDir() {
			e.children = old.children
		}
	}
	dir.children[name] = e
}

// hide marks name as deleted from the lower layers. What this layer itself has
// under that name stays.
func (b *layerReader) hide(dir *entry, name string) error {
	if name == "" || name == "." || name == ".." {
		return errors.New("the whiteout names no file")
	}
	switch old := dir.children[name]; {
	case old == nil:
		dir.children[name] = &entry{whiteout: true}
	case old.isDir():
		old.opaque = true
	}
	return nil
}

// entry returns what hdr describes.
func (b *layerReader) entry(hdr *tar.Header, name string) (*entry, error) {
	if len(hdr.Linkname) > maxPath {
		return nil, fmt.Errorf("the link's target has %d bytes, more than %d", len(hdr.Linkname), maxPath)
	}
	// FileInfo also reads type bits from the mode field; the type flag alone counts.
	bits := hdr.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	node := Node{Mode: bits, UID: hdr.Uid, GID: hdr.Gid}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		node.Size = hdr.Size
		body, err := b.body(name, node)
		return &entry{node: node, body: body}, err
	case tar.TypeDir:
		dir := newDirectory(false)
		node.Mode |= fs.ModeDir
		dir.node = node
		return dir, nil
	case tar.TypeSymlink:
		node.Mode |= fs.ModeSymlink
		node.Target = hdr.Linkname
		return &entry{node: node}, nil
	case tar.TypeLink:
		return b.hardLink(hdr.Linkname)
	case tar.TypeChar:
		node.Mode |= fs.ModeDevice | fs.ModeCharDevice
		return &entry{node: node}, nil
	case tar.TypeBlock:
		node.Mode |= fs.ModeDevice
		return &entry{node: node}, nil
	case tar.TypeFifo:
		node.Mode |= fs.ModeNamedPipe
		return &entry{node: node}, nil
	}
	return nil, fmt.Errorf("unknown type of entry %q", hdr.Typeflag)
}

// hardLink returns another name for the file at target, which is of this layer
// or, when it has none there, of a lower one.
func (b *layerReader) hardLink(target string) (*entry, error) {
	name, err := confine(target)
	if err != nil {
		return nil, fmt.Errorf("hard link to %.200q: %w", target, err)
	}
	dir, base := path.Split(name)
	names, err := b.resolve(dir)
	if err != nil {
		return nil, fmt.Errorf("hard link to %.200q: %w", target, err)
	}
	name = path.Join("/", path.Join(names...), base)
	old := b.root.find(name)
	switch {
	case old == nil || old.whiteout:
		return &entry{link: name}, nil
	case old.isDir():
		return nil, fmt.Errorf("hard link to the directory %.200q", target)
	}
	return &entry{node: old.node, body: old.body, link: old.link}, nil
}

// body reads what is to be known of the regular file that the tar is at.
func (b *layerReader) body(name string, node Node) (*body, error) {
	n, err := io.ReadFull(b.tar, b.head[:min(node.Size, HeadSize)])
	if err != nil {
		return nil, err
	}
	head := b.head[:n]
	switch {
	case exe.IsExecutable(head):
		return b.object(head, node.Size)
	case Kept(name):
		return b.content(head, node.Size)
	case node.Mode&0o111 != 0:
		return &body{file: File{Head: bytes.Clone(head)}}, nil
	}
	return unread, nil
}

// object measures an executable. Only an error of the stream is returned.
func (b *layerReader) object(head []byte, size int64) (*body, error) {
	if size > b.opt.MaxFile {
		return &body{failure: newFailure(&fault.Error{Code: fault.Limit, Hint: "raise --max-file-size",
			Err: fmt.Errorf("the executable has %d bytes, more than %d", size, b.opt.MaxFile)})}, nil
	}
	result := &body{}
	before := b.in.n
	err := b.opt.Buffers.hold(b.ctx, head, b.tar, size, func(data io.ReaderAt, size int64, sum []byte) error {
		// The holes of a sparse file cost time without having been read.
		if err := b.opt.Budget.Take(max(0, size-int64(len(head))-(b.in.n-before)), 0); err != nil {
			return err
		}
		result = measure(data, size, head, sum)
		return b.take(int(ObjectMemory(result.file.Object) / 1024))
	})
	return result, err
}

// measure returns what is known of an executable that begins with head.
func measure(data io.ReaderAt, size int64, head, sum []byte) *body {
	object, err := exe.Measure(data, size, exe.Options{Links: true})
	if errors.Is(err, exe.ErrNotExecutable) {
		return &body{file: File{Head: bytes.Clone(head)}}
	}
	if err != nil {
		return &body{failure: newFailure(err)}
	}
	object.Facts.Digest = "sha256:" + hex.EncodeToString(sum)
	return &body{file: File{Object: object}}
}

// content reads a kept file.
func (b *layerReader) content(head []byte, size int64) (*body, error) {
	if size > maxKept {
		return &body{failure: newFailure(&fault.Error{Code: fault.Invalid,
			Err: fmt.Errorf("the file has %d bytes, more than %d", size, maxKept)})}, nil
	}
	if err := b.charge(int(size)); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(b.tar, data[copy(data, head):]); err != nil {
		return nil, err
	}
	return &body{file: File{Head: bytes.Clone(head), Content: data}}, nil
}
