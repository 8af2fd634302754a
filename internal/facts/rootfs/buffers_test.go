package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// content is n bytes without a pattern.
func content(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	return data
}

// Memory and disk hold the same file, and give it back.
func TestBuffers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	for name, b := range map[string]*Buffers{"memory": NewBuffers(), "disk": NewSpool(dir, 1000), "below the bound": NewSpool(dir, 1<<30)} {
		data := content(3<<20 + 17)
		err := b.hold(context.Background(), data[:100], bytes.NewReader(data[100:]), int64(len(data)), func(held io.ReaderAt, size int64, sum []byte) error {
			got, err := io.ReadAll(io.NewSectionReader(held, 0, size))
			want := sha256.Sum256(data)
			if err != nil || !bytes.Equal(got, data) || !bytes.Equal(sum, want[:]) {
				t.Errorf("%s: it is another file (%v)", name, err)
			}
			_, inMemory := held.(interface{ Name() string })
			if inMemory != (name == "disk") {
				t.Errorf("%s: held by %T", name, held)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		broken := errors.New("broken")
		for _, c := range []struct {
			rest io.Reader
			want error
		}{{bytes.NewReader(data[100:2000]), io.ErrUnexpectedEOF}, {io.MultiReader(bytes.NewReader(data[:5000]), &failing{broken}), broken}} {
			err := b.hold(context.Background(), data[:100], c.rest, int64(len(data)), func(io.ReaderAt, int64, []byte) error {
				t.Errorf("%s: half a file is used", name)
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// A directory that takes nothing is no fault of the image.
func TestSpoolWithoutRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	data := content(5000)
	err := NewSpool(filepath.Join(file, "spool"), 10).hold(context.Background(), nil, bytes.NewReader(data), 5000, nil)
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}
