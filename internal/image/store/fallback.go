package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// referrers is what a registry's store knows about lists of referrers.
type referrers struct {
	mu sync.Mutex
	// native is true once the registry has shown that it makes the lists itself.
	native bool
	// lists are those of the fallback, by subject.
	lists map[v1.Hash]*fallback
}

// fallback is a list of the fallback as far as this store has made it.
type fallback struct {
	// updating is held while the list is changed.
	updating sync.Mutex
	// ours is what must be in the list; referrers.mu guards it.
	ours []v1.Descriptor
}

// fallbackTag is the tag of a subject's referrers on registries without the API
// (OCI distribution specification, "Referrers Tag Schema").
func fallbackTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// fallbackList reads the list that the fallback tag stands for.
func (r *registry) fallbackList(ctx context.Context, from *login, subject v1.Hash) ([]v1.Descriptor, error) {
	data, err := r.manifest(ctx, from, "manifests/"+fallbackTag(subject), types.OCIImageIndex)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := image.ParseIndex(data)
	if err != nil {
		return nil, fail("read the index at", r.repo.Tag(fallbackTag(subject)).Name(), err)
	}
	return found, nil
}

// list makes sure that the manifest is among the referrers of its subject.
// listed is true when the registry has said so.
func (r *registry) list(ctx context.Context, to *login, it *item, listed bool) error {
	known := &r.referrers
	if known.isNative(listed) {
		return nil
	}
	_, native, err := r.nativeList(ctx, to, it.subject.Digest)
	if err != nil {
		return err
	}
	if known.isNative(native) {
		return nil
	}
	return r.updateFallback(ctx, to, it.subject.Digest, known.add(it))
}

// The bounds of changing a fallback list: how often, and the least time after
// which it is read again.
const (
	maxUpdates = 8
	minSettle  = 20 * time.Millisecond
)

// updateFallback adds what this store has attached to subject to the list of the
// fallback. Registries cannot change a tag only if it is still what was read, so
// another writer may replace the list with one that lacks these entries. Such a
// writer has read before this one wrote, and writes about as long after as this
// one took; so the list is read again after that time, and repaired.
func (r *registry) updateFallback(ctx context.Context, to *login, subject v1.Hash, list *fallback) error {
	list.updating.Lock()
	defer list.updating.Unlock()
	for range maxUpdates {
		start := time.Now()
		entries, err := r.fallbackList(ctx, to, subject)
		if err != nil {
			return err
		}
		all := merge(entries, r.referrers.attached(list))
		if len(all) == len(entries) {
			return nil
		}
		if err := r.putFallback(ctx, to, subject, all); err != nil {
			return err
		}
		settle := max(minSettle, 2*time.Since(start))
		select {
		case <-time.After(settle + rand.N(settle)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return &fault.Error{Code: fault.Unavailable, Op: "update", Input: r.repo.Tag(fallbackTag(subject)).Name(),
		Err: errors.New("other writers keep replacing the list of referrers"), Hint: "try again when they have ended"}
}

// isNative reports whether the registry makes the lists itself, which it may have
// shown now.
func (k *referrers) isNative(shown bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.native = k.native || shown
	return k.native
}

// add notes that the manifest must be in the list of its subject.
func (k *referrers) add(it *item) *fallback {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lists == nil {
		k.lists = map[v1.Hash]*fallback{}
	}
	list := k.lists[it.subject.Digest]
	if list == nil {
		list = &fallback{}
		k.lists[it.subject.Digest] = list
	}
	list.ours = append(list.ours, it.desc)
	return list
}

func (k *referrers) attached(list *fallback) []v1.Descriptor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(list.ours)
}

// merge returns entries with those of more that it lacks, sorted by digest.
func merge(entries, more []v1.Descriptor) []v1.Descriptor {
	all := slices.Clone(entries)
	for _, desc := range more {
		if !slices.ContainsFunc(all, func(have v1.Descriptor) bool { return have.Digest == desc.Digest }) {
			all = append(all, desc)
		}
	}
	slices.SortStableFunc(all, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	return all
}

func (r *registry) putFallback(ctx context.Context, to *login, subject v1.Hash, entries []v1.Descriptor) error {
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: entries})
	if err != nil {
		return err
	}
	it := &item{raw: raw, desc: v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw))}}
	if it.desc.Digest, _, err = v1.SHA256(bytes.NewReader(raw)); err != nil {
		return err
	}
	_, err = r.putManifest(ctx, to, r.repo.Tag(fallbackTag(subject)), it)
	return err
}
