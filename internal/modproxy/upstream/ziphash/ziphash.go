// Package ziphash computes the hashes that go.sum has of modules, faster than
// golang.org/x/mod/sumdb/dirhash.
package ziphash

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

// HashZip returns the sum of a module's zip as go.sum has it ("h1:…"): the same
// as dirhash.HashZip with dirhash.Hash1, in less time. The content of every file
// is checked against the length and checksum that the zip states, and two files
// of one name are an error.
func HashZip(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", err
	}
	return hashFiles(ctx, z)
}

// hashFiles is dirhash.Hash1 over the files of z.
func hashFiles(ctx context.Context, z *zip.Reader) (string, error) {
	z.RegisterDecompressor(zip.Deflate, inflate)
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
	workers, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(order)) {
		workers.Go(func() error {
			h := newHasher()
			for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := h.file(z.File[order[i]], &sums[order[i]]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
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
	hash   hash.Hash
	buffer []byte
}

func newHasher() *hasher { return &hasher{hash: sha256.New(), buffer: make([]byte, 64<<10)} }

func (h *hasher) file(f *zip.File, sum *[sha256.Size]byte) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	h.hash.Reset()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h.hash}, r, h.buffer); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	h.hash.Sum(sum[:0])
	return nil
}

// inflaters are idle readers of DEFLATE data: each has a window of 32 KiB that
// most files of a module are smaller than.
var inflaters sync.Pool

func inflate(r io.Reader) io.ReadCloser {
	if idle, ok := inflaters.Get().(io.ReadCloser); ok {
		if err := idle.(flate.Resetter).Reset(r, nil); err == nil {
			return &inflater{idle}
		}
	}
	return &inflater{flate.NewReader(r)}
}

// inflater gives its reader back when it is closed.
type inflater struct{ io.ReadCloser }

func (i *inflater) Close() error {
	if i.ReadCloser == nil {
		return nil
	}
	err := i.ReadCloser.Close()
	inflaters.Put(i.ReadCloser)
	i.ReadCloser = nil
	return err
}
