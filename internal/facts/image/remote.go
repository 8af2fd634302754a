package image

import (
	"context"
	"errors"
	"net/http"
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

// Connect returns base with the user's Docker credentials for the repository's
// registry, which is asked how it wants them. scopes are what is to be done, in
// the terms of name.Repository.Scope.
func Connect(ctx context.Context, repo name.Repository, base http.RoundTripper, scopes ...string) (http.RoundTripper, error) {
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, &fault.Error{Code: fault.Denied, Op: "read credentials for", Input: repo.RegistryStr(), Err: err,
			Hint: "check the Docker configuration and its credential helpers"}
	}
	return distribution.NewWithContext(ctx, repo.Registry, auth, base, scopes)
}

// RegistryError turns an error of the HTTP client into a *fault.Error that says
// what to do. Those that say it already, and cancellation, stay as they are.
func RegistryError(repo name.Repository, err error) error {
	host := repo.RegistryStr()
	var answer *distribution.Error
	var known *fault.Error
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &answer):
		code, hint := statusCode(answer.StatusCode, host)
		return &fault.Error{Code: code, Op: "registry", Input: host, Hint: hint, Err: err}
	case repo.Scheme() == "https" && strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return &fault.Error{Code: fault.Unavailable, Op: "registry", Input: host, Err: err, Hint: "it speaks HTTP: add --plain-http"}
	}
	return &fault.Error{Code: fault.Unavailable, Op: "registry", Input: host, Err: err, Hint: "check the registry's name and the network, and try again"}
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
