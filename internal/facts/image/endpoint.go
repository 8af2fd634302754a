package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// endpoint is a place that serves a repository: its registry or a mirror of it.
type endpoint struct {
	repo   name.Repository
	scheme string
	mirror bool
	base   http.RoundTripper
	keys   Keychain
	// wrong is set when a mirror has served what it should not.
	wrong atomic.Bool

	mu     sync.Mutex
	logins []*login
}

// endpoints returns where repo is served, in the order in which they are asked.
func endpoints(repo name.Repository, opt Options, base http.RoundTripper) ([]*endpoint, error) {
	host, _, _ := strings.Cut(RepositoryName(repo), "/")
	mirrors := opt.Mirrors[host]
	if mirrors == nil {
		mirrors = opt.Mirrors[repo.RegistryStr()]
	}
	var list []*endpoint
	for _, m := range mirrors {
		e, err := mirrorOf(repo, m, base)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "mirror", Input: m, Err: err, Hint: "write https://host[:port][/path]"}
		}
		e.keys = opt.Keychain
		list = append(list, e)
	}
	return append(list, &endpoint{repo: repo, scheme: repo.Scheme(), base: base, keys: opt.Keychain}), nil
}

// mirrorOf returns the mirror of repo at a base URL. As containerd has it, the
// API's /v2 follows the URL's path; what stands behind a /v2 in the path begins
// the names of the repositories there.
func mirrorOf(repo name.Repository, base string, inner http.RoundTripper) (*endpoint, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	var options []name.Option
	switch {
	case u.Scheme == "http":
		options = append(options, name.Insecure)
	case u.Scheme != "https":
		return nil, errors.New("its scheme is neither https nor http")
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("it has no host, or more than host and path")
	}
	registry, err := name.NewRegistry(u.Host, options...)
	if err != nil {
		return nil, err
	}
	prefix, project, _ := strings.Cut(path.Clean("/"+u.Path)+"/", "/v2/")
	prefix = strings.TrimRight(prefix, "/")
	e := &endpoint{repo: registry.Repo(path.Join(project, repo.RepositoryStr())), scheme: u.Scheme, mirror: true, base: inner}
	if prefix != "" {
		e.base = &prefixed{inner: inner, host: u.Host, prefix: prefix}
	}
	return e, nil
}

// prefixed serves the API of a host below a path.
type prefixed struct {
	inner        http.RoundTripper
	host, prefix string
}

// RoundTrip implements http.RoundTripper.
func (p *prefixed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == p.host && strings.HasPrefix(req.URL.Path, "/v2/") {
		req = req.Clone(req.Context())
		req.URL.Path, req.URL.RawPath = p.prefix+req.URL.Path, ""
	}
	return p.inner.RoundTrip(req)
}

// request sends a request about a manifest or blob with one set of credentials
// after the other while they are refused; the answer has status 200.
func (e *endpoint) request(ctx context.Context, method, kind, id string) (*http.Response, error) {
	all, err := e.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		var resp *http.Response
		if resp, err = e.send(ctx, l, method, kind, id); err == nil {
			e.prefer(l)
			return resp, nil
		}
		if code := fault.CodeOf(err); ctx.Err() != nil || code != fault.Denied && code != fault.NotFound {
			break
		}
	}
	return nil, err
}

// all returns the logins, those that have worked first.
func (e *endpoint) all(ctx context.Context) ([]*login, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.logins == nil {
		found, err := logins(ctx, e.keys, e.repo)
		if err != nil {
			return nil, RegistryError(e.repo, err)
		}
		e.logins = found
	}
	return e.logins, nil
}

// prefer makes l the first login.
func (e *endpoint) prefer(l *login) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.logins[0] != l {
		others := slices.DeleteFunc(slices.Clone(e.logins), func(x *login) bool { return x == l })
		e.logins = append([]*login{l}, others...)
	}
}

func (e *endpoint) send(ctx context.Context, l *login, method, kind, id string) (*http.Response, error) {
	client, err := l.connect(ctx, e.repo, e.base)
	if err != nil {
		return nil, l.hide(RegistryError(e.repo, err))
	}
	u := url.URL{Scheme: e.scheme, Host: e.repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s/%s", e.repo.RepositoryStr(), kind, id)}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if kind == kindManifests {
		req.Header.Set("Accept", manifestTypes)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, l.hide(RegistryError(e.repo, err))
	}
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		_ = resp.Body.Close()
		return nil, l.hide(RegistryError(e.repo, err))
	}
	if e.mirror {
		resp.Body = &mirrored{resp.Body, e}
	}
	return resp, nil
}

// mirrored is content that a mirror has served.
type mirrored struct {
	io.ReadCloser
	from *endpoint
}

// distrust reports whether another place can be asked for what body, which was
// not what it must be, was meant to hold: whether it came from a mirror, which is
// not asked again.
func distrust(body io.ReadCloser) bool {
	m, ok := body.(*mirrored)
	if ok {
		m.from.wrong.Store(true)
	}
	return ok
}
