package attach

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// errOtherSubject says that a statement does not count for a manifest.
var errOtherSubject = errors.New("the statement is about other digests than this one")

// reader reads the attachments of manifests.
type reader struct {
	store    store.Store
	verifier *Verifier
	// wanted narrows what is read to one predicate type; empty means all.
	wanted string
}

// readers is how many attachments are fetched at once.
const readers = 8

// target is a manifest or index that statements can be about.
type target struct {
	digest   v1.Hash
	platform *api.Platform
}

// entry is an attachment with the statement that it holds.
type entry struct {
	api.Attachment
	statement Statement
}

// of returns what is attached to t, sorted by predicate type and digest.
func (r *reader) of(ctx context.Context, t target) ([]entry, error) {
	referrers, err := r.store.Referrers(ctx, t.digest)
	if err != nil {
		return nil, err
	}
	return r.entries(ctx, t, referrers)
}

// entries reads the referrers of t. What is wrong with the content of one is its
// Problem; the error is about the store.
func (r *reader) entries(ctx context.Context, t target, referrers []v1.Descriptor) ([]entry, error) {
	if len(referrers) > maxReferrers {
		return nil, &fault.Error{Code: fault.Limit, Op: "read attachments of", Input: r.store.Ref(t.digest),
			Err: fmt.Errorf("there are %d, more than the limit of %d", len(referrers), maxReferrers), Hint: "delete those that nobody needs"}
	}
	referrers = slices.DeleteFunc(slices.Clone(referrers), r.unwanted)
	out := make([]entry, len(referrers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, desc := range referrers {
		group.Go(func() (err error) {
			out[i], err = r.entry(ctx, t, desc)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.PredicateType, b.PredicateType), cmp.Compare(a.Digest, b.Digest))
	})
	return out, nil
}

// unwanted reports whether the annotations of a referrer say that it holds
// another predicate than the one that is wanted.
func (r *reader) unwanted(desc v1.Descriptor) bool {
	says := cmp.Or(desc.Annotations[annotationBundlePredicate], desc.Annotations[annotationPredicate])
	return r.wanted != "" && says != "" && says != r.wanted
}

func (r *reader) entry(ctx context.Context, t target, desc v1.Descriptor) (entry, error) {
	e := entry{Attachment: api.Attachment{
		Subject: t.digest.String(), Platform: t.platform, Digest: desc.Digest.String(), MediaType: desc.ArtifactType,
	}}
	err := r.fill(ctx, &e, t, desc)
	switch fault.CodeOf(err) {
	case "":
	case fault.Canceled, fault.Denied, fault.Unavailable:
		return e, err
	default:
		e.Problem = err.Error()
	}
	return e, nil
}

// fill reads the attachment that desc names into e.
func (r *reader) fill(ctx context.Context, e *entry, t target, desc v1.Descriptor) error {
	layer, err := r.layer(ctx, e, t, desc)
	if err != nil || layer == nil {
		return err
	}
	data, err := content(layer)
	if err != nil {
		return err
	}
	if strings.HasPrefix(e.MediaType, bundlePrefix) {
		e.Signed = true
		sealed, err := openBundle(data)
		if err != nil {
			return err
		}
		data = sealed.payload
		e.KeyID, e.Verified = r.verifier.verify(sealed.signed(), sealed.signature)
	}
	e.Size = int64(len(data))
	statement, err := parseStatement(data)
	if err != nil {
		e.Verified = false
		return err
	}
	e.PredicateType, e.statement = statement.PredicateType, statement
	if !statement.about(t.digest) {
		e.Verified = false
		return errOtherSubject
	}
	return nil
}

// layer returns the layer with the statement and notes its media type; nil when
// the artifact holds none, and then e says what it is.
func (r *reader) layer(ctx context.Context, e *entry, t target, desc v1.Descriptor) (v1.Layer, error) {
	if desc.MediaType.IsIndex() {
		return nil, nil
	}
	img, err := r.store.Image(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the manifest cannot be read: %w", err)}
	}
	i := slices.IndexFunc(manifest.Layers, holdsStatement)
	if i < 0 {
		e.MediaType = cmp.Or(manifest.ArtifactType, string(manifest.Config.MediaType))
		return nil, nil
	}
	e.MediaType = string(manifest.Layers[i].MediaType)
	switch {
	case len(manifest.Layers) != 1:
		return nil, invalid("the artifact has %d layers, and an attachment has exactly one", len(manifest.Layers))
	case manifest.Subject == nil || manifest.Subject.Digest != t.digest:
		return nil, invalid("the artifact's manifest names another subject than this one")
	}
	return img.LayerByDigest(manifest.Layers[i].Digest)
}

func holdsStatement(layer v1.Descriptor) bool {
	media := string(layer.MediaType)
	return media == statementMedia || strings.HasPrefix(media, bundlePrefix)
}

// content reads the bytes of a layer and holds them against its digest.
func content(layer v1.Layer) ([]byte, error) {
	digest, err := layer.Digest()
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var data bytes.Buffer
	n, err := data.ReadFrom(io.LimitReader(body, maxBundle+1))
	switch {
	case err != nil:
		return nil, err
	case n > maxBundle:
		return nil, invalid("the layer has more than the limit of %d bytes", maxBundle)
	}
	if have, _, err := v1.SHA256(bytes.NewReader(data.Bytes())); err != nil || have != digest {
		return nil, invalid("the layer's content is not what its digest %s names", digest)
	}
	return data.Bytes(), nil
}

// invalid is the reason why an attachment does not count.
func invalid(format string, args ...any) error {
	return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf(format, args...)}
}
