//go:build controlplane || e2e

package controlplane

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// recipe is how a program is built.
type recipe struct {
	// toolchain is the Go that builds it; empty is the one that runs the tests.
	toolchain string
	arch      string
	// flags are more flags of go build.
	flags string
	// level is GOAMD64.
	level string
}

// The programs that images are made of.
var (
	// good starts anywhere and is denied by nothing.
	good = recipe{arch: "amd64"}
	// forLoader wants a dynamic loader, which an empty image does not have.
	forLoader = recipe{arch: "amd64", flags: "-buildmode=pie"}
	// forARM is for another processor.
	forARM = recipe{arch: "arm64"}
	// unsupported was built with a Go whose support has ended.
	unsupported = recipe{arch: "amd64", toolchain: "go1.24.13"}
	// demanding wants a processor of x86-64-v4.
	demanding = recipe{arch: "amd64", level: "v4"}
)

// programs builds each program once.
type programs struct {
	dir   string
	mu    sync.Mutex
	built map[recipe][]byte
}

// get returns the bytes of a program that says hello and waits.
func (p *programs) get(t *testing.T, r recipe) []byte {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if data, ok := p.built[r]; ok {
		return data
	}
	data, err := p.build(r)
	if err != nil {
		t.Fatal(err)
	}
	if p.built == nil {
		p.built = map[recipe][]byte{}
	}
	p.built[r] = data
	return data
}

func (p *programs) build(r recipe) ([]byte, error) {
	dir, err := os.MkdirTemp(p.dir, "program-")
	if err != nil {
		return nil, err
	}
	for file, text := range map[string]string{
		"go.mod":  "module example.com/hello\n\ngo 1.21\n",
		"main.go": "package main\n\nfunc main() { println(\"hello\"); select {} }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", "hello"}, strings.Fields(r.flags)...)
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+r.arch, "GOAMD64="+or(r.level, "v1"))
	if r.toolchain != "" {
		cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+r.toolchain)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return os.ReadFile(filepath.Join(dir, "hello"))
}

// made is an image: one layer with a program and perhaps more.
type made struct {
	program recipe
	// arch is what the image claims; empty is amd64.
	arch string
	// user is who runs it; empty is 65532.
	user string
	// mark makes the layer, and so the image, another one.
	mark string
}

// image makes m.
func (m made) image(t *testing.T) v1.Image {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	writeFile(t, w, "app", 0o755, lab.programs.get(t, m.program))
	if m.mark != "" {
		writeFile(t, w, "mark", 0o644, []byte(m.mark))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data.Bytes())), nil
	}, tarball.WithCompressionLevel(1))
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(t, m, layer)
}

// imageOf returns an image of m's configuration with the layer.
func imageOf(t *testing.T, m made, layer v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: or(m.arch, "amd64"), RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Entrypoint: []string{"/app"}, User: or(m.user, "65532:65532")},
	})
	if err == nil {
		image, err = mutate.AppendLayers(image, layer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func writeFile(t *testing.T, w *tar.Writer, name string, mode int64, data []byte) {
	t.Helper()
	err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// push makes an image and pushes it as REPOSITORY:TAG. It returns the reference
// and the digest.
func (r *registryServer) push(t *testing.T, repository string, m made) (ref, digest string) {
	t.Helper()
	return r.pushImage(t, repository, m.image(t))
}

func (r *registryServer) pushImage(t *testing.T, repository string, image v1.Image) (ref, digest string) {
	t.Helper()
	ref = r.host + "/" + repository
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err == nil {
		err = remote.Write(parsed, image, remote.WithTransport(ownTransport{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref, hash.String()
}

// ownTransport marks the requests of the tests.
type ownTransport struct{}

func (ownTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(ownHeader, "yes")
	return http.DefaultTransport.RoundTrip(r)
}

// blobs returns the digests of an image's layers and configuration.
func blobs(t *testing.T, image v1.Image) []string {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{manifest.Config.Digest.String()}
	for _, l := range manifest.Layers {
		all = append(all, l.Digest.String())
	}
	return all
}
