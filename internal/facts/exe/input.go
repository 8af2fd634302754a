package exe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxTable is the largest table that is read whole, in bytes. Real ones
	// (string tables, load commands, hash tables) stay far below; tables that
	// may be larger are read by chunks.
	maxTable = 64 << 20
	// chunkSize is how much of a large table is held at once, in bytes.
	chunkSize = 64 << 10
)

// input reads ranges of a file, and never beyond its end.
type input struct {
	r    io.ReaderAt
	size int64
}

// check returns an error unless n bytes at off lie within the file.
func (in input) check(off, n uint64, what string) error {
	if size := uint64(in.size); off > size || n > size-off {
		return invalid("%s of %d bytes at offset %d reaches beyond the end of the file (%d bytes)", what, n, off, in.size)
	}
	return nil
}

// read returns the n bytes at off; what names them in errors.
func (in input) read(off, n uint64, what string) ([]byte, error) {
	if err := in.check(off, n, what); err != nil {
		return nil, err
	}
	if n > maxTable {
		return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("%s of %d bytes is larger than %d bytes", what, n, maxTable)}
	}
	b := make([]byte, n)
	return b, in.fill(b, off, what)
}

// fill reads len(b) bytes at off into b.
func (in input) fill(b []byte, off uint64, what string) error {
	n, err := in.r.ReadAt(b, int64(off))
	switch {
	case n == len(b):
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("%s at offset %d: the file ended early", what, off)
	}
	return fmt.Errorf("%s at offset %d: %w", what, off, err)
}

// chunkBuffers holds buffers that chunks has used: new ones would be cleared and
// out of the cache.
var chunkBuffers = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// chunks calls each with the n bytes at off, piece by piece, until it returns
// false. Pieces begin at multiples of unit bytes from off; a rest shorter than
// unit is left out. A piece is valid only during the call.
func (in input) chunks(off, n uint64, unit int, what string, each func(piece []byte) (more bool)) error {
	if err := in.check(off, n, what); err != nil {
		return err
	}
	n -= n % uint64(unit)
	buf := chunkBuffers.Get().(*[chunkSize]byte)
	defer chunkBuffers.Put(buf)
	for n > 0 {
		piece := buf[:min(n, uint64(chunkSize/unit*unit))]
		if err := in.fill(piece, off, what); err != nil {
			return err
		}
		if !each(piece) {
			return nil
		}
		off += uint64(len(piece))
		n -= uint64(len(piece))
	}
	return nil
}

// fields takes numbers off the front of a record. The caller makes sure that the
// record is long enough.
type fields struct {
	b     []byte
	order binary.ByteOrder
	// wide is true for the 64-bit variant of a format: word is then 8 bytes.
	wide bool
}

func (f *fields) u8() uint8 {
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) u16() uint16 {
	v := f.order.Uint16(f.b)
	f.b = f.b[2:]
	return v
}

func (f *fields) u32() uint32 {
	v := f.order.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

func (f *fields) u64() uint64 {
	v := f.order.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

// word takes an address-sized number.
func (f *fields) word() uint64 {
	if f.wide {
		return f.u64()
	}
	return uint64(f.u32())
}

func (f *fields) skip(n int) { f.b = f.b[n:] }
