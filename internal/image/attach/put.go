package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Put attaches statements to the subject, a manifest or index that s holds.
// With a signer each of them is signed, and the subject too, as cosign does it.
// What is attached already is not attached again; two statements of provenance
// that differ in nothing but the time of the build are the same for that.
func Put(ctx context.Context, s store.Store, subject v1.Descriptor, statements []Statement, signer *Signer) error {
	if signer != nil {
		statements = append(slices.Clip(statements), signature(subject.Digest, createdOf(statements)))
	}
	if len(statements) == 0 {
		return nil
	}
	present, err := s.Referrers(ctx, subject.Digest)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, statement := range statements {
		group.Go(func() error { return put(ctx, s, subject, present, statement, signer) })
	}
	return group.Wait()
}

// put attaches one statement unless it is among the referrers that are present.
func put(ctx context.Context, s store.Store, subject v1.Descriptor, present []v1.Descriptor, statement Statement, signer *Signer) error {
	if !statement.about(subject.Digest) {
		return &fault.Error{Code: fault.Usage, Op: "attach", Input: statement.PredicateType,
			Err: errOtherSubject, Hint: "make the statement about " + subject.Digest.String()}
	}
	img, err := artifactOf(subject, statement, signer)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "attach", Input: statement.PredicateType, Err: err}
	}
	known, err := holds(ctx, s, subject.Digest, present, statement, img, signer)
	if err != nil || known {
		return err
	}
	return s.Put(ctx, img, false)
}

// createdOf returns when the statements were made.
func createdOf(statements []Statement) (t time.Time) {
	for _, s := range statements {
		t = s.Created
	}
	return t
}

// holds reports whether one of the referrers is img, or says what statement does
// and is signed by signer; where that is nil, it need not be signed.
func holds(ctx context.Context, s store.Store, digest v1.Hash, present []v1.Descriptor, statement Statement, img v1.Image, signer *Signer) (bool, error) {
	own, err := img.Digest()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(present, func(d v1.Descriptor) bool { return d.Digest == own }) {
		return true, nil
	}
	r := &reader{store: s, wanted: statement.PredicateType}
	if signer != nil {
		r.verifier = signer.Verifier()
	}
	entries, err := r.entries(ctx, target{digest: digest}, present)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(entries, func(e entry) bool {
		return e.Problem == "" && e.Verified == (signer != nil) && same(e.statement, statement)
	}), nil
}

// same reports whether two statements say the same.
func same(a, b Statement) bool {
	return a.PredicateType == b.PredicateType && bytes.Equal(timeless(a), timeless(b))
}

// timeless returns the predicate in a form that is equal for equal predicates,
// without what provenance says of the time of the build.
func timeless(s Statement) []byte {
	var value map[string]any
	if json.Unmarshal(s.Predicate, &value) != nil {
		return s.Predicate
	}
	if run, ok := value["runDetails"].(map[string]any); ok && s.PredicateType == api.PredicateProvenance {
		delete(run, "metadata")
	}
	data, err := json.Marshal(value)
	if err != nil {
		return s.Predicate
	}
	return data
}
