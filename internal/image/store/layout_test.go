package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// files lists the files below dir by their paths, sorted.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, relErr := filepath.Rel(dir, path)
			all, err = append(all, filepath.ToSlash(rel)), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func blobFiles(digests ...[]string) []string {
	all := []string{layoutIndex, layoutMarker}
	for _, digest := range slices.Concat(digests...) {
		all = append(all, "blobs/"+strings.Replace(digest, ":", "/", 1))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// started is img as a runtime would start it, so that it can be inspected.
func started(t testing.TB, img v1.Image) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(img, func() *v1.ConfigFile {
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", "amd64"
		return config
	}())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestLayoutKeepsWhatIsNeeded replaces an image: what only it needed goes, with
// its attachments, and nothing else.
func TestLayoutKeepsWhatIsNeeded(t *testing.T) {
	dir := t.TempDir()
	first, other := randomImage(t, 2), randomImage(t, 1)
	layers, err := first.Layers()
	if err != nil {
		t.Fatal(err)
	}
	second, err := mutate.AppendLayers(randomImage(t, 1), layers[0])
	if err != nil {
		t.Fatal(err)
	}
	app := open(t, "oci:"+dir+":app", Options{})
	put(t, app, first, true)
	old := attachment(t, first, "of the first")
	signature := attachment(t, old, "of the attachment")
	put(t, app, old, false)
	put(t, app, signature, false)
	put(t, open(t, "oci:"+dir+":other", Options{}), other, true)
	kept := attachment(t, other, "of the other")
	put(t, app, kept, false)
	foreign := filepath.Join(dir, "blobs", "sha256", strings.Repeat("0", 64))
	if err := os.WriteFile(foreign, []byte("of another tool"), 0o600); err != nil {
		t.Fatal(err)
	}

	put(t, app, second, true)
	want := blobFiles(blobsOf(t, second), blobsOf(t, other), blobsOf(t, kept), []string{"sha256:" + strings.Repeat("0", 64)})
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	for _, img := range []v1.Image{second, other} {
		got, err := app.Image(context.Background(), digestOf(t, img))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got); err != nil {
			t.Error(err)
		}
	}
	if got := texts(t, app, digestOf(t, other)); !slices.Equal(got, []string{"of the other"}) {
		t.Errorf("%q", got)
	}
}

// TestLayoutIsInspected reads what was written as `gopherwood inspect` does:
// images, and no attachments.
func TestLayoutIsInspected(t *testing.T) {
	dir := t.TempDir()
	img := started(t, randomImage(t, 1))
	s := open(t, "oci:"+dir, Options{})
	put(t, s, img, true)
	a := attachment(t, img, "a")
	put(t, s, a, false)
	var found []string
	for got, err := range image.Open(context.Background(), "oci:"+dir, image.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, got.Ref+" "+got.Config.Digest)
	}
	if want := []string{"oci:" + dir + " " + digestOf(t, img).String()}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
	var index v1.IndexManifest
	data, err := os.ReadFile(filepath.Join(dir, layoutIndex))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	if index.Manifests[0].Annotations[image.AnnotationTag] != "latest" || index.Manifests[1].ArtifactType != statementType {
		t.Errorf("%+v", index.Manifests)
	}
	// An attachment named by its digest is no image, and says so.
	server := startServer(t)
	remote := open(t, server.ref(), Options{})
	put(t, remote, img, true)
	put(t, remote, a, false)
	for _, ref := range []string{s.Ref(digestOf(t, a)), remote.Ref(digestOf(t, a))} {
		for _, err := range image.Open(context.Background(), ref, image.Options{}) {
			if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "not a container image") {
				t.Errorf("%s: %v", ref, err)
			}
		}
	}
}

func TestLayoutAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "oci:"+dir+":v1", Options{})
	img := randomImage(t, 1)
	put(t, s, img, true)
	for _, left := range []string{tempPrefix + "X" + tempSuffix, "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, left), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A blob of the wrong size, as a file system may leave it, is written again.
	digest := digestOf(t, img)
	if err := os.Truncate(filepath.Join(dir, "blobs", "sha256", digest.Hex), 10); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(context.Background()); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("the damage was not seen: %v", err)
	}
	put(t, s, img, true)
	want := append(blobFiles(blobsOf(t, img)), "notes.txt")
	slices.Sort(want)
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := s.Get(context.Background()); err != nil {
		t.Error(err)
	}
}

// brokenLayer fails, or lies, when it is read.
type brokenLayer struct {
	v1.Layer
	content func() (io.ReadCloser, error)
}

func (l brokenLayer) Compressed() (io.ReadCloser, error) { return l.content() }

func TestLayoutWithoutItsSource(t *testing.T) {
	good := randomImage(t, 2)
	layers, err := good.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]func() (io.ReadCloser, error){
		"vanished": func() (io.ReadCloser, error) { return nil, fs.ErrNotExist },
		"other":    func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("something else")), nil },
	} {
		dir := t.TempDir()
		s := open(t, "oci:"+dir+":v1", Options{})
		put(t, s, good, true)
		before := files(t, dir)
		img, err := mutate.AppendLayers(randomImage(t, 2), brokenLayer{layers[0], content})
		if err != nil {
			t.Fatal(err)
		}
		fresh := t.TempDir()
		if err := open(t, "oci:"+fresh+":v1", Options{}).Put(context.Background(), img, true); err == nil {
			t.Errorf("%s: it was written", name)
		}
		if got := files(t, fresh); !slices.Equal(got, []string{layoutMarker}) {
			t.Errorf("%s: left %q", name, got)
		}
		if diff := cmp.Diff(before, files(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLayoutErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tag := range []string{"one", "two"} {
		put(t, open(t, "oci:"+dir+":"+tag, Options{}), randomImage(t, 1), true)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, layoutIndex), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]fault.Code{
		"oci:" + dir:             fault.Usage,
		"oci:" + dir + ":three":  fault.NotFound,
		"oci:" + dir + "@sha256": fault.Usage,
		"oci:" + t.TempDir():     fault.NotFound,
		"oci:" + damaged:         fault.Invalid,
	} {
		if _, _, err := open(t, ref, Options{}).Get(context.Background()); fault.CodeOf(err) != want || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	for _, dir := range []string{file, damaged} {
		if err := open(t, "oci:"+dir, Options{}).Put(context.Background(), randomImage(t, 1), true); err == nil {
			t.Errorf("%s was written to", dir)
		}
	}
	for _, ref := range []string{"oci:", "docker-archive:", "app", "./app", "registry.example.org/UPPER", "docker-archive:f.tar:UPPER!"} {
		if _, err := Open(context.Background(), ref, Options{}); fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// The environment by which this test binary becomes another writer.
const (
	writerRef = "STORE_TEST_WRITE_TO"
	fileLimit = "STORE_TEST_FILE_LIMIT"
)

// TestMain lets tests start this binary as a process that puts an image.
func TestMain(m *testing.M) {
	ref := os.Getenv(writerRef)
	if ref == "" {
		os.Exit(m.Run())
	}
	if err := writeAsProcess(ref); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v; %s\n", fault.CodeOf(err), err, fault.HintOf(err))
		os.Exit(1)
	}
}

// writeAsProcess puts an image of a 300 kB layer, with the limit on the size of
// files that the environment has.
func writeAsProcess(ref string) error {
	if text := os.Getenv(fileLimit); text != "" {
		bytes, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		if err := limitFiles(bytes); err != nil {
			return err
		}
	}
	s, err := Open(context.Background(), ref, Options{})
	if err != nil {
		return err
	}
	img, err := random.Image(300_000, 1)
	if err != nil {
		return err
	}
	return s.Put(context.Background(), img, true)
}

func asProcess(ref string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), writerRef+"="+ref), env...)
	return cmd
}

func TestLayoutOfSeveralProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	var running []*exec.Cmd
	for i := range 4 {
		cmd := asProcess(fmt.Sprintf("oci:%s:v%d", dir, i/2)) // two for each tag
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	var failed error
	for _, cmd := range running {
		failed = errors.Join(failed, cmd.Wait())
	}
	if failed != nil {
		t.Fatal(failed)
	}
	var want [][]string
	for _, tag := range []string{"v0", "v1"} {
		got, _, err := open(t, "oci:"+dir+":"+tag, Options{}).Get(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got.(v1.Image)); err != nil {
			t.Error(err)
		}
		want = append(want, blobsOf(t, got.(v1.Image)))
	}
	if diff := cmp.Diff(blobFiles(want...), files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// FuzzLayoutIndex reads and rewrites layouts whose documents are hostile.
func FuzzLayoutIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), []byte(`{}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":-1,"digest":"sha256:`+
		strings.Repeat("0", 64)+`","annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`), []byte(`{"schemaVersion":2}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1}]}`), []byte(`{"schemaVersion":2`))
	dir := f.TempDir()
	s := open(f, "oci:"+dir+":v1", Options{})
	img, err := mutate.AppendLayers(randomImage(f, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, index, manifest []byte) {
		if err := os.WriteFile(filepath.Join(dir, layoutIndex), index, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = typeOf(manifest)
		_, _ = readRelation(manifest, v1.Descriptor{Size: int64(len(manifest))})
		_, _, _ = s.Get(context.Background())
		_, _ = s.Referrers(context.Background(), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)})
		if s.Put(context.Background(), img, true) == nil {
			if _, desc, err := s.Get(context.Background()); err != nil || desc.Digest != digestOf(t, img) {
				t.Errorf("what was put is not there: %v", err)
			}
		}
	})
}
