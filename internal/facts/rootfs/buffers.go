package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// bigFile is the size above which executables are held one at a time.
const bigFile = 64 << 20

// Buffers lends the space in which executables of a stream, which cannot be
// read at random, are held while they are measured. Any number of layers may
// share one; together they hold at most one file over 64 MiB.
type Buffers struct {
	pages sync.Pool
	big   chan struct{}
	// dir takes files of more than inMemory bytes; empty means that all are held
	// in memory.
	dir      string
	inMemory int64
}

// NewBuffers returns Buffers that hold nothing yet, and all in memory.
func NewBuffers() *Buffers {
	return &Buffers{
		pages: sync.Pool{New: func() any { return new(page) }},
		big:   make(chan struct{}, 1),
	}
}

// NewSpool returns Buffers that hold files of more than inMemory bytes on disk, in
// the directory dir, which is made when it is first needed.
func NewSpool(dir string, inMemory int64) *Buffers {
	b := NewBuffers()
	b.dir, b.inMemory = dir, inMemory
	return b
}

// useFile is told of a whole file and its sha256. The file is gone when it has
// returned.
type useFile func(data io.ReaderAt, size int64, sum []byte) error

// hold reads size bytes, those of head and then of r, and calls use with all of
// them. The space grows with what really arrives, whatever size says.
func (b *Buffers) hold(ctx context.Context, head []byte, r io.Reader, size int64, use useFile) error {
	if size > bigFile {
		select {
		case b.big <- struct{}{}:
			defer func() { <-b.big }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	sum := sha256.New()
	whole := io.TeeReader(io.MultiReader(bytes.NewReader(head), r), sum)
	var data io.ReaderAt
	var done func()
	var err error
	if b.dir != "" && size > b.inMemory {
		data, done, err = b.spool(whole, size)
	} else {
		data, done, err = b.fill(whole, size)
	}
	defer done()
	if err != nil {
		return err
	}
	return use(data, size, sum.Sum(nil))
}

// fill reads size bytes into memory, which done gives back.
func (b *Buffers) fill(r io.Reader, size int64) (data *held, done func(), err error) {
	data = &held{}
	done = func() {
		for _, p := range data.pages {
			b.pages.Put(p)
		}
	}
	for data.size < size {
		p := b.pages.Get().(*page)
		data.pages = append(data.pages, p)
		n, err := io.ReadFull(r, p[:min(pageSize, size-data.size)])
		data.size += int64(n)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return data, done, err
		}
	}
	return data, done, nil
}

// spoolPattern names the files of a spool, so that the cache, if it has the same
// directory, removes those that a killed process left.
const spoolPattern = "spool-*.tmp"

// spool reads size bytes into a file, which done removes.
func (b *Buffers) spool(r io.Reader, size int64) (data *os.File, done func(), err error) {
	fail := func(err error) error {
		return &fault.Error{Code: fault.Unavailable, Op: "hold an executable in", Input: b.dir, Err: err,
			Hint: fmt.Sprintf("give the directory room for %d MiB", size>>20+1)}
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, func() {}, fail(err)
	}
	f, err := os.CreateTemp(b.dir, spoolPattern) // mode 0600
	if err != nil {
		return nil, func() {}, fail(err)
	}
	done = func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	in := &remembering{r: r}
	_, err = io.CopyN(f, in, size)
	switch {
	case err == nil:
		return f, done, nil
	case errors.Is(in.err, io.EOF):
		return f, done, io.ErrUnexpectedEOF
	case in.err != nil:
		return f, done, in.err
	}
	return f, done, fail(err)
}

// remembering keeps the error of a reader, to tell it from a writer's.
type remembering struct {
	r   io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.err = err
	return n, err
}

// pageSize is how much memory is lent at once, in bytes.
const pageSize = 1 << 20

type page [pageSize]byte

// held is a file in pages.
type held struct {
	pages []*page
	size  int64
}

// ReadAt implements io.ReaderAt.
func (h *held) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	for n < len(b) && off < h.size {
		at := off % pageSize
		end := min(pageSize, h.size-off+at)
		c := copy(b[n:], h.pages[off/pageSize][at:end])
		n, off = n+c, off+int64(c)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
