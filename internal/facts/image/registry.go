package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// registry is a repository of a registry that speaks the OCI distribution API.
// It connects when it is first asked for something.
type registry struct {
	ref  name.Reference
	base http.RoundTripper
	// cached is true when content is kept by digest, so that it pays to ask for
	// a tag's digest before its manifest.
	cached bool

	mu     sync.Mutex
	client *http.Client
}

func newRegistry(ref string, opt Options, cached bool) (*registry, error) {
	parsed, err := ParseName(ref, opt.PlainHTTP)
	if err != nil {
		return nil, err
	}
	return &registry{ref: parsed, base: transport.New(opt.Timeouts), cached: cached}, nil
}

func (r *registry) close() {
	if t, ok := r.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// connect returns a client that has logged in with the user's credentials.
func (r *registry) connect(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	repo := r.ref.Context()
	authenticated, err := Connect(ctx, repo, r.base, repo.Scope(distribution.PullScope))
	if err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: authenticated, CheckRedirect: transport.CheckRedirect}
	return r.client, nil
}

// manifestTypes are the documents that are understood, and schema 1, so that it
// can be named in the error.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed),
}, ", ")

// request sends a request about a manifest or blob; the answer has status 200.
func (r *registry) request(ctx context.Context, method, kind, id string) (*http.Response, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, RegistryError(r.ref.Context(), err)
	}
	repo := r.ref.Context()
	u := url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s/%s", repo.RepositoryStr(), kind, id)}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if kind == kindManifests {
		req.Header.Set("Accept", manifestTypes)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, RegistryError(r.ref.Context(), err)
	}
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		_ = resp.Body.Close()
		return nil, RegistryError(r.ref.Context(), err)
	}
	return resp, nil
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

// fetchTag reads the manifest of the tag.
func (r *registry) fetchTag(ctx context.Context) (head, error) {
	resp, err := r.request(ctx, http.MethodGet, kindManifests, r.ref.Identifier())
	if err != nil {
		return head{}, err
	}
	defer resp.Body.Close()
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
