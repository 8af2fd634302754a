// Package ocitest writes small OCI image layouts, for the tests of the command
// and its demonstration. It shares no code with what reads them.
//
// The format is the OCI image specification 1.1 (image layout, index, manifest
// and configuration).
package ocitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Image is an image of one layer.
type Image struct {
	OS, Arch   string
	Entrypoint []string
	User       string
	Env        []string
	// Files are what the layer holds, by absolute path; all are executable.
	Files map[string][]byte
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	OS   string `json:"os"`
	Arch string `json:"architecture"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type configuration struct {
	platform
	Config process `json:"config"`
	RootFS rootFS  `json:"rootfs"`
}

type process struct {
	Entrypoint []string `json:",omitempty"`
	User       string   `json:",omitempty"`
	Env        []string `json:",omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	refName       = "org.opencontainers.image.ref.name"
)

// Write makes the directory dir a layout that holds images under one tag: a
// single image, or an index when there are several.
func Write(dir, tag string, images ...Image) error {
	w := layout{dir}
	var manifests []descriptor
	for _, img := range images {
		d, err := w.image(img)
		if err != nil {
			return err
		}
		manifests = append(manifests, d)
	}
	top := manifests[0]
	if len(manifests) > 1 {
		d, err := w.document(mediaIndex, index{2, mediaIndex, manifests})
		if err != nil {
			return err
		}
		top = d
	}
	top.Annotations = map[string]string{refName: tag}
	data, err := json.Marshal(index{2, mediaIndex, []descriptor{top}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), data, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

// layout is a layout's directory.
type layout struct{ dir string }

func (w layout) image(img Image) (descriptor, error) {
	tarball, err := layer(img.Files)
	if err != nil {
		return descriptor{}, err
	}
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	if _, err := gz.Write(tarball); err != nil {
		return descriptor{}, err
	}
	if err := gz.Close(); err != nil {
		return descriptor{}, err
	}
	l, err := w.blob(mediaLayer, packed.Bytes())
	if err != nil {
		return descriptor{}, err
	}
	p := platform{img.OS, img.Arch}
	config, err := w.document(mediaConfig, configuration{
		platform: p,
		Config:   process{img.Entrypoint, img.User, img.Env},
		RootFS:   rootFS{"layers", []string{digest(tarball)}},
	})
	if err != nil {
		return descriptor{}, err
	}
	d, err := w.document(mediaManifest, manifest{2, mediaManifest, config, []descriptor{l}})
	d.Platform = &p
	return d, err
}

// layer returns files as a tar archive, with the directories above them.
func layer(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	dirs := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name := strings.TrimPrefix(path, "/")
		for i, c := range name {
			if c != '/' || dirs[name[:i]] {
				continue
			}
			dirs[name[:i]] = true
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name[:i] + "/", Mode: 0o755}); err != nil {
				return nil, err
			}
		}
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[path]))}); err != nil {
			return nil, err
		}
		if _, err := tw.Write(files[path]); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// document writes v as a blob.
func (w layout) document(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return w.blob(mediaType, data)
}

func (w layout) blob(mediaType string, data []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digest(data), Size: len(data)}
	path := filepath.Join(w.dir, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:"))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return d, err
	}
	return d, os.WriteFile(path, data, 0o644)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
