package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestEviction(t *testing.T) {
	r := newRegistries()
	var evicted, disk atomic.Int64
	s := newStore(t, r, Options{CacheDir: t.TempDir(), MemoryBytes: 20_000, Observe: Observer{
		Evicted: func(n int) { evicted.Add(int64(n)) },
		Hit: func(l Level) {
			if l == Disk {
				disk.Add(1)
			}
		},
	}})
	for i := range 30 {
		ref := fmt.Sprintf("public/app%d:v1", i)
		r.push(t, ref, newImage(t, "amd64", map[string]string{"app": fmt.Sprint(i)}))
		mustGet(t, s, "", ref)
		if size := s.measured.bytes(); size > 20_000 {
			t.Fatalf("%d bytes are kept", size)
		}
	}
	if evicted.Load() == 0 {
		t.Error("nothing was let go")
	}
	mustGet(t, s, "", "public/app0:v1")
	if n := r.took("GET blobs"); n != 2 || disk.Load() != 1 { // those of the last image
		t.Errorf("%d blobs were sent, %d found on disk", n, disk.Load())
	}
}

func TestQueueIsBounded(t *testing.T) {
	r := newRegistries()
	s := newStore(t, r, Options{Fetches: 1, Queue: 2})
	release := make(chan struct{})
	for i := range 20 {
		r.push(t, fmt.Sprintf("public/app%d:v1", i), newImage(t, "amd64", map[string]string{"app": fmt.Sprint(i)}))
	}
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if _, kind := split(req.URL.Path); kind == "blobs" {
			<-release
		}
		return false
	})
	var full atomic.Int64
	var waiting sync.WaitGroup
	for i := range 20 {
		waiting.Go(func() {
			_, err := get(t, s, "", fmt.Sprintf("public/app%d:v1", i))
			if err != nil && fault.CodeOf(err) == fault.Unavailable && !errors.Is(err, ErrNotReady) {
				full.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	for full.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	waiting.Wait()
	for i := range 20 { // and nothing of it is remembered
		mustGet(t, s, "", fmt.Sprintf("public/app%d:v1", i))
	}
}

// A registry that hangs does not hold up others, however much is asked of it.
func TestSlowRegistry(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/app:v1", newImage(t, "amd64", map[string]string{"app": "fast"}))
	for i := range 20 {
		r.push(t, fmt.Sprintf("public/slow%d:v1", i), newImage(t, "amd64", map[string]string{"app": fmt.Sprint(i)}))
	}
	s := newStore(t, r, Options{})
	release := make(chan struct{})
	defer close(release)
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if _, kind := split(req.URL.Path); kind == "blobs" && strings.HasPrefix(req.URL.Host, "slow.") {
			<-release
		}
		return false
	})
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := s.Get(ctx, Request{Image: fmt.Sprintf("slow.%s/public/slow%d:v1", host, i)})
		cancel()
		if !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
	}
	mustGet(t, s, "", "public/app:v1")
}

// An index cannot fill the queue by itself.
func TestManyPlatforms(t *testing.T) {
	r := newRegistries()
	r.push(t, "public/other:v1", newIndex(t, "amd64"))
	s := newStore(t, r, Options{Queue: 1})
	var index []facts.PlatformManifest
	for i := range maxPlatforms + 1 {
		index = append(index, facts.PlatformManifest{Platform: api.Platform{OS: "linux", Arch: "amd64"}, Digest: fmt.Sprint(i)})
	}
	other := mustGet(t, s, "", "public/other:v1")
	s.indexes.put(other.Digest, facts.Resolved{Digest: other.Digest, Platforms: index}, 1, 0)
	_, err := get(t, s, "", "public/other:v1")
	wantCode(t, err, fault.Limit)
}

// An image of very many files ends as an error, is not read again at once, and
// leaves nothing in memory.
func TestManyFiles(t *testing.T) {
	files := func() (io.ReadCloser, error) {
		out, in := io.Pipe()
		go func() {
			w := tar.NewWriter(in)
			for i := range 30_000 {
				if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/lib/dir%d/file-with-a-name-%d", i/200, i), Mode: 0o644}); err != nil {
					return // nobody reads on
				}
			}
			_ = in.CloseWithError(w.Close())
		}()
		return out, nil
	}
	r := newRegistries()
	r.push(t, "public/app:v1", ofLayer(t, "amd64", files))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := newStore(t, r, Options{CacheDir: t.TempDir(), Limits: facts.Limits{Entries: 6_000}})
	_, err := get(t, s, "", "public/app:v1")
	wantCode(t, err, fault.Limit)
	r.took("GET blobs")
	_, err = get(t, s, "", "public/app:v1")
	wantCode(t, err, fault.Limit)
	if n := r.took("GET blobs"); n != 0 {
		t.Errorf("it was read again (%d requests)", n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	// A limit that it fits into, though not together with others, lets it in.
	s = newStore(t, r, Options{Limits: facts.Limits{Entries: 45_000}})
	got := mustGet(t, s, "", "public/app:v1")
	if _, err := got.Subjects[0].Root.Lstat("/usr/lib/dir149/file-with-a-name-29999"); err != nil {
		t.Error(err)
	}
}
