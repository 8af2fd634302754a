package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	small sync.Pool
	big   chan struct{}
}

// NewBuffers returns Buffers that hold nothing yet.
func NewBuffers() *Buffers {
	return &Buffers{
		small: sync.Pool{New: func() any { return new([]byte) }},
		big:   make(chan struct{}, 1),
	}
}

// hold reads size bytes of r, which follow those of head, and calls use with
// all of them. The memory is used again after use returns, and it grows with
// what really arrives, whatever size says.
func (b *Buffers) hold(ctx context.Context, head []byte, r io.Reader, size int64, use func(data []byte) error) error {
	if size > bigFile {
		select {
		case b.big <- struct{}{}:
			defer func() { <-b.big }()
		case <-ctx.Done():
			return ctx.Err()
		}
		data, err := fill(nil, head, r, size)
		if err != nil {
			return err
		}
		return use(data)
	}
	buf := b.small.Get().(*[]byte)
	defer b.small.Put(buf)
	data, err := fill((*buf)[:0], head, r, size)
	*buf = data
	if err != nil {
		return err
	}
	return use(data)
}

// fill appends head and then the rest of r to buf, up to size bytes.
func fill(buf, head []byte, r io.Reader, size int64) ([]byte, error) {
	const step = 1 << 20
	buf = append(buf, head...)
	for int64(len(buf)) < size {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(size, 2*int64(cap(buf))+step))
			copy(grown, buf)
			buf = grown
		}
		room := buf[len(buf):min(int64(cap(buf)), size)]
		n, err := io.ReadFull(r, room)
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, io.ErrUnexpectedEOF
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}
