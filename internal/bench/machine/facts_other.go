//go:build !linux && !darwin && !windows

package machine

import (
	"runtime"

	"github.com/gopherwood-dev/gopherwood/api"
)

// read knows what the Go runtime knows.
func read() (api.BenchMachine, identity) {
	cpus := runtime.NumCPU()
	return api.BenchMachine{CPUs: cpus}, identity{processors: cpus}
}
