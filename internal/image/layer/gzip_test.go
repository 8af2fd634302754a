package layer

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

// content is n bytes that compress about as programs do.
func content(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]byte, 0, n)
	for len(out) < n {
		word := make([]byte, 1+r.IntN(12))
		for i := range word {
			word[i] = byte(r.IntN(1 << r.IntN(9)))
		}
		for range r.IntN(4) {
			out = append(out, word...)
		}
	}
	return out[:n]
}

// gzipped compresses data, written in pieces of the given length.
func gzipped(t *testing.T, data []byte, piece int, earlier func(blockKey) []byte) ([]byte, []block) {
	t.Helper()
	var out bytes.Buffer
	w := newGzip(&out, earlier)
	for part := range slices.Chunk(data, piece) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), w.blocks
}

func none(blockKey) []byte { return nil }

func TestGzip(t *testing.T) {
	for _, n := range []int{0, 1, gzipWindow, gzipBlock - 1, gzipBlock, gzipBlock + 1, 3*gzipBlock + 12345} {
		data := content(n, 1)
		packed, _ := gzipped(t, data, 100_000, none)
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false) // it is one member, which readers that know no other need
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d come back, %v", n, len(got), err)
		}
		if again, _ := gzipped(t, data, 7777, none); !bytes.Equal(again, packed) {
			t.Errorf("%d bytes: how they are written changes the result", n)
		}
	}
}

// Using blocks of an earlier stream gives the very bytes that compressing gives.
func TestGzipEarlier(t *testing.T) {
	old := content(6*gzipBlock+500, 2)
	packed, blocks := gzipped(t, old, 1<<16, none)
	known := map[blockKey][]byte{}
	at := len(gzipHeader)
	for _, b := range blocks {
		known[b.Key] = packed[at : at+b.Size]
		at += b.Size
	}
	for name, edit := range map[string]func([]byte) []byte{
		"the same":   func(b []byte) []byte { return b },
		"one byte":   func(b []byte) []byte { b[3*gzipBlock+5]++; return b },
		"longer":     func(b []byte) []byte { return append(b, content(gzipBlock, 3)...) },
		"cut":        func(b []byte) []byte { return b[:4*gzipBlock] },
		"moved":      func(b []byte) []byte { return append([]byte("x"), b...) },
		"other tail": func(b []byte) []byte { b[len(b)-1]++; return b },
	} {
		t.Run(name, func(t *testing.T) {
			data := edit(slices.Clone(old))
			var hits atomic.Int32
			got, _ := gzipped(t, data, 1<<16, func(k blockKey) []byte {
				if b := known[k]; b != nil {
					hits.Add(1)
					return b
				}
				return nil
			})
			if want, _ := gzipped(t, data, 1<<16, none); !bytes.Equal(got, want) {
				t.Error("the bytes differ")
			}
			if name == "one byte" && hits.Load() < 4 {
				t.Errorf("only %d of 6 blocks were used again", hits.Load())
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestGzipFails(t *testing.T) {
	w := newGzip(failing{}, none)
	if _, err := w.Write(content(3*gzipBlock, 4)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("that the bytes could not be written was not told")
	}
}
