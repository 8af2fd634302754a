package layer_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
)

func options(compression string) layer.Options {
	return layer.Options{Compression: compression, Time: time.Unix(0, 0), MaxFile: 64 << 20}
}

// program is a real executable: this test.
func program(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func entries(t *testing.T) []layer.Entry {
	t.Helper()
	exe, err := layer.File("/usr/local/bin/app", 0o755, program(t))
	if err != nil {
		t.Fatal(err)
	}
	return []layer.Entry{
		exe,
		layer.Dir("/tmp", fs.ModeSticky|0o777),
		layer.Bytes("/etc/passwd", 0o644, []byte("root:x:0:0::/root:\n")),
		{Path: "/bin", Mode: fs.ModeSymlink | 0o777, Target: "usr/local/bin"},
	}
}

func mustNew(t *testing.T, es []layer.Entry, opt layer.Options) *layer.Layer {
	t.Helper()
	l, err := layer.New(t.Context(), es, opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func read(t *testing.T, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What a layer says of itself is what an independent reader finds in its bytes.
func TestContent(t *testing.T) {
	for compression, open := range map[string]func(io.Reader) (io.Reader, error){
		layer.Gzip: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		layer.Zstd: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		t.Run(compression, func(t *testing.T) {
			l := mustNew(t, entries(t), options(compression))
			digest, _ := l.Digest()
			if sum := sha256.Sum256(read(t, l.Compressed)); digest.Hex != hex.EncodeToString(sum[:]) {
				t.Errorf("digest %s is not that of the bytes", digest)
			}
			r, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			plain, err := open(r)
			if err != nil {
				t.Fatal(err)
			}
			diff := sha256.New()
			var names []string
			in := tar.NewReader(io.TeeReader(plain, diff))
			for {
				hdr, err := in.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, hdr.Name)
				if !hdr.ModTime.Equal(time.Unix(0, 0)) || hdr.Uid != 0 || hdr.Uname != "" {
					t.Errorf("%s: the header tells of the machine: %+v", hdr.Name, hdr)
				}
				if hdr.Name == "tmp/" && hdr.Mode != 0o1777 {
					t.Errorf("/tmp has the mode %o", hdr.Mode)
				}
			}
			if _, err := io.Copy(diff, plain); err != nil {
				t.Fatal(err)
			}
			if want := []string{"bin", "etc/passwd", "tmp/", "usr/local/bin/app"}; !slices.Equal(names, want) {
				t.Errorf("the layer holds %q, want %q", names, want)
			}
			if id, _ := l.DiffID(); id.Hex != hex.EncodeToString(diff.Sum(nil)) {
				t.Errorf("the diff id %s is not that of the tar", id)
			}
			if sum := sha256.Sum256(read(t, l.Uncompressed)); hex.EncodeToString(sum[:]) != hex.EncodeToString(diff.Sum(nil)) {
				t.Error("Uncompressed is not what Compressed holds")
			}
		})
	}
}

func TestMeasured(t *testing.T) {
	l := mustNew(t, entries(t), options(layer.Gzip))
	tree, err := rootfs.Stack([]*rootfs.Layer{l.Index()})
	if err != nil {
		t.Fatal(err)
	}
	file, err := tree.File("/usr/local/bin/app")
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Object.Facts.Go.Version; got != runtime.Version() {
		t.Errorf("the program was measured as built by %s, not %s", got, runtime.Version())
	}
}

// The bytes depend on nothing but the files, not even on how many processors
// compress them.
func TestSameBytes(t *testing.T) {
	for _, compression := range []string{layer.Gzip, layer.Zstd} {
		first, _ := mustNew(t, entries(t), options(compression)).Digest()
		es := entries(t)
		slices.Reverse(es)
		old := runtime.GOMAXPROCS(1)
		second, _ := mustNew(t, es, options(compression)).Digest()
		runtime.GOMAXPROCS(old)
		if first != second {
			t.Errorf("%s: %s and %s", compression, first, second)
		}
	}
}

func TestCache(t *testing.T) {
	opt := options(layer.Gzip)
	dir := t.TempDir()
	opt.Cache = cache.Open(dir, 0)
	first := mustNew(t, entries(t), opt)
	first.Keep()
	blob := read(t, first.Compressed)
	second := mustNew(t, entries(t), opt)
	if diff := cmp.Diff(read(t, second.Compressed), blob); diff != "" {
		t.Error("the cache gives other bytes")
	}
	if second.Index() == first.Index() {
		t.Error("the second layer was not read from the cache")
	}
	// A cache that has lost everything is only slower.
	third := mustNew(t, entries(t), opt)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read(t, third.Compressed), blob); diff != "" {
		t.Error("the layer that was written again has other bytes")
	}
}

// A program that is replaced while it is packed must not become a layer whose
// digest is a lie.
func TestFileChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []string{"longer than it was", "x", "ORIGINAL"} {
		write("original")
		e, err := layer.File("/data", 0o644, name)
		if err != nil {
			t.Fatal(err)
		}
		write(change)
		if _, err := layer.New(t.Context(), []layer.Entry{e}, options(layer.Gzip)); err == nil {
			t.Errorf("%q: a changed file was packed", change)
		}
	}
	if _, err := layer.File("/data", 0o644, name+".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

func BenchmarkNew(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	e, err := layer.File("/app", 0o755, exe)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(e.Size)
	for b.Loop() {
		if _, err := layer.New(b.Context(), []layer.Entry{e}, options(layer.Gzip)); err != nil {
			b.Fatal(err)
		}
	}
}
