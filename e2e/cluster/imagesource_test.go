package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const digest = "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"

// indexOf returns the index of a layout with these tags.
func indexOf(tags ...string) string {
	var entries []string
	for _, tag := range tags {
		entries = append(entries, `{"mediaType":"m","digest":"`+digest+`","size":2,"platform":{"os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"`+tag+`"}}`)
	}
	return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
}

func TestChooseLayout(t *testing.T) {
	referrers := "sha256-" + digest[7:]
	for _, test := range []struct {
		index  string
		source ImageSource
		want   string
		code   fault.Code
	}{
		{indexOf("v1"), ImageSource{Path: "/x/App"}, "docker.io/library/app:v1", ""},
		{indexOf(""), ImageSource{Path: "/x/app"}, "docker.io/library/app:latest", ""},
		{indexOf("v1", referrers), ImageSource{Path: "app"}, "docker.io/library/app:v1", ""},
		{indexOf("v1", "v2"), ImageSource{Path: "app", Tag: "v2"}, "docker.io/library/app:v2", ""},
		{indexOf("ghcr.io/a/b:c"), ImageSource{Path: "app"}, "ghcr.io/a/b:c", ""},
		{indexOf("v1"), ImageSource{Path: "app", Name: "team/app:2"}, "docker.io/team/app:2", ""},
		{indexOf("v1", "v2"), ImageSource{Path: "app"}, "", fault.Usage},
		{indexOf("v1"), ImageSource{Path: "app", Tag: "v3"}, "", fault.NotFound},
		{indexOf(), ImageSource{Path: "app"}, "", fault.NotFound},
		{indexOf("v1"), ImageSource{Path: "app", Name: "UP/per"}, "", fault.Usage},
		{"{", ImageSource{Path: "app"}, "", fault.Invalid},
	} {
		data, names, err := chooseLayout([]byte(test.index), test.source)
		if fault.CodeOf(err) != test.code {
			t.Errorf("%+v of %s: %v, want code %q", test.source, test.index, err, test.code)
		}
		if test.code != "" {
			continue
		}
		if !slices.Equal(names, []string{test.want}) {
			t.Errorf("%+v of %s: names %q, want %q", test.source, test.index, names, test.want)
		}
		var list struct {
			Manifests []struct {
				Digest      string
				Platform    struct{ OS string }
				Annotations map[string]string
			}
		}
		if err := json.Unmarshal(data, &list); err != nil || len(list.Manifests) != 1 {
			t.Fatalf("%s: %v", data, err)
		}
		m := list.Manifests[0]
		if m.Digest != digest || m.Platform.OS != "linux" || m.Annotations[containerdName] != test.want {
			t.Errorf("the index that is written: %s", data)
		}
	}
}

func TestChooseArchive(t *testing.T) {
	for _, test := range []struct {
		manifest string
		source   ImageSource
		want     []string
		code     fault.Code
	}{
		{`[{"RepoTags":["app:1","ghcr.io/a/b:2"]}]`, ImageSource{}, []string{"docker.io/library/app:1", "ghcr.io/a/b:2"}, ""},
		{`[{"RepoTags":null}]`, ImageSource{Name: "app"}, []string{"docker.io/library/app:latest"}, ""},
		{`[{"RepoTags":null}]`, ImageSource{}, nil, fault.Usage},
		{`[{},{}]`, ImageSource{Name: "app"}, nil, fault.Usage},
		{`[{"RepoTags":["app:1"]}]`, ImageSource{Tag: "1"}, nil, fault.Usage},
		{`{}`, ImageSource{}, nil, fault.Invalid},
	} {
		_, names, err := chooseArchive([]byte(test.manifest), test.source)
		if fault.CodeOf(err) != test.code || !slices.Equal(names, test.want) {
			t.Errorf("%+v of %s: %q, %v; want %q, code %q", test.source, test.manifest, names, err, test.want, test.code)
		}
	}
}

// What containerd gets of a directory or a compressed archive is an archive with
// all files and the list that was decided.
func TestLoaderWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	for name, content := range map[string]string{"index.json": indexOf("v1"), "oci-layout": "{}", "blobs/sha256/ab": "blob"} {
		if err := writeAtomically(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	l, err := ImageSource{Path: dir}.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.write(z), z.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other.tar")
	if err := os.WriteFile(file, zipped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := ImageSource{Path: file}.open()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.names, []string{"docker.io/library/app:v1"}) {
		t.Errorf("names: %q", again.names)
	}
	var out bytes.Buffer
	if err := again.write(&out); err != nil {
		t.Fatal(err)
	}
	var files []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, h.Name)
	}
	slices.Sort(files)
	if !slices.Equal(files, []string{"blobs/sha256/ab", "index.json", "oci-layout"}) {
		t.Errorf("files: %q", files)
	}
	if _, err := (ImageSource{Path: filepath.Join(dir, "oci-layout")}).open(); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no archive: %v", err)
	}
	if _, err := (ImageSource{Path: filepath.Join(dir, "missing")}).open(); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no file: %v", err)
	}
}

func FuzzImageLists(f *testing.F) {
	f.Add([]byte(indexOf("v1")), []byte(`[{"RepoTags":["app:1"]}]`))
	f.Add([]byte(`{"manifests":[null]}`), []byte(`[null]`))
	f.Fuzz(func(t *testing.T, index, manifest []byte) {
		source := ImageSource{Path: "app"}
		if data, names, err := chooseLayout(index, source); err == nil {
			if _, again, err := chooseLayout(data, source); err != nil || !slices.Equal(names, again) {
				t.Errorf("%s became %s, which has %q, not %q (%v)", index, data, again, names, err)
			}
		}
		if data, names, err := chooseArchive(manifest, source); err == nil {
			if _, again, err := chooseArchive(data, source); err != nil || !slices.Equal(names, again) {
				t.Errorf("%s became %s, which has %q, not %q (%v)", manifest, data, again, names, err)
			}
		}
	})
}
