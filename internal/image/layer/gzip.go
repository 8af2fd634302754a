package layer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

// How layers are compressed with gzip. The bytes depend on nothing else. Level 3
// is as fast here as the fastest one and gives smaller layers than that of the
// standard library.
const (
	gzipLevel = 3
	gzipBlock = 1 << 20
	// gzipWindow is how far back deflate looks (RFC 1951).
	gzipWindow = 32 << 10
)

// gzipHeader says deflate, no name, no time, unknown system (RFC 1952).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// blockKey names what a block compresses to: it is the digest of the window
// before the block and of the block itself.
type blockKey [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (k blockKey) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *blockKey) UnmarshalText(text []byte) error {
	if len(text) != 2*len(k) {
		return hex.ErrLength
	}
	_, err := hex.Decode(k[:], text)
	return err
}

// block is a compressed block, the unit in which a layer is compressed: by
// several processors at once, and only where it is not the same as in an earlier
// layer. A program that is built again after a change mostly has the same blocks.
type block struct {
	Key blockKey `json:"key"`
	// Size is its compressed length in bytes.
	Size int `json:"size"`
}

// gzipWriter compresses what is written to it, in blocks that are flushed to a
// byte's boundary and so can be put together again in another stream.
type gzipWriter struct {
	out     io.Writer
	earlier func(blockKey) []byte
	// buf holds the window and then the block that is being filled; used is the
	// window's length.
	buf  []byte
	used int

	crc  uint32
	size uint32
	jobs chan chan done
	// ended is closed when everything has been written to out; blocks and err are
	// then final.
	ended   chan struct{}
	blocks  []block
	err     error
	writers sync.Pool
}

// done is a block that has been compressed.
type done struct {
	key  blockKey
	data []byte
}

// newGzip returns a writer that must be closed. earlier returns the compressed
// form of a block that an earlier layer has, nil for others.
func newGzip(out io.Writer, earlier func(blockKey) []byte) *gzipWriter {
	w := &gzipWriter{
		out: out, earlier: earlier, buf: make([]byte, 0, gzipWindow+gzipBlock),
		jobs: make(chan chan done, runtime.GOMAXPROCS(0)), ended: make(chan struct{}),
	}
	go w.collect()
	return w
}

// collect writes the blocks in their order.
func (w *gzipWriter) collect() {
	defer close(w.ended)
	_, w.err = w.out.Write(gzipHeader)
	for job := range w.jobs {
		d := <-job
		w.blocks = append(w.blocks, block{d.key, len(d.data)})
		if w.err == nil {
			_, w.err = w.out.Write(d.data)
		}
	}
}

// Write implements io.Writer. What fails later is Close's error.
func (w *gzipWriter) Write(p []byte) (int, error) {
	w.crc = crc32.Update(w.crc, crc32.IEEETable, p)
	w.size += uint32(len(p)) // modulo 2^32, as RFC 1952 has it
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), w.used+gzipBlock-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		if len(w.buf) == w.used+gzipBlock {
			w.send(false)
		}
	}
	return n, nil
}

// send has the block compressed and begins another.
func (w *gzipWriter) send(last bool) {
	full, used := w.buf, w.used
	w.buf = append(make([]byte, 0, gzipWindow+gzipBlock), full[max(0, len(full)-gzipWindow):]...)
	w.used = len(w.buf)
	job := make(chan done, 1)
	w.jobs <- job
	go func() { job <- w.compress(full, used, last) }()
}

// compress compresses full[used:], whose window is what comes before.
func (w *gzipWriter) compress(full []byte, used int, last bool) done {
	key := sha256.Sum256(full)
	if !last {
		if data := w.earlier(key); data != nil {
			return done{key, data}
		}
	}
	var out bytes.Buffer
	out.Grow((len(full) - used) / 2)
	f, ok := w.writers.Get().(*flate.Writer)
	if ok {
		f.ResetDict(&out, full[:used])
	} else {
		// It fails only for a level that does not exist.
		f, _ = flate.NewWriterDict(&out, gzipLevel, full[:used])
	}
	defer w.writers.Put(f)
	// Writing to memory cannot fail.
	_, _ = f.Write(full[used:])
	if last {
		_ = f.Close()
	} else {
		_ = f.Flush()
	}
	return done{key, out.Bytes()}
}

// Close writes what is left and waits until everything is written to out.
func (w *gzipWriter) Close() error {
	w.send(true)
	close(w.jobs)
	<-w.ended
	if w.err == nil {
		_, w.err = w.out.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, w.crc), w.size))
	}
	return w.err
}
