//go:build (!unix && !windows) || solaris || illumos || aix

package compile

import (
	"errors"
	"os"
	"runtime"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// tryLock fails: this system has no lock that ends with the process.
func tryLock(f *os.File) (bool, error) {
	return false, &fault.Error{Code: fault.Unsupported, Op: "lock", Input: f.Name(), Err: errors.ErrUnsupported,
		Hint: "files are not locked on " + runtime.GOOS + "; build on Linux, macOS or Windows"}
}
