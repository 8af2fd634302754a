package attach

import (
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// artifact is an OCI artifact with one layer, whose manifest names the subject
// that it is about. It is what partial.CompressedToImage makes an image of.
type artifact struct {
	manifest []byte
	layer    v1.Layer
	config   v1.Layer
}

// newArtifact returns the artifact that holds data, with an empty configuration.
// It has the same digest whenever it holds the same.
func newArtifact(subject v1.Descriptor, media types.MediaType, data []byte, annotations map[string]string) (v1.Image, error) {
	a := &artifact{layer: static.NewLayer(data, media), config: static.NewLayer([]byte("{}"), configMedia)}
	config, err := partial.Descriptor(a.config)
	if err != nil {
		return nil, err
	}
	layer, err := partial.Descriptor(a.layer)
	if err != nil {
		return nil, err
	}
	a.manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  string(media),
		Config:        *config,
		Layers:        []v1.Descriptor{*layer},
		Subject:       &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		Annotations:   annotations,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(a)
}

// artifactOf returns the statement as an artifact, signed where there is a signer.
func artifactOf(subject v1.Descriptor, s Statement, signer *Signer) (v1.Image, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{}
	if !s.Created.IsZero() {
		annotations[annotationCreated] = s.Created.UTC().Format(time.RFC3339)
	}
	if signer == nil {
		annotations[annotationPredicate] = s.PredicateType
		return newArtifact(subject, statementMedia, payload, annotations)
	}
	annotations[annotationBundleContent] = "dsse-envelope"
	annotations[annotationBundlePredicate] = s.PredicateType
	bundle, err := signer.seal(payload)
	if err != nil {
		return nil, err
	}
	return newArtifact(subject, bundleMedia, bundle, annotations)
}

func (a *artifact) RawManifest() ([]byte, error)   { return a.manifest, nil }
func (a *artifact) RawConfigFile() ([]byte, error) { return []byte("{}"), nil }

func (a *artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (a *artifact) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	for _, layer := range []v1.Layer{a.layer, a.config} {
		if have, err := layer.Digest(); err == nil && have == digest {
			return layer, nil
		}
	}
	return nil, fmt.Errorf("the artifact has no layer %s", digest)
}
