//go:build e2e

package fullcluster

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
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

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
)

// serving is a program that answers HTTP requests.
const serving = `package main

import (
	"fmt"
	"net/http"
)

func main() {
	fmt.Println("started")
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	if err := http.ListenAndServe(":8080", nil); err != nil {
		panic(err)
	}
}
`

// withC is the program with a part in C. Its C library must be at least as new as
// the function arc4random: glibc 2.36.
const withC = `package main

/*
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"net/http"
)

func main() {
	fmt.Println("started", C.arc4random() >= 0)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	if err := http.ListenAndServe(":8080", nil); err != nil {
		panic(err)
	}
}
`

// recipe is how a program is built by the go command itself.
type recipe struct {
	source string
	// env is added to the environment.
	env string
}

// The programs of images that are made to fail.
var (
	cgoProgram   = recipe{withC, "CGO_ENABLED=1 CC=gcc"}
	armProgram   = recipe{serving, "CGO_ENABLED=0 GOARCH=arm64"}
	levelProgram = recipe{serving, "CGO_ENABLED=0 GOAMD64=v3"}
	oldProgram   = recipe{serving, "CGO_ENABLED=0 GOTOOLCHAIN=go1.24.13"}
)

// programs builds each program once.
type programs struct {
	mu    sync.Mutex
	built map[recipe][]byte
}

// get returns the bytes of a program.
func (p *programs) get(t *testing.T, r recipe) []byte {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if data, ok := p.built[r]; ok {
		return data
	}
	dir := module(t, r.source)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "app", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOAMD64=v1")
	cmd.Env = append(cmd.Env, strings.Fields(r.env)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", r.env, err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	if p.built == nil {
		p.built = map[recipe][]byte{}
	}
	p.built[r] = data
	return data
}

// module writes a Go module with one program.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"go.mod": "module example.org/app\n\ngo 1.24\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// buildApp makes an image with `gopherwood build` and pushes it; it returns the
// reference.
func buildApp(t *testing.T, repository, source string, args ...string) string {
	t.Helper()
	ref := lab.registry.host + "/" + repository
	out := lab.build(t.Context(), module(t, source), append([]string{"--plain-http", "--push", ref}, args...)...)
	if out.code != 0 {
		t.Fatalf("gopherwood build: exit code %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	return ref
}

// made is an image that is put together by hand.
type made struct {
	// root is a root file system below the program; "" for none.
	root    string
	program recipe
	// arch is what the image claims; empty is amd64.
	arch string
	// mark makes the image another one.
	mark string
}

// push makes an image and pushes it; it returns the reference.
func (m made) push(t *testing.T, repository string) string {
	t.Helper()
	var layers []v1.Layer
	if m.root != "" {
		layers = append(layers, layerOf(t, func(w *tar.Writer) error { return addTree(w, m.root) }))
	}
	program := lab.programs.get(t, m.program)
	layers = append(layers, layerOf(t, func(w *tar.Writer) error {
		if err := addFile(w, "mark", 0o644, []byte(m.mark)); err != nil {
			return err
		}
		return addFile(w, "app", 0o755, program)
	}))
	return pushImage(t, repository, cmp.Or(m.arch, "amd64"), v1.Config{Entrypoint: []string{"/app"}, User: "65532:65532"}, layers...)
}

// pushImage pushes an image of layers; it returns the reference.
func pushImage(t *testing.T, repository, arch string, config v1.Config, layers ...v1.Layer) string {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", arch, config
	ref := lab.registry.host + "/" + repository
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err == nil {
		image, err = mutate.ConfigFile(image, file)
	}
	if err == nil {
		err = remote.Write(parsed, image)
	}
	if err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	return ref
}

// layerOf packs what fill writes.
func layerOf(t *testing.T, fill func(*tar.Writer) error) v1.Layer {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	err := fill(w)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data.Bytes())), nil
	}, tarball.WithCompressedCaching, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// addTree adds what is below a directory.
func addTree(w *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(file); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		if header.Name, err = filepath.Rel(dir, file); err != nil {
			return err
		}
		if err := w.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(file)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
}

// unpackDebian unpacks packages of Debian in a directory.
func unpackDebian(ctx context.Context, dir, suite string, packages ...string) error {
	cache, err := gotool.CacheDir()
	if err != nil {
		return err
	}
	archive, err := debian.Open(ctx, cache)
	if err != nil {
		return err
	}
	files, err := archive.Fetch(ctx, debian.Source{Suite: suite, Arch: "amd64"}, packages...)
	if err != nil {
		return err
	}
	return debian.Unpack(ctx, dir, files...)
}

// rootOf unpacks a C library of Debian.
func rootOf(t *testing.T, suite string, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unpackDebian(t.Context(), dir, suite, packages...); err != nil {
		t.Fatal(err)
	}
	for _, ballast := range []string{"usr/share", "usr/lib/x86_64-linux-gnu/gconv"} {
		if err := os.RemoveAll(filepath.Join(dir, ballast)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pushBase pushes a root file system as a base image.
func pushBase(t *testing.T, repository, dir string) string {
	t.Helper()
	return pushImage(t, repository, "amd64", v1.Config{}, layerOf(t, func(w *tar.Writer) error { return addTree(w, dir) }))
}
