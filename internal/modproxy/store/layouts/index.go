package layouts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
)

// The files of an OCI layout besides its blobs.
const (
	indexName  = "index.json"
	markerName = "oci-layout"
	// nextName is the index that is being written. One that nobody writes shows
	// that a writer was killed.
	nextName = ".index.json"
)

const (
	marker    = `{"imageLayoutVersion":"1.0.0"}`
	indexType = "application/vnd.oci.image.index.v1+json"
	// annotationTag is of descriptors in index.json: the tags.
	annotationTag = "org.opencontainers.image.ref.name"
)

// maxIndex is the longest index.json, in bytes: about 40,000 versions.
const maxIndex = 16 << 20

// index is index.json. What others put there is kept as it is.
type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Manifests     []json.RawMessage `json:"manifests"`
	Subject       json.RawMessage   `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// indexEntry is a descriptor in index.json.
type indexEntry struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

func (e indexEntry) blob() artifact.Blob { return artifact.Blob{Digest: e.Digest, Size: e.Size} }

// isVersion reports whether the descriptor may be of a version's manifest. Some
// tools leave out its artifactType.
func (e indexEntry) isVersion() bool {
	return (e.ArtifactType == artifact.Type || e.ArtifactType == "") && e.MediaType == artifact.ManifestType &&
		artifact.CheckDigest(e.Digest) == nil && e.Size >= 0 && e.Size <= artifact.MaxManifest
}

// parseIndex reads index.json and the descriptors in it.
func parseIndex(data []byte) (index, []indexEntry, error) {
	var doc index
	if err := json.Unmarshal(data, &doc); err != nil {
		return index{}, nil, err
	}
	if doc.SchemaVersion != 2 || doc.MediaType != "" && doc.MediaType != indexType {
		return index{}, nil, errors.New("it is no OCI image index")
	}
	entries := make([]indexEntry, len(doc.Manifests))
	for i, raw := range doc.Manifests {
		if err := json.Unmarshal(raw, &entries[i]); err != nil {
			return index{}, nil, fmt.Errorf("manifest %d: %w", i, err)
		}
	}
	return doc, entries, nil
}

// snapshot is what index.json said when the file was what info describes.
type snapshot struct {
	info os.FileInfo
	// versions has the manifests, and sorted the versions in the order of semver.
	versions map[string]artifact.Blob
	sorted   []string
}

// unchanged reports whether a file is the one that was read. Writers give each a
// later time than the one before.
func unchanged(read, now os.FileInfo) bool {
	return read.ModTime().Equal(now.ModTime()) && read.Size() == now.Size() && os.SameFile(read, now)
}

var noVersions = &snapshot{}

// snapshot returns what index.json says now.
func (l layout) snapshot() (*snapshot, error) {
	info, err := l.disk.Stat(l.file(indexName))
	if errors.Is(err, fs.ErrNotExist) {
		return noVersions, nil
	}
	if err != nil {
		return nil, err
	}
	if have, ok := l.snapshots.Get(l.repo); ok && unchanged(have.info, info) {
		return have, nil
	}
	return l.readSnapshot()
}

func (l layout) readSnapshot() (*snapshot, error) {
	data, info, err := l.readIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return noVersions, nil
	}
	if err != nil {
		return nil, err
	}
	_, entries, err := parseIndex(data)
	if err != nil {
		return nil, badIndex(l.file(indexName), err)
	}
	s := &snapshot{info: info, versions: make(map[string]artifact.Blob, len(entries))}
	for _, e := range entries {
		if version := l.versionOf(e); version != "" {
			s.versions[version] = e.blob()
		}
	}
	s.sorted = slices.SortedFunc(maps.Keys(s.versions), semver.Compare)
	const each, others = 300, 500 // what it takes in memory, in bytes
	l.snapshots.Put(l.repo, s, int64(len(s.sorted)*each+others))
	return s, nil
}

// versionOf returns the version that a descriptor is of, or "".
func (l layout) versionOf(e indexEntry) string {
	if !e.isVersion() {
		return ""
	}
	version, err := artifact.VersionOf(e.Annotations[annotationTag])
	if errors.Is(err, artifact.ErrHashed) {
		version = e.Annotations[artifact.AnnotationVersion]
		if tag, err := artifact.Tag(version); err != nil || tag != e.Annotations[annotationTag] {
			return ""
		}
		return version
	}
	if err != nil {
		return ""
	}
	return version
}

// readIndex returns index.json, and which file that was.
func (l layout) readIndex() ([]byte, os.FileInfo, error) {
	f, err := l.disk.Open(l.file(indexName))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := readBounded(f, maxIndex)
	return data, info, err
}

func badIndex(name string, err error) error {
	return damaged(fmt.Errorf("the file %s: %w", name, err))
}

// descriptor returns the descriptor of a version's manifest.
func descriptor(m artifact.Manifest, raw []byte) (indexEntry, error) {
	tag, err := artifact.Tag(m.Version.Version)
	if err != nil {
		return indexEntry{}, err
	}
	blob := artifact.BlobOf(raw)
	e := indexEntry{
		MediaType: artifact.ManifestType, ArtifactType: artifact.Type, Digest: blob.Digest, Size: blob.Size,
		Annotations: map[string]string{annotationTag: tag},
	}
	if _, err := artifact.VersionOf(tag); err != nil { // the tag is a hash
		e.Annotations[artifact.AnnotationVersion] = m.Version.Version
	}
	return e, nil
}

// after returns a time for the file that replaces the one with info, so that no
// reader takes one for the other.
func after(info os.FileInfo, now time.Time) time.Time {
	if info == nil {
		return now
	}
	// Some file systems keep microseconds.
	if least := info.ModTime().Add(time.Microsecond); now.Before(least) {
		return least
	}
	return now
}
