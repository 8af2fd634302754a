//go:build linux

package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// The image's layers hold this many executables of the corpus each.
const (
	imageLayers   = 4
	filesPerLayer = 5
)

// images measures what gopherwood fetches of an image, first without and then
// with its facts in the cache.
func (c *contest) images(ctx context.Context) ([]result, error) {
	var fetched atomic.Int64
	server := httptest.NewServer(counting(registry.New(registry.Logger(quiet())), &fetched))
	defer server.Close()
	image, size, err := c.image()
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	ref, err := name.NewDigest(strings.TrimPrefix(server.URL, "http://")+"/bench/image@"+digest.String(), name.Insecure)
	if err != nil {
		return nil, err
	}
	if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
		return nil, fmt.Errorf("push the image: %w", err)
	}
	cache, err := os.MkdirTemp(c.work, "cache-")
	if err != nil {
		return nil, err
	}
	read := c.inspectWith(cache, "--plain-http", ref.String())
	var bytes [2]int64
	for i := range bytes {
		fetched.Store(0)
		if _, err := read(ctx); err != nil {
			return nil, err
		}
		bytes[i] = fetched.Load()
	}
	return []result{
		{Name: "image: bytes fetched / compressed size", Unit: "ratio", Value: float64(bytes[0]) / float64(size), Limit: fetchLimit},
		{Name: "image in the cache: bytes fetched", Unit: "bytes", Value: float64(bytes[1]), Limit: 0},
	}, nil
}

// image packs executables of the corpus and returns the image with the size of
// its layers as they are stored.
func (c *contest) image() (v1.Image, int64, error) {
	image, size := empty.Image, int64(0)
	for i := range imageLayers {
		layer, err := c.layer(c.corpus.files[i*filesPerLayer:][:filesPerLayer], i)
		if err != nil {
			return nil, 0, fmt.Errorf("pack a layer: %w", err)
		}
		n, err := layer.Size()
		if err != nil {
			return nil, 0, err
		}
		size += n
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return nil, 0, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, 0, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Entrypoint = []string{"/0/" + filepath.Base(c.corpus.files[0].path)}
	image, err = mutate.ConfigFile(image, config)
	return image, size, err
}

// layer packs files into the directory /number.
func (c *contest) layer(files []corpusFile, number int) (v1.Layer, error) {
	file, err := os.CreateTemp(c.work, "layer-")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     fmt.Sprintf("%d/%s", number, filepath.Base(f.path)),
			Size:     f.size,
			Mode:     0o755,
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if err := appendFile(archive, f.path); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(file.Name(), tarball.WithCompressedCaching)
}

func appendFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// counting adds the bytes of all response bodies to n.
func counting(next http.Handler, n *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(countingWriter{w, n}, r)
	})
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// quiet is a logger for what nobody needs to read.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
