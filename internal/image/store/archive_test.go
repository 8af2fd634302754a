package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// layerDigests returns the digests of an image's uncompressed layers.
func layerDigests(t testing.TB, item partial.WithRawManifest) []string {
	t.Helper()
	config, err := item.(v1.Image).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, diffID := range config.RootFS.DiffIDs {
		all = append(all, diffID.String())
	}
	return all
}

// zstdLayer returns l compressed with zstd.
func zstdLayer(t testing.TB, l v1.Layer) v1.Layer {
	t.Helper()
	body, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func TestArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.tar")
	ref := "docker-archive:" + file + ":example.org/team/app:1.0"
	layers, err := randomImage(t, 2).Layers()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers[0], zstdLayer(t, layers[1]), layers[0])
	if err != nil {
		t.Fatal(err)
	}
	img = started(t, img)
	rec := &recorder{}
	s := open(t, ref, Options{Progress: rec, Sent: rec.add})
	put(t, s, img, true)
	if rec.done != rec.expected || len(rec.sent) != 2 {
		t.Errorf("%d of %d bytes, %d layers", rec.done, rec.expected, len(rec.sent))
	}
	if s.Ref(digestOf(t, img)) != ref {
		t.Errorf("ref %s", s.Ref(digestOf(t, img)))
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, desc, err := s.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got.(v1.Image)); err != nil {
		t.Error(err)
	}
	if _, err := s.Image(context.Background(), desc.Digest); err != nil {
		t.Error(err)
	}
	want, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if name, err := got.(v1.Image).ConfigName(); err != nil || name != want {
		t.Errorf("configuration %v, want %v", name, want)
	}
	for _, ref := range []string{ref, "docker-archive:" + file, "docker-archive:" + file + ":1.0"} {
		for found, err := range image.Open(context.Background(), ref, image.Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Config.Layers) != 3 || found.Config.ConfigDigest != want.String() {
				t.Errorf("%s: %+v", ref, found.Config)
			}
		}
	}
	// The same image makes the same file.
	put(t, s, img, true)
	if second, err := os.ReadFile(file); err != nil || !bytes.Equal(first, second) {
		t.Errorf("another file: %v", err)
	}
}

func TestArchiveHoldsOneImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.tar")
	s := open(t, "docker-archive:"+file, Options{})
	img := randomImage(t, 1)
	err := s.Put(context.Background(), randomIndex(t, 2), true)
	if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), "2 platforms") ||
		!strings.Contains(fault.HintOf(err), "--platform") || !strings.Contains(fault.HintOf(err), "oci:") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
	if err := s.Put(context.Background(), attachment(t, img, "a"), false); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("%v", err)
	}
	if found := files(t, filepath.Dir(file)); len(found) != 0 {
		t.Errorf("left %q", found)
	}
	single := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	put(t, s, single, true)
	got, _, err := s.Get(context.Background())
	if err != nil || !slices.Equal(layerDigests(t, got), layerDigests(t, img)) {
		t.Errorf("%v", err)
	}
	if found, err := s.Referrers(context.Background(), digestOf(t, img)); len(found) != 0 || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

func TestArchiveCancelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.tar")
	before := randomImage(t, 1)
	put(t, open(t, "docker-archive:"+file, Options{}), before, true)
	ctx, cancel := context.WithCancel(context.Background())
	s := open(t, "docker-archive:"+file, Options{Sent: func(v1.Descriptor) { cancel() }})
	if err := s.Put(ctx, randomImage(t, 3), true); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("%v", err)
	}
	if found := files(t, filepath.Dir(file)); !slices.Equal(found, []string{"app.tar"}) {
		t.Errorf("left %q", found)
	}
	got, _, err := s.Get(context.Background())
	if err != nil || !slices.Equal(layerDigests(t, got), layerDigests(t, before)) {
		t.Errorf("%v", err)
	}
}

func TestSplitPath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("with:colon", 0o700); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string][2]string{
		"dir":                   {"dir", ""},
		"dir:v1":                {"dir", ":v1"},
		"dir@sha256:00":         {"dir", "@sha256:00"},
		"out.tar:team/app:1.0":  {"out.tar", ":team/app:1.0"},
		"deep/dir:v1":           {"deep/dir", ":v1"},
		"with:colon":            {"with:colon", ""},
		"with:colon:v1":         {"with:colon", ":v1"},
		"with:colon@sha256:abc": {"with:colon", "@sha256:abc"},
	} {
		path, selector, err := splitPath(in)
		if err != nil || path != want[0] || selector != want[1] {
			t.Errorf("%s: %q, %q, %v", in, path, selector, err)
		}
	}
}
