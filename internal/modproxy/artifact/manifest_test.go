package artifact

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func sample() Manifest {
	return Manifest{
		Version: module.Version{Path: "corp.example.com/Lib", Version: "v1.2.3"},
		Sum:     "h1:" + strings.Repeat("A", 43) + "=", GoModSum: "h1:" + strings.Repeat("B", 42) + "A=",
		Origin: "https://proxy.example.com/a?b&c", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Info: BlobOf([]byte("{}")), Mod: BlobOf([]byte("module x\n")), Zip: BlobOf(nil),
	}
}

func TestManifest(t *testing.T) {
	want := sample()
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if again, err := want.Marshal(); err != nil || !bytes.Equal(data, again) {
		t.Errorf("the same content gives another manifest: %v", err)
	}
	if ConfigDigest != Digest([]byte(Config)) {
		t.Errorf("the configuration's digest is %s", Digest([]byte(Config)))
	}
}

// TestManifestIsOCI reads it as others do.
func TestManifestIsOCI(t *testing.T) {
	data, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if m.MediaType != ManifestType || m.Config.MediaType != ConfigType || m.Config.Digest.String() != ConfigDigest || !bytes.Contains(data, []byte(`"artifactType":"`+Type+`"`)) {
		t.Errorf("%s", data)
	}
	var titles []string
	for _, l := range m.Layers {
		titles = append(titles, string(l.MediaType), l.Annotations[AnnotationTitle])
	}
	if diff := cmp.Diff([]string{InfoType, "v1.2.3.info", ModType, "v1.2.3.mod", ZipType, "v1.2.3.zip"}, titles); diff != "" {
		t.Error(diff)
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Manifest)
		code   fault.Code
		text   string
	}{
		"no module":        {func(m *Manifest) { m.Path = "../x" }, fault.Invalid, "malformed module path"},
		"no version":       {func(m *Manifest) { m.Version.Version = "master" }, fault.Invalid, "not a semantic version"},
		"not canonical":    {func(m *Manifest) { m.Version.Version = "v1.2.3+meta" }, fault.Invalid, "canonical"},
		"another major":    {func(m *Manifest) { m.Version.Version = "v2.0.0" }, fault.Invalid, "should be v0 or v1"},
		"no sum":           {func(m *Manifest) { m.Sum = "" }, fault.Invalid, "no hash of go.sum"},
		"short sum":        {func(m *Manifest) { m.GoModSum = "h1:AAAA" }, fault.Invalid, "no hash of go.sum"},
		"not strict":       {func(m *Manifest) { m.GoModSum = "h1:" + strings.Repeat("B", 43) + "=" }, fault.Invalid, "no hash of go.sum"},
		"no digest":        {func(m *Manifest) { m.Zip.Digest = "sha256:../../x" }, fault.Invalid, "no SHA-256"},
		"other algorithm":  {func(m *Manifest) { m.Zip.Digest = "sha512:" + strings.Repeat("0", 64) }, fault.Invalid, "no SHA-256"},
		"negative":         {func(m *Manifest) { m.Zip.Size = -1 }, fault.Invalid, "-1 bytes"},
		"large zip":        {func(m *Manifest) { m.Zip.Size = MaxZip + 1 }, fault.Limit, "larger than 524288000 bytes"},
		"large mod":        {func(m *Manifest) { m.Mod.Size = MaxMod + 1 }, fault.Limit, "larger than"},
		"large info":       {func(m *Manifest) { m.Info.Size = MaxInfo + 1 }, fault.Limit, "larger than"},
		"long origin":      {func(m *Manifest) { m.Origin = strings.Repeat("x", MaxOrigin+1) }, fault.Invalid, "origin"},
		"origin not UTF-8": {func(m *Manifest) { m.Origin = "\xff" }, fault.Invalid, "origin"},
		"far future":       {func(m *Manifest) { m.Created = m.Created.AddDate(9000, 0, 0) }, fault.Invalid, "year"},
		"too large":        {func(m *Manifest) { m.Path = "example.com/" + strings.Repeat("a", MaxManifest) }, fault.Limit, "larger than 65536"},
	} {
		m := sample()
		test.change(&m)
		data, err := m.Marshal()
		if fault.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) || len(err.Error()) > 1000 && name != "too large" {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	data, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, text string }{
		"no JSON":         {`{"schema`, `schema`, "invalid character"},
		"an index":        {"image.manifest.v1", "image.index.v1", "no OCI image manifest"},
		"schema 1":        {`"schemaVersion":2`, `"schemaVersion":1`, "no OCI image manifest"},
		"an image":        {Type, "application/vnd.example", "artifactType"},
		"a configuration": {ConfigDigest, Digest(nil), "not empty"},
		"another layer":   {ZipType, ModType, "layer 2 is a"},
		"no time":         {"2026-01-02T", "2026-13-02T", AnnotationCreated},
		"another path":    {`"corp.example.com/Lib"`, `"corp.example.com/../Lib"`, "malformed"},
	} {
		bad := strings.ReplaceAll(string(data), test.old, test.new)
		if _, err := Parse([]byte(bad)); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	doc.Layers = doc.Layers[:2]
	short, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(short); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "2 layers") {
		t.Errorf("two layers: %v", err)
	}
	if _, err := Parse(append(data, make([]byte, MaxManifest)...)); fault.CodeOf(err) != fault.Limit {
		t.Errorf("a long document: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	data, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"layers":[{},{},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid && fault.CodeOf(err) != fault.Limit {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := m.Marshal()
		if err != nil {
			if fault.CodeOf(err) == fault.Limit {
				return // escapes are longer than what they stand for
			}
			t.Fatal(err)
		}
		if back, err := Parse(again); err != nil || !cmp.Equal(m, back) {
			t.Errorf("%+v became %+v, %v", m, back, err)
		}
	})
}
