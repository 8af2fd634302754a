package matrix

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// Kernel is the version of a Linux kernel as far as programs ask for one. The zero
// Kernel is older than all others and stands for one that is not known.
type Kernel struct{ Major, Minor int }

// ParseKernel reads the release that uname(2) gives, such as "6.12.1-cloud-amd64";
// ok is false when it does not begin with two numbers.
func ParseKernel(release string) (k Kernel, ok bool) {
	major, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	var errMajor, errMinor error
	k.Major, errMajor = kernelNumber(major)
	k.Minor, errMinor = kernelNumber(rest[:end])
	if errMajor != nil || errMinor != nil {
		return Kernel{}, false
	}
	return k, true
}

func kernelNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}

// Before reports whether k is older than other.
func (k Kernel) Before(other Kernel) bool {
	return k.Major < other.Major || k.Major == other.Major && k.Minor < other.Minor
}

// String returns "major.minor".
func (k Kernel) String() string { return fmt.Sprintf("%d.%d", k.Major, k.Minor) }

// KernelFloor returns the oldest Linux kernel that programs of a Go version run on,
// for a GOARCH; the zero Kernel when version cannot be parsed. Kernels before 3.0
// are all taken for 2.6.
//
// Source: https://go.dev/wiki/Linux, "Baseline requirements" and
// "Architecture-specific requirements".
func KernelFloor(version, arch string) Kernel {
	v, err := goversion.Parse(version)
	if err != nil {
		return Kernel{}
	}
	floor := Kernel{2, 6}
	if minorOf(v).Compare(goversion.Version{Major: 1, Minor: 24}) >= 0 {
		floor = Kernel{3, 2}
	}
	for a, special := range map[string]Kernel{"arm": {3, 1}, "mips64le": {4, 8}, "loong64": {5, 19}} {
		if a == arch && floor.Before(special) {
			floor = special
		}
	}
	return floor
}
