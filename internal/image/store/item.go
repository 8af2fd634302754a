package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// item is a manifest or index with what must be there before it.
type item struct {
	// desc has, for a referrer, its ArtifactType and Annotations.
	desc v1.Descriptor
	raw  []byte
	// blobs are the configuration and the layers, children what an index lists.
	blobs    []v1.Layer
	children []*item
	// subject is what the manifest is attached to, if anything.
	subject *v1.Descriptor
}

// newItem looks through source, a v1.Image or a v1.ImageIndex.
func newItem(source partial.WithRawManifest) (*item, error) {
	raw, err := source.RawManifest()
	if err != nil {
		return nil, err
	}
	it := &item{raw: raw}
	if it.desc.Digest, it.desc.Size, err = v1.SHA256(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	switch source := source.(type) {
	case v1.Image:
		if it.desc.MediaType, err = source.MediaType(); err != nil {
			return nil, err
		}
		err = it.addBlobs(source)
	case v1.ImageIndex:
		if it.desc.MediaType, err = source.MediaType(); err != nil {
			return nil, err
		}
		err = it.addChildren(source)
	default:
		err = fmt.Errorf("a %T is neither an image nor an index", source)
	}
	if err != nil {
		return nil, err
	}
	return it, it.readSubject()
}

func (it *item) addBlobs(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		mediaType, err := l.MediaType()
		if err != nil {
			return err
		}
		if mediaType.IsDistributable() {
			it.blobs = append(it.blobs, l)
		}
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	it.blobs = append(it.blobs, config)
	return nil
}

func (it *item) addChildren(index v1.ImageIndex) error {
	children, err := partial.Manifests(index)
	if err != nil {
		return err
	}
	for _, c := range children {
		source, ok := c.(partial.WithRawManifest)
		if !ok {
			return &fault.Error{Code: fault.Unsupported, Err: errors.New("the index lists something else than images and indexes")}
		}
		child, err := newItem(source)
		if err != nil {
			return err
		}
		it.children = append(it.children, child)
	}
	return nil
}

// relation is the part of a manifest that says what it is attached to as what.
type relation struct {
	MediaType    types.MediaType   `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
	Subject      *v1.Descriptor    `json:"subject"`
	Config       struct {
		MediaType types.MediaType `json:"mediaType"`
	} `json:"config"`
}

// complete fills in what lists of referrers say of the manifest: by the OCI
// distribution specification the configuration's type stands for a missing
// artifact type.
func (r *relation) complete(desc *v1.Descriptor) {
	desc.Annotations = r.Annotations
	desc.ArtifactType = r.ArtifactType
	if desc.ArtifactType == "" {
		desc.ArtifactType = string(r.Config.MediaType)
	}
}

// readRelation reads a manifest that want describes.
func readRelation(data []byte, want v1.Descriptor) (*relation, error) {
	data, err := image.ReadDocument(bytes.NewReader(data), want, maxManifest)
	if err != nil {
		return nil, fail("manifest", want.Digest.String(), err)
	}
	var r relation
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "manifest", Input: want.Digest.String(), Err: err}
	}
	return &r, nil
}

func (it *item) readSubject() error {
	r, err := readRelation(it.raw, it.desc)
	if err != nil {
		return err
	}
	if r.Subject != nil {
		it.subject = r.Subject
		r.complete(&it.desc)
	}
	return nil
}
