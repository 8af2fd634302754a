package layer

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Entry is one file of a layer.
type Entry struct {
	// Path is absolute, slash-separated and clean.
	Path string
	// Mode is a directory's, a regular file's or a symbolic link's, with permissions.
	Mode     fs.FileMode
	UID, GID int
	// Target is a symbolic link's.
	Target string
	// Size is a regular file's, in bytes.
	Size int64

	open func() (io.ReadCloser, error)
	// digest ("sha256:…") is that of open's content; empty until it is asked for.
	digest string
	// fixed content need not be compared with digest when it is read again.
	fixed bool
}

// Dir is a directory.
func Dir(path string, mode fs.FileMode) Entry {
	return Entry{Path: path, Mode: fs.ModeDir | mode}
}

// Bytes is a regular file with the content data, which must not change.
func Bytes(path string, mode fs.FileMode, data []byte) Entry {
	sum := sha256.Sum256(data)
	return Entry{
		Path: path, Mode: mode, Size: int64(len(data)), digest: digest(sum[:]),
		open:  func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		fixed: true,
	}
}

// File is a regular file with the content of the file name of this machine,
// which is read once to hash it and again when the layer is written.
func File(path string, mode fs.FileMode, name string) (Entry, error) {
	e, err := FixedFile(path, mode, name)
	if err == nil {
		err = e.identify()
	}
	e.fixed = false
	return e, err
}

// FixedFile is File for one that the caller knows nobody writes to.
func FixedFile(path string, mode fs.FileMode, name string) (Entry, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Entry{}, fileError(name, err)
	}
	return Entry{
		Path: path, Mode: mode, Size: info.Size(), fixed: true,
		open: func() (io.ReadCloser, error) { return os.Open(name) },
	}, nil
}

// identify fills in the digest of a regular file.
func (e *Entry) identify() error {
	if e.open == nil || e.digest != "" {
		return nil
	}
	in, err := e.open()
	if err != nil {
		return fileError(e.Path, err)
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{h}, in, make([]byte, 256<<10)); err != nil {
		return fileError(e.Path, err)
	}
	e.digest = digest(h.Sum(nil))
	return nil
}

// onlyWriter hides that a file can be copied from in another way, so that the
// buffer counts.
type onlyWriter struct{ io.Writer }

func digest(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

func fileError(name string, err error) error {
	return &fault.Error{Code: fault.CodeOf(err), Op: "pack", Input: name, Err: err}
}

func sorted(entries []Entry) []Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
}

// writeTar writes the uncompressed layer. Nothing in it depends on the machine.
func writeTar(ctx context.Context, w io.Writer, entries []Entry, t time.Time) error {
	out := tar.NewWriter(w)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.write(out, t); err != nil {
			return fileError(e.Path, err)
		}
	}
	return out.Close()
}

func (e Entry) write(out *tar.Writer, t time.Time) error {
	hdr := &tar.Header{
		Name: strings.TrimPrefix(e.Path, "/"), Mode: unixMode(e.Mode), Uid: e.UID, Gid: e.GID,
		Size: e.Size, ModTime: t, Linkname: e.Target, Typeflag: tar.TypeReg,
	}
	switch e.Mode.Type() {
	case fs.ModeDir:
		hdr.Typeflag, hdr.Name = tar.TypeDir, hdr.Name+"/"
	case fs.ModeSymlink:
		hdr.Typeflag = tar.TypeSymlink
	}
	if err := out.WriteHeader(hdr); err != nil || hdr.Typeflag != tar.TypeReg {
		return err
	}
	in, err := e.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if e.fixed {
		_, err := io.CopyBuffer(onlyWriter{out}, in, make([]byte, 256<<10))
		return err
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(out, h), in, make([]byte, 256<<10)); err != nil {
		return err
	}
	if got := digest(h.Sum(nil)); got != e.digest {
		return &fault.Error{Code: fault.Invalid, Err: errors.New("it changed while it was read"), Hint: "build again"}
	}
	return nil
}

// unixMode is the mode as tar(5) writes it.
func unixMode(mode fs.FileMode) int64 {
	m := int64(mode.Perm())
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			m |= value
		}
	}
	return m
}
