package images

import (
	"context"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// attachedImage returns the image with what is measured of it and, for the
// platforms that are not, the facts that trusted keys have signed; nil when there
// is neither for one of them. Such facts are an early answer: they say nothing of
// the root file system, and what is measured takes their place.
func (s *Store) attachedImage(t *tenant) *Image {
	a, _, ok := s.answers.get(t.question())
	if !ok || a.err != nil {
		return nil
	}
	index, _, ok := s.indexes.get(a.digest)
	if !ok {
		return nil
	}
	wanted := wanted(index.Platforms, t.platforms)
	all := make([]*measured, len(wanted))
	for i, p := range wanted {
		if _, _, broken := s.broken.get(brokenKey{t.source.repository, p.Digest}); broken {
			return nil
		}
		if all[i], _, ok = s.measured.get(p.Digest); ok {
			continue
		}
		signed, _, ok := s.attached.get(p.Digest)
		if !ok {
			return nil
		}
		s.opt.Observe.Hit(Attached)
		all[i] = &measured{subject: signed}
	}
	return t.image(index, all)
}

// readAttached reads what trusted keys have signed about images that are not
// measured. What goes wrong with it is no error: the images are measured anyway.
func (s *Store) readAttached(t *tenant, wanted []facts.PlatformManifest) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		return // an early answer that waits is none
	}
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	for _, p := range wanted {
		_, _, isMeasured := s.measured.get(p.Digest)
		_, _, isSigned := s.attached.get(p.Digest)
		if isMeasured || isSigned {
			continue
		}
		subject := s.signedFacts(ctx, t.source, p)
		if subject == nil {
			continue
		}
		size := int64(1000)
		for i := range subject.Files {
			size += rootfs.FactsMemory(&subject.Files[i])
		}
		s.attached.put(p.Digest, subject, size, s.opt.AccessTTL)
	}
}

// signedFacts returns the facts of an image that a trusted key has signed, nil
// when there are none.
func (s *Store) signedFacts(ctx context.Context, from source, p facts.PlatformManifest) *facts.Subject {
	credentials, err := from.keys.Find(ctx, from.repository)
	if err != nil {
		return nil
	}
	if len(credentials) == 0 {
		credentials = []facts.Credentials{{}}
	}
	for _, c := range credentials {
		found, err := s.attachedTo(ctx, from.repository+"@"+p.Digest, one(c))
		if code := fault.CodeOf(err); code == fault.Denied || code == fault.NotFound {
			continue
		}
		if err != nil || len(found) != 1 || !found[0].From.Verified {
			return nil
		}
		for i := range found[0].Facts {
			found[0].Facts[i].Source = api.SourceAttached
		}
		return &facts.Subject{Platform: found[0].Platform, Files: found[0].Facts}
	}
	return nil
}

func (s *Store) attachedTo(ctx context.Context, ref string, keys facts.Keychain) ([]attach.ImageFacts, error) {
	host, _, _ := strings.Cut(ref, "/")
	opened, err := store.Open(ctx, ref, store.Options{
		PlainHTTP: slices.Contains(s.opt.PlainHTTPHosts, host), Keychain: keys, Transport: s.options.Transport,
	})
	if err != nil {
		return nil, err
	}
	return attach.FactsOfImages(ctx, opened, s.opt.Verifier)
}

// one is the keychain that has one answer.
type one facts.Credentials

// Find implements facts.Keychain.
func (o one) Find(context.Context, string) ([]facts.Credentials, error) {
	if o == (one{}) {
		return nil, nil
	}
	return []facts.Credentials{facts.Credentials(o)}, nil
}

// Fingerprint implements facts.Keychain.
func (one) Fingerprint(string) string { return "" }
