package base_test

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var amd64 = api.Platform{OS: "linux", Arch: "amd64"}

func options() layer.Options {
	return layer.Options{Compression: layer.Gzip, Time: time.Unix(0, 0), MaxFile: 1 << 20}
}

func static(t *testing.T, platform api.Platform) *base.Base {
	t.Helper()
	b, err := base.Static(t.Context(), goroot(t), platform, options())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// files reads the base as a runtime would unpack it.
func files(t *testing.T, b *base.Base) map[string]string {
	t.Helper()
	layers, err := b.Image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string]string{}
	for in := tar.NewReader(r); ; {
		hdr, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out["/"+hdr.Name] = string(data)
	}
}

func TestStatic(t *testing.T) {
	b := static(t, amd64)
	have := files(t, b)

	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(have["/etc/ssl/certs/ca-certificates.crt"])) {
		t.Error("no certificate can be read")
	}
	if n := strings.Count(have["/etc/ssl/certs/ca-certificates.crt"], "BEGIN CERTIFICATE"); n < 80 {
		t.Errorf("only %d certificates", n)
	}
	if _, err := time.LoadLocationFromTZData("Europe/Berlin", []byte(have["/usr/share/zoneinfo/Europe/Berlin"])); err != nil {
		t.Errorf("a time zone: %v", err)
	}

	tree, err := rootfs.Stack(b.Layers)
	if err != nil {
		t.Fatal(err)
	}
	user, err := rootfs.LookupUser(tree, "nonroot")
	if err != nil || user.UID != 65532 {
		t.Errorf("nonroot is %+v, %v", user, err)
	}
	for path, mode := range map[string]fs.FileMode{
		"/tmp": fs.ModeDir | fs.ModeSticky | 0o777, "/home/nonroot": fs.ModeDir | 0o700, "/usr/local/bin": fs.ModeDir | 0o755,
	} {
		node, err := tree.Lstat(path)
		if err != nil || node.Mode != mode {
			t.Errorf("%s has mode %v, %v; want %v", path, node.Mode, err, mode)
		}
	}
	cfg, err := b.Image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Config.User != base.NonrootUser || cfg.Architecture != "amd64" || len(cfg.RootFS.DiffIDs) != 1 {
		t.Errorf("the configuration is %+v", cfg)
	}
}

func TestStaticIsTheSame(t *testing.T) {
	first, second := static(t, amd64), static(t, amd64)
	if first.Digest != second.Digest {
		t.Errorf("%s and %s", first.Digest, second.Digest)
	}
	other := static(t, api.Platform{OS: "linux", Arch: "arm64"})
	if other.Digest == first.Digest {
		t.Error("two platforms have one base")
	}
	a, _ := first.Image.Layers()
	b, _ := other.Image.Layers()
	da, _ := a[0].Digest()
	if db, _ := b[0].Digest(); da != db {
		t.Errorf("the layer differs between platforms: %s and %s", da, db)
	}
}

func TestBrokenToolchain(t *testing.T) {
	dir := t.TempDir()
	_, err := base.Static(t.Context(), dir, amd64, options())
	if fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("without time zones: %v", err)
	}
	zones := filepath.Join(dir, "lib", "time")
	if err := os.MkdirAll(zones, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(zones, "zoneinfo.zip"), bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := base.Static(t.Context(), dir, amd64, options()); err == nil {
		t.Error("time zones that are no archive were taken")
	}
}
