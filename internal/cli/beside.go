package cli

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// beside reads what is attached to images.
type beside struct {
	verifier  *attach.Verifier
	plainHTTP bool
}

// newBeside trusts the keys in files, or else those of the module's
// configuration.
func newBeside(files []string, plainHTTP bool) (*beside, error) {
	p, err := loadProject("")
	if err != nil {
		return nil, err
	}
	verifier, err := trusted(p, files)
	return &beside{verifier, plainHTTP}, err
}

// holds reports whether statements can stand beside what ref names: an image in
// a registry, or a single one in a layout.
func (b *beside) holds(ref string) bool {
	if _, err := os.Stat(ref); !errors.Is(err, fs.ErrNotExist) || !image.Named(ref) || strings.HasPrefix(ref, image.ArchiveScheme) {
		return false
	}
	if path, ok := strings.CutPrefix(ref, image.LayoutScheme); ok {
		_, selector, err := image.SplitPath(path)
		return err == nil && selector != ""
	}
	return true
}

func (b *beside) open(ctx context.Context, ref string) (store.Store, error) {
	return store.Open(ctx, ref, store.Options{PlainHTTP: b.plainHTTP})
}

// openAttached is facts.Open without reading the bytes of images of which a
// trusted key signed the facts. Where they are not to be had, for whatever
// reason, the bytes are read.
func (b *beside) openAttached(ctx context.Context, ref string, opt facts.Options) iter.Seq2[*facts.Subject, error] {
	if b.verifier == nil || !b.holds(ref) {
		return facts.Open(ctx, ref, opt)
	}
	subjects := b.attached(ctx, ref, opt.Platforms)
	if len(subjects) == 0 {
		return facts.Open(ctx, ref, opt)
	}
	return func(yield func(*facts.Subject, error) bool) {
		for _, s := range subjects {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// attached returns the images that ref names, with the facts that are attached;
// nil unless there are verified ones of each.
func (b *beside) attached(ctx context.Context, ref string, platforms []api.Platform) []*facts.Subject {
	s, err := b.open(ctx, ref)
	if err != nil {
		return nil
	}
	images, err := attach.FactsOfImages(ctx, s, b.verifier)
	if err != nil {
		return nil
	}
	var subjects []*facts.Subject
	for _, img := range images {
		if !wanted(platforms, img.Platform) {
			continue
		}
		if !img.From.Verified {
			return nil
		}
		for i := range img.Facts {
			img.Facts[i].Ref, img.Facts[i].Source = ref, api.SourceAttached
		}
		subjects = append(subjects, &facts.Subject{Ref: ref, Platform: img.Platform, Files: img.Facts})
	}
	return subjects
}

// wanted reports whether p is one of platforms, which may leave out the level.
func wanted(platforms []api.Platform, p api.Platform) bool {
	return len(platforms) == 0 || slices.ContainsFunc(platforms, func(want api.Platform) bool {
		return want == p || want == api.Platform{OS: p.OS, Arch: p.Arch}
	})
}

// differences returns where the facts that are attached to the image s, by
// whomever, differ from those that were measured. A registry that does not tell
// what is attached is named for information.
func (b *beside) differences(ctx context.Context, s *facts.Subject) []api.Finding {
	if s.Image == nil || s.Image.Digest == "" || !b.holds(s.Ref) {
		return nil
	}
	attached, err := b.factsOf(ctx, s)
	if err != nil {
		return []api.Finding{{Rule: policy.FactsUnread, Severity: api.Info,
			Message: "the attached facts could not be read: " + err.Error(), Hint: fault.HintOf(err)}}
	}
	if len(attached) == 0 {
		return nil
	}
	return policy.Mismatch(attached, s.Files)
}

func (b *beside) factsOf(ctx context.Context, s *facts.Subject) ([]api.Facts, error) {
	st, err := b.open(ctx, s.Ref)
	if err != nil {
		return nil, err
	}
	return attach.FactsOfImage(ctx, st, b.verifier, s.Image.Digest)
}
