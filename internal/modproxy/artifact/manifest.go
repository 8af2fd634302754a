package artifact

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The media types of a version.
const (
	// Type is the artifactType of manifests of versions.
	Type = "application/vnd.gopherwood.module.v1"
	// ManifestType is the media type of these manifests: they are OCI image
	// manifests, version 1.1.
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	// ConfigType is the media type of their configuration, which is Config.
	ConfigType = "application/vnd.oci.empty.v1+json"
	InfoType   = "application/vnd.gopherwood.module.info.v1+json"
	ModType    = "application/vnd.gopherwood.module.mod.v1"
	ZipType    = "application/vnd.gopherwood.module.zip.v1+zip"
)

// Config is the configuration of all manifests, and ConfigDigest its digest.
const (
	Config       = "{}"
	ConfigDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
)

// The annotations of a manifest.
const (
	AnnotationPath     = "dev.gopherwood.module.path"
	AnnotationVersion  = "dev.gopherwood.module.version"
	AnnotationSum      = "dev.gopherwood.module.sum"
	AnnotationGoModSum = "dev.gopherwood.module.gomod-sum"
	AnnotationOrigin   = "dev.gopherwood.module.origin"
	AnnotationCreated  = "org.opencontainers.image.created"
	// AnnotationTitle is of the layers: the names of their files.
	AnnotationTitle = "org.opencontainers.image.title"
)

// The limits, in bytes.
const (
	MaxManifest = 64 << 10
	MaxOrigin   = 4 << 10
	MaxInfo     = 1 << 20
	MaxMod      = zip.MaxGoMod
	MaxZip      = zip.MaxZipFile
)

// Blob is content by its digest.
type Blob struct {
	// Digest is "sha256:" and 64 digits of hex.
	Digest string
	// Size is in bytes.
	Size int64
}

// BlobOf returns the blob that data is.
func BlobOf(data []byte) Blob { return Blob{Digest: Digest(data), Size: int64(len(data))} }

// Digest returns the digest of data: "sha256:…".
func Digest(data []byte) string { return digestPrefix + hash(data) }

const digestPrefix = "sha256:"

// CheckDigest returns an error unless s is a digest as Digest returns it: what
// passes is safe as the name of a file.
func CheckDigest(s string) error {
	if rest, ok := strings.CutPrefix(s, digestPrefix); !ok || !isHash(rest) {
		return fmt.Errorf("%.80q is no SHA-256 digest", s)
	}
	return nil
}

// Manifest is what the manifest of a version says.
type Manifest struct {
	module.Version
	// Sum and GoModSum are the hashes of the zip and of go.mod as in go.sum.
	Sum, GoModSum string
	// Origin says where the version came from, in at most MaxOrigin bytes.
	Origin string
	// Created is when it was stored, to the nanosecond, in UTC.
	Created time.Time
	// Info, Mod and Zip are the layers.
	Info, Mod, Zip Blob
}

// document is a manifest in JSON.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (d descriptor) blob() Blob { return Blob{d.Digest, d.Size} }

// Marshal returns the manifest in JSON, always the same for the same content.
// Content that Parse would refuse is an error with the code Invalid, or Limit
// when it is too large.
func (m Manifest) Marshal() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, m.fail("write", err)
	}
	doc := document{
		SchemaVersion: 2, MediaType: ManifestType, ArtifactType: Type,
		Config: descriptor{MediaType: ConfigType, Digest: ConfigDigest, Size: int64(len(Config))},
		Annotations: map[string]string{
			AnnotationPath: m.Path, AnnotationVersion: m.Version.Version,
			AnnotationSum: m.Sum, AnnotationGoModSum: m.GoModSum,
			AnnotationOrigin: m.Origin, AnnotationCreated: m.Created.UTC().Format(time.RFC3339Nano),
		},
	}
	for _, l := range m.layers() {
		doc.Layers = append(doc.Layers, descriptor{
			MediaType: l.mediaType, Digest: l.blob.Digest, Size: l.blob.Size,
			Annotations: map[string]string{AnnotationTitle: m.Version.Version + l.suffix},
		})
	}
	data, err := json.Marshal(doc)
	if err == nil && len(data) > MaxManifest {
		err = tooLarge(MaxManifest)
	}
	return data, m.fail("write", err)
}

// layer is what one of the three layers has to be.
type layer struct {
	mediaType, suffix string
	max               int64
	blob              *Blob
}

func (m *Manifest) layers() [3]layer {
	return [3]layer{
		{InfoType, ".info", MaxInfo, &m.Info},
		{ModType, ".mod", MaxMod, &m.Mod},
		{ZipType, ".zip", MaxZip, &m.Zip},
	}
}

// Parse reads a manifest. What is no manifest of a version has the code Invalid,
// what is over a limit has the code Limit.
func Parse(data []byte) (Manifest, error) {
	var m Manifest
	err := m.parse(data)
	if err != nil {
		return Manifest{}, m.fail("read", err)
	}
	return m, nil
}

func (m *Manifest) parse(data []byte) error {
	if len(data) > MaxManifest {
		return tooLarge(MaxManifest)
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if err := doc.check(); err != nil {
		return err
	}
	m.Version = module.Version{Path: doc.Annotations[AnnotationPath], Version: doc.Annotations[AnnotationVersion]}
	m.Sum, m.GoModSum = doc.Annotations[AnnotationSum], doc.Annotations[AnnotationGoModSum]
	m.Origin = doc.Annotations[AnnotationOrigin]
	created, err := time.Parse(time.RFC3339Nano, doc.Annotations[AnnotationCreated])
	if err != nil {
		return fmt.Errorf("annotation %s: %w", AnnotationCreated, err)
	}
	m.Created = created.UTC()
	for i, l := range m.layers() {
		if doc.Layers[i].MediaType != l.mediaType {
			return fmt.Errorf("layer %d is a %.80q and not a %s", i, doc.Layers[i].MediaType, l.mediaType)
		}
		*l.blob = doc.Layers[i].blob()
	}
	return m.check()
}

// check looks at what is the same in all manifests.
func (d *document) check() error {
	switch {
	case d.SchemaVersion != 2 || d.MediaType != ManifestType:
		return errors.New("it is no OCI image manifest")
	case d.ArtifactType != Type:
		return fmt.Errorf("its artifactType is %.80q and not %s", d.ArtifactType, Type)
	case d.Config.blob() != Blob{ConfigDigest, int64(len(Config))} || d.Config.MediaType != ConfigType:
		return errors.New("its configuration is not empty")
	case len(d.Layers) != 3:
		return fmt.Errorf("it has %d layers and not 3", len(d.Layers))
	}
	return nil
}

// check looks at what is of this version.
func (m *Manifest) check() error {
	if err := CheckVersion(m.Version); err != nil {
		return err
	}
	for _, sum := range []string{m.Sum, m.GoModSum} {
		if err := checkSum(sum); err != nil {
			return err
		}
	}
	if len(m.Origin) > MaxOrigin || !utf8.ValidString(m.Origin) {
		return fmt.Errorf("its origin is no text of at most %d bytes", MaxOrigin)
	}
	if y := m.Created.UTC().Year(); y < 1 || y > 9999 {
		return fmt.Errorf("the year %d is none that can be written", y)
	}
	for _, l := range m.layers() {
		if err := CheckDigest(l.blob.Digest); err != nil {
			return err
		}
		if l.blob.Size < 0 {
			return fmt.Errorf("its %s has a length of %d bytes", l.suffix, l.blob.Size)
		}
		if l.blob.Size > l.max {
			return fmt.Errorf("its %s: %w", l.suffix, tooLarge(l.max))
		}
	}
	return nil
}

// CheckVersion returns an error unless m is a module path with a canonical
// version that it can have.
func CheckVersion(m module.Version) error {
	if err := module.Check(m.Path, m.Version); err != nil {
		return err
	}
	if module.CanonicalVersion(m.Version) != m.Version {
		return fmt.Errorf("%.200q is not a canonical version", m.Version)
	}
	return nil
}

// checkSum returns an error unless s is a hash as in go.sum.
func checkSum(s string) error {
	rest, ok := strings.CutPrefix(s, "h1:")
	raw, err := base64.StdEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(raw) != 32 || len(rest) != 44 {
		return fmt.Errorf("%.80q is no hash of go.sum", s)
	}
	return nil
}

func tooLarge(limit int64) error {
	return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("it is larger than %d bytes", limit)}
}

func (m *Manifest) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	code := fault.Invalid
	if fault.CodeOf(err) == fault.Limit {
		code = fault.Limit
	}
	name := m.Version.String()
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return &fault.Error{Code: code, Op: op + " manifest of module", Input: name, Err: err}
}
