package image

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/gopherwood-dev/gopherwood/api"
)

// programs holds the Go programs of the tests, built once.
var programs = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "image-test")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"go.mod":  "module example.test/prog\n\ngo 1.21\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(len(os.Args)) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	built := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "build", "-o", arch)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, &os.PathError{Op: "go build", Path: string(out), Err: err}
		}
		if built[arch], err = os.ReadFile(filepath.Join(dir, arch)); err != nil {
			return nil, err
		}
	}
	return built, nil
})

func program(t testing.TB, arch string) []byte {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return built[arch]
}

// tarOf returns a layer tar of executable files, sorted by name.
func tarOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range sortedKeys(files) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// The compressions of layers.
const (
	plainLayer = types.OCIUncompressedLayer
	gzipLayer  = types.OCILayer
	zstdLayer  = types.OCILayerZStd
)

// compress returns data as a layer of the media type holds it.
func compress(t testing.TB, data []byte, as types.MediaType) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch as {
	case gzipLayer:
		w = gzip.NewWriter(&buf)
	case zstdLayer:
		enc, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	default:
		return data
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// testLayer is a layer whose diffID is that of its uncompressed content.
type testLayer struct {
	v1.Layer
	diffID v1.Hash
}

func (l testLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

func layerOf(t testing.TB, as types.MediaType, files map[string][]byte) v1.Layer {
	t.Helper()
	data := tarOf(t, files)
	diffID, err := digestOf("sha256", data)
	if err != nil {
		t.Fatal(err)
	}
	return testLayer{static.NewLayer(compress(t, data, as), as), diffID}
}

// imageOf returns an OCI image whose entrypoint is /app/prog.
func imageOf(t testing.TB, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: arch,
		Config: v1.Config{
			Entrypoint: []string{"prog"}, Cmd: []string{"-v"}, User: "65532", WorkingDir: "/app",
			Env:          []string{"PATH=/app:/bin", "A=b"},
			ExposedPorts: map[string]struct{}{"9090/tcp": {}, "8080/tcp": {}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layers...); err != nil {
		t.Fatal(err)
	}
	return img
}

// sample is the usual image of the tests: the program in the upper of two layers.
func sample(t testing.TB, arch string) v1.Image {
	t.Helper()
	return imageOf(t, arch,
		layerOf(t, gzipLayer, map[string][]byte{"etc/passwd": []byte("root:x:0:0::/:\n"), "app/old": program(t, arch)}),
		layerOf(t, zstdLayer, map[string][]byte{"app/prog": program(t, arch), "app/.wh.old": nil}),
		layerOf(t, plainLayer, map[string][]byte{"bin/tool": []byte("#!/bin/sh\n")}),
	)
}

// index is a multi-platform image with an attestation, as BuildKit writes it.
func index(t testing.TB, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}}})
	}
	attestation := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	return mutate.AppendManifests(idx, mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}}})
}

// quick are options under which nothing takes long.
func quick() Options {
	return Options{Timeouts: Timeouts{
		Dial: 2 * time.Second, TLS: 2 * time.Second, Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond,
		Retry: time.Millisecond, RetryMax: 2 * time.Second,
	}}
}

// open reads all images of ref and returns them with the errors in between.
func open(t testing.TB, ref string, opt Options) (images []*Image, errs []error) {
	t.Helper()
	for img, err := range Open(context.Background(), ref, opt) {
		if err != nil {
			errs = append(errs, err)
		} else {
			images = append(images, img)
		}
	}
	return images, errs
}

// one reads ref, which must be a single image without errors.
func one(t testing.TB, ref string, opt Options) *Image {
	t.Helper()
	images, errs := open(t, ref, opt)
	if len(images) != 1 || len(errs) != 0 {
		t.Fatalf("%s: %d images, errors %v", ref, len(images), errs)
	}
	return images[0]
}

// checkSample fails unless img is what sample made.
func checkSample(t testing.TB, img *Image, arch string) {
	t.Helper()
	if want := (api.Platform{OS: "linux", Arch: arch}); img.Platform != want {
		t.Errorf("platform %v, want %v", img.Platform, want)
	}
	if img.Entrypoint != "/app/prog" || len(img.Files) != 1 || len(img.Problems) != 0 {
		t.Fatalf("entrypoint %q, %d files, problems %v", img.Entrypoint, len(img.Files), img.Problems)
	}
	file := img.Files[0]
	facts := file.Facts
	if facts.Path != "/app/prog" || !facts.Entrypoint || facts.Ref != img.Ref || facts.Image != &img.Config || file.Layer != 1 {
		t.Errorf("path %q, entrypoint %v, ref %q, layer %d", facts.Path, facts.Entrypoint, facts.Ref, file.Layer)
	}
	digest, err := digestOf("sha256", program(t, arch))
	if err != nil {
		t.Fatal(err)
	}
	if facts.Digest != digest.String() || facts.Go == nil || facts.Go.Main != "example.test/prog" || facts.Platform.Arch != arch {
		t.Errorf("facts %+v", facts)
	}
	if names, err := img.Root.ReadDir("/app"); err != nil || !slices.Equal(names, []string{"prog"}) {
		t.Errorf("/app holds %q, %v", names, err)
	}
	c := img.Config
	if !slices.Equal(c.ExposedPorts, []string{"8080/tcp", "9090/tcp"}) || c.User != "65532" || c.WorkingDir != "/app" ||
		!strings.HasPrefix(c.ConfigDigest, "sha256:") || len(c.Layers) != 3 {
		t.Errorf("configuration %+v", c)
	}
	for i, l := range c.Layers {
		if l.Digest == "" || !strings.HasPrefix(l.DiffID, "sha256:") {
			t.Errorf("layer %d: %+v", i, l)
		}
	}
}
