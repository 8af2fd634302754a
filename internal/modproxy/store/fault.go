package store

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ErrAbsent is the reason of all errors about versions that are not there.
var ErrAbsent error = &fault.Error{Code: fault.NotFound, Err: errors.New("it is not in the store")}

// DiskFault returns err, which the disk or a store on it gave, as a *fault.Error
// that says what was done to what, unless it is nil.
func DiskFault(op, input string, err error) error {
	if err == nil {
		return nil
	}
	f := &fault.Error{Code: fault.CodeOf(err), Op: op, Input: input, Err: err, Hint: fault.HintOf(err)}
	switch {
	case filesystem.Full(err):
		f.Code, f.Hint = fault.Limit, cmp.Or(f.Hint, "make room on the disk, or bound the store")
	case f.Code == fault.Denied:
		f.Hint = cmp.Or(f.Hint, "the store's directory must be its own user's")
	case f.Code == fault.Internal, f.Code == fault.NotFound && !errors.Is(err, ErrAbsent):
		f.Code = fault.Unavailable // of the disk
	}
	return f
}

// otherSums is the error of a version that is there already, as something else.
// What errors.As finds it in is not tried again.
type otherSums struct{ have, want Version }

func (e *otherSums) Error() string {
	return fmt.Sprintf("it is there already with the sums %s and %s, and what is to be stored has %s and %s",
		e.have.Sum, e.have.GoModSum, e.want.Sum, e.want.GoModSum)
}

// CheckSums returns an error unless have and want have the same content.
func CheckSums(have, want Version) error {
	if have.Sum == want.Sum && have.GoModSum == want.GoModSum {
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Err: &otherSums{have, want},
		Hint: "a published version must not change: find out which of the two is right, and delete the other"}
}

// HasOtherSums reports whether err says that a version is there with other sums.
func HasOtherSums(err error) bool {
	var other *otherSums
	return errors.As(err, &other)
}
