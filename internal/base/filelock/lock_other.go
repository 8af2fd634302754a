//go:build (!unix && !windows) || solaris || illumos || aix

package filelock

import (
	"errors"
	"os"
	"runtime"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// lock fails: this system has no lock that ends with the open file.
func lock(f *os.File, _ how) (bool, error) {
	return false, &fault.Error{Code: fault.Unsupported, Op: "lock", Input: f.Name(), Err: errors.ErrUnsupported,
		Hint: "files are not locked on " + runtime.GOOS + "; use Linux, macOS or Windows"}
}
