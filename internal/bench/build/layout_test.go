package build_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Layouts are the same program in another order, the user's linker flags kept.
func TestLayouts(t *testing.T) {
	files := shop()
	files["order_test.go"] = ordered
	files["shop.go"] = "package shop\n\nvar a, b string\n\nfunc Answer() int { return len(a) + 10*len(b) }\n"
	r := newRepo(t, files)
	opt := r.options("HEAD")
	opt.Env = append(opt.Env, "GOFLAGS=-ldflags=-X=example.com/shop.b=xx")
	one := func(o build.BuildOptions) *build.Built {
		s := open(t, opt)
		o.Packages = []string{"."}
		b := built(t, s, o)
		for _, x := range b.Binaries {
			run(t, x)
		}
		return b
	}
	first := one(build.BuildOptions{Layouts: 3, LayoutSeed: 7})
	var digests []string
	for _, x := range first.Binaries {
		digests = append(digests, x.Digest)
		if out := run(t, x); !strings.Contains(out, "20.00 answer") {
			t.Errorf("layout %d has lost -X:\n%s", x.Layout, out)
		}
	}
	slices.Sort(digests)
	if len(slices.Compact(digests)) != 3 || first.Binaries[0].Layout != 0 || first.Binaries[1].Layout == 0 || first.Binaries[1].Layout == first.Binaries[2].Layout {
		t.Errorf("%+v", first.Binaries)
	}
	if order(t, first.Binaries[0]) == order(t, first.Binaries[1]) || order(t, first.Binaries[1]) == order(t, first.Binaries[2]) {
		t.Error("functions of two layouts are in the same order")
	}
	if again := one(build.BuildOptions{Layouts: 2, LayoutSeed: 7}); again.Linked != 0 || again.Binaries[1].Digest != first.Binaries[1].Digest {
		t.Errorf("%d linked again", again.Linked)
	}
	for _, flags := range [][]string{{"-ldflags=-X=example.com/shop.a=xxx"}, {"--ldflags", "all=-X example.com/shop.a=xxx"}, {"-ldflags=-s", "-ldflags=example.com/shop=-X=example.com/shop.a=xxx"}} {
		b := one(build.BuildOptions{Layouts: 2, LayoutSeed: 7, Flags: flags})
		if out := run(t, b.Binaries[1]); !strings.Contains(out, "3.000 answer") {
			t.Errorf("%q: the layout has lost -X:\n%s", flags, out)
		}
		if b.Binaries[0].Digest == b.Binaries[1].Digest {
			t.Errorf("%q: the layouts are equal", flags)
		}
	}
	// An older linker says nothing of the flag.
	opt.Env = wrapped(t, opt.Env, `if [ "$1" = tool ]; then echo "usage: link" >&2; exit 2; fi`)
	_, err := open(t, opt).Build(t.Context(), build.BuildOptions{Layouts: 2})
	failure(t, err, fault.Unsupported, "-randlayout", "Go 1.22")
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v is not errors.ErrUnsupported", err)
	}
}

// ordered prints in which order its functions lie.
const ordered = `package shop

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

//go:noinline
func f0() {}

//go:noinline
func f1() {}

//go:noinline
func f2() {}

//go:noinline
func f3() {}

//go:noinline
func f4() {}

//go:noinline
func f5() {}

//go:noinline
func f6() {}

func BenchmarkOrder(b *testing.B) {
	all := []func(){f0, f1, f2, f3, f4, f5, f6}
	var at []uintptr
	for _, f := range all {
		at = append(at, reflect.ValueOf(f).Pointer())
	}
	inOrder := slices.Clone(at)
	slices.Sort(inOrder)
	var names []int
	for _, f := range inOrder {
		names = append(names, slices.Index(at, f))
	}
	b.Log("order", fmt.Sprint(names))
}
`

// order is that of the functions of a binary.
func order(t *testing.T, b build.Binary) string {
	t.Helper()
	found := regexp.MustCompile(`order \[.*\]`).FindString(run(t, b, "-test.bench=Order"))
	if found == "" {
		t.Error("no order is printed")
	}
	return found
}
