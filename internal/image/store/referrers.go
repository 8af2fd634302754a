package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The bounds of a list of referrers: bytes of a page or of a manifest, pages,
// entries.
const (
	maxManifest  = 4 << 20
	maxPages     = 100
	maxReferrers = 10_000
)

// emptyConfig is the type of a configuration that says nothing.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// Referrers implements Store.
func (r *registry) Referrers(ctx context.Context, digest v1.Hash) ([]v1.Descriptor, error) {
	ref := r.repo.Digest(digest.String())
	from, err := r.reading(ctx)
	if err != nil {
		return nil, r.explain("list referrers of", ref, err)
	}
	found, native, err := r.nativeList(ctx, from, digest)
	if err == nil && !native {
		found, err = r.fallbackList(ctx, from, digest)
	}
	if err == nil {
		found, err = r.describe(ctx, from, found)
	}
	return found, r.explain("list referrers of", ref, err)
}

// describe returns the descriptors completed, without those whose manifest is gone.
func (r *registry) describe(ctx context.Context, from *login, list []v1.Descriptor) ([]v1.Descriptor, error) {
	var there []v1.Descriptor
	for _, desc := range list {
		err := r.complete(ctx, from, &desc)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there = append(there, desc)
	}
	return there, nil
}

func isNotFound(err error) bool {
	var answer *distribution.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// complete fills in what some registries leave out of their lists or give the
// configuration's type for: the manifest itself says it.
func (r *registry) complete(ctx context.Context, from *login, desc *v1.Descriptor) error {
	artifact := types.MediaType(desc.ArtifactType)
	if artifact != "" && artifact != emptyConfig && !artifact.IsConfig() {
		return nil
	}
	data, err := r.manifest(ctx, from, "manifests/"+desc.Digest.String(), desc.MediaType)
	if err != nil {
		return err
	}
	rel, err := readRelation(data, *desc)
	if err != nil {
		return err
	}
	rel.complete(desc)
	return nil
}

// manifest reads a document of the repository.
func (r *registry) manifest(ctx context.Context, from *login, path string, accept types.MediaType) ([]byte, error) {
	resp, err := r.request(ctx, from, http.MethodGet, path, accept, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		return nil, err
	}
	return readBounded(resp.Body)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the document is longer than %d bytes", maxManifest)}
	}
	return data, err
}

// nativeList asks the referrers API of the OCI distribution specification 1.1.
// native is false when the registry does not have it.
func (r *registry) nativeList(ctx context.Context, from *login, digest v1.Hash) (found []v1.Descriptor, native bool, err error) {
	path := "referrers/" + digest.String()
	for range maxPages {
		resp, err := r.request(ctx, from, http.MethodGet, path, types.OCIImageIndex, nil)
		if err != nil {
			return nil, false, err
		}
		page, native, err := readPage(resp)
		_ = resp.Body.Close()
		if err != nil || !native {
			return nil, false, err
		}
		if found = append(found, page...); len(found) > maxReferrers {
			break
		}
		next := nextPage(resp)
		if next == "" {
			return found, true, nil
		}
		path = "referrers/" + digest.String() + "?" + next
	}
	return nil, false, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("there are more than %d referrers or %d pages of them", maxReferrers, maxPages)}
}

// readPage reads an answer of the referrers API. Registries without it answer
// with all kinds of client errors, or with something else than an index.
func readPage(resp *http.Response) (page []v1.Descriptor, native bool, err error) {
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
	case status == http.StatusNotImplemented,
		status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests:
		return nil, false, nil
	default:
		return nil, false, distribution.CheckError(resp, http.StatusOK)
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != string(types.OCIImageIndex) {
		return nil, false, nil // an answer of something that is not this API
	}
	data, err := readBounded(resp.Body)
	if err != nil {
		return nil, false, err
	}
	page, err = image.ParseIndex(data)
	return page, true, err
}

// nextPage returns the query of the page that the Link header names (RFC 8288),
// or "".
func nextPage(resp *http.Response) string {
	for _, link := range resp.Header.Values("Link") {
		target, parameters, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
			continue
		}
		if u, err := url.Parse(target); err == nil {
			return u.RawQuery
		}
	}
	return ""
}
