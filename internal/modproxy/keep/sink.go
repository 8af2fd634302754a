package keep

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// newSink begins a layout that will be called dest.
func newSink(dest string) (sink, error) {
	parent := filepath.Dir(dest)
	if strings.HasSuffix(dest, tarSuffix) {
		f, err := os.CreateTemp(parent, tempPattern)
		if err != nil {
			return nil, err
		}
		return &tarSink{dest: dest, file: f, out: tar.NewWriter(f), written: map[string]bool{}}, nil
	}
	dir, err := os.MkdirTemp(parent, tempPattern)
	if err != nil {
		return nil, err
	}
	return &dirSink{dest: dest, dir: dir, written: map[string]bool{}}, os.MkdirAll(filepath.Join(dir, filepath.FromSlash(layoutBlobs)), 0o755)
}

// tempPattern names what is not whole yet.
const tempPattern = ".gopherwood-export-*"

// blobName returns the file of a blob within a layout, with slashes.
func blobName(digest string) string {
	return path.Join(layoutBlobs, strings.TrimPrefix(digest, "sha256:"))
}

// copyExactly copies size bytes, no fewer and no more.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes and should have %d: it was changed meanwhile", n, size)
	}
	return err
}

// dirSink writes a layout into a directory. Its methods may be called from several
// goroutines.
type dirSink struct {
	dest, dir string

	mu      sync.Mutex
	written map[string]bool
}

func (d *dirSink) blob(digest string, size int64, r io.Reader) error {
	d.mu.Lock()
	done := d.written[digest]
	d.written[digest] = true
	d.mu.Unlock()
	if done {
		return nil
	}
	return d.file(blobName(digest), size, r)
}

func (d *dirSink) file(name string, size int64, r io.Reader) error {
	f, err := os.OpenFile(filepath.Join(d.dir, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = copyExactly(f, r, size)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d *dirSink) finish(index []byte) error {
	if err := d.file(layoutMarker, int64(len(layoutVersion)), strings.NewReader(layoutVersion)); err != nil {
		return err
	}
	if err := d.file(layoutIndex, int64(len(index)), bytes.NewReader(index)); err != nil {
		return err
	}
	if err := os.Chmod(d.dir, 0o755); err != nil { // it is for others to read
		return err
	}
	return os.Rename(d.dir, d.dest)
}

func (d *dirSink) discard() { _ = os.RemoveAll(d.dir) } // it has another name when all went well

// tarSink writes a layout into an archive, in the order of the calls.
type tarSink struct {
	dest    string
	file    *os.File
	out     *tar.Writer
	written map[string]bool
	closed  bool
}

func (t *tarSink) blob(digest string, size int64, r io.Reader) error {
	if t.written[digest] {
		return nil
	}
	t.written[digest] = true
	return t.entry(blobName(digest), size, r)
}

// entry writes a file that differs in nothing but its content from one written on
// another day.
func (t *tarSink) entry(name string, size int64, r io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatUSTAR}
	if err := t.out.WriteHeader(header); err != nil {
		return err
	}
	return copyExactly(t.out, r, size)
}

func (t *tarSink) finish(index []byte) error {
	if err := t.entry(layoutMarker, int64(len(layoutVersion)), strings.NewReader(layoutVersion)); err != nil {
		return err
	}
	if err := t.entry(layoutIndex, int64(len(index)), bytes.NewReader(index)); err != nil {
		return err
	}
	err := t.out.Close()
	if err == nil {
		err = t.file.Sync()
	}
	if err == nil {
		err = t.file.Chmod(0o644) // it is for others to read
	}
	if closeErr := t.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(t.file.Name(), t.dest)
}

func (t *tarSink) close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	return t.file.Close()
}

func (t *tarSink) discard() {
	_ = t.close()
	_ = os.Remove(t.file.Name()) // it has another name when all went well
}
