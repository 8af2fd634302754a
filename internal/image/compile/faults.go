package compile

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/base/spelling"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// unknownPlatform is how the go command says that there is no such platform.
const unknownPlatform = "unsupported GOOS/GOARCH pair"

// classes are what messages of the go command that are not the compiler's say
// about the cause, the most telling first.
var classes = []struct {
	text string
	code fault.Code
	hint string
}{
	{"no space left on device", fault.Limit, "make room on the disk of the build cache (go env GOCACHE) or of the cache directory"},
	{"toolchain not available", fault.Unsupported, "name a release of Go that exists, and let the go command reach its module proxy (go env GOPROXY)"},
	{"GOTOOLCHAIN=local", fault.Unsupported, "ask for the toolchain with --go, or unset GOTOOLCHAIN"},
	{"go: download go", fault.Unavailable, "the toolchain could not be fetched: name a release that exists, and look at go env GOPROXY"},
	{"-race is not supported on", fault.Unsupported, "leave out --race for this platform"},
	{"-buildmode=pie not supported on", fault.Unsupported, "leave out --pie for this platform"},
	{"requires external (cgo) linking", fault.Unsupported, "leave out --pie, or set --cgo on"},
	{unknownPlatform, fault.Usage, ""},
	{"dial tcp", fault.Unavailable, "try again; a proxy can be set with GOPROXY"},
	{"i/o timeout", fault.Unavailable, "try again; a proxy can be set with GOPROXY"},
	{"go.mod file not found", fault.NotFound, "run in the directory of a Go module, or make one with go mod init"},
	{"cannot find main module", fault.NotFound, "run in the directory of a Go module, or make one with go mod init"},
	{"missing go.sum entry", fault.Invalid, "run go mod tidy"},
	{"updates to go.mod needed", fault.Invalid, "run go mod tidy"},
	{"no required module provides package", fault.NotFound, "look at the package's name, or run go get"},
	{"directory not found", fault.NotFound, ""},
	{"no such file or directory", fault.NotFound, ""},
	{"is not in std", fault.NotFound, "a package of this module is named by its directory: ./cmd/app"},
}

// classify returns the code of a message of the go command and what to do about
// it. A message with a compiler's header, "# package", is of the source.
func classify(message string) (fault.Code, string) {
	for _, class := range classes {
		if strings.Contains(message, class.text) && (class.code == fault.Limit || !strings.HasPrefix(message, "# ")) {
			return class.code, class.hint
		}
	}
	return fault.Invalid, ""
}

// explain gives an error of go build its code, and adds what the go command
// does not say of a platform that does not exist.
func (b *build) explain(ctx context.Context, err error) error {
	err = asFault(err)
	var f *fault.Error
	if !errors.As(err, &f) || !strings.Contains(err.Error(), unknownPlatform) {
		return err
	}
	out, listErr := b.tool.run(ctx, []string{"GOOS=", "GOARCH="}, "tool", "dist", "list")
	if listErr != nil {
		return err
	}
	f.Op, f.Input, f.Err = "compile for", b.platform.String(), errors.New("the go command has no such platform")
	f.Hint = "did you mean " + strings.Join(near(b.platform.OS+"/"+b.platform.Arch, strings.Fields(string(out))), ", ") + "?"
	return f
}

// near returns the three names closest to name, the closest first.
func near(name string, all []string) []string {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(x, y string) int { return spelling.Distance(name, x) - spelling.Distance(name, y) })
	return sorted[:min(3, len(sorted))]
}
