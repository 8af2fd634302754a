package image_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const program = `package main

import (
	"fmt"
	"os"
)

func main() {
	data, _ := os.ReadFile(os.Getenv("KO_DATA_PATH") + "/motd")
	fmt.Println("hello", os.Args[1:], string(data))
}
`

// module writes a module with the given files and returns its directory.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func app(t *testing.T) string {
	return module(t, map[string]string{"go.mod": "module example.org/app\n\ngo 1.21\n", "main.go": program, "kodata/motd": "be well"})
}

// options are those of the command line, with the built-in policy.
func options(t *testing.T) image.Options {
	t.Helper()
	m := matrix.Embedded(false)
	return image.Options{
		Env: append(os.Environ(), "GOFLAGS=", "GOWORK=off"), Matrix: m, CacheDir: t.TempDir(), Attach: true, Version: "test",
		Judge: func(ctx context.Context, s *facts.Subject) (api.Verdict, error) {
			return policy.Default().Judge(ctx, s, start.Check(s, start.Options{}), policy.Setting{Today: time.Now(), Matrix: m})
		},
	}
}

// serve starts a registry and returns its host.
func serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func build(t *testing.T, req image.Request, opt image.Options) api.Build {
	t.Helper()
	builds, errs, err := image.Build(t.Context(), req, opt)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	if len(builds) != 1 {
		t.Fatalf("%d builds", len(builds))
	}
	return builds[0]
}

func pull(t *testing.T, ref string) v1.Image {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// unpack lays the image's files into a directory.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	in := mutate.Extract(img)
	defer in.Close()
	for r := tar.NewReader(in); ; {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(hdr.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(path, data, os.FileMode(hdr.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuild(t *testing.T) {
	host := serve(t)
	target := host + "/team/{name}:v1"
	b := build(t, image.Request{
		Dir: app(t), Targets: []string{target, "oci:" + t.TempDir() + "/{name}:v1"},
		Config: api.BuildConfig{
			Platforms: []string{"linux/amd64", "linux/arm64", "linux/amd64/v3"},
			Labels:    map[string]string{"team": "a"}, Annotations: map[string]string{"org.opencontainers.image.title": "App"},
			Defaults: api.PackageConfig{Args: []string{"serve"}, ImageEnv: map[string]string{"MODE": "test"}, Ports: []string{"8080/tcp"}},
		},
	}, options(t))
	if len(b.Refs) != 2 || b.Refs[0] != host+"/team/app@"+b.Digest {
		t.Errorf("the references are %q", b.Refs)
	}
	ref, err := name.ParseReference(host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, d := range manifest.Manifests {
		platforms = append(platforms, d.Platform.String())
	}
	if want := []string{"linux/amd64", "linux/arm64", "linux/amd64/v3"}; !slices.Equal(platforms, want) {
		t.Errorf("the index lists %q, want %q", platforms, want)
	}
	img := pull(t, host+"/team/app:v1")
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Config
	want := v1.Config{
		Entrypoint: []string{"/usr/local/bin/app", "serve"}, User: "65532:65532", WorkingDir: "/home/nonroot",
		Env:    []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "MODE=test", "KO_DATA_PATH=/usr/local/share/app"},
		Labels: map[string]string{"team": "a"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if runtime.GOOS != "linux" {
		return
	}
	root := unpack(t, img)
	cmd := exec.Command(filepath.Join(root, "usr/local/bin/app"), "serve")
	cmd.Env = []string{"KO_DATA_PATH=" + filepath.Join(root, "usr/local/share/app")}
	out, err := cmd.CombinedOutput()
	if string(out) != "hello [serve] be well\n" || err != nil {
		t.Errorf("the program said %q, %v", out, err)
	}
}

// What would not start is put nowhere.
func TestRefused(t *testing.T) {
	host := serve(t)
	opt := options(t)
	opt.Env = append(opt.Env, "GOFLAGS=-buildmode=pie", "GOOS=linux")
	b := build(t, image.Request{Dir: app(t), Targets: []string{host + "/app:v1"}, Config: api.BuildConfig{Platforms: []string{"linux/amd64"}}}, opt)
	v := b.Images[0].Verdict
	if len(b.Refs) != 0 || v.Verdict != api.Deny {
		t.Fatalf("put to %q with the verdict %s", b.Refs, v.Verdict)
	}
	i := slices.IndexFunc(v.Findings, func(f api.Finding) bool { return f.Rule == start.InterpreterMissing })
	if i < 0 || !strings.Contains(v.Findings[i].Hint, "3. ") {
		t.Errorf("the findings are %+v", v.Findings)
	}
	if _, err := remote.Catalog(t.Context(), must(name.NewRegistry(host))); err == nil {
		repos, _ := remote.Catalog(t.Context(), must(name.NewRegistry(host)))
		if len(repos) != 0 {
			t.Errorf("the registry holds %q", repos)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A base of Docker's media types becomes an image of OCI's.
func TestDockerBase(t *testing.T) {
	host := serve(t)
	cfg := &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: v1.Config{User: "root", Env: []string{"A=b"}, Cmd: []string{"sh"}}}
	under := must(mutate.ConfigFile(empty.Image, cfg))
	under = must(mutate.Append(under, mutate.Addendum{Layer: static.NewLayer(tarball(t), types.DockerUncompressedLayer), History: v1.History{CreatedBy: "base"}}))
	ref := must(name.ParseReference(host + "/base/image:v1"))
	if err := remote.Write(ref, under); err != nil {
		t.Fatal(err)
	}
	b := build(t, image.Request{Dir: app(t), Targets: []string{host + "/app:v1"}, Config: api.BuildConfig{Bases: api.Bases{Static: ref.String()}}}, options(t))
	img := pull(t, host+"/app:v1")
	m := must(img.Manifest())
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Layers[0].MediaType != types.OCIUncompressedLayer {
		t.Errorf("the media types are %s, %s, %s", m.MediaType, m.Config.MediaType, m.Layers[0].MediaType)
	}
	if m.Annotations["org.opencontainers.image.base.name"] != ref.String() || m.Annotations["org.opencontainers.image.base.digest"] != b.Images[0].Base.Digest {
		t.Errorf("the annotations are %v", m.Annotations)
	}
	got := must(img.ConfigFile())
	if len(got.History) != 3 || got.History[0].CreatedBy != "base" || got.Config.User != "65532:65532" || got.Config.Cmd != nil || got.Config.Env[0] != "A=b" {
		t.Errorf("the configuration is %+v with the history %+v", got.Config, got.History)
	}
}

func tarball(t *testing.T) []byte {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// The same source gives the same image, wherever it is and whatever is cached.
func TestReproducible(t *testing.T) {
	digest := func(opt image.Options) string {
		t.Helper()
		return build(t, image.Request{Dir: app(t), Config: api.BuildConfig{Platforms: []string{"linux/amd64", "linux/arm64"}}}, opt).Digest
	}
	first := digest(options(t))
	other := options(t)
	other.CacheDir, other.Jobs = "", 1
	other.Env = append(other.Env, "TMPDIR="+t.TempDir(), "HOME="+os.Getenv("HOME"))
	if second := digest(other); first != second {
		t.Errorf("%s and %s", first, second)
	}
	later := options(t)
	later.Env = append(later.Env, "SOURCE_DATE_EPOCH=1700000000")
	if digest(later) == first {
		t.Error("SOURCE_DATE_EPOCH changed nothing")
	}
}

func TestErrors(t *testing.T) {
	broken := module(t, map[string]string{"go.mod": "module example.org/app\n\ngo 1.21\n", "main.go": "package main\n\nfunc main() { undefined() }\n"})
	for _, tc := range []struct {
		name string
		req  image.Request
		code fault.Code
		text string
	}{
		{"does not compile", image.Request{Dir: broken}, fault.Invalid, "undefined: undefined"},
		{"base that does not exist", image.Request{Dir: app(t), Config: api.BuildConfig{Defaults: api.PackageConfig{Base: serve(t) + "/no/base:v1"}}}, fault.NotFound, "base image"},
		{"assets that do not exist", image.Request{Dir: app(t), Config: api.BuildConfig{Defaults: api.PackageConfig{Assets: "absent"}}}, fault.NotFound, "absent"},
		{"compression", image.Request{Dir: app(t), Config: api.BuildConfig{Compression: "lzma"}}, fault.Usage, "lzma"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, errs, err := image.Build(t.Context(), tc.req, options(t))
			err = errors.Join(append(errs, err)...)
			if fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("code %s: %v", fault.CodeOf(err), err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := image.Build(ctx, image.Request{Dir: app(t)}, options(t)); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
