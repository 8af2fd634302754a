package keep

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	upper  = "github.com/BurntSushi/toml@v1.4.0"
	incomp = "corp.example.com/old@v2.0.0+incompatible"
)

// exportTo exports all versions of a store of three to dest.
func exportTo(t testing.TB, dest string) *dated {
	t.Helper()
	s := openStore(t)
	put(t, s, day, lib, upper, incomp)
	versions, err := All(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	report, errs, err := Export(t.Context(), s, versions, dest, Work{})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if report.Versions != 3 || report.Bytes == 0 || report.File != dest {
		t.Errorf("%+v", report)
	}
	return s
}

// The tools that read OCI layouts read what export writes; the manifests are
// those of the store.
func TestExportIsALayout(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "out")
	s := exportTo(t, dest)
	path, err := layout.FromPath(dest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	im, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, d := range im.Manifests {
		refs = append(refs, d.Annotations["org.opencontainers.image.ref.name"])
		readImage(t, s, path, d)
	}
	want := []string{"corp.example.com/lib:v1.0.0", "corp.example.com/old:v2.0.0_incompatible", "github.com/qburntqsushi/toml:v1.4.0"}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(filepath.Dir(dest)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

// readImage reads an artifact with go-containerregistry and compares it with the store.
func readImage(t *testing.T, s store.Store, path layout.Path, d v1.Descriptor) {
	t.Helper()
	img, err := path.Image(d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := artifact.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Get(t.Context(), m.Version)
	if err != nil {
		t.Fatal(err)
	}
	if e.Manifest != d.Digest.String() || e.Manifest != artifact.Digest(raw) {
		t.Errorf("%s: manifest %s, and %s in the store", m.Version, d.Digest, e.Manifest)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	z, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	zip, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{e.Info, e.Mod, zip} {
		r, err := layers[i].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: layer %d is %q, %v", m.Version, i, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An archive of the same versions always has the same bytes.
func TestExportIsReproducible(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.tar"), filepath.Join(dir, "b.tar")
	exportTo(t, a)
	exportTo(t, b)
	one, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the archives differ")
	}
}

func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t)
	put(t, s, day, lib)
	versions := setOf(t, lib).Versions()
	if _, _, err := Export(t.Context(), s, versions, dir, Work{}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("over a directory: %v", err)
	}
	if _, _, err := Export(t.Context(), s, versions, filepath.Join(dir, "no", "where.tar"), Work{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("in no directory: %v", err)
	}
}

// What is not in the store, or damaged there, is left out and named.
func TestExportPartial(t *testing.T) {
	storeDir := filled(t)
	for _, path := range blobsWith(t, filepath.Join(storeDir, "corp.example.com", "lib"), "PK\x03\x04") {
		corrupt(t, path)
	}
	for _, name := range []string{"out", "out.tar"} {
		s := reopen(t, storeDir)
		dest := filepath.Join(t.TempDir(), name)
		report, errs, err := Export(t.Context(), s, setOf(t, lib, other, "corp.example.com/absent@v1.0.0").Versions(), dest, Work{})
		if err != nil {
			t.Fatal(err)
		}
		if report.Versions != 1 || len(errs) != 2 || fault.CodeOf(errs[0]) != fault.NotFound || fault.CodeOf(errs[1]) != fault.Invalid {
			t.Errorf("%s: %+v, %v", name, report, errs)
		}
		target := openStore(t)
		imported, errs, err := Import(t.Context(), target, dest, Proofs{}, day, Work{})
		if err != nil || len(errs) > 0 || len(imported.Imported) != 1 {
			t.Errorf("%s: %v, %v, %+v", name, err, errs, imported)
		}
	}
}

func TestImport(t *testing.T) {
	for _, name := range []string{"modules", "modules.tar"} {
		t.Run(name, func(t *testing.T) {
			src := filepath.Join(t.TempDir(), name)
			from := exportTo(t, src)
			s := openStore(t)
			report, errs, err := Import(t.Context(), s, src, Proofs{Sums: &Set{}}, day, Work{})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			if len(report.Imported) != 3 || report.Present != 0 || report.Bytes == 0 {
				t.Errorf("%+v", report)
			}
			for _, name := range []string{lib, upper, incomp} {
				same(t, from, s, version(t, name))
			}
			seen, err := s.Seen(t.Context(), "corp.example.com/lib", []string{"v1.0.0"}, day.AddDate(0, 1, 0))
			if err != nil || !seen["v1.0.0"].Equal(day) {
				t.Errorf("seen %v, %v", seen, err)
			}
			report, errs, err = Import(t.Context(), s, src, Proofs{}, day, Work{})
			if err != nil || len(errs) > 0 || len(report.Imported) != 0 || report.Present != 3 {
				t.Errorf("again: %v, %v, %+v", err, errs, report)
			}
			if verified, errs, err := Verify(t.Context(), s, Proofs{}, Work{}); err != nil || len(errs) > 0 || len(verified.Problems) > 0 {
				t.Errorf("%v, %v, %+v", err, errs, verified)
			}
		})
	}
}

// same compares a version in two stores.
func same(t *testing.T, a, b store.Store, m module.Version) {
	t.Helper()
	x, err := a.Get(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Get(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if x.Sum != y.Sum || x.GoModSum != y.GoModSum || x.ZipDigest != y.ZipDigest || !bytes.Equal(x.Info, y.Info) || !bytes.Equal(x.Mod, y.Mod) {
		t.Errorf("%s: %+v and %+v", m, x.Version, y.Version)
	}
	if y.Origin != "import" || y.Stored.IsZero() {
		t.Errorf("%s: origin %q, stored %v", m, y.Origin, y.Stored)
	}
}

// What is wrong in one version of a layout is said of that one, and it is not
// stored; the others are.
func TestImportDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		damage  func(t *testing.T, path string)
		want    string
	}{
		"zip":           {"PK\x03\x04", corrupt, "digest"},
		"zip cut":       {"PK\x03\x04", truncate, "bytes"},
		"zip gone":      {"PK\x03\x04", remove, "blobs/sha256"},
		"zip a pipe":    {"PK\x03\x04", directory, "is no file"},
		"mod":           {"module corp.example.com/", corrupt, "digest"},
		"manifest":      {`"dev.gopherwood.module.path"`, corrupt, "digest"},
		"manifest gone": {`"dev.gopherwood.module.path"`, remove, "blobs/sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			src := filepath.Join(t.TempDir(), "modules")
			exportTo(t, src)
			tc.damage(t, blobsWith(t, src, tc.content)[0])
			s := openStore(t)
			report, errs, err := Import(t.Context(), s, src, Proofs{}, day, Work{})
			if err != nil {
				t.Fatal(err)
			}
			if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid || !strings.Contains(errs[0].Error(), tc.want) || len(report.Imported) != 2 {
				t.Errorf("%v, %+v", errs, report)
			}
			if left, err := os.ReadDir(s.Staging()); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

func directory(t *testing.T, path string) {
	t.Helper()
	remove(t, path)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestImportProofs(t *testing.T) {
	src := filepath.Join(t.TempDir(), "modules.tar")
	exportTo(t, src)
	m := version(t, lib)
	var sums Set
	if err := sums.ReadGoSum("go.sum", strings.NewReader("corp.example.com/lib v1.0.0 "+hashA+"\n")); err != nil {
		t.Fatal(err)
	}
	for name, proofs := range map[string]Proofs{
		"go.sum":   {Sums: &sums},
		"database": {Database: &database{sums: map[module.Version]string{m: hashA}}},
	} {
		s := openStore(t)
		report, errs, err := Import(t.Context(), s, src, proofs, day, Work{})
		if err != nil || len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid || len(report.Imported) != 2 {
			t.Errorf("%s: %v, %v, %+v", name, err, errs, report)
		}
		if _, err := s.Get(t.Context(), m); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is there with other hashes stays.
	s := openStore(t)
	d := makeVersion(t, s.Staging(), m, "different")
	if _, err := s.Put(t.Context(), d.Version, d.Path); err != nil {
		t.Fatal(err)
	}
	_, errs, err := Import(t.Context(), s, src, Proofs{}, day, Work{})
	if err != nil || len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid {
		t.Errorf("other hashes: %v, %v", err, errs)
	}
	if e, err := s.Get(t.Context(), m); err != nil || e.Sum != d.Sum {
		t.Errorf("%v, %v", e, err)
	}
}

// forge writes a layout with one version whose parts do not fit together: its
// digests are right.
func forge(t *testing.T, change func(m *artifact.Manifest, blobs map[string][]byte)) string {
	t.Helper()
	dir := t.TempDir()
	d := makeVersion(t, dir, version(t, lib), "body")
	zip, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{"info": d.Info, "mod": d.Mod, "zip": zip}
	m := &artifact.Manifest{Version: d.Version.Version, Sum: d.Sum, GoModSum: d.GoModSum, Origin: "direct", Created: day}
	change(m, blobs)
	m.Info, m.Mod, m.Zip = artifact.BlobOf(blobs["info"]), artifact.BlobOf(blobs["mod"]), artifact.BlobOf(blobs["zip"])
	raw, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	blobs["manifest"] = raw
	src := filepath.Join(dir, "layout")
	out := &dirSink{dest: src, dir: src + ".tmp", written: map[string]bool{}}
	if err := os.MkdirAll(filepath.Join(out.dir, layoutBlobs), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, data := range blobs {
		if err := out.blob(artifact.Digest(data), int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := v1.NewHash(artifact.Digest(raw))
	if err != nil {
		t.Fatal(err)
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{{Digest: digest, Size: int64(len(raw))}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.finish(index); err != nil {
		t.Fatal(err)
	}
	return src
}

// Right digests do not help content that is not what it claims to be.
func TestImportForged(t *testing.T) {
	otherZip := func(t *testing.T, name string) []byte {
		data, err := os.ReadFile(makeVersion(t, t.TempDir(), version(t, name), "forged").Path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, tc := range map[string]struct {
		change func(m *artifact.Manifest, blobs map[string][]byte)
		want   string
	}{
		"sum":               {func(m *artifact.Manifest, _ map[string][]byte) { m.Sum = hashA }, "its zip have the hash"},
		"mod sum":           {func(m *artifact.Manifest, _ map[string][]byte) { m.GoModSum = hashA }, "its go.mod has the hash"},
		"info":              {func(_ *artifact.Manifest, b map[string][]byte) { b["info"] = []byte(`{"Version":"v9.0.0"}`) }, "its .info is of version"},
		"no info":           {func(_ *artifact.Manifest, b map[string][]byte) { b["info"] = []byte("<html>") }, "its .info is no JSON"},
		"zip of the same":   {func(_ *artifact.Manifest, b map[string][]byte) { b["zip"] = otherZip(t, lib) }, "its zip have the hash"},
		"zip of another":    {func(_ *artifact.Manifest, b map[string][]byte) { b["zip"] = otherZip(t, other) }, "not that of a module"},
		"no zip":            {func(_ *artifact.Manifest, b map[string][]byte) { b["zip"] = []byte("PK") }, "not that of a module"},
		"another's version": {func(m *artifact.Manifest, _ map[string][]byte) { m.Path = "corp.example.com/victim" }, "not that of a module"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			_, errs, err := Import(t.Context(), s, forge(t, tc.change), Proofs{}, day, Work{})
			if err != nil || len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid || !strings.Contains(errs[0].Error(), tc.want) {
				t.Fatalf("%v, %v", err, errs)
			}
			if versions, err := All(t.Context(), s); err != nil || len(versions) > 0 {
				t.Errorf("stored %v, %v", versions, err)
			}
		})
	}
	if _, errs, err := Import(t.Context(), openStore(t), forge(t, func(*artifact.Manifest, map[string][]byte) {}), Proofs{}, day, Work{}); err != nil || len(errs) > 0 {
		t.Errorf("unforged: %v, %v", err, errs)
	}
}

// A layout that is none is one error.
func TestImportNoLayout(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("broken/oci-layout", layoutVersion)
	write("broken/index.json", "{")
	for src, want := range map[string]fault.Code{
		filepath.Join(dir, "absent"):            fault.NotFound,
		dir:                                     fault.Invalid,
		filepath.Join(dir, "broken"):            fault.Invalid,
		write("text.tar", "this is no archive"): fault.Invalid,
		write("empty.tar", ""):                  fault.Invalid,
		write("gzip.tar", "\x1f\x8b\x08"+strings.Repeat("\x00", 1024)): fault.Invalid,
	} {
		if _, _, err := Import(t.Context(), openStore(t), src, Proofs{}, day, Work{}); fault.CodeOf(err) != want || !strings.Contains(err.Error(), src) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// Links do not lead out of a layout.
func TestImportStaysInside(t *testing.T) {
	src := filepath.Join(t.TempDir(), "modules")
	exportTo(t, src)
	blob := blobsWith(t, src, `"dev.gopherwood.module.path"`)[0]
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Rename(blob, outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, blob); err != nil {
		t.Skip("no symbolic links on this system:", err)
	}
	report, errs, err := Import(t.Context(), openStore(t), src, Proofs{}, day, Work{})
	if err != nil || len(errs) != 1 || len(report.Imported) != 2 {
		t.Errorf("%v, %v, %+v", err, errs, report)
	}
}

// No archive makes import do anything but fail, or store what is whole.
func FuzzImport(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, file := range []memFile{{"./oci-layout", layoutVersion}, {"index.json", `{"manifests":[{"digest":"` + artifact.ConfigDigest + `","size":2}]}`}, {blobName(artifact.ConfigDigest), "{}"}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file.name, Size: int64(len(file.content))}); err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(w, file.content); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("x"))
	whole := filepath.Join(f.TempDir(), "whole.tar")
	exportTo(f, whole)
	data, err := os.ReadFile(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	s := openStore(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		src := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(src, data, 0o600); err != nil {
			t.Fatal(err)
		}
		report, _, err := Import(t.Context(), s, src, Proofs{}, day, Work{Jobs: 1})
		if err == nil && len(report.Imported) > 0 {
			for _, v := range report.Imported {
				if _, err := s.Get(t.Context(), module.Version{Path: v.Path, Version: v.Version}); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
