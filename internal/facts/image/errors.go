package image

import (
	"errors"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// codeOf returns the code of err; what has none is content that is not what it
// must be, or a part that is missing.
func codeOf(err error) fault.Code {
	if errors.Is(err, errMissing) {
		return fault.NotFound
	}
	if code := fault.CodeOf(err); code != fault.Internal {
		return code
	}
	return fault.Invalid
}
