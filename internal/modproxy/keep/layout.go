package keep

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The limits of a layout that is imported.
const (
	// MaxIndex is the largest index.json, in bytes.
	MaxIndex = 128 << 20
	// maxFiles is how many files an archive may have.
	maxFiles = 4 << 20
)

// layoutReader reads the files of an OCI image layout. Names have slashes.
type layoutReader interface {
	// open returns a regular file and its length.
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// openLayout opens the layout at src: a directory, or a tar archive of one.
func openLayout(src string) (layoutReader, error) {
	info, err := os.Stat(src)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(src)
		if err != nil {
			return nil, err
		}
		return dirReader{root}, nil
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is neither a directory nor a file")
	}
	f, err := os.Open(src)
	if err != nil {
		return nil, err
	}
	t := &tarReader{file: f, entries: map[string]section{}}
	if err := t.index(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// dirReader reads a layout in a directory, and nothing outside of it.
type dirReader struct{ *os.Root }

func (d dirReader) open(name string) (io.ReadCloser, int64, error) {
	name = filepath.FromSlash(name)
	// Opening a pipe would wait for its writer.
	if info, err := d.Root.Stat(name); err != nil {
		return nil, 0, err
	} else if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no file", name)
	}
	f, err := d.Root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// tarReader reads a layout in an archive that is not compressed.
type tarReader struct {
	file    *os.File
	entries map[string]section
}

// section is where the content of a file begins in an archive, and its length.
type section struct{ offset, size int64 }

// index finds the files of the archive.
func (t *tarReader) index() error {
	r := tar.NewReader(t.file)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fault.Error{Code: fault.Invalid, Err: err, Hint: "name a directory, or a tar archive that is not compressed"}
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(t.entries) == maxFiles {
			return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("it has more than %d files", maxFiles)}
		}
		// The reader has read no more than the header.
		offset, err := t.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		t.entries[path.Clean(h.Name)] = section{offset, h.Size}
	}
}

func (t *tarReader) open(name string) (io.ReadCloser, int64, error) {
	s, ok := t.entries[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(t.file, s.offset, s.size)), s.size, nil
}

func (t *tarReader) Close() error { return t.file.Close() }

// readFile reads a file of at most limit bytes.
func readFile(l layoutReader, name string, limit int64) ([]byte, error) {
	r, size, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("%s is larger than %d bytes", name, limit)}
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

// readBlob reads a blob of at most limit bytes and checks its digest.
func readBlob(l layoutReader, digest string, limit int64) ([]byte, error) {
	if err := artifact.CheckDigest(digest); err != nil {
		return nil, err
	}
	data, err := readFile(l, blobName(digest), limit)
	if err != nil {
		return nil, err
	}
	if got := artifact.Digest(data); got != digest {
		return nil, fmt.Errorf("the blob %s has the digest %s", strings.TrimPrefix(digest, "sha256:"), got)
	}
	return data, nil
}
