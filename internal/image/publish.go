package image

import (
	"context"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
)

// publication is one package's image on its way to the targets.
type publication struct {
	*builder
	pkg    compile.Package
	images []*built
	// item is the index, or the image where there is one platform.
	item   partial.WithRawManifest
	digest v1.Hash
}

// publish puts the images to every target and fills in out.
func (b *builder) publish(ctx context.Context, p compile.Package, images []*built, targets []string, out *api.Build) error {
	pub := &publication{builder: b, pkg: p, images: images}
	if err := pub.assemble(); err != nil {
		return err
	}
	out.Digest = pub.digest.String()
	for _, target := range targets {
		ref, err := pub.put(ctx, strings.ReplaceAll(target, NamePlaceholder, p.Name()))
		if err != nil {
			return err
		}
		out.Refs = append(out.Refs, ref)
	}
	b.opt.Progress.Step(p.ImportPath, api.Platform{}, StepDone, out.Digest)
	return nil
}

// assemble makes the item.
func (p *publication) assemble() (err error) {
	if len(p.images) == 1 {
		p.item = p.images[0].image
		p.digest, err = p.images[0].image.Digest()
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range p.images {
		platform := image.OCIPlatform(img.Platform)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img.image, Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	if len(p.config.Annotations) > 0 {
		index = mutate.Annotations(index, p.config.Annotations).(v1.ImageIndex)
	}
	p.item = index
	p.digest, err = index.Digest()
	return err
}

// put puts the item to one target and returns its reference by digest. What is
// attached is there before the tag is: whoever sees the tag sees everything.
func (p *publication) put(ctx context.Context, target string) (string, error) {
	s, err := store.Open(ctx, target, p.storeOptions())
	if err != nil {
		return "", err
	}
	p.opt.Progress.Step(p.pkg.ImportPath, api.Platform{}, StepPush, target)
	if p.opt.Attach && !strings.HasPrefix(target, image.ArchiveScheme) {
		if err := s.Put(ctx, p.item, false); err != nil {
			return "", err
		}
		p.opt.Progress.Step(p.pkg.ImportPath, api.Platform{}, StepAttach, target)
		if err := p.attach(ctx, s); err != nil {
			return "", err
		}
	}
	return s.Ref(p.digest), s.Put(ctx, p.item, true)
}

// attach puts what is known of each image beside it.
func (p *publication) attach(ctx context.Context, s store.Store) error {
	group, each := errgroup.WithContext(ctx)
	run := attach.Run{Version: p.opt.Version, Created: p.created, Finished: time.Now()}
	for _, img := range p.images {
		group.Go(func() error {
			subject, err := partial.Descriptor(img.image)
			if err != nil {
				return err
			}
			run := run
			run.Started, run.Files = img.started, img.files
			statements, err := attach.Describe(*subject, p.pkg.Name(), img.BuiltImage, run)
			if err != nil {
				return err
			}
			return attach.Put(each, s, *subject, statements, p.opt.Signer)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if p.opt.Signer == nil || len(p.images) == 1 {
		return nil
	}
	subject, err := partial.Descriptor(p.item.(partial.Describable))
	if err != nil {
		return err
	}
	return attach.Put(ctx, s, *subject, nil, p.opt.Signer)
}
