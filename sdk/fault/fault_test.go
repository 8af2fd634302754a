package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestErrorText(t *testing.T) {
	reason := errors.New("no such layer")
	for _, test := range []struct {
		err  fault.Error
		want string
	}{
		{fault.Error{Op: "read layer", Input: "sha256:ab", Err: reason}, "read layer sha256:ab: no such layer"},
		{fault.Error{Op: "read layer", Err: reason}, "read layer: no such layer"},
		{fault.Error{Input: "a.yaml", Err: reason}, "a.yaml: no such layer"},
		{fault.Error{Op: "read layer", Input: "sha256:ab"}, "read layer sha256:ab"},
		{fault.Error{Err: reason}, "no such layer"},
		{fault.Error{Op: "read", Hint: "look elsewhere"}, "read"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%#v.Error() = %q, want %q", test.err, got, test.want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	limit := &fault.Error{Code: fault.Limit}
	for _, test := range []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, ""},
		{"wrapped", fmt.Errorf("scan: %w", limit), fault.Limit},
		{"joined", errors.Join(errors.New("first"), limit), fault.Limit},
		{"outermost decides", &fault.Error{Code: fault.Invalid, Err: limit}, fault.Invalid},
		{"canceled wins", &fault.Error{Code: fault.Unavailable, Err: context.Canceled}, fault.Canceled},
		{"deadline", fmt.Errorf("get: %w", context.DeadlineExceeded), fault.Unavailable},
		{"not exist", &fs.PathError{Op: "open", Path: "x", Err: os.ErrNotExist}, fault.NotFound},
		{"permission", os.ErrPermission, fault.Denied},
		{"unsupported", errors.ErrUnsupported, fault.Unsupported},
		{"a fault without a code", &fault.Error{Err: os.ErrNotExist}, fault.NotFound},
		{"unknown", errors.New("x"), fault.Internal},
	} {
		if got := fault.CodeOf(test.err); got != test.want {
			t.Errorf("%s: CodeOf(%v) = %q, want %q", test.name, test.err, got, test.want)
		}
	}
}

func TestHintOf(t *testing.T) {
	inner := &fault.Error{Op: "dial", Hint: "start it"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"none", errors.New("x"), ""},
		{"inner", &fault.Error{Op: "push", Err: fmt.Errorf("try 1: %w", inner)}, "start it"},
		{"outer first", &fault.Error{Hint: "log in", Err: inner}, "log in"},
	} {
		if got := fault.HintOf(test.err); got != test.want {
			t.Errorf("%s: HintOf = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnwrap(t *testing.T) {
	err := error(&fault.Error{Op: "read", Err: os.ErrNotExist})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v does not match its reason", err)
	}
}

func ExampleError() {
	err := error(&fault.Error{
		Code: fault.NotFound, Op: "open", Input: "policy.yaml", Err: os.ErrNotExist, Hint: "name an existing file",
	})
	fmt.Println(err)
	fmt.Println(fault.CodeOf(err), "—", fault.HintOf(err))
	// Output:
	// open policy.yaml: file does not exist
	// not-found — name an existing file
}
