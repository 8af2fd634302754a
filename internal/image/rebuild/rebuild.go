// Package rebuild builds an image again from what its builder recorded, and says
// whether it came out the same and, if not, why.
package rebuild

import (
	"cmp"
	"context"
	"errors"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/gopherwood-dev/gopherwood/api"
	factsimage "github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Verify builds every platform of the image that ref names again, from the
// sources in dir, and compares. verifier may be nil: the build facts need no
// signature, since what they make is compared with the image itself.
func Verify(ctx context.Context, ref, dir string, verifier *attach.Verifier, opt image.Options) (*api.RebuildReport, error) {
	s, err := store.Open(ctx, ref, store.Options{PlainHTTP: opt.PlainHTTP})
	if err != nil {
		return nil, err
	}
	images, err := imagesOf(ctx, s)
	if err != nil {
		return nil, err
	}
	report := &api.RebuildReport{SchemaVersion: api.SchemaVersion, Kind: api.KindRebuildReport, Ref: ref}
	for _, img := range images {
		item, err := verify(ctx, s, img, dir, verifier, opt)
		if err != nil {
			return nil, err
		}
		report.Items = append(report.Items, *item)
	}
	slices.SortFunc(report.Items, func(a, b api.Rebuild) int { return cmp.Compare(a.Platform.String(), b.Platform.String()) })
	return report, nil
}

// imagesOf returns the images that the store's reference names.
func imagesOf(ctx context.Context, s store.Store) ([]v1.Image, error) {
	item, _, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	if img, ok := item.(v1.Image); ok {
		return []v1.Image{img}, nil
	}
	index, ok := item.(v1.ImageIndex)
	if !ok {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "rebuild", Err: errors.New("the reference names neither an image nor an index")}
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var images []v1.Image
	for _, desc := range manifest.Manifests {
		if factsimage.IsAttachment(desc) {
			continue
		}
		img, err := s.Image(ctx, desc.Digest)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

// verify builds one image again.
func verify(ctx context.Context, s store.Store, recorded v1.Image, dir string, verifier *attach.Verifier, opt image.Options) (*api.Rebuild, error) {
	desc, err := partial.Descriptor(recorded)
	if err != nil {
		return nil, err
	}
	was, _, ok, err := attach.BuildFacts(ctx, s, verifier, desc.Digest)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &fault.Error{Code: fault.NotFound, Op: "rebuild", Input: s.Ref(desc.Digest),
			Err: errors.New("nothing is attached to it that says how it was built"), Hint: "it can be verified only when gopherwood build made it, without --no-attach"}
	}
	again, err := image.Rebuild(ctx, dir, was, opt)
	if err != nil {
		return nil, err
	}
	defer again.Close()
	digest, err := again.Image.Digest()
	if err != nil {
		return nil, err
	}
	item := &api.Rebuild{Platform: was.Platform, Verdict: api.RebuildSame, Recorded: desc.Digest.String(), Rebuilt: digest.String()}
	if digest == desc.Digest {
		return item, nil
	}
	item.Verdict = api.RebuildDifferent
	item.Differences = settings(was, again.Build)
	more, err := compare(ctx, recorded, again.Image)
	item.Differences = append(item.Differences, more...)
	return item, err
}
