package store

import (
	"encoding/json"
	"errors"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
)

// sweep takes out of the index what was attached to the replaced images and to
// nothing that stays, and returns the content that nothing needs any more. It
// never names content that the replaced images did not have: other tools may
// keep things in the layout. When something cannot be read, nothing is swept.
func sweep(r layoutReader, index *v1.IndexManifest, replaced []v1.Descriptor) []v1.Hash {
	gone, live := content{}, content{}
	for _, desc := range replaced {
		if r.collect(gone, desc) != nil {
			return nil
		}
	}
	var kept, attached []v1.Descriptor
	for _, desc := range index.Manifests {
		if len(gone) > 0 && image.IsAttachment(desc) {
			attached = append(attached, desc)
			continue
		}
		kept = append(kept, desc)
		if len(gone) > 0 && r.collect(live, desc) != nil {
			return nil
		}
	}
	for _, desc := range attached {
		rel, err := r.relation(desc)
		if err != nil {
			return nil
		}
		set := live
		if rel.Subject != nil && gone[rel.Subject.Digest] && !live[rel.Subject.Digest] {
			set = gone
		} else {
			kept = append(kept, desc)
		}
		if r.collect(set, desc) != nil {
			return nil
		}
	}
	index.Manifests = kept
	var dead []v1.Hash
	for digest := range gone {
		if !live[digest] {
			dead = append(dead, digest)
		}
	}
	return dead
}

// content is a set of blobs and manifests.
type content map[v1.Hash]bool

// collect adds desc and all that it refers to and the layout holds.
func (r layoutReader) collect(set content, desc v1.Descriptor) error {
	if set[desc.Digest] {
		return nil
	}
	set[desc.Digest] = true
	if !desc.MediaType.IsImage() && !desc.MediaType.IsIndex() {
		return nil
	}
	data, err := r.document(desc, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var doc struct {
		Config    v1.Descriptor   `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc.Config.Digest != (v1.Hash{}) {
		set[doc.Config.Digest] = true
	}
	for _, l := range doc.Layers {
		set[l.Digest] = true
	}
	for _, m := range doc.Manifests {
		if err := r.collect(set, m); err != nil {
			return err
		}
	}
	return nil
}
