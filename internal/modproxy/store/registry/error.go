package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// explain returns err as an error about what was done to input.
func (r *Store) explain(op, input string, repo name.Repository, err error) error {
	if err == nil {
		return nil
	}
	err = answerError(repo, err)
	return &fault.Error{Code: fault.CodeOf(err), Op: op, Input: input, Err: err, Hint: fault.HintOf(err)}
}

// answerError is image.RegistryError for the answers that a store of modules
// gets besides: quotas, limits and tags that must not change.
func answerError(repo name.Repository, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	explained := image.RegistryError(repo, err)
	var answer *distribution.Error
	if !errors.As(err, &answer) || !errors.As(explained, &known) {
		return explained
	}
	f := *known
	switch status := answer.StatusCode; {
	case overQuota(answer):
		f.Code, f.Hint = fault.Limit, "raise the quota of the project in the registry, or make room with gopherwood modproxy gc"
	case status == http.StatusRequestEntityTooLarge:
		f.Code, f.Hint = fault.Limit, "raise the limit on the size of requests of the registry, or of the proxy before it"
	case status == http.StatusMethodNotAllowed:
		f.Code, f.Hint = fault.Unsupported, "the registry does not do this: it may be read-only, or only a cache"
	case status == http.StatusPreconditionFailed:
		f.Code, f.Hint = fault.Denied, "the registry has a rule against it, such as immutable tags"
	case status == http.StatusNotFound:
		f.Hint = ""
	default:
		return explained
	}
	return &f
}

// overQuota reports whether the answer says that the space is used up: Harbor
// says it in words only.
func overQuota(answer *distribution.Error) bool {
	switch answer.StatusCode {
	case http.StatusInsufficientStorage:
		return true
	case http.StatusForbidden, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		text := strings.ToLower(answer.Error())
		return strings.Contains(text, "quota") || strings.Contains(text, "exceed") && strings.Contains(text, "upper limit")
	}
	return false
}

// isAbsent reports whether the registry says that it has no such thing.
func isAbsent(err error) bool {
	var answer *distribution.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// readAnswer reads a body of at most limit bytes.
func readAnswer(body io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the registry's answer is longer than %d bytes", limit)}
	}
	return data, err
}

// wrongDigest is the error of content that is not what its digest says.
func wrongDigest(what, got, want string) error {
	return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("%s has the digest %s and not %s", what, got, want),
		Hint: "the registry's storage or something on the way is broken"}
}
