package ziphash

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/flate"
	"golang.org/x/mod/sumdb/dirhash"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
)

// writeZip writes a zip of the files to a new file.
func writeZip(t testing.TB, write func(w *zip.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	write(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hashOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return HashZip(context.Background(), bytes.NewReader(data), int64(len(data)))
}

// TestHashZip compares with the function of the go command, over zips of every
// kind of entry.
func TestHashZip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Zäö_.-]{1,8}(/[a-z!]{1,8}){0,2}/?`), 0, 40, rapid.ID[string]).Draw(rt, "names")
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i, name := range names {
			method := []uint16{zip.Store, zip.Deflate}[rapid.IntRange(0, 1).Draw(rt, "method")]
			f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
			if err != nil {
				rt.Fatal(err)
			}
			if !strings.HasSuffix(name, "/") {
				_, _ = io.CopyN(f, rand.NewChaCha8([32]byte{byte(i)}), rapid.Int64Range(0, 100_000).Draw(rt, "size"))
			}
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "a.zip")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			rt.Fatal(err)
		}
		want, wantErr := dirhash.HashZip(path, dirhash.Hash1)
		got, gotErr := hashOf(path)
		if got != want || gotErr != nil || wantErr != nil {
			rt.Errorf("%s, %v; want %s, %v", got, gotErr, want, wantErr)
		}
	})
}

// TestHashZipDamage expects an error wherever the content is not what the zip
// says about it.
func TestHashZipDamage(t *testing.T) {
	content := []byte(strings.Repeat("package lib // content\n", 500))
	raw := func(change func(*zip.FileHeader)) string {
		return writeZip(t, func(w *zip.Writer) {
			header := &zip.FileHeader{Name: "a@v1.0.0/a.go", Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
				UncompressedSize64: uint64(len(content)), CompressedSize64: uint64(len(content))}
			change(header)
			f, err := w.CreateRaw(header)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(content)
		})
	}
	for name, path := range map[string]string{
		"checksum":       raw(func(h *zip.FileHeader) { h.CRC32++ }),
		"shorter":        raw(func(h *zip.FileHeader) { h.UncompressedSize64-- }),
		"longer":         raw(func(h *zip.FileHeader) { h.UncompressedSize64++ }),
		"method":         raw(func(h *zip.FileHeader) { h.Method = 99 }),
		"not DEFLATE":    raw(func(h *zip.FileHeader) { h.Method = zip.Deflate }),
		"newline":        raw(func(h *zip.FileHeader) { h.Name = "a@v1.0.0/a\n.go" }),
		"not a zip file": filepath.Join("ziphash_test.go"),
	} {
		if sum, err := hashOf(path); err == nil {
			t.Errorf("%s: %s", name, sum)
		}
	}
	if _, err := hashOf(raw(func(*zip.FileHeader) {})); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	data, err := os.ReadFile(raw(func(*zip.FileHeader) {}))
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []func(context.Context, io.ReaderAt, int64) (string, error){HashZip, HashZipInBackground} {
		if _, err := hash(ctx, bytes.NewReader(data), int64(len(data))); err == nil {
			t.Error("hashed for nobody")
		}
	}
}

// TestHashZipInBackground hashes more zips at once than there is room for, while
// others are hashed for somebody.
func TestHashZipInBackground(t *testing.T) {
	data, err := os.ReadFile(writeZip(t, func(w *zip.Writer) {
		for i := range 100 {
			f, err := w.Create(fmt.Sprintf("a@v1.0.0/%d.go", i))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(bytes.Repeat([]byte("package lib\n"), 100*i))
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	want, err := HashZip(context.Background(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		for _, hash := range []func(context.Context, io.ReaderAt, int64) (string, error){HashZip, HashZipInBackground} {
			wg.Go(func() {
				if sum, err := hash(t.Context(), bytes.NewReader(data), int64(len(data))); err != nil || sum != want {
					t.Errorf("%s, %v; want %s", sum, err, want)
				}
			})
		}
	}
	wg.Wait()
}

// FuzzHashZip looks for zips of which the go command's function thinks otherwise.
func FuzzHashZip(f *testing.F) {
	path := writeZip(f, func(w *zip.Writer) {
		for i := range 3 {
			e, _ := w.Create(fmt.Sprintf("a@v1.0.0/%d.go", i))
			_, _ = e.Write([]byte(strings.Repeat("package a\n", 20*i)))
		}
	})
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "fuzz.zip")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, gotErr := hashOf(path)
		want, wantErr := dirhash.HashZip(path, dirhash.Hash1)
		// Of several files of one name, the go command hashes one for all.
		if repeats(data) {
			if gotErr == nil {
				t.Errorf("%s of a zip with two files of one name", got)
			}
			return
		}
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s, %v; want %s, %v", got, gotErr, want, wantErr)
		}
	})
}

func repeats(data []byte) bool {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return false
	}
	seen := map[string]bool{}
	for _, f := range z.File {
		if seen[f.Name] {
			return true
		}
		seen[f.Name] = true
	}
	return false
}

// BenchmarkHashZip hashes the standard library's Go files, as a module's zip has
// them.
func BenchmarkHashZip(b *testing.B) {
	path := writeZip(b, func(w *zip.Writer) {
		root := os.DirFS(filepath.Join(upstreamtest.GOROOT(b), "src", "net"))
		if err := w.AddFS(root); err != nil {
			b.Fatal(err)
		}
	})
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("dirhash", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := dirhash.HashZip(path, dirhash.Hash1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("here", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := HashZip(context.Background(), bytes.NewReader(data), int64(len(data))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestHashZipDamagedDeflate is TestHashZipDamage for files that are compressed, also
// with a descriptor behind their data.
func TestHashZipDamagedDeflate(t *testing.T) {
	content := []byte(strings.Repeat("package lib // content\n", 500))
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 6)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := func(change func(*zip.FileHeader), edit func([]byte)) error {
		header := &zip.FileHeader{Name: "a@v1.0.0/a.go", Method: zip.Deflate, Flags: 1 << 3, CRC32: crc32.ChecksumIEEE(content),
			UncompressedSize64: uint64(len(content)), CompressedSize64: uint64(packed.Len())}
		change(header)
		data, err := os.ReadFile(writeZip(t, func(w *zip.Writer) {
			f, err := w.CreateRaw(header)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(packed.Bytes())
		}))
		if err != nil {
			t.Fatal(err)
		}
		edit(data)
		_, err = HashZip(context.Background(), bytes.NewReader(data), int64(len(data)))
		return err
	}
	same, none := func([]byte) {}, func(*zip.FileHeader) {}
	for name, change := range map[string]func(*zip.FileHeader){
		"checksum":  func(h *zip.FileHeader) { h.CRC32++ },
		"shorter":   func(h *zip.FileHeader) { h.UncompressedSize64-- },
		"longer":    func(h *zip.FileHeader) { h.UncompressedSize64++ },
		"truncated": func(h *zip.FileHeader) { h.CompressedSize64 -= 3 },
	} {
		if sum(change, same) == nil {
			t.Errorf("%s: hashed", name)
		}
	}
	if sum(none, func(data []byte) { data[bytes.Index(data, []byte("PK\x07\x08"))+4]++ }) == nil {
		t.Error("a descriptor with another checksum: hashed")
	}
	if err := sum(none, same); err != nil {
		t.Error(err)
	}
}
