package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// registry is a repository of a registry that speaks the OCI distribution API.
type registry struct {
	ref  name.Reference
	repo name.Repository
	opt  Options
	base http.RoundTripper
	// slots bounds the blobs that are sent at once.
	slots chan struct{}

	mu sync.Mutex
	// login is made with the first request, for scopes, and again for others.
	login  *login
	scopes []string

	referrers referrers
}

// login is a connection with the user's credentials.
type login struct {
	client *http.Client
	puller *remote.Puller
	// pusher remembers which blobs the registry has.
	pusher *remote.Pusher
}

func newRegistry(ref string, opt Options) (*registry, error) {
	parsed, err := image.ParseName(ref, opt.PlainHTTP)
	if err != nil {
		return nil, fail("open", ref, err)
	}
	base := opt.Transport
	if base == nil {
		base = transport.New(opt.Timeouts)
	}
	return &registry{
		ref: parsed, repo: parsed.Context(), opt: opt,
		base:  base,
		slots: make(chan struct{}, opt.Jobs),
	}, nil
}

// Ref implements Store.
func (r *registry) Ref(digest v1.Hash) string { return r.repo.Digest(digest.String()).Name() }

// connect returns a connection on which all of scopes may be done.
func (r *registry) connect(ctx context.Context, scopes ...string) (*login, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := func(s string) bool { return !slices.Contains(r.scopes, s) }
	if r.login != nil && !slices.ContainsFunc(scopes, missing) {
		return r.login, nil
	}
	all := append(slices.Clone(r.scopes), scopes...)
	authenticated, err := image.Connect(ctx, r.repo, r.opt.Keychain, r.base, all...)
	if err != nil {
		return nil, err
	}
	l, err := r.newLogin(authenticated)
	if err != nil {
		return nil, err
	}
	r.login, r.scopes = l, all
	return l, nil
}

func (r *registry) newLogin(authenticated http.RoundTripper) (*login, error) {
	options := []remote.Option{
		remote.WithTransport(authenticated),
		remote.WithJobs(r.opt.Jobs),
		remote.WithRetryPredicate(beginAgain),
		remote.WithRetryBackoff(remote.Backoff{Duration: r.opt.Timeouts.Retry, Factor: 3, Jitter: 0.1, Steps: uploadTries}),
	}
	puller, err := remote.NewPuller(options...)
	if err != nil {
		return nil, err
	}
	pusher, err := remote.NewPusher(options...)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: authenticated, CheckRedirect: transport.CheckRedirect}
	return &login{client: client, puller: puller, pusher: pusher}, nil
}

// reading returns a connection to read with, which is that to write with if
// there is one.
func (r *registry) reading(ctx context.Context) (*login, error) {
	r.mu.Lock()
	l := r.login
	r.mu.Unlock()
	if l != nil {
		return l, nil
	}
	return r.connect(ctx, r.repo.Scope(distribution.PullScope))
}

// writing returns a connection to put it, which may pull what can be mounted.
func (r *registry) writing(ctx context.Context, it *item) (*login, error) {
	return r.connect(ctx, append(it.mounts(r.repo), r.repo.Scope(distribution.PushScope))...)
}

// mounts returns the scopes of the repositories that hold some of the blobs.
func (it *item) mounts(repo name.Repository) []string {
	var scopes []string
	for _, l := range it.blobs {
		if m, ok := l.(*remote.MountableLayer); ok && mountable(m, repo) {
			scopes = append(scopes, m.Reference.Context().Scope(distribution.PullScope))
		}
	}
	for _, c := range it.children {
		scopes = append(scopes, c.mounts(repo)...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// Put implements Store.
func (r *registry) Put(ctx context.Context, source partial.WithRawManifest, tagged bool) error {
	it, err := newItem(source)
	if err != nil {
		return fail("push", r.ref.Name(), err)
	}
	var ref name.Reference = r.repo.Digest(it.desc.Digest.String())
	if tagged {
		tag, ok := r.ref.(name.Tag)
		if !ok {
			return fail("push", r.ref.Name(), noTag())
		}
		ref = tag
	}
	to, err := r.writing(ctx, it)
	if err == nil {
		err = r.put(ctx, to, ref, it)
	}
	return r.explain("push", ref, err)
}

// explain returns err as an error about a reference.
func (r *registry) explain(op string, ref name.Reference, err error) error {
	if err == nil {
		return nil
	}
	return fail(op, ref.Name(), image.RegistryError(r.repo, err))
}

// put makes ref stand for it, after all that it refers to.
func (r *registry) put(ctx context.Context, to *login, ref name.Reference, it *item) error {
	there, err := r.has(ctx, to, ref, it.desc)
	if err != nil {
		return err
	}
	listed := false
	if !there {
		if listed, err = r.send(ctx, to, ref, it); err != nil {
			return err
		}
	}
	if it.subject == nil {
		return nil
	}
	return r.list(ctx, to, it, listed)
}

// has reports whether ref stands for the manifest that desc describes.
func (r *registry) has(ctx context.Context, to *login, ref name.Reference, desc v1.Descriptor) (bool, error) {
	resp, err := r.request(ctx, to, http.MethodHead, "manifests/"+ref.Identifier(), desc.MediaType, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || transport.PassingStatus(resp.StatusCode) {
		return false, distribution.CheckError(resp, http.StatusOK)
	}
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Docker-Content-Digest") == desc.Digest.String(), nil
}

// send uploads what it refers to and then the manifest. When the registry then
// says that it lacks something, all is checked and sent once more. listed is
// true when the registry says that it has listed it as a referrer.
func (r *registry) send(ctx context.Context, to *login, ref name.Reference, it *item) (listed bool, err error) {
	if err := r.sendContent(ctx, to, it); err != nil {
		return false, err
	}
	listed, err = r.putManifest(ctx, to, ref, it)
	if !lacksContent(err) {
		return listed, err
	}
	fresh, err := r.newLogin(to.client.Transport) // its pusher remembers nothing
	if err != nil {
		return false, err
	}
	if err := r.sendContent(ctx, fresh, it); err != nil {
		return false, err
	}
	listed, err = r.putManifest(ctx, fresh, ref, it)
	if lacksContent(err) {
		return false, &fault.Error{Code: fault.Unavailable, Op: "registry", Input: r.repo.RegistryStr(),
			Err: fmt.Errorf("it lost content that it had taken, twice: %w", err), Hint: "look at the registry's storage and its log, then push again"}
	}
	return listed, err
}

// sendContent uploads the blobs and children that the registry does not have.
func (r *registry) sendContent(ctx context.Context, to *login, it *item) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range it.blobs {
		group.Go(func() error { return r.sendBlob(ctx, to, l) })
	}
	for _, c := range it.children {
		group.Go(func() error { return r.put(ctx, to, r.repo.Digest(c.desc.Digest.String()), c) })
	}
	return group.Wait()
}

func (r *registry) sendBlob(ctx context.Context, to *login, l v1.Layer) error {
	desc, err := partial.Descriptor(l)
	if err != nil {
		return err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	layer, u := newUpload(l, r.repo, r.opt.Progress)
	if err := to.pusher.Upload(ctx, r.repo, layer); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fail("upload", desc.Digest.String(), image.RegistryError(r.repo, err))
	}
	if u.sent() {
		r.opt.Sent(*desc)
	}
	return nil
}

// subjectHeader is how a registry with the referrers API says that it has listed
// a manifest.
const subjectHeader = "OCI-Subject"

// putManifest writes the manifest itself.
func (r *registry) putManifest(ctx context.Context, to *login, ref name.Reference, it *item) (listed bool, err error) {
	resp, err := r.request(ctx, to, http.MethodPut, "manifests/"+ref.Identifier(), it.desc.MediaType, it.raw)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := distribution.CheckError(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted); err != nil {
		return false, err
	}
	got, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err == nil && got.Algorithm == it.desc.Digest.Algorithm && got != it.desc.Digest {
		return false, &fault.Error{Code: fault.Invalid, Op: "registry", Input: r.repo.RegistryStr(),
			Err: fmt.Errorf("it stored the manifest %s as %s", it.desc.Digest, got)}
	}
	r.opt.Sent(it.desc)
	return resp.Header.Get(subjectHeader) != "", nil
}

// request sends a request about the repository. The answer may have any status.
func (r *registry) request(ctx context.Context, to *login, method, path string, mediaType types.MediaType, body []byte) (*http.Response, error) {
	path, query, _ := strings.Cut(path, "?")
	u := url.URL{Scheme: r.repo.Scheme(), Host: r.repo.RegistryStr(), Path: "/v2/" + r.repo.RepositoryStr() + "/" + path, RawQuery: query}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, err
	}
	header := "Accept"
	if body != nil {
		header = "Content-Type"
	}
	req.Header.Set(header, string(mediaType))
	return to.client.Do(req)
}

// Get implements Store.
func (r *registry) Get(ctx context.Context) (partial.WithRawManifest, v1.Descriptor, error) {
	desc, err := r.fetch(ctx, r.ref)
	if err != nil {
		return nil, v1.Descriptor{}, r.explain("read", r.ref, err)
	}
	var item partial.WithRawManifest
	switch {
	case desc.MediaType.IsIndex():
		item, err = desc.ImageIndex()
	case desc.MediaType.IsImage():
		item, err = desc.Image()
	default:
		err = unexpected(desc.Digest, desc.MediaType, "an image or an index")
	}
	return item, desc.Descriptor, r.explain("read", r.ref, err)
}

// Image implements Store.
func (r *registry) Image(ctx context.Context, digest v1.Hash) (v1.Image, error) {
	ref := r.repo.Digest(digest.String())
	desc, err := r.fetch(ctx, ref)
	if err == nil && !desc.MediaType.IsImage() {
		err = unexpected(digest, desc.MediaType, "an image")
	}
	if err != nil {
		return nil, r.explain("read", ref, err)
	}
	img, err := desc.Image()
	return img, r.explain("read", ref, err)
}

func (r *registry) fetch(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	from, err := r.reading(ctx)
	if err != nil {
		return nil, err
	}
	desc, err := from.puller.Get(ctx, ref)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return desc, err
}
