package rootfs

import (
	"fmt"
	"io"
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
