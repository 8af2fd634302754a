package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ParseName reads registry/repository[:tag|@digest].
func ParseName(ref string, plainHTTP bool) (name.Reference, error) {
	var options []name.Option
	if plainHTTP {
		options = append(options, name.Insecure)
	}
	parsed, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Err: err, Hint: "write registry/repository[:tag|@digest]"}
	}
	return parsed, nil
}

// Connect returns base with the credentials for the repository's registry, which
// is asked how it wants them: the first that keys has or, when keys is nil, the
// user's of `docker login`. scopes are what is to be done, in the terms of
// name.Repository.Scope.
func Connect(ctx context.Context, repo name.Repository, keys Keychain, base http.RoundTripper, scopes ...string) (http.RoundTripper, error) {
	list, err := logins(ctx, keys, repo)
	if err != nil {
		return nil, err
	}
	connected, err := distribution.NewWithContext(ctx, repo.Registry, list[0].auth, base, scopes)
	return connected, list[0].hide(err)
}

// defaultAuth returns what `docker login` has stored for the registry of repo.
func defaultAuth(ctx context.Context, repo name.Repository) (authn.Authenticator, error) {
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, &fault.Error{Code: fault.Denied, Op: "read credentials for", Input: repo.RegistryStr(), Err: err,
			Hint: "check the Docker configuration and its credential helpers"}
	}
	return auth, nil
}

// RegistryError turns an error of the HTTP client into a *fault.Error that says
// what to do. Those that say it already, and cancellation, stay as they are.
func RegistryError(repo name.Repository, err error) error {
	host := repo.RegistryStr()
	var answer *distribution.Error
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	err = plainError(err)
	switch {
	case errors.As(err, &answer):
		code, hint := statusCode(answer.StatusCode, host)
		return &fault.Error{Code: code, Op: "registry", Input: host, Hint: hint, Err: err}
	case repo.Scheme() == "https" && strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return &fault.Error{Code: fault.Unavailable, Op: "registry", Input: host, Err: err, Hint: "it speaks HTTP: add --plain-http"}
	}
	return &fault.Error{Code: fault.Unavailable, Op: "registry", Input: host, Err: err, Hint: "check the registry's name and the network, and try again"}
}

// said is an error with the text that users may see: without the queries of URLs,
// which hold signatures, and of a registry's answer only what it says in the form
// that the distribution API has for it. An address that is no registry may answer
// anything at all.
type said struct {
	error
	text string
}

func (s said) Error() string { return s.text }
func (s said) Unwrap() error { return s.error }

// maxAnswer is how much of a registry's own words is repeated, in bytes.
const maxAnswer = 400

func plainError(err error) error {
	var answer *distribution.Error
	if errors.As(err, &answer) {
		return said{err, answerText(answer)}
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.RawQuery != "" {
			return said{err, strings.ReplaceAll(err.Error(), u.RawQuery, "…")}
		}
	}
	return err
}

func answerText(e *distribution.Error) string {
	text := fmt.Sprintf("status %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if e.Request != nil && e.Request.URL != nil {
		text = e.Request.Method + " " + e.Request.URL.Scheme + "://" + e.Request.URL.Host + e.Request.URL.Path + ": " + text
	}
	for _, d := range e.Errors {
		text += "; " + d.String()
	}
	if len(text) > maxAnswer {
		text = strings.ToValidUTF8(text[:maxAnswer], "") + "…"
	}
	return text
}

// statusCode says what an HTTP status means to the user.
func statusCode(status int, host string) (fault.Code, string) {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.Denied, "run docker login " + host + ", or check that the account may do this and that the name is right"
	case status == http.StatusNotFound:
		return fault.NotFound, "check the repository, the tag and the digest"
	case status == http.StatusTooManyRequests:
		return fault.Unavailable, "the registry limits requests: wait, or log in"
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return fault.Unavailable, "try again later"
	}
	return fault.Invalid, ""
}
