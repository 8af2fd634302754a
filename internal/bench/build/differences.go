package build

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build/tree"
)

// Differences says what differs between the builds of two sides besides their
// code, and which packages only one of them has, in sentences that are sorted.
// Nothing is returned for sides that may be compared silently.
func Differences(base, head []api.BenchBinary) []string {
	left, right := byPackage(base), byPackage(head)
	found := map[string][]string{}
	var notes []string
	for _, p := range slices.Sorted(maps.Keys(left)) {
		if other, ok := right[p]; ok {
			for _, what := range differing(left[p], other) {
				found[what] = append(found[what], p)
			}
		} else {
			notes = append(notes, fmt.Sprintf("%s has benchmarks in the base only", p))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(right)) {
		if _, ok := left[p]; !ok {
			notes = append(notes, fmt.Sprintf("%s has benchmarks in the head only", p))
		}
	}
	for what, packages := range found {
		if len(packages) == len(left) {
			notes = append(notes, what)
		} else {
			notes = append(notes, what+" ("+tree.Enumerate(packages)+")")
		}
	}
	slices.Sort(notes)
	return notes
}

// byPackage returns one binary a package: layouts have the same settings.
func byPackage(all []api.BenchBinary) map[string]api.BenchBinary {
	out := map[string]api.BenchBinary{}
	for _, b := range all {
		if _, ok := out[b.Package]; !ok {
			out[b.Package] = b
		}
	}
	return out
}

// differing names the settings that differ.
func differing(base, head api.BenchBinary) (out []string) {
	if base.GoVersion != head.GoVersion {
		out = append(out, differs("the Go version", base.GoVersion, head.GoVersion))
	}
	keys := maps.Clone(base.Settings)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, head.Settings)
	for key := range keys {
		if b, h := base.Settings[key], head.Settings[key]; b != h && !strings.HasPrefix(key, "vcs") {
			out = append(out, differs(key, b, h))
		}
	}
	return out
}

func differs(what, base, head string) string {
	return fmt.Sprintf("%s differs: %s in the base, %s in the head", what, shown(base), shown(head))
}

func shown(value string) string {
	if value == "" {
		return "not set"
	}
	return strconv.Quote(value)
}
