// Package fault is the structured error that Gopherwood and the programs built
// on its SDK share: what failed, why, and what to do about it.
//
// It uses the standard library only.
package fault

import (
	"context"
	"errors"
	"io/fs"
)

// Code is the stable, machine-readable class of an error. Programs decide on it
// (exit codes, HTTP statuses, retries), people read the message.
type Code string

// The codes.
const (
	// Usage: the call itself is wrong; the same call never succeeds.
	Usage Code = "usage"
	// NotFound: what the input names does not exist.
	NotFound Code = "not-found"
	// Invalid: the input exists and its content is not what it must be.
	Invalid Code = "invalid"
	// Denied: the other side wants credentials or refuses these.
	Denied Code = "denied"
	// Unavailable: the other side did not answer, or not now; a retry may help.
	Unavailable Code = "unavailable"
	// Limit: the input is over a limit that the caller can raise.
	Limit Code = "limit"
	// Unsupported: this system lacks what the call needs.
	Unsupported Code = "unsupported"
	// Canceled: the caller gave up.
	Canceled Code = "canceled"
	// Internal: none of the others; a defect until shown otherwise.
	Internal Code = "internal"
)

// Error says what failed (Op on Input), why (Err) and the way out (Hint).
type Error struct {
	Code Code
	// Op is what was being done, for example "read layer".
	Op string
	// Input names what it was done to: a path, a reference, a field.
	Input string
	// Hint is what the reader can do; a sentence fragment, may be empty.
	Hint string
	// Err is the reason; may be nil when Op and Input say all.
	Err error
}

// Error returns "op input: reason", without the hint.
func (e *Error) Error() string {
	s := e.Op
	if e.Input != "" {
		if s != "" {
			s += " "
		}
		s += e.Input
	}
	if e.Err != nil {
		if s != "" {
			s += ": "
		}
		s += e.Err.Error()
	}
	return s
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first *Error in err's chain, or what the
// standard library's sentinels say, or Internal. It returns "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.As(err, &e) && e.Code != "":
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return Denied
	case errors.Is(err, errors.ErrUnsupported):
		return Unsupported
	}
	return Internal
}

// HintOf returns the first hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
