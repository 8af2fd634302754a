//go:build unix

package store

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// limitFiles makes every write past so many bytes of a file fail.
func limitFiles(bytes uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes})
}

// TestNoRoom writes where files must stay small, which fails as a full disk does.
func TestNoRoom(t *testing.T) {
	for _, c := range []struct{ scheme, limit, file string }{
		{"oci:", "100000", "blobs/sha256/"},
		{"oci:", "10", layoutMarker},
		{"docker-archive:", "100000", "place"},
		{"docker-archive:", "10", "place"},
	} {
		t.Run(c.scheme+c.limit, func(t *testing.T) {
			place := filepath.Join(t.TempDir(), "place")
			img := randomImage(t, 1)
			put(t, open(t, c.scheme+place, Options{}), img, true)
			if c.file == layoutMarker {
				if err := os.Truncate(filepath.Join(place, layoutMarker), 0); err != nil {
					t.Fatal(err)
				}
			}
			before := files(t, filepath.Dir(place))
			out, err := asProcess(c.scheme+place, fileLimit+"="+c.limit).CombinedOutput()
			said := string(out)
			if err == nil || !strings.HasPrefix(said, "unavailable:") || !strings.Contains(said, "make room") ||
				!strings.Contains(said, c.file) || strings.Contains(said, tempPrefix) {
				t.Errorf("%v: %s", err, said)
			}
			if diff := cmp.Diff(before, files(t, filepath.Dir(place))); diff != "" {
				t.Error(diff)
			}
			got, _, err := open(t, c.scheme+place, Options{}).Get(context.Background())
			if err != nil || !slices.Equal(layerDigests(t, got), layerDigests(t, img)) {
				t.Errorf("what was there before is gone: %v", err)
			}
			t.Log(said)
		})
	}
}
