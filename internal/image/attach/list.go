package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// List returns what is attached to the image that s's reference names: to its
// index first, then to each manifest in the index's order. v says whose
// signatures are trusted. Ref of the attachments is left to the caller.
func List(ctx context.Context, s store.Store, v *Verifier) ([]api.Attachment, error) {
	targets, err := targets(ctx, s)
	if err != nil {
		return nil, err
	}
	return list(ctx, targets, &reader{store: s, verifier: v})
}

func list(ctx context.Context, targets []target, r *reader) ([]api.Attachment, error) {
	all := []api.Attachment{}
	for _, t := range targets {
		entries, err := r.of(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			all = append(all, e.Attachment)
		}
	}
	return all, nil
}

// Verify returns the signatures of the image that s's reference names, as List
// does all attachments, and in unsigned what says no: the index or a manifest
// that no trusted key has signed. The image is verified when unsigned is empty
// and err nil.
func Verify(ctx context.Context, s store.Store, v *Verifier) (signatures []api.Attachment, unsigned []error, err error) {
	if v == nil || len(v.keys) == 0 {
		return nil, nil, &fault.Error{Code: fault.Usage, Op: "verify",
			Err: errors.New("no trusted key is given"), Hint: "give the file of a public key with --key, or list it in .gopherwood.yaml under trust.keys"}
	}
	targets, err := targets(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	signatures, err = list(ctx, targets, &reader{store: s, verifier: v, wanted: api.PredicateSignature})
	if err != nil {
		return nil, nil, err
	}
	signatures = slices.DeleteFunc(signatures, func(a api.Attachment) bool {
		return a.Problem == "" && a.PredicateType != api.PredicateSignature
	})
	for _, t := range targets {
		if !slices.ContainsFunc(signatures, func(a api.Attachment) bool {
			return a.Verified && a.Subject == t.digest.String()
		}) {
			unsigned = append(unsigned, unsignedError(s, t, signatures))
		}
	}
	return signatures, unsigned, nil
}

// unsignedError says that t has no signature that counts.
func unsignedError(s store.Store, t target, signatures []api.Attachment) error {
	what := "it"
	if t.platform != nil {
		what = "the image for " + t.platform.String()
	}
	reason := what + " has no signature"
	for _, a := range signatures {
		switch {
		case a.Subject != t.digest.String():
		case a.Problem != "":
			reason = fmt.Sprintf("the signature of %s does not count: %s", what, a.Problem)
		default:
			reason = fmt.Sprintf("no trusted key made a signature of %s", what)
		}
	}
	return &fault.Error{Code: fault.Invalid, Op: "verify", Input: s.Ref(t.digest), Err: errors.New(reason),
		Hint: "build it with --key, or sign it with cosign sign --key"}
}

// Facts returns the facts that are attached to the manifest digest, those that a
// trusted key signed before others; ok is false when there are none that count.
func Facts(ctx context.Context, s store.Store, v *Verifier, digest v1.Hash) (facts []api.Facts, from api.Attachment, ok bool, err error) {
	found, from, ok, err := find(ctx, s, v, digest, api.PredicateFacts, func(l api.FactsList) bool {
		return l.SchemaVersion == api.SchemaVersion && l.Kind == api.KindFactsList
	})
	return found.Items, from, ok, err
}

// BuildFacts returns the build facts that are attached to the manifest digest, as
// Facts does facts.
func BuildFacts(ctx context.Context, s store.Store, v *Verifier, digest v1.Hash) (facts api.BuildFacts, from api.Attachment, ok bool, err error) {
	return find(ctx, s, v, digest, api.PredicateBuildFacts, func(f api.BuildFacts) bool {
		return f.SchemaVersion == api.SchemaVersion && f.Kind == api.KindBuildFacts
	})
}

// find returns the first predicate of a type that is attached to digest and
// acceptable.
func find[T any](ctx context.Context, s store.Store, v *Verifier, digest v1.Hash, predicateType string, acceptable func(T) bool) (T, api.Attachment, bool, error) {
	var none T
	entries, err := (&reader{store: s, verifier: v, wanted: predicateType}).of(ctx, target{digest: digest})
	if err != nil {
		return none, api.Attachment{}, false, err
	}
	for _, verified := range []bool{true, false} {
		for _, e := range entries {
			if e.Problem != "" || e.Verified != verified || e.PredicateType != predicateType {
				continue
			}
			var predicate T
			if json.Unmarshal(e.statement.Predicate, &predicate) == nil && acceptable(predicate) {
				return predicate, e.Attachment, true, nil
			}
		}
	}
	return none, api.Attachment{}, false, nil
}

// targets returns the index and the manifests that s's reference names.
func targets(ctx context.Context, s store.Store) ([]target, error) {
	item, desc, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	out := []target{{digest: desc.Digest}}
	switch item := item.(type) {
	case v1.ImageIndex:
		index, err := item.IndexManifest()
		if err != nil {
			return nil, indexError(s, desc.Digest, err)
		}
		if len(index.Manifests) > maxImages {
			return nil, indexError(s, desc.Digest, fmt.Errorf("it names %d manifests, more than the limit of %d", len(index.Manifests), maxImages))
		}
		for _, m := range index.Manifests {
			t := target{digest: m.Digest}
			if m.Platform != nil {
				p := image.Platform(*m.Platform)
				t.platform = &p
			}
			out = append(out, t)
		}
	case v1.Image:
		config, err := item.ConfigFile()
		if err != nil {
			return nil, indexError(s, desc.Digest, err)
		}
		p := image.Platform(v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant})
		out[0].platform = &p
	}
	return out, nil
}

func indexError(s store.Store, digest v1.Hash, err error) error {
	return &fault.Error{Code: fault.Invalid, Op: "read", Input: s.Ref(digest), Err: err}
}
