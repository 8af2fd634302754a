package image

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// registry is a repository of a registry that speaks the OCI distribution API,
// with its mirrors. It connects when it is first asked for something.
type registry struct {
	ref name.Reference
	// places serve the repository, its own registry last.
	places []*endpoint
	// cached is true when content is kept by digest, so that it pays to ask for
	// a tag's digest before its manifest.
	cached bool
	done   func()
}

func newRegistry(ref string, opt Options, cached bool) (*registry, error) {
	parsed, err := parseName(ref, opt)
	if err != nil {
		return nil, err
	}
	base, done := opt.transport()
	places, err := endpoints(parsed.Context(), opt, base)
	if err != nil {
		done()
		return nil, err
	}
	return &registry{ref: parsed, places: places, cached: cached, done: done}, nil
}

// parseName is ParseName for who knows some registries that speak HTTP.
func parseName(ref string, opt Options) (name.Reference, error) {
	parsed, err := ParseName(ref, opt.PlainHTTP)
	if err == nil && slices.Contains(opt.PlainHTTPHosts, parsed.Context().RegistryStr()) {
		return ParseName(ref, true)
	}
	return parsed, err
}

// transport returns what requests are sent with, and what ends its use.
func (o Options) transport() (base http.RoundTripper, done func()) {
	if o.Transport != nil {
		return o.Transport, func() {}
	}
	base = transport.New(o.Timeouts)
	return base, func() {
		if t, ok := base.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

func (r *registry) close() { r.done() }

// manifestTypes are the documents that are understood, and schema 1, so that it
// can be named in the error.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed),
}, ", ")

// request sends a request about a manifest or blob to the mirrors and, when none
// of them can answer, to the registry; the answer has status 200.
func (r *registry) request(ctx context.Context, method, kind, id string) (resp *http.Response, err error) {
	for _, e := range r.places {
		if e.wrong.Load() {
			continue
		}
		if resp, err = e.request(ctx, method, kind, id); err == nil || ctx.Err() != nil {
			return resp, err
		}
	}
	return nil, err
}

// The parts of a repository's URL space.
const (
	kindManifests = "manifests"
	kindBlobs     = "blobs"
)

func (r *registry) manifest(ctx context.Context, digest v1.Hash) (io.ReadCloser, error) {
	return r.open(ctx, kindManifests, digest)
}

func (r *registry) blob(ctx context.Context, digest v1.Hash) (io.ReadCloser, error) {
	return r.open(ctx, kindBlobs, digest)
}

func (r *registry) open(ctx context.Context, kind string, digest v1.Hash) (io.ReadCloser, error) {
	resp, err := r.request(ctx, http.MethodGet, kind, digest.String())
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// heads implements store. A reference by digest costs no request.
func (r *registry) heads(ctx context.Context) ([]head, error) {
	if ref, ok := r.ref.(name.Digest); ok {
		digest, err := v1.NewHash(ref.DigestStr())
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Err: err}
		}
		return []head{{desc: v1.Descriptor{Digest: digest, Size: -1}}}, nil
	}
	if r.cached {
		if digest, ok := r.ask(ctx); ok {
			return []head{{desc: v1.Descriptor{Digest: digest, Size: -1}}}, nil
		}
	}
	h, err := r.fetchTag(ctx)
	if err != nil {
		return nil, err
	}
	return []head{h}, nil
}

// ask returns the digest that the tag stands for. Not every registry says it,
// and an error shows again when the manifest itself is asked for.
func (r *registry) ask(ctx context.Context) (v1.Hash, bool) {
	resp, err := r.request(ctx, http.MethodHead, kindManifests, r.ref.Identifier())
	if err != nil {
		return v1.Hash{}, false
	}
	_ = resp.Body.Close()
	digest, err := v1.NewHash(resp.Header.Get(digestHeader))
	return digest, err == nil
}

const digestHeader = "Docker-Content-Digest"

// fetchTag reads the manifest of the tag, from a mirror only what is a manifest.
func (r *registry) fetchTag(ctx context.Context) (head, error) {
	for {
		resp, err := r.request(ctx, http.MethodGet, kindManifests, r.ref.Identifier())
		if err != nil {
			return head{}, err
		}
		h, err := readTag(resp)
		_ = resp.Body.Close()
		broken := err
		if broken == nil {
			_, broken = parseDocument(h.raw)
		}
		if broken == nil || ctx.Err() != nil || !distrust(resp.Body) {
			return h, err
		}
	}
}

// readTag reads the manifest that resp holds.
func readTag(resp *http.Response) (head, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return head{}, err
	}
	if len(data) > maxManifest {
		return head{}, tooLong(maxManifest)
	}
	digest, err := digestOf("sha256", data)
	if err != nil {
		return head{}, err
	}
	said, err := v1.NewHash(resp.Header.Get(digestHeader))
	if err == nil && said.Algorithm == digest.Algorithm && said != digest &&
		types.MediaType(resp.Header.Get("Content-Type")) != types.DockerManifestSchema1Signed {
		return head{}, mismatch("manifest", digest, said)
	}
	return head{desc: v1.Descriptor{Digest: digest, Size: int64(len(data))}, raw: data}, nil
}
