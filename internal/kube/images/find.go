package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// measured is what is known of an image of one platform, for everybody: its
// reference is filled in for who asks.
type measured struct {
	subject  *facts.Subject
	problems []error
}

// brokenKey names content that could not be read in a repository.
type brokenKey struct{ repository, digest string }

// known returns the image when all of it is in memory and the tenant may have it;
// an error when it is known that there is none.
func (s *Store) known(t *tenant) (*Image, error) {
	q := t.question()
	a, left, ok := s.answers.get(q)
	if !ok {
		return nil, nil
	}
	if a.err != nil {
		return nil, a.err
	}
	index, _, ok := s.indexes.get(a.digest)
	if !ok {
		return nil, nil
	}
	wanted := wanted(index.Platforms, t.platforms)
	all := make([]*measured, len(wanted))
	for i, p := range wanted {
		if err, _, ok := s.broken.get(brokenKey{t.source.repository, p.Digest}); ok {
			return nil, err
		}
		if all[i], _, ok = s.measured.get(p.Digest); !ok {
			return nil, nil
		}
	}
	for range all {
		s.opt.Observe.Hit(Memory)
	}
	if left < s.refreshed(q)/4 {
		s.refresh(q, t)
	}
	return t.image(index, all), nil
}

// find looks for all that t asks.
func (s *Store) find(ctx context.Context, t *tenant) (*Image, error) {
	digest, err := s.digest(ctx, t)
	if err != nil {
		return nil, err
	}
	index, err := s.index(ctx, digest, t.source)
	if err != nil {
		return nil, err
	}
	wanted := wanted(index.Platforms, t.platforms)
	if len(wanted) > maxPlatforms {
		return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the index has %d images for the platforms that are asked for, the limit is %d", len(wanted), maxPlatforms)}
	}
	if s.opt.Verifier != nil {
		s.running.Go(func() { s.readAttached(t, wanted) })
	}
	all := make([]*measured, len(wanted))
	errs := make([]error, len(wanted))
	var platforms sync.WaitGroup
	for i, p := range wanted {
		platforms.Go(func() { all[i], errs[i] = s.platform(ctx, p.Digest, t.source) })
	}
	platforms.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return t.image(index, all), nil
}

// wanted returns the manifests of the platforms that are asked for.
func wanted(have []facts.PlatformManifest, platforms []api.Platform) []facts.PlatformManifest {
	var some []facts.PlatformManifest
	for _, p := range have {
		if image.Wants(platforms, p.Platform) {
			some = append(some, p)
		}
	}
	isWindows := func(p facts.PlatformManifest) bool { return p.Platform.OS == "windows" }
	if others := slices.DeleteFunc(slices.Clone(some), isWindows); len(platforms) == 0 && len(others) > 0 {
		return others
	}
	return some
}

// image returns what t is given.
func (t *tenant) image(index facts.Resolved, all []*measured) *Image {
	img := &Image{Ref: t.ref, Digest: index.Digest, Repository: t.name.Repository}
	for _, p := range index.Platforms {
		img.Available = append(img.Available, p.Platform)
	}
	for _, m := range all {
		img.Subjects = append(img.Subjects, t.subject(m.subject))
		img.Problems = append(img.Problems, m.problems...)
	}
	return img
}

// subject returns s under the name that t has for it.
func (t *tenant) subject(s *facts.Subject) *facts.Subject {
	own := *s
	own.Ref = t.ref
	own.Files = slices.Clone(s.Files)
	for i := range own.Files {
		own.Files[i].Ref = t.ref
	}
	return &own
}

// index returns what digest lists.
func (s *Store) index(ctx context.Context, digest string, from source) (facts.Resolved, error) {
	if index, _, ok := s.indexes.get(digest); ok {
		return index, nil
	}
	if err, _, ok := s.broken.get(brokenKey{from.repository, digest}); ok {
		return facts.Resolved{}, err
	}
	return s.resolves.get(ctx, digest, from)
}

// resolve reads what digest lists, for resolves.
func (s *Store) resolve(ctx context.Context, digest string, from source) (facts.Resolved, error) {
	if index, _, ok := s.indexes.get(digest); ok {
		return index, nil // a flight has landed since
	}
	opt := s.options
	opt.Keychain = from.keys
	index, err := facts.Resolve(ctx, from.repository+"@"+digest, opt)
	if err != nil {
		return index, s.note(ctx, err, from, digest)
	}
	size := int64(200)
	for _, p := range index.Platforms {
		size += int64(100 + len(p.Digest) + len(p.Platform.String()))
	}
	s.indexes.put(digest, index, size, 0)
	return index, nil
}

// note remembers an error that is about the content.
func (s *Store) note(ctx context.Context, err error, from source, digest string) error {
	if aboutContent(err) && ctx.Err() == nil {
		key := brokenKey{from.repository, digest}
		s.broken.put(key, err, int64(200+len(key.repository)+len(digest)+len(err.Error())), brokenTTL)
	}
	return err
}

// platform returns what is known of the image whose manifest has the digest.
func (s *Store) platform(ctx context.Context, digest string, from source) (*measured, error) {
	if m, _, ok := s.measured.get(digest); ok {
		s.opt.Observe.Hit(Memory)
		return m, nil
	}
	if err, _, ok := s.broken.get(brokenKey{from.repository, digest}); ok {
		return nil, err
	}
	return s.fetches.get(ctx, digest, from)
}

// fetch reads the image whose manifest has the digest, for fetches. Several are
// read at once; one of very many files is read again alone, so that they never
// fill the memory together.
func (s *Store) fetch(ctx context.Context, digest string, from source) (*measured, error) {
	if m, _, ok := s.measured.get(digest); ok {
		return m, nil // a flight has landed since
	}
	begin, counted := time.Now(), &counter{}
	s.opt.Observe.FetchStarted()
	m, err := s.measure(ctx, digest, from, counted)
	s.opt.Observe.FetchEnded(counted.bytes.Load(), time.Since(begin), fault.CodeOf(err))
	if err != nil {
		return nil, s.note(ctx, err, from, digest)
	}
	level := Registry
	if counted.bytes.Load() == 0 {
		level = Disk
	}
	s.opt.Observe.Hit(level)
	s.measured.put(digest, m, m.memory(), 0)
	return m, nil
}

func (s *Store) measure(ctx context.Context, digest string, from source, counted *counter) (*measured, error) {
	opt := s.options
	opt.Keychain, opt.Progress = from.keys, counted
	opt.Limits.Entries = s.opt.Limits.Entries / 4
	s.large.RLock()
	m, err := open(ctx, from.repository+"@"+digest, opt)
	s.large.RUnlock()
	if fault.CodeOf(err) != fault.Limit {
		return m, err
	}
	s.large.Lock()
	defer s.large.Unlock()
	s.measured.shrink(s.opt.MemoryBytes / 2)
	opt.Limits.Entries = s.opt.Limits.Entries
	return open(ctx, from.repository+"@"+digest, opt)
}

// open reads one image.
func open(ctx context.Context, ref string, opt facts.Options) (*measured, error) {
	m := &measured{}
	for subject, err := range facts.OpenImage(ctx, ref, opt) {
		switch {
		case err != nil && m.subject == nil:
			return nil, err
		case err != nil:
			m.problems = append(m.problems, anonymousProblem(err))
		default:
			m.subject = subject
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// anonymousProblem returns err without the reference under which the image was
// read: that may be another tenant's.
func anonymousProblem(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return &fault.Error{Code: fault.CodeOf(err), Op: "measure", Hint: fault.HintOf(err)}
	}
	return &fault.Error{Code: e.Code, Op: "read a file of the image", Err: e.Err, Hint: e.Hint}
}

// memory estimates how many bytes of memory m takes.
func (m *measured) memory() int64 {
	size := int64(1000)
	if tree, ok := m.subject.Root.(*rootfs.Tree); ok {
		size += tree.Memory()
	}
	for i := range m.subject.Files {
		size += rootfs.FactsMemory(&m.subject.Files[i])
	}
	for _, err := range m.problems {
		size += int64(200 + 2*len(err.Error()))
	}
	return size
}

// counter counts the bytes of layers.
type counter struct{ bytes atomic.Int64 }

func (c *counter) Expect(int64) {}
func (c *counter) Done(n int64) { c.bytes.Add(n) }
