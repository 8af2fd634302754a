package image

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// layerOfHeaders returns a layer of entries whose content is given by name.
func layerOfHeaders(t testing.TB, entries []tar.Header, content map[string][]byte) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		e.Size = int64(len(content[e.Name]))
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[e.Name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	diffID, err := digestOf("sha256", buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return testLayer{static.NewLayer(buf.Bytes(), plainLayer), diffID}
}

// configured returns img with its entrypoint and user replaced.
func configured(t testing.TB, img v1.Image, config v1.Config) v1.Image {
	t.Helper()
	img, err := mutate.Config(img, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestEntrypoint(t *testing.T) {
	prog := program(t, "amd64")
	layer := layerOfHeaders(t, []tar.Header{
		{Typeflag: tar.TypeReg, Name: "opt/prog-1.2", Mode: 0o755},
		{Typeflag: tar.TypeLink, Name: "opt/alias", Linkname: "opt/prog-1.2"},
		{Typeflag: tar.TypeSymlink, Name: "usr/bin/prog", Linkname: "../../opt/prog-1.2"},
		{Typeflag: tar.TypeReg, Name: "usr/bin/script", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "usr/bin/locked", Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: "usr/bin/broken", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "usr/lib/broken.debug", Mode: 0o644},
	}, map[string][]byte{
		"opt/prog-1.2": prog, "usr/bin/script": []byte("#!/usr/bin/prog\n"), "usr/bin/locked": append(bytes.Clone(prog), 0),
		"usr/bin/broken": prog[:4000], "usr/lib/broken.debug": prog[:4000],
	})
	for _, c := range []struct {
		name   string
		config v1.Config
		want   string
		marked string
	}{
		{"by PATH and a symbolic link", v1.Config{Entrypoint: []string{"prog"}}, "/opt/prog-1.2", "/opt/prog-1.2"},
		{"by another hard link", v1.Config{Cmd: []string{"/opt/alias"}}, "/opt/alias", "/opt/alias"},
		{"relative", v1.Config{Entrypoint: []string{"./prog-1.2"}, WorkingDir: "/opt"}, "/opt/prog-1.2", "/opt/prog-1.2"},
		{"a script", v1.Config{Entrypoint: []string{"script"}}, "/usr/bin/script", ""},
		{"not executable", v1.Config{Entrypoint: []string{"locked"}, User: "1000"}, "/usr/bin/locked", "/usr/bin/locked"},
		{"an unknown user", v1.Config{Entrypoint: []string{"prog"}, User: "nobody"}, "/opt/prog-1.2", "/opt/prog-1.2"},
		{"missing", v1.Config{Entrypoint: []string{"none"}}, "", ""},
		{"none", v1.Config{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeLayout(t, map[string]mutate.Appendable{"x": configured(t, imageOf(t, "amd64", layer), c.config)})
			img := one(t, "oci:"+dir, Options{})
			if img.Entrypoint != c.want {
				t.Errorf("entrypoint %q, want %q", img.Entrypoint, c.want)
			}
			if len(img.Files) != 2 {
				t.Fatalf("%d files, want the program once and the locked copy", len(img.Files))
			}
			marked := ""
			for _, f := range img.Files {
				if f.Facts.Entrypoint {
					marked += f.Facts.Path
				}
			}
			if marked != c.marked {
				t.Errorf("marked %q, want %q", marked, c.marked)
			}
			if len(img.Problems) != 1 || !strings.Contains(img.Problems[0].Error(), "/usr/bin/broken") || fault.CodeOf(img.Problems[0]) != fault.Invalid {
				t.Errorf("problems %v", img.Problems)
			}
		})
	}
}

// TestCacheIsNotFooled pairs a known diffID with another layer: what was kept of
// the one must not be taken for the other.
func TestCacheIsNotFooled(t *testing.T) {
	good := layerOf(t, gzipLayer, map[string][]byte{"app/prog": program(t, "amd64")})
	diffID, err := good.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	evil := testLayer{layerOf(t, gzipLayer, map[string][]byte{"app/prog": []byte("#!/bin/evil\n")}), diffID}
	opt := Options{CacheDir: t.TempDir()}
	one(t, "oci:"+writeLayout(t, map[string]mutate.Appendable{"x": imageOf(t, "amd64", good)}), opt)
	_, errs := open(t, "oci:"+writeLayout(t, map[string]mutate.Appendable{"x": imageOf(t, "amd64", evil)}), opt)
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid || !strings.Contains(errs[0].Error(), "uncompressed content") {
		t.Errorf("%v", errs)
	}
}

// FuzzManifest reads documents as every source does.
func FuzzManifest(f *testing.F) {
	img := sample(f, "amd64")
	for _, raw := range []func() ([]byte, error){img.RawManifest, img.RawConfigFile, index(f, img).RawManifest} {
		data, err := raw()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := parseDocument(data); err == nil {
			if d.isIndex() {
				_, _ = selectHeads(d.Manifests, ":v1")
			} else if d.Config.Digest.String() == "" {
				t.Error("a manifest without a configuration was accepted")
			}
		}
		if c, err := parseConfig(data); err == nil {
			describe(&parts{config: c})
		}
	})
}
