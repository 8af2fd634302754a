package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// store holds the documents and blobs of OCI images by digest.
type store interface {
	// heads lists the manifests and indexes that the reference names.
	heads(ctx context.Context) ([]head, error)
	// manifest and blob open content, which is not verified yet. A store that
	// may lack what it refers to returns errMissing for it.
	manifest(ctx context.Context, digest v1.Hash) (io.ReadCloser, error)
	blob(ctx context.Context, digest v1.Hash) (io.ReadCloser, error)
	close()
}

// head is where an image or index starts.
type head struct {
	// name is the tag, if the reference does not say it.
	name string
	// desc may have an unknown (negative) Size.
	desc v1.Descriptor
	// raw is the manifest if it was read already.
	raw []byte
}

// The bounds of an index.
const (
	maxDepth     = 4
	maxManifests = 1000
	maxLayers    = 1000
)

// ociSource reads images of the OCI and Docker (schema 2) formats.
type ociSource struct {
	store  store
	opt    Options
	layers *layerReader
	// documents are the manifests and configurations read so far.
	documents map[v1.Hash][]byte
}

func newOCISource(s store, opt Options, layers *layerReader) *ociSource {
	return &ociSource{store: s, opt: opt, layers: layers, documents: map[v1.Hash][]byte{}}
}

func (s *ociSource) close() { s.store.close() }

// candidates implements source.
func (s *ociSource) candidates(ctx context.Context) ([]candidate, []api.Platform, error) {
	heads, err := s.store.heads(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.expandAll(ctx, heads)
}

// expandAll returns the images of the heads, but those of other platforms.
func (s *ociSource) expandAll(ctx context.Context, heads []head) ([]candidate, []api.Platform, error) {
	e := expansion{source: s, done: map[v1.Hash]bool{}}
	for _, h := range heads {
		if h.raw != nil {
			s.documents[h.desc.Digest] = h.raw
		}
		if err := e.expand(ctx, candidate{name: h.name, desc: h.desc}, nil); err != nil {
			return nil, nil, err
		}
	}
	return e.found, e.other, nil
}

// expansion collects the images below indexes.
type expansion struct {
	source *ociSource
	found  []candidate
	other  []api.Platform
	// done holds what was met, which counts once.
	done map[v1.Hash]bool
}

// expand adds c, or all that c lists when it is an index. above are the digests
// of the indexes that lead to it.
func (e *expansion) expand(ctx context.Context, c candidate, above []v1.Hash) error {
	for _, digest := range above {
		if digest == c.desc.Digest {
			return &fault.Error{Code: fault.Invalid, Op: "index", Input: digest.String(), Err: errors.New("the index contains itself")}
		}
	}
	if e.done[c.desc.Digest] {
		return nil
	}
	if len(e.done) >= maxManifests {
		return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the index lists more than %d manifests", maxManifests)}
	}
	if c.platform != nil && !c.desc.MediaType.IsIndex() {
		e.done[c.desc.Digest] = true
		e.add(c)
		return nil
	}
	doc, err := e.source.manifest(ctx, c.desc)
	if errors.Is(err, errMissing) && len(above) > 0 {
		return nil // an archive holds only the platforms that were pulled
	}
	if err != nil {
		return err
	}
	if !doc.isIndex() {
		e.done[c.desc.Digest] = true
		e.add(c)
		return nil
	}
	if len(above) >= maxDepth {
		return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("indexes are nested more than %d deep", maxDepth)}
	}
	above = append(above, c.desc.Digest)
	for _, desc := range doc.Manifests {
		if IsAttachment(desc) {
			continue
		}
		child := candidate{name: c.name, desc: desc, platform: c.platform}
		if desc.Platform != nil {
			p := Platform(*desc.Platform)
			child.platform = &p
		}
		err := e.expand(ctx, child, above)
		if code := fault.CodeOf(err); code == fault.Limit || code == fault.Canceled {
			return err
		}
		if err != nil {
			child.err = err // the others go on
			e.found = append(e.found, child)
		}
	}
	e.done[c.desc.Digest] = true
	return nil
}

// add takes the image, or notes its platform when that is not wanted.
func (e *expansion) add(c candidate) {
	if c.platform != nil && !e.source.opt.wanted(*c.platform) {
		e.other = append(e.other, *c.platform)
		return
	}
	e.found = append(e.found, c)
}

// IsAttachment reports whether an index lists desc not as an image but as
// something about one: an attestation or a signature.
func IsAttachment(desc v1.Descriptor) bool {
	artifact := types.MediaType(desc.ArtifactType)
	return desc.Annotations["vnd.docker.reference.type"] != "" ||
		artifact != "" && !artifact.IsConfig() ||
		desc.Platform != nil && desc.Platform.OS == "unknown"
}

// document is a manifest or an index.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Manifests     []v1.Descriptor `json:"manifests"`
}

func (d *document) isIndex() bool { return d.Config == nil }

// parseDocument reads a manifest or an index. One that could be taken for either
// is refused: two readers might see two images in it.
func parseDocument(data []byte) (*document, error) {
	if err := checkValues(data); err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the manifest is no valid JSON: %w", err)}
	}
	image, index := d.Config != nil || d.Layers != nil, d.Manifests != nil
	switch {
	case d.SchemaVersion == 1:
		return nil, &fault.Error{Code: fault.Unsupported, Err: errors.New("the manifest has Docker's schema 1, which has been retired"),
			Hint: "push the image again with a current tool"}
	case d.SchemaVersion != 2:
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the manifest has schemaVersion %d, not 2", d.SchemaVersion)}
	case image == index, image && d.Config == nil,
		d.MediaType.IsIndex() && image, d.MediaType.IsImage() && index:
		return nil, &fault.Error{Code: fault.Invalid, Err: errors.New("the document is neither clearly an image manifest nor clearly an index")}
	case len(d.Layers) > maxLayers:
		return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the image has more than %d layers", maxLayers)}
	}
	return &d, nil
}

// manifest reads a manifest or an index.
func (s *ociSource) manifest(ctx context.Context, desc v1.Descriptor) (*document, error) {
	data, err := s.document(ctx, desc, maxManifest, s.store.manifest)
	if err == nil {
		var d *document
		if d, err = parseDocument(data); err == nil {
			return d, nil
		}
	}
	return nil, &fault.Error{Code: codeOf(err), Op: "manifest", Input: desc.Digest.String(), Err: err}
}

// document returns a verified document from memory, the cache or the store.
func (s *ociSource) document(ctx context.Context, desc v1.Descriptor, limit int64,
	open func(context.Context, v1.Hash) (io.ReadCloser, error)) ([]byte, error) {
	if data, ok := s.documents[desc.Digest]; ok {
		return data, nil
	}
	key := cacheKey("document", desc.Digest.String())
	data, ok := s.layers.cache.Get(key)
	if !ok {
		var err error
		if data, err = download(ctx, desc, limit, open); err != nil {
			return nil, err
		}
		s.layers.cache.Put(key, data)
	}
	s.documents[desc.Digest] = data
	return data, nil
}

// download reads a document, from another place when a mirror served another.
func download(ctx context.Context, desc v1.Descriptor, limit int64,
	open func(context.Context, v1.Hash) (io.ReadCloser, error)) ([]byte, error) {
	for {
		body, err := open(ctx, desc.Digest)
		if err != nil {
			return nil, err
		}
		data, err := ReadDocument(body, desc, limit)
		_ = body.Close()
		if err == nil || ctx.Err() != nil || !distrust(body) {
			return data, err
		}
	}
}

// parts implements source.
func (s *ociSource) parts(ctx context.Context, c candidate) (*parts, error) {
	m, err := s.manifest(ctx, c.desc)
	if err != nil {
		return nil, err
	}
	if m.isIndex() {
		return nil, &fault.Error{Code: fault.Invalid, Op: "manifest", Input: c.desc.Digest.String(),
			Err: errors.New("the index lists it as an image, but it is an index")}
	}
	config, err := s.config(ctx, *m.Config)
	if err != nil {
		return nil, &fault.Error{Code: codeOf(err), Op: "configuration", Input: m.Config.Digest.String(), Err: err}
	}
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the manifest has %d layers, the configuration %d",
			len(m.Layers), len(config.RootFS.DiffIDs))}
	}
	p := &parts{manifest: c.desc.Digest, config: config, configID: m.Config.Digest}
	for i, desc := range m.Layers {
		if desc.Size < 0 || desc.Digest == (v1.Hash{}) {
			return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("layer %d has no digest or a negative size", i)}
		}
		p.layers = append(p.layers, layerRef{
			desc:   desc,
			diffID: config.RootFS.DiffIDs[i],
			open: func(ctx context.Context) (io.ReadCloser, error) {
				return s.store.blob(ctx, desc.Digest)
			},
		})
	}
	return p, nil
}

func (s *ociSource) config(ctx context.Context, desc v1.Descriptor) (*v1.ConfigFile, error) {
	if !desc.MediaType.IsConfig() {
		return nil, &fault.Error{Code: fault.Unsupported, Err: fmt.Errorf("media type %q: not a container image", desc.MediaType)}
	}
	data, err := s.document(ctx, desc, maxConfig, s.store.blob)
	if err != nil {
		return nil, err
	}
	return parseConfig(data)
}

func parseConfig(data []byte) (*v1.ConfigFile, error) {
	if err := checkValues(data); err != nil {
		return nil, err
	}
	var c v1.ConfigFile
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("it is no valid JSON: %w", err)}
	}
	return &c, nil
}

// maxValues is the most values in a document: short ones, such as {}, take far
// more memory than they have bytes.
const maxValues = 100_000

// checkValues refuses JSON with too many values.
func checkValues(data []byte) error {
	values, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	if values > maxValues {
		return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the document has more than %d values", maxValues)}
	}
	return nil
}

// errNoTag says which tags there are.
func errNoTag(selector string, tags []string) error {
	return &fault.Error{Code: fault.NotFound, Err: fmt.Errorf("there is no image %q", selector),
		Hint: "it has " + strings.Join(tags, ", ")}
}
