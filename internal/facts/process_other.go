//go:build !linux

package facts

import (
	"context"
	"errors"
	"runtime"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// openProcess needs Linux's /proc.
func openProcess(_ context.Context, ref string, _ int, _ Options) (*Subject, error) {
	return nil, &fault.Error{
		Code: fault.Unsupported, Op: "inspect", Input: ref,
		Err:  errors.New("processes cannot be inspected on " + runtime.GOOS),
		Hint: "inspect the executable's file",
	}
}
