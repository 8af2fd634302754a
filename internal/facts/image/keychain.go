package image

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Credentials are what a registry is told. The zero value is anonymous.
type Credentials struct {
	Username, Password string
	// IdentityToken is exchanged for a token of the registry; RegistryToken is one.
	IdentityToken, RegistryToken string
}

// Keychain finds the credentials for repositories. It must be safe for
// concurrent use.
type Keychain interface {
	// Find returns the credentials for repository, which has the form
	// "host[:port]/path" ("docker.io/library/nginx"), in the order in which they
	// are tried. None means anonymous.
	Find(ctx context.Context, repository string) ([]Credentials, error)
	// Fingerprint names what Find would answer without telling it: equal
	// fingerprints, equal rights.
	Fingerprint(repository string) string
}

// RepositoryName returns the name of repo as keychains know it.
func RepositoryName(repo name.Repository) string {
	host := repo.RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	return host + "/" + repo.RepositoryStr()
}

// String names the user and tells no secret.
func (c Credentials) String() string {
	if c == (Credentials{}) {
		return "anonymous"
	}
	return "credentials of " + strconv.Quote(c.Username)
}

// GoString is String, for %#v.
func (c Credentials) GoString() string { return c.String() }

// MarshalText is String: credentials are written nowhere.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// secrets are the texts that must not be seen anywhere.
func (c Credentials) secrets() []string {
	var all []string
	for _, s := range []string{c.Password, c.IdentityToken, c.RegistryToken} {
		if s != "" {
			all = append(all, s, url.QueryEscape(s))
		}
	}
	if c.Password != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)))
	}
	return all
}

// login is one set of credentials at a registry. It connects when it is first
// used.
type login struct {
	auth    authn.Authenticator
	secrets []string

	mu     sync.Mutex
	client *http.Client
}

// logins returns what is tried at repo, in order; at least one.
func logins(ctx context.Context, keys Keychain, repo name.Repository) ([]*login, error) {
	if keys == nil {
		auth, err := defaultAuth(ctx, repo)
		if err != nil {
			return nil, err
		}
		return []*login{{auth: auth}}, nil
	}
	found, err := keys.Find(ctx, RepositoryName(repo))
	if err != nil {
		return nil, err
	}
	var list []*login
	for _, c := range found {
		auth := authn.FromConfig(authn.AuthConfig{
			Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
		})
		list = append(list, &login{auth: auth, secrets: c.secrets()})
	}
	if len(list) == 0 {
		list = []*login{{auth: authn.Anonymous}}
	}
	return list, nil
}

// connect returns a client that has logged in to pull from repo.
func (l *login) connect(ctx context.Context, repo name.Repository, base http.RoundTripper) (*http.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		return l.client, nil
	}
	authenticated, err := distribution.NewWithContext(ctx, repo.Registry, l.auth, base, []string{repo.Scope(distribution.PullScope)})
	if err != nil {
		return nil, err
	}
	l.client = &http.Client{Transport: authenticated, CheckRedirect: checkRedirect}
	return l.client, nil
}

// checkRedirect is transport.CheckRedirect, and refuses to send in the clear to
// a registry what was meant to be encrypted.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if from := via[0].URL; from.Scheme == "https" && req.URL.Scheme == "http" && from.Host == req.URL.Host {
		return &fault.Error{Code: fault.Denied, Err: errors.New(from.Host + " redirects from https to http")}
	}
	return transport.CheckRedirect(req, via)
}

// hide returns err without what the registry repeats of the credentials.
func (l *login) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range l.secrets {
		if strings.Contains(text, s) {
			return &fault.Error{Code: fault.CodeOf(err), Op: "registry", Hint: fault.HintOf(err),
				Err: errors.New("the error is not shown, since it repeats the credentials")}
		}
	}
	return err
}
