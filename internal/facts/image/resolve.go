package image

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Resolved is what a reference stands for.
type Resolved struct {
	// Digest is that of the manifest or index which the reference names.
	Digest string
	// Platforms are the images of the index, or the one image, in their order.
	Platforms []PlatformManifest
}

// PlatformManifest is the manifest of an image for one platform.
type PlatformManifest struct {
	Platform api.Platform
	Digest   string
}

// Resolve reads manifests, and of a single image the configuration, but no
// layers. ref names one image or index in a registry or a layout, and the
// platforms of opt are not looked at. Errors are those of Open.
func Resolve(ctx context.Context, ref string, opt Options) (Resolved, error) {
	opt = opt.withDefaults()
	opt.Platforms = nil
	r := &reader{ref: ref, opt: opt, layers: newLayerReader(opt)}
	src, err := openSource(ctx, ref, opt, r.layers)
	if err != nil {
		return Resolved{}, r.fail("", err)
	}
	defer src.close()
	oci, ok := src.(*ociSource)
	if !ok {
		return Resolved{}, r.fail("", &fault.Error{Code: fault.Unsupported, Err: errors.New("images of a docker archive have no manifest")})
	}
	resolved, err := oci.resolve(ctx)
	if err != nil {
		return Resolved{}, r.fail("", err)
	}
	return resolved, nil
}

func (s *ociSource) resolve(ctx context.Context) (Resolved, error) {
	heads, err := s.store.heads(ctx)
	if err != nil {
		return Resolved{}, err
	}
	if len(heads) != 1 {
		return Resolved{}, &fault.Error{Code: fault.Usage, Err: errors.New("it does not name one image"), Hint: "add the tag"}
	}
	out := Resolved{Digest: heads[0].desc.Digest.String()}
	found, _, err := s.expandAll(ctx, heads)
	if err != nil {
		return Resolved{}, err
	}
	var broken error
	for _, c := range found {
		platform, err := s.platform(ctx, c)
		if err != nil {
			broken = err // the others go on
			continue
		}
		out.Platforms = append(out.Platforms, PlatformManifest{platform, c.desc.Digest.String()})
	}
	if len(out.Platforms) == 0 && broken == nil {
		broken = s.opt.noPlatform(nil)
	}
	if len(out.Platforms) == 0 {
		return Resolved{}, broken
	}
	return out, nil
}

// platform returns what the index claims of c, or else its configuration.
func (s *ociSource) platform(ctx context.Context, c candidate) (api.Platform, error) {
	if c.err != nil {
		return api.Platform{}, c.err
	}
	if c.platform != nil {
		return *c.platform, nil
	}
	p, err := s.parts(ctx, c)
	if err != nil {
		return api.Platform{}, err
	}
	return configPlatform(p.config), nil
}

// Digest asks a registry which digest ref has, or whether it has the manifest
// that ref names by digest: with one HEAD request, where the registry answers it.
// Nothing that is cached is believed. Errors are those of Open.
func Digest(ctx context.Context, ref string, opt Options) (string, error) {
	opt = opt.withDefaults()
	r := &reader{ref: ref, opt: opt}
	reg, err := newRegistry(ref, opt, true)
	if err != nil {
		return "", r.fail("", err)
	}
	defer reg.close()
	digest, err := reg.digest(ctx)
	if err != nil {
		return "", r.fail("", err)
	}
	return digest.String(), nil
}

func (r *registry) digest(ctx context.Context) (v1.Hash, error) {
	asked, byDigest := r.ref.(name.Digest)
	resp, err := r.request(ctx, http.MethodHead, kindManifests, r.ref.Identifier())
	// A method that is not allowed, like other answers that say nothing about the
	// manifest, counts as Invalid.
	if err != nil && fault.CodeOf(err) != fault.Invalid {
		return v1.Hash{}, err
	}
	if err == nil {
		_ = resp.Body.Close()
		if byDigest {
			return v1.NewHash(asked.DigestStr())
		}
		if digest, err := v1.NewHash(resp.Header.Get(digestHeader)); err == nil {
			return digest, nil
		}
	}
	h, err := r.fetchTag(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	if byDigest && h.desc.Digest.String() != asked.DigestStr() {
		want, _ := v1.NewHash(asked.DigestStr())
		return v1.Hash{}, mismatch("manifest", h.desc.Digest, want)
	}
	return h.desc.Digest, nil
}

// Wants reports whether images of platform p are asked for by platforms, of which
// one without a Level stands for all levels, and none for every platform.
func Wants(platforms []api.Platform, p api.Platform) bool {
	return Options{Platforms: platforms}.wanted(p)
}

// Name is the name of an image in a registry, in parts.
type Name struct {
	// Repository is "host[:port]/path", as keychains know it.
	Repository string
	// Tag is empty when there is a Digest.
	Tag, Digest string
}

// SplitName reads a name as containers give it: "nginx" is the tag latest of
// docker.io/library/nginx. A tag before a digest is left out.
func SplitName(ref string) (Name, error) {
	parsed, err := ParseName(ref, false)
	if err != nil {
		return Name{}, err
	}
	n := Name{Repository: RepositoryName(parsed.Context())}
	switch parsed := parsed.(type) {
	case name.Digest:
		n.Digest = parsed.DigestStr()
	case name.Tag:
		n.Tag = parsed.TagStr()
	}
	return n, nil
}

// Served returns the repositories that are asked for repository ("host/path"):
// those of its mirrors, by the names that they have there, and itself.
func Served(repository string, opt Options) ([]string, error) {
	parsed, err := parseName(repository, opt)
	if err != nil {
		return nil, err
	}
	places, err := endpoints(parsed.Context(), opt, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range places {
		names = append(names, RepositoryName(e.repo))
	}
	return names, nil
}
