package images

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxName is the longest name of an image, in bytes.
const maxName = 1000

// tenant is a request that has been understood.
type tenant struct {
	ref       string
	name      image.Name
	source    source
	platforms []api.Platform
}

func (s *Store) newTenant(r Request) (*tenant, error) {
	if len(r.Image) > maxName {
		return nil, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("the image's name is longer than %d bytes", maxName)}
	}
	name, err := image.SplitName(r.Image)
	if err != nil {
		return nil, err
	}
	t := &tenant{ref: r.Image, name: name, platforms: r.Platforms,
		source: source{repository: name.Repository, keys: r.Keychain}}
	if t.source.keys == nil {
		t.source.keys = anonymous{}
	}
	t.source.fingerprint, err = s.fingerprint(t.source)
	return t, err
}

// fingerprint names all that the tenant may show to the registry and its mirrors.
func (s *Store) fingerprint(from source) (string, error) {
	if len(s.opt.Mirrors) == 0 {
		return from.keys.Fingerprint(from.repository), nil
	}
	places, err := image.Served(from.repository, image.Options{Mirrors: s.opt.Mirrors, PlainHTTPHosts: s.opt.PlainHTTPHosts})
	if err != nil {
		return "", err
	}
	var all []string
	for _, place := range places {
		all = append(all, from.keys.Fingerprint(place))
	}
	return strings.Join(all, "\x00"), nil
}

// searchKey is equal for requests with the same answer but for how they name the
// image.
func (t *tenant) searchKey() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q", t.source.fingerprint, t.question(), t.ref)
	for _, p := range t.platforms {
		fmt.Fprintf(&b, " %q", p.String())
	}
	return b.String()
}

// question is what a registry is asked: whether it lets a tenant have a manifest.
type question struct {
	fingerprint, repository string
	// tag is empty for a question about a digest.
	tag, digest string
}

func (t *tenant) question() question {
	return question{t.source.fingerprint, t.source.repository, t.name.Tag, t.name.Digest}
}

func (q question) size() int64 {
	return int64(200 + len(q.fingerprint) + len(q.repository) + len(q.tag) + 2*len(q.digest))
}

// answer is the digest of the manifest, or that there is none.
type answer struct {
	digest string
	err    error
}

// asked is a question that is being asked.
type asked struct {
	done chan struct{}
	answer
}

// digest returns the digest of what t names, which the registry lets t have. It
// asks the registry unless it has answered the same rights lately.
func (s *Store) digest(ctx context.Context, t *tenant) (string, error) {
	q := t.question()
	if a, left, ok := s.answers.get(q); ok {
		if left < s.refreshed(q)/4 {
			s.refresh(q, t)
		}
		return a.digest, a.err
	}
	a := s.ask(q, t)
	select {
	case <-a.done:
		return a.answer.digest, a.err
	case <-ctx.Done():
		return "", ErrNotReady
	}
}

// refreshed returns how long the answer to q is believed.
func (s *Store) refreshed(q question) time.Duration {
	if q.tag == "" {
		return s.opt.AccessTTL
	}
	return s.opt.TagTTL
}

// refresh asks again before an answer ends, so that nobody has to wait for it.
func (s *Store) refresh(q question, t *tenant) { s.ask(q, t) }

// ask asks the registry once for all who have the same question.
func (s *Store) ask(q question, t *tenant) *asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.asking[q]; a != nil {
		return a
	}
	a := &asked{done: make(chan struct{})}
	if s.closed || len(s.asking) >= maxSearches {
		a.err = &fault.Error{Code: fault.Unavailable, Err: errors.New("too many questions are put to registries"), Hint: "try again later"}
		close(a.done)
		return a
	}
	s.asking[q] = a
	s.running.Go(func() {
		a.answer = s.prove(q, t)
		s.mu.Lock()
		delete(s.asking, q)
		s.mu.Unlock()
		close(a.done)
	})
	return a
}

// prove asks the registry and remembers what may be remembered.
func (s *Store) prove(q question, t *tenant) answer {
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	opt := s.options
	opt.Keychain = t.source.keys
	digest, err := facts.Digest(ctx, t.target(), opt)
	s.opt.Observe.Proof(fault.CodeOf(err))
	switch {
	case err == nil:
		s.answers.put(q, answer{digest: digest}, q.size(), s.refreshed(q))
	case fault.CodeOf(err) == fault.NotFound:
		s.answers.put(q, answer{err: err}, q.size()+int64(len(err.Error())), s.opt.AbsentTTL)
	case ctx.Err() != nil:
		err = &fault.Error{Code: fault.Unavailable, Op: "registry", Input: t.name.Repository, Hint: "try again later",
			Err: fmt.Errorf("it did not answer within %v", askTimeout)}
	}
	return answer{digest, err}
}

// target is the whole name of what t names.
func (t *tenant) target() string {
	if t.name.Digest != "" {
		return t.name.Repository + "@" + t.name.Digest
	}
	return t.name.Repository + ":" + t.name.Tag
}
