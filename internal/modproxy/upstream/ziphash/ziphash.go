// Package ziphash computes the hashes that go.sum has of modules, faster than
// golang.org/x/mod/sumdb/dirhash.
package ziphash

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// HashZip returns the sum of a module's zip as go.sum has it ("h1:…"): the same
// as dirhash.HashZip with dirhash.Hash1, in less time. The content of every file
// is checked against the length and checksum that the zip states, and two files
// of one name are an error.
func HashZip(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	return hashZip(ctx, r, size, runtime.GOMAXPROCS(0))
}

// HashZipInBackground is HashZip for a zip that nobody waits for. Goroutines that
// compute give way after milliseconds only, so all of these together leave a
// processor, if there are two, to those who wait for the network.
func HashZipInBackground(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	if err := background.Acquire(ctx, backgroundWorkers); err != nil {
		return "", err
	}
	defer background.Release(backgroundWorkers)
	return hashZip(ctx, r, size, int(backgroundWorkers))
}

var (
	backgroundProcessors = max(1, int64(runtime.GOMAXPROCS(0))-1)
	backgroundWorkers    = min(4, backgroundProcessors) // of a zip
	background           = semaphore.NewWeighted(backgroundProcessors)
)

func hashZip(ctx context.Context, r io.ReaderAt, size int64, workers int) (string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", err
	}
	return hashFiles(ctx, z, r, workers)
}

// hashFiles is dirhash.Hash1 over the files of z, which r has.
func hashFiles(ctx context.Context, z *zip.Reader, r io.ReaderAt, workers int) (string, error) {
	for _, f := range z.File {
		if strings.Contains(f.Name, "\n") {
			return "", errors.New("a file's name has a newline")
		}
	}
	sums := make([][sha256.Size]byte, len(z.File))
	// Large files come first, so that the last worker does not end long after
	// the others.
	order := indexes(len(z.File))
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(z.File[b].UncompressedSize64, z.File[a].UncompressedSize64)
	})
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(workers, len(order)) {
		group.Go(func() error {
			h := hashers.Get().(*hasher)
			defer hashers.Put(h)
			for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := h.file(r, z.File[order[i]], &sums[order[i]]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return summary(z.File, sums)
}

// summary hashes the lines of the files, in the order of their names.
func summary(files []*zip.File, sums [][sha256.Size]byte) (string, error) {
	order := indexes(len(files))
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(files[a].Name, files[b].Name) })
	h := sha256.New()
	var line []byte
	for n, i := range order {
		if n > 0 && files[order[n-1]].Name == files[i].Name {
			return "", fmt.Errorf("%s: there are two files of this name", files[i].Name)
		}
		line = hex.AppendEncode(line[:0], sums[i][:])
		line = append(line, "  "...)
		line = append(line, files[i].Name...)
		line = append(line, '\n')
		h.Write(line)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// indexes returns 0 to n-1.
func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// hasher hashes one file after the other.
type hasher struct {
	hash hash.Hash
	// inflater reads DEFLATE data from deflated.
	inflater io.Reader
	deflated bytes.Reader
	// packed is the data of a file as the zip has it, and buffer what is in between.
	packed, buffer []byte
	// left is how long the content may still be, and checksum that of it so far.
	left     uint64
	checksum uint32
}

// hashers are idle: each has a window of 32 KiB that most files of a module are
// smaller than.
var hashers = sync.Pool{New: func() any {
	h := &hasher{hash: sha256.New(), buffer: make([]byte, 64<<10)}
	h.inflater = flate.NewReader(&h.deflated)
	return h
}}

// maxPacked is the length up to which the data of a file is read at once, in bytes.
const maxPacked = 1 << 20

func (h *hasher) file(r io.ReaderAt, f *zip.File, sum *[sha256.Size]byte) error {
	hash := h.streamed
	if f.Method == zip.Deflate && f.CompressedSize64 <= maxPacked {
		hash = h.atOnce
	}
	h.hash.Reset()
	if err := hash(r, f); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	h.hash.Sum(sum[:0])
	return nil
}

// streamed hashes a file of any kind.
func (h *hasher) streamed(_ io.ReaderAt, f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{h.hash}, r, h.buffer)
	return err
}

// atOnce hashes a small file that is compressed, and checks what zip.File.Open checks.
func (h *hasher) atOnce(r io.ReaderAt, f *zip.File) error {
	begin, err := f.DataOffset()
	if err != nil {
		return err
	}
	size := int(f.CompressedSize64)
	h.packed = slices.Grow(h.packed[:0], size+descriptorSize)[:size+descriptorSize]
	n, err := r.ReadAt(h.packed, begin)
	if n < size {
		return cmp.Or(err, io.ErrUnexpectedEOF)
	}
	h.deflated.Reset(h.packed[:size])
	h.left, h.checksum = f.UncompressedSize64, 0
	if err := h.inflater.(flate.Resetter).Reset(&h.deflated, nil); err != nil {
		return err
	}
	if _, err := h.inflater.(io.WriterTo).WriteTo(h); err != nil {
		return err
	}
	if h.left != 0 || h.checksum != f.CRC32 || !described(f, h.packed[size:n]) {
		return zip.ErrChecksum
	}
	return nil
}

// Write adds to the content.
func (h *hasher) Write(p []byte) (int, error) {
	if uint64(len(p)) > h.left {
		return 0, zip.ErrFormat
	}
	h.left -= uint64(len(p))
	h.checksum = crc32.Update(h.checksum, crc32.IEEETable, p)
	return h.hash.Write(p)
}

// What may follow the data of a file (APPNOTE.TXT 4.3.9): a signature, which may be
// missing, the checksum, and the lengths.
const (
	descriptorSize = 8 // of what is looked at
	descriptorFlag = 1 << 3
	descriptorMark = 0x08074b50
)

// described says whether what follows a file's data has its checksum, if it must.
func described(f *zip.File, after []byte) bool {
	if f.Flags&descriptorFlag == 0 {
		return true
	}
	if len(after) >= 4 && binary.LittleEndian.Uint32(after) == descriptorMark {
		after = after[4:]
	}
	return len(after) >= 4 && binary.LittleEndian.Uint32(after) == f.CRC32
}
