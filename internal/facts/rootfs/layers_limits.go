package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Budget is how much of an image may be read. Its layers, which are read at the
// same time, share it.
type Budget struct {
	maxBytes, maxEntries int64
	bytes, entries       atomic.Int64
}

// NewBudget allows so many uncompressed bytes and so many entries.
func NewBudget(bytes int64, entries int) *Budget {
	return &Budget{maxBytes: bytes, maxEntries: int64(entries)}
}

// Take counts bytes and entries. Its error is a *fault.Error of code Limit when
// that is more than what is left.
func (b *Budget) Take(bytes int64, entries int) error {
	if b.bytes.Add(bytes) > b.maxBytes {
		return &fault.Error{Code: fault.Limit, Hint: "raise --max-image-size",
			Err: fmt.Errorf("the image unpacks to more than %d bytes", b.maxBytes)}
	}
	if b.entries.Add(int64(entries)) > b.maxEntries {
		return &fault.Error{Code: fault.Limit, Hint: "raise --max-entries",
			Err: fmt.Errorf("the image has more than %d files", b.maxEntries)}
	}
	return nil
}

// meter counts what is read of a layer and takes it from the budget.
type meter struct {
	r      io.Reader
	budget *Budget
	n      int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	if overrun := m.budget.Take(int64(n), 0); overrun != nil {
		return 0, overrun
	}
	return n, err
}

// bigFile is the size above which executables are held in memory one at a time.
const bigFile = 64 << 20

// Buffers lends the memory in which executables of a stream, which cannot be
// read at random, are held while they are measured. Any number of layers may
// share one; together they hold at most one file over 64 MiB.
type Buffers struct {
	pages sync.Pool
	big   chan struct{}
}

// NewBuffers returns Buffers that hold nothing yet.
func NewBuffers() *Buffers {
	return &Buffers{
		pages: sync.Pool{New: func() any { return new(page) }},
		big:   make(chan struct{}, 1),
	}
}

// hold reads size bytes, those of head and then of r, and calls use with all of
// them and their sha256. The memory is used again after use returns, and it
// grows with what really arrives, whatever size says.
func (b *Buffers) hold(ctx context.Context, head []byte, r io.Reader, size int64, use func(data *held, sum []byte) error) error {
	if size > bigFile {
		select {
		case b.big <- struct{}{}:
			defer func() { <-b.big }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	data := &held{}
	defer func() {
		for _, p := range data.pages {
			b.pages.Put(p)
		}
	}()
	sum := sha256.New()
	r = io.TeeReader(io.MultiReader(bytes.NewReader(head), r), sum)
	for data.size < size {
		p := b.pages.Get().(*page)
		data.pages = append(data.pages, p)
		n, err := io.ReadFull(r, p[:min(pageSize, size-data.size)])
		data.size += int64(n)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return use(data, sum.Sum(nil))
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
