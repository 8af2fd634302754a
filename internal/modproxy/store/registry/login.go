package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// logins are the connections of a store to its registry. Registries that give
// out tokens get a login for each repository and kind of use, as their tokens
// are for that; for all others there is one.
type logins struct {
	registry name.Registry
	keys     *savedKeys
	base     http.RoundTripper
	// idle ends the connections that no request uses.
	idle func()

	mu sync.Mutex
	// tokens is true when the registry gives out tokens; known says that it was
	// asked.
	tokens, known bool
	open          map[string]*login
	// opening has a lock a login.
	opening keylock.Locks
}

// login is a connection with credentials.
type login struct {
	client *http.Client
	made   time.Time
}

// maxLogins bounds the logins that are kept.
const maxLogins = 2048

// freshLogin is how old a login is at most whose refusal is believed: others
// may have run out.
const freshLogin = 10 * time.Second

func newLogins(prefix name.Repository, opt Options) *logins {
	l := &logins{
		registry: prefix.Registry,
		keys:     &savedKeys{repo: prefix, inner: opt.Keychain},
		base:     opt.Transport,
		idle:     func() {},
		open:     map[string]*login{},
	}
	if l.base == nil {
		l.base = transport.New(opt.Timeouts)
		if t, ok := l.base.(interface{ CloseIdleConnections() }); ok {
			l.idle = t.CloseIdleConnections
		}
	}
	return l
}

func (l *logins) close() { l.idle() }

// login returns the connection to a repository where actions may be done.
func (l *logins) login(ctx context.Context, repo name.Repository, actions string) (*login, error) {
	scope := repo.Scope(actions)
	if actions == distribution.CatalogScope {
		scope = repo.Registry.Scope("")
	}
	key, err := l.key(ctx, scope)
	if err != nil {
		return nil, err
	}
	if known := l.kept(key); known != nil {
		return known, nil
	}
	unlock, err := l.opening.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if known := l.kept(key); known != nil {
		return known, nil
	}
	connected, err := image.Connect(ctx, repo, l.keys, l.base, scope)
	if err != nil {
		return nil, err
	}
	made := &login{&http.Client{Transport: connected, CheckRedirect: transport.CheckRedirect}, time.Now()}
	l.keep(key, made)
	return made, nil
}

// key returns what a login for the scope is kept under.
func (l *logins) key(ctx context.Context, scope string) (string, error) {
	l.mu.Lock()
	tokens, known := l.tokens, l.known
	l.mu.Unlock()
	if !known {
		challenge, err := distribution.Ping(ctx, l.registry, l.base)
		if err != nil {
			return "", err
		}
		tokens = strings.EqualFold(challenge.Scheme, "bearer")
		l.mu.Lock()
		l.tokens, l.known = tokens, true
		l.mu.Unlock()
	}
	if !tokens {
		return "", nil
	}
	return scope, nil
}

func (l *logins) kept(key string) *login {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[key]
}

func (l *logins) keep(key string, made *login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for old := range l.open {
		if len(l.open) < maxLogins {
			break
		}
		delete(l.open, old) // it is made again when it is asked for
	}
	l.open[key] = made
}

// forget ends all logins: the credentials are looked up again.
func (l *logins) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.known = map[string]*login{}, false
	l.keys.forget()
}

// request is what is asked about a repository.
type request struct {
	method string
	// path follows the repository's own, "manifests/v1"; one that begins with "/"
	// is the registry's. It may have a query.
	path string
	// accept and content are the headers of these names; body has the content.
	accept, content string
	body            []byte
}

// do sends a request about the repository. The answer may have any status. Where
// an old login is refused, it is sent once more with a new one.
func (l *logins) do(ctx context.Context, repo name.Repository, actions string, req request) (*http.Response, error) {
	with, err := l.login(ctx, repo, actions)
	if err != nil {
		return nil, err
	}
	resp, err := l.send(ctx, with.client, repo, req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || time.Since(with.made) < freshLogin {
		return resp, err
	}
	_ = resp.Body.Close()
	l.forget()
	if with, err = l.login(ctx, repo, actions); err != nil {
		return nil, err
	}
	return l.send(ctx, with.client, repo, req)
}

func (l *logins) send(ctx context.Context, client *http.Client, repo name.Repository, r request) (*http.Response, error) {
	path, query, _ := strings.Cut(r.path, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/v2/" + repo.RepositoryStr() + "/" + path
	}
	u := url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: path, RawQuery: query}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if r.content != "" {
		req.Header.Set("Content-Type", r.content)
	}
	return client.Do(req)
}

// savedKeys are the credentials for the prefix, whichever repository below it is
// asked for: to look them up may mean to run a program.
type savedKeys struct {
	repo name.Repository
	// inner is nil for those of `docker login`.
	inner image.Keychain

	mu    sync.Mutex
	found []image.Credentials
	until time.Time
}

// keysKept is how long credentials are used before they are looked up again.
const keysKept = 5 * time.Minute

// Find implements image.Keychain.
func (k *savedKeys) Find(ctx context.Context, _ string) ([]image.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return k.found, nil
	}
	found, err := k.find(ctx)
	if err != nil {
		return nil, err
	}
	k.found, k.until = found, time.Now().Add(keysKept)
	return found, nil
}

func (k *savedKeys) find(ctx context.Context) ([]image.Credentials, error) {
	if k.inner != nil {
		return k.inner.Find(ctx, image.RepositoryName(k.repo))
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, k.repo)
	if err == nil && auth == authn.Anonymous {
		return nil, nil
	}
	var config *authn.AuthConfig
	if err == nil {
		config, err = authn.Authorization(ctx, auth)
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.Denied, Op: "read credentials for", Input: k.repo.RegistryStr(), Err: err,
			Hint: "check the Docker configuration and its credential helpers"}
	}
	return []image.Credentials{{
		Username: config.Username, Password: config.Password,
		IdentityToken: config.IdentityToken, RegistryToken: config.RegistryToken,
	}}, nil
}

func (k *savedKeys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found, k.until = nil, time.Time{}
}

// Fingerprint implements image.Keychain.
func (k *savedKeys) Fingerprint(string) string {
	if k.inner == nil {
		return ""
	}
	return k.inner.Fingerprint(image.RepositoryName(k.repo))
}
