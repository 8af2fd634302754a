package attach

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ImageFacts are the facts that are attached to an image of one platform.
type ImageFacts struct {
	Platform api.Platform
	// Facts are empty when there are none that count. From is what holds them.
	Facts []api.Facts
	From  api.Attachment
}

// FactsOfImages returns the facts that are attached to each image that s's
// reference names, in the order of the index.
func FactsOfImages(ctx context.Context, s store.Store, v *Verifier) ([]ImageFacts, error) {
	targets, err := targets(ctx, s)
	if err != nil {
		return nil, err
	}
	var images []ImageFacts
	for _, t := range targets {
		if t.platform == nil { // the index
			continue
		}
		found, from, _, err := Facts(ctx, s, v, t.digest)
		if err != nil {
			return nil, err
		}
		images = append(images, ImageFacts{*t.platform, found, from})
	}
	return images, nil
}

// FactsOfImage returns the facts that are attached to the manifest digest, which
// has the form "sha256:…", whether or not a trusted key signed them. It is empty
// when there are none.
func FactsOfImage(ctx context.Context, s store.Store, v *Verifier, digest string) ([]api.Facts, error) {
	hash, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	found, _, _, err := Facts(ctx, s, v, hash)
	return found, err
}

// PutMeasured attaches to the manifest digest what anybody can say who has read
// the image: the facts of its executables (run.Files), and bills of materials.
func PutMeasured(ctx context.Context, s store.Store, digest string, run Run, signer *Signer) error {
	hash, err := parseDigest(digest)
	if err != nil {
		return err
	}
	img, err := s.Image(ctx, hash)
	if err != nil {
		return err
	}
	subject, err := partial.Descriptor(img)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "attach", Input: digest, Err: err}
	}
	list, err := statements(*subject, "", run, measured(*subject, "", api.BaseChoice{}, run))
	if err != nil {
		return err
	}
	return Put(ctx, s, *subject, list, signer)
}

func parseDigest(digest string) (v1.Hash, error) {
	hash, err := v1.NewHash(digest)
	if err != nil {
		return hash, &fault.Error{Code: fault.Invalid, Op: "attach", Input: digest, Err: err}
	}
	return hash, nil
}
