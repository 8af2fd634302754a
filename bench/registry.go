//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// shelf is a registry on this machine that keeps blobs in files and counts what is
// asked of it.
type shelf struct {
	host   string
	server *httptest.Server

	mu sync.Mutex
	// requests counts all of them, blobs the GETs of each blob by its digest.
	requests int
	blobs    map[string]int
}

// newShelf serves a registry; its blobs are in dir.
func newShelf(dir string) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &shelf{blobs: map[string]int{}}
	inner := registry.New(registry.Logger(quiet()), registry.WithReferrersSupport(true), registry.WithBlobHandler(blobDir(dir)))
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.count(r)
		inner.ServeHTTP(w, r)
	}))
	s.host = strings.TrimPrefix(s.server.URL, "http://")
	return s, nil
}

func (s *shelf) count(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if dir, digest := path.Split(r.URL.Path); r.Method == http.MethodGet && path.Base(dir) == "blobs" {
		s.blobs[digest]++
	}
}

// forget starts counting anew.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = 0
	clear(s.blobs)
}

// asked is how many requests there were.
func (s *shelf) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// fetched is how often a blob was fetched.
func (s *shelf) fetched(digest string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[digest]
}

// push stores an image as repository:tag and returns its whole name.
func (s *shelf) push(ctx context.Context, repository string, image v1.Image) (string, error) {
	ref, err := name.ParseReference(s.host+"/"+repository, name.Insecure)
	if err != nil {
		return "", err
	}
	return ref.String(), remote.Write(ref, image, remote.WithContext(ctx))
}

// blobDir keeps blobs as files. It trusts what it has written: a registry that
// hashed a blob before each answer would be what is measured.
type blobDir string

func (d blobDir) file(h v1.Hash) string { return filepath.Join(string(d), h.Hex) }

// Stat implements registry.BlobStatHandler.
func (d blobDir) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(d.file(h))
	if os.IsNotExist(err) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Get implements registry.BlobHandler.
func (d blobDir) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(d.file(h))
	if os.IsNotExist(err) {
		return nil, registry.ErrNotFound
	}
	return f, err
}

// Put implements registry.BlobPutHandler.
func (d blobDir) Put(_ context.Context, _ string, h v1.Hash, content io.ReadCloser) error {
	f, err := os.CreateTemp(string(d), "upload-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), d.file(h))
}

// baked is an image to make: a real Go program in a layer of its own, and perhaps
// bytes that cannot be compressed in another.
type baked struct {
	// program is the executable's file. mark is written behind its end, which
	// changes nothing of it but its digest.
	program, mark string
	// user is who runs it.
	user string
	// size is that of all layers as they are stored, in bytes; 0 for the program
	// alone.
	size int64
}

// bake makes the image.
func (b baked) bake() (v1.Image, error) {
	data, err := os.ReadFile(b.program)
	if err != nil {
		return nil, err
	}
	app, err := packed("app", 0o755, append(data, b.mark...), gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	layers := []v1.Layer{app}
	if b.size > 0 {
		stored, err := app.Size()
		if err != nil {
			return nil, err
		}
		filler := make([]byte, max(b.size-stored, 1))
		_, _ = rand.Read(filler) // never fails
		data, err := packed("data", 0o644, filler, gzip.NoCompression)
		if err != nil {
			return nil, err
		}
		layers = []v1.Layer{data, app}
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/app"}, User: b.user}
	return mutate.ConfigFile(image, config)
}

// packed is a layer with one file, compressed once.
func packed(file string, mode int64, content []byte, level int) (v1.Layer, error) {
	var data bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&data, level)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(compressed)
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Size: int64(len(content)), Mode: mode}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data.Bytes())), nil })
}

// blobs are the digests of an image's configuration and layers.
func blobs(image v1.Image) ([]string, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	all := []string{manifest.Config.Digest.String()}
	for _, l := range manifest.Layers {
		all = append(all, l.Digest.String())
	}
	return all, nil
}

// natsServer is the real program that images are made of.
var natsServer = peer{name: "nats-server", path: "github.com/nats-io/nats-server/v2", version: "v2.15.2"}

// marked returns a mark that no other image has.
func marked(what string, i int) string { return fmt.Sprintf("\ngopherwood bench %s %d\n", what, i) }
