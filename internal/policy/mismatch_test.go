package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

// attachedFacts are the facts of an image as its builder attaches them.
func attachedFacts() []api.Facts {
	return []api.Facts{{
		Path: "/usr/local/bin/app", Digest: "sha256:" + strings.Repeat("a", 64), Size: 8126464, Format: "elf",
		Platform: api.Platform{OS: "linux", Arch: "amd64", Level: "v1"}, Entrypoint: true,
		Go: &api.Go{Version: "go1.26.8", Main: "example.org/app", Trimpath: true,
			Deps: []api.Module{{Path: "example.org/dep", Version: "v1.0.0", Sum: "h1:x="}}},
		Link:         api.Link{Mode: api.LinkStatic, Libc: api.LibcNone},
		Capabilities: []string{"net", "tls"},
		Image:        &api.Image{Entrypoint: []string{"/usr/local/bin/app"}, User: "65532:65532"},
	}}
}

// measuredFacts are the same, measured from a registry.
func measuredFacts() []api.Facts {
	f := attachedFacts()
	f[0].Ref, f[0].Source = "registry.example.org/app:v1", api.SourceMeasured
	f[0].Notes = []string{"the function table is long"}
	f[0].Image.Digest = "sha256:" + strings.Repeat("b", 64)
	f[0].Image.ConfigDigest = "sha256:" + strings.Repeat("c", 64)
	f[0].Image.Layers = []api.Layer{{Digest: "sha256:" + strings.Repeat("d", 64)}}
	return f
}

func TestMismatch(t *testing.T) {
	const app = "/usr/local/bin/app"
	tests := map[string]struct {
		change func(attached *[]api.Facts, measured *[]api.Facts)
		want   map[string]string // messages by path
	}{
		"the same": {func(_, _ *[]api.Facts) {}, nil},
		"a value": {
			func(a, _ *[]api.Facts) { (*a)[0].Link.Mode = api.LinkDynamic },
			map[string]string{app: `link.mode is "dynamic" in the attached facts and was measured as "static"`},
		},
		"an item of a list": {
			func(a, _ *[]api.Facts) { (*a)[0].Go.Deps[0].Version = "v1.0.1" },
			map[string]string{app: `go.deps[0].version is "v1.0.1" in the attached facts and was measured as "v1.0.0"`},
		},
		"a list of another length": {
			func(a, _ *[]api.Facts) { (*a)[0].Capabilities = []string{"net"} },
			map[string]string{app: `capabilities is ["net"] in the attached facts and was measured as ["net","tls"]`},
		},
		"what is absent": {
			func(_, m *[]api.Facts) { (*m)[0].Link.Floor = "GLIBC_2.34" },
			map[string]string{app: `link.floor is absent in the attached facts and was measured as "GLIBC_2.34"`},
		},
		"a large number": {
			func(a, m *[]api.Facts) { (*a)[0].Size, (*m)[0].Size = 1<<62, 1<<62+1 },
			map[string]string{app: `size is 4611686018427387904 in the attached facts and was measured as 4611686018427387905`},
		},
		"the image": {
			func(a, _ *[]api.Facts) { (*a)[0].Image.User = "0" },
			map[string]string{app: `image.user is "0" in the attached facts and was measured as "65532:65532"`},
		},
		"no word about the image": {func(a, _ *[]api.Facts) { (*a)[0].Image = nil }, nil},
		"executables": {
			func(a, m *[]api.Facts) {
				*a = append(*a, api.Facts{Path: "/bin/invented"})
				*m = append(*m, api.Facts{Path: "/bin/hidden"})
			},
			map[string]string{
				"/bin/hidden":   "the attached facts leave out this executable of the image",
				"/bin/invented": "facts of an executable are attached that the image does not hold",
			},
		},
		"one twice": {
			func(a, _ *[]api.Facts) { *a = append(*a, (*a)[0]) },
			map[string]string{app: "facts of this executable are attached more than once"},
		},
		"nothing attached": {
			func(a, _ *[]api.Facts) { *a = nil },
			map[string]string{app: "the attached facts leave out this executable of the image"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			attached, measured := attachedFacts(), measuredFacts()
			test.change(&attached, &measured)
			got := map[string]string{}
			for _, f := range Mismatch(attached, measured) {
				if f.Rule != FactsMismatch || f.Severity != api.Deny || f.Hint == "" {
					t.Errorf("finding %+v", f)
				}
				got[f.Path] = f.Message
			}
			if test.want == nil {
				test.want = map[string]string{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMismatchIsShort(t *testing.T) {
	attached, measured := attachedFacts(), measuredFacts()
	attached[0].Go.Main = strings.Repeat("ü", 10_000)
	attached[0].Hardening = api.Hardening{PIE: true, NX: true, Stripped: true, Packed: "upx", RELRO: "full"}
	attached[0].Sections = api.Sections{Text: 1, ROData: 2, Data: 3}
	got := Mismatch(attached, measured)
	if len(got) != 1 || len(got[0].Message) > 1500 || !strings.HasSuffix(got[0].Message, "4 more fields differ") {
		t.Errorf("findings %+v", got)
	}
}

func TestMismatchIsExplained(t *testing.T) {
	e, err := Default().Explain(FactsMismatch)
	if err != nil || e.Severity != api.Deny || e.Description == "" {
		t.Errorf("explanation %+v, %v", e, err)
	}
}
