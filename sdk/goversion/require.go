package goversion

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Require returns nil when the running program was built with Go min or newer,
// and otherwise a *fault.Error that names both versions. min is a version such
// as "1.21", which every go1.21 satisfies, candidates and development versions
// too, or "1.21.3", which needs that release.
//
// The error's code is fault.Unsupported when the Go is too old or tells no
// version, and fault.Usage when min is no Go version.
func Require(min string) error {
	return require(runtime.Version(), min)
}

func require(running, min string) error {
	const op = "require Go"
	want, err := Parse(min)
	if err != nil {
		return &fault.Error{Code: fault.Usage, Op: op, Input: min, Err: err,
			Hint: `call goversion.Require with a version such as "1.21"`}
	}
	hint := fmt.Sprintf("build the program with Go %s or newer", min)
	have, err := Parse(running)
	if err != nil {
		return &fault.Error{Code: fault.Unsupported, Op: op, Input: min, Hint: hint,
			Err: fmt.Errorf("the program does not tell which Go built it: %w", err)}
	}
	if have.Compare(want) < 0 {
		return &fault.Error{Code: fault.Unsupported, Op: op, Input: min, Hint: hint,
			Err: errors.New("the program was built with " + running)}
	}
	return nil
}
