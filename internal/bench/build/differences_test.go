package build_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
)

func TestDifferences(t *testing.T) {
	binary := func(name, version string, settings map[string]string) api.BenchBinary {
		all := map[string]string{"GOOS": "linux", "GOAMD64": "v1", "vcs.revision": name + version}
		maps.Copy(all, settings)
		return api.BenchBinary{Package: name, GoVersion: version, Settings: all}
	}
	same := binary("a", "go1.26.8", nil)
	shuffled := same
	shuffled.Layout, shuffled.Digest = 7, "sha256:1"
	for _, tc := range []struct {
		name       string
		base, head []api.BenchBinary
		want       []string
	}{
		{"none", nil, nil, nil},
		{"equal", []api.BenchBinary{same, shuffled}, []api.BenchBinary{shuffled, same}, nil},
		{"version and level", []api.BenchBinary{same}, []api.BenchBinary{binary("a", "go1.25.1", map[string]string{"GOAMD64": "v3", "-race": "true"})}, []string{
			`-race differs: not set in the base, "true" in the head`,
			`GOAMD64 differs: "v1" in the base, "v3" in the head`,
			`the Go version differs: "go1.26.8" in the base, "go1.25.1" in the head`,
		}},
		{"some packages", []api.BenchBinary{same, binary("b", "go1.26.8", map[string]string{"-gcflags": "-N"})}, []api.BenchBinary{same, binary("b", "go1.26.8", nil)}, []string{
			`-gcflags differs: "-N" in the base, not set in the head (b)`,
		}},
		{"one side only", []api.BenchBinary{same, binary("b", "", nil)}, []api.BenchBinary{binary("c", "", nil), same}, []string{
			"b has benchmarks in the base only", "c has benchmarks in the head only",
		}},
		{"without settings", []api.BenchBinary{{Package: "a"}}, []api.BenchBinary{{Package: "a", Settings: map[string]string{"-tags": "x"}}}, []string{
			`-tags differs: not set in the base, "x" in the head`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, build.Differences(tc.base, tc.head)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
