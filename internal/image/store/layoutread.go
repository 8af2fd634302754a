package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Get implements Store.
func (l *layout) Get(context.Context) (partial.WithRawManifest, v1.Descriptor, error) {
	source, desc, err := l.get()
	return source, desc, fail("read", l.name(), err)
}

func (l *layout) get() (partial.WithRawManifest, v1.Descriptor, error) {
	desc, err := l.head()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	return layoutReader{l.dir}.open(desc)
}

// head returns the descriptor of what the reference names. That of a digest has
// an unknown size.
func (l *layout) head() (v1.Descriptor, error) {
	if digest, ok := strings.CutPrefix(l.selector, "@"); ok {
		hash, err := v1.NewHash(digest)
		if err != nil {
			return v1.Descriptor{}, &fault.Error{Code: fault.Usage, Err: err}
		}
		return v1.Descriptor{Digest: hash, Size: -1}, nil
	}
	index, err := l.index()
	if err != nil {
		return v1.Descriptor{}, err
	}
	found, err := image.Select(index.Manifests, l.selector)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if len(found) > 1 {
		return v1.Descriptor{}, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("it holds %d images", len(found)),
			Hint: "add the tag: " + image.LayoutScheme + l.dir + ":TAG"}
	}
	return found[0], nil
}

// index reads index.json of a layout that exists.
func (l *layout) index() (*v1.IndexManifest, error) {
	_, err := os.Stat(filepath.Join(l.dir, layoutIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Code: fault.NotFound, Err: errors.New("it is no OCI layout: it has no " + layoutIndex)}
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readLayoutIndex(root)
}

// Image implements Store.
func (l *layout) Image(_ context.Context, digest v1.Hash) (v1.Image, error) {
	img, err := layoutReader{l.dir}.image(digest)
	return img, fail("read", l.Ref(digest), err)
}

// Referrers implements Store.
func (l *layout) Referrers(_ context.Context, digest v1.Hash) ([]v1.Descriptor, error) {
	index, err := l.index()
	if err != nil {
		return nil, fail("list referrers of", l.Ref(digest), err)
	}
	var found []v1.Descriptor
	for _, desc := range index.Manifests {
		if !image.IsAttachment(desc) {
			continue
		}
		rel, err := layoutReader{l.dir}.relation(desc)
		if err != nil {
			return nil, fail("list referrers of", l.Ref(digest), err)
		}
		if rel.Subject != nil && rel.Subject.Digest == digest {
			rel.complete(&desc)
			found = append(found, desc)
		}
	}
	return found, nil
}

// layoutReader reads the content of the layout in a directory, verified.
type layoutReader struct{ dir string }

// maxConfig is the longest configuration that is read, in bytes.
const maxConfig = 16 << 20

func (r layoutReader) blob(digest v1.Hash) (*os.File, error) {
	return os.OpenInRoot(r.dir, filepath.FromSlash(image.BlobName(digest)))
}

func (r layoutReader) document(desc v1.Descriptor, limit int64) ([]byte, error) {
	f, err := r.blob(desc.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return image.ReadDocument(f, desc, limit)
}

func (r layoutReader) relation(desc v1.Descriptor) (*relation, error) {
	data, err := r.document(desc, maxManifest)
	if err != nil {
		return nil, fail("manifest", desc.Digest.String(), err)
	}
	return readRelation(data, desc)
}

// typeOf returns the media type of a manifest or an index, which may leave it out.
func typeOf(raw []byte) (types.MediaType, error) {
	var doc struct {
		MediaType types.MediaType `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", &fault.Error{Code: fault.Invalid, Err: err}
	}
	switch {
	case doc.MediaType.IsIndex(), doc.MediaType.IsImage():
		return doc.MediaType, nil
	case doc.MediaType != "":
		return "", &fault.Error{Code: fault.Unsupported, Err: fmt.Errorf("type %q is no image", doc.MediaType)}
	case doc.Manifests != nil:
		return types.OCIImageIndex, nil
	}
	return types.OCIManifestSchema1, nil
}

// open returns the image or index that desc describes, whose size and type may
// be unknown, with what is known of it then.
func (r layoutReader) open(desc v1.Descriptor) (partial.WithRawManifest, v1.Descriptor, error) {
	raw, err := r.document(desc, maxManifest)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	desc.Size = int64(len(raw))
	if desc.MediaType, err = typeOf(raw); err != nil {
		return nil, v1.Descriptor{}, err
	}
	if desc.MediaType.IsIndex() {
		return &layoutTree{reader: r, raw: raw, desc: desc}, desc, nil
	}
	core := &layoutImage{reader: r, raw: raw, mediaType: desc.MediaType}
	if err := json.Unmarshal(raw, &core.manifest); err != nil {
		return nil, v1.Descriptor{}, &fault.Error{Code: fault.Invalid, Err: err}
	}
	img, err := partial.CompressedToImage(core)
	return img, desc, err
}

// image returns the image with the digest.
func (r layoutReader) image(digest v1.Hash) (v1.Image, error) {
	source, desc, err := r.open(v1.Descriptor{Digest: digest, Size: -1})
	if err != nil {
		return nil, err
	}
	img, ok := source.(v1.Image)
	if !ok {
		return nil, unexpected(digest, desc.MediaType, "an image")
	}
	return img, nil
}

// layoutImage is the core of an image; the library makes the rest.
type layoutImage struct {
	reader    layoutReader
	raw       []byte
	mediaType types.MediaType
	manifest  v1.Manifest
}

func (i *layoutImage) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *layoutImage) MediaType() (types.MediaType, error) { return i.mediaType, nil }
func (i *layoutImage) RawConfigFile() ([]byte, error) {
	return i.reader.document(i.manifest.Config, maxConfig)
}

func (i *layoutImage) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	for _, desc := range append(slices.Clone(i.manifest.Layers), i.manifest.Config) {
		if desc.Digest == digest {
			return &layoutLayer{reader: i.reader, desc: desc}, nil
		}
	}
	return nil, &fault.Error{Code: fault.NotFound, Op: "layer", Input: digest.String(), Err: errors.New("the manifest does not have it")}
}

type layoutLayer struct {
	reader layoutReader
	desc   v1.Descriptor
}

func (l *layoutLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *layoutLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layoutLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Compressed returns the content, with an error in the place of its end when it
// is not what the descriptor says.
func (l *layoutLayer) Compressed() (io.ReadCloser, error) {
	f, err := l.reader.blob(l.desc.Digest)
	if err != nil {
		return nil, err
	}
	verified, err := image.Verify(f, l.desc, progress.Discard)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{verified, f}, nil
}

// layoutTree is an index of a layout.
type layoutTree struct {
	reader layoutReader
	raw    []byte
	desc   v1.Descriptor
}

func (t *layoutTree) RawManifest() ([]byte, error)        { return t.raw, nil }
func (t *layoutTree) MediaType() (types.MediaType, error) { return t.desc.MediaType, nil }
func (t *layoutTree) Digest() (v1.Hash, error)            { return t.desc.Digest, nil }
func (t *layoutTree) Size() (int64, error)                { return t.desc.Size, nil }

func (t *layoutTree) IndexManifest() (*v1.IndexManifest, error) {
	var m v1.IndexManifest
	if err := json.Unmarshal(t.raw, &m); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: err}
	}
	return &m, nil
}

func (t *layoutTree) Image(digest v1.Hash) (v1.Image, error) {
	return t.reader.image(digest)
}

func (t *layoutTree) ImageIndex(digest v1.Hash) (v1.ImageIndex, error) {
	source, desc, err := t.reader.open(v1.Descriptor{Digest: digest, Size: -1})
	if err != nil {
		return nil, err
	}
	index, ok := source.(v1.ImageIndex)
	if !ok {
		return nil, unexpected(digest, desc.MediaType, "an index")
	}
	return index, nil
}
