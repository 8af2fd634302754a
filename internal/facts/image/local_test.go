package image

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	layouts "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// writeLayout makes an OCI layout of images by tag.
func writeLayout(t testing.TB, images map[string]mutate.Appendable) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layouts.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range sortedKeys(images) {
		annotate := layouts.WithAnnotations(map[string]string{AnnotationTag: tag})
		switch img := images[tag].(type) {
		case v1.Image:
			err = path.AppendImage(img, annotate)
		case v1.ImageIndex:
			err = path.AppendIndex(img, annotate)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLayout(t *testing.T) {
	dir := writeLayout(t, map[string]mutate.Appendable{
		"one": sample(t, "amd64"), "many": index(t, sample(t, "arm64"), imageOf(t, "amd64")),
	})
	img := one(t, "oci:"+dir+":one", Options{})
	checkSample(t, img, "amd64")
	if img.Ref != "oci:"+dir+":one" || !strings.HasPrefix(img.Config.Digest, "sha256:") {
		t.Errorf("ref %q, digest %q", img.Ref, img.Config.Digest)
	}
	byDigest := one(t, "oci:"+dir+"@"+img.Config.Digest, Options{})
	checkSample(t, byDigest, "amd64")

	images, errs := open(t, "oci:"+dir, Options{})
	var refs []string
	for _, img := range images {
		refs = append(refs, strings.TrimPrefix(img.Ref, "oci:"+dir)+" "+img.Platform.String())
	}
	if want := []string{":many linux/amd64", ":many linux/arm64", ":one linux/amd64"}; !slices.Equal(refs, want) || len(errs) != 0 {
		t.Errorf("images %q, errors %v", refs, errs)
	}
	checkSample(t, images[1], "arm64")
}

func TestLayoutErrors(t *testing.T) {
	dir := writeLayout(t, map[string]mutate.Appendable{"one": sample(t, "amd64")})
	for ref, want := range map[string]struct {
		code fault.Code
		text string
	}{
		"oci:" + dir + ":two":                               {fault.NotFound, "one"},
		"oci:" + dir + "/none":                              {fault.NotFound, "none"},
		"oci:" + t.TempDir():                                {fault.NotFound, "index.json"},
		"oci:" + dir + "@sha256:zz":                         {fault.Usage, "zz"},
		"oci:" + dir + "@sha256:" + strings.Repeat("0", 64): {fault.NotFound, "000"},
		"oci:": {fault.NotFound, "oci:DIR"},
	} {
		images, errs := open(t, ref, Options{})
		if len(images) != 0 || len(errs) != 1 {
			t.Errorf("%s: %d images, errors %v", ref, len(images), errs)
			continue
		}
		all := errs[0].Error() + " " + fault.HintOf(errs[0])
		if fault.CodeOf(errs[0]) != want.code || !strings.Contains(all, want.text) || !strings.Contains(all, ref) {
			t.Errorf("%s: %s (code %s), want %s and %q", ref, all, fault.CodeOf(errs[0]), want.code, want.text)
		}
	}
}

func TestPlatforms(t *testing.T) {
	arm := func(variant string) v1.Image {
		img := imageOf(t, "arm")
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		cfg = cfg.DeepCopy()
		cfg.Variant = variant
		img, err = mutate.ConfigFile(img, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	dir := writeLayout(t, map[string]mutate.Appendable{"many": index(t, imageOf(t, "amd64"), imageOf(t, "arm64"), arm("v6"), arm("v7"))})
	for _, c := range []struct {
		want []api.Platform
		have []string
	}{
		{nil, []string{"linux/amd64", "linux/arm/6", "linux/arm/7", "linux/arm64"}},
		{[]api.Platform{{OS: "linux", Arch: "arm"}}, []string{"linux/arm/6", "linux/arm/7"}},
		{[]api.Platform{{OS: "linux", Arch: "arm", Level: "v7"}}, []string{"linux/arm/7"}},
		{[]api.Platform{{OS: "linux", Arch: "arm64", Level: "v8"}, {OS: "linux", Arch: "amd64"}}, []string{"linux/amd64", "linux/arm64"}},
	} {
		images, errs := open(t, "oci:"+dir, Options{Platforms: c.want})
		var have []string
		for _, img := range images {
			have = append(have, img.Platform.String())
		}
		if !slices.Equal(have, c.have) || len(errs) != 0 {
			t.Errorf("%v: %v, errors %v", c.want, have, errs)
		}
	}
	none := Options{Platforms: []api.Platform{{OS: "linux", Arch: "s390x"}}}
	for _, ref := range []string{dir, writeLayout(t, map[string]mutate.Appendable{"one": imageOf(t, "arm64")})} {
		_, errs := open(t, "oci:"+ref, none)
		if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.NotFound || !strings.Contains(fault.HintOf(errs[0]), "linux/arm64") {
			t.Errorf("no such platform: %v, hint %q", errs, fault.HintOf(errs[0]))
		}
	}
}

func TestWindowsImage(t *testing.T) {
	img, err := mutate.ConfigFile(imageOf(t, "amd64"), &v1.ConfigFile{OS: "windows", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	dir := writeLayout(t, map[string]mutate.Appendable{"many": index(t, img, sample(t, "arm64"))})
	images, errs := open(t, "oci:"+dir, Options{})
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Unsupported || len(images) != 1 {
		t.Errorf("%d images, errors %v", len(images), errs)
	}
}

// writeArchive writes images by name as `docker save` did before version 25.
func writeArchive(t testing.TB, images map[string]v1.Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "images.tar")
	byRef := map[name.Reference]v1.Image{}
	for tag, img := range images {
		ref, err := name.NewTag(tag)
		if err != nil {
			t.Fatal(err)
		}
		byRef[ref] = img
	}
	if err := tarball.MultiRefWriteToFile(file, byRef); err != nil {
		t.Fatal(err)
	}
	return file
}

// layoutArchive writes an OCI layout as one tar file.
func layoutArchive(t testing.TB, dir string) string {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "layout.tar")
	if err := os.WriteFile(file, tarOf(t, files), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// compressFile writes a compressed copy of a file.
func compressFile(t testing.TB, file string, as types.MediaType) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	packed := file + ".packed"
	if err := os.WriteFile(packed, compress(t, data, as), 0o600); err != nil {
		t.Fatal(err)
	}
	return packed
}

func TestDockerArchive(t *testing.T) {
	classic := writeArchive(t, map[string]v1.Image{"example.test/prog:1": sample(t, "amd64")})
	modern := layoutArchive(t, writeLayout(t, map[string]mutate.Appendable{"1": sample(t, "amd64")}))
	for what, file := range map[string]string{
		"classic": classic, "classic gzip": compressFile(t, classic, gzipLayer),
		"layout": modern, "layout gzip": compressFile(t, modern, gzipLayer), "layout zstd": compressFile(t, modern, zstdLayer),
	} {
		t.Run(what, func(t *testing.T) {
			checkSample(t, one(t, "docker-archive:"+file, Options{}), "amd64")
			checkSample(t, one(t, "docker-archive:"+file+":1", Options{CacheDir: t.TempDir()}), "amd64")
			if _, errs := open(t, "docker-archive:"+file+":2", Options{}); len(errs) != 1 || fault.CodeOf(errs[0]) != fault.NotFound {
				t.Errorf("another tag: %v", errs)
			}
		})
	}
}

func TestDockerArchiveOfTwo(t *testing.T) {
	file := writeArchive(t, map[string]v1.Image{"example.test/prog:1": sample(t, "amd64"), "alpine:3": sample(t, "arm64")})
	images, errs := open(t, "docker-archive:"+file, Options{})
	if len(images) != 2 || len(errs) != 0 {
		t.Fatalf("%d images, errors %v", len(images), errs)
	}
	checkSample(t, one(t, "docker-archive:"+file+":alpine:3", Options{}), "arm64")
	checkSample(t, one(t, "docker-archive:"+file+":example.test/prog:1", Options{}), "amd64")
}

func TestDamagedArchives(t *testing.T) {
	whole, err := os.ReadFile(writeArchive(t, map[string]v1.Image{"example.test/prog:1": sample(t, "amd64")}))
	if err != nil {
		t.Fatal(err)
	}
	packed := compress(t, whole, gzipLayer)
	for what, data := range map[string][]byte{
		"empty":               {},
		"text":                []byte("this is no archive"),
		"truncated":           whole[:len(whole)/2],
		"truncated gzip":      packed[:len(packed)/2],
		"nothing in it":       tarOf(t, nil),
		"manifest.json alone": tarOf(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`)}),
		"manifest.json null":  tarOf(t, map[string][]byte{"manifest.json": []byte(`[null]`)}),
		"layer is missing": tarOf(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`),
			"c.json": []byte(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`)}),
		"wrong layer": tarOf(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`), "l.tar": tarOf(t, nil),
			"c.json": []byte(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`)}),
		"wrong layer, compressed": compress(t, tarOf(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c.json","Layers":["l.tar"]}]`), "l.tar": tarOf(t, nil),
			"c.json": []byte(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`)}), gzipLayer),
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			images, errs := open(t, "docker-archive:"+file, Options{})
			if len(images) != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), file) {
				t.Fatalf("%d images, errors %v", len(images), errs)
			}
			if code := fault.CodeOf(errs[0]); code != fault.Invalid && code != fault.NotFound {
				t.Errorf("%v has code %s", errs[0], code)
			}
			t.Log(errs[0])
		})
	}
}

func TestCancel(t *testing.T) {
	dir := writeLayout(t, map[string]mutate.Appendable{"one": sample(t, "amd64")})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range Open(ctx, "oci:"+dir, Options{}) {
		if fault.CodeOf(err) != fault.Canceled {
			t.Errorf("%v", err)
		}
	}
}
