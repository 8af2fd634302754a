// Package arch states which package may import which, and holds the tree to it.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gopherwood-dev/gopherwood"

// layers lists the rooms from the bottom up. A package may import packages of
// its own room and of lower layers; rooms of one layer never import each other.
var layers = [][]string{
	{"sdk"},
	{"e2e/cluster"},
	{"internal/base"},
	{"api", "deploy"},
	{"internal/facts"},
	{"internal/policy"},
	{"internal/image", "internal/modproxy", "internal/bench"},
	{"internal/kube"},
	{"internal/cli"},
	{"cmd", "e2e"},
	{"bench"},
}

// stdOnly are the rooms that use the standard library only, besides Gopherwood
// itself; but not those in stdExempt.
var (
	stdOnly   = []string{"sdk", "internal/base", "api", "deploy"}
	stdExempt = []string{"api/k8s"}
)

// fences says which rooms may import a third party's packages, by prefix of the
// import path. Rooms that do not exist yet stand here by design.
var fences = map[string][]string{
	"github.com/spf13/":                       {"internal/cli"},
	"github.com/invopop/jsonschema":           {"internal/cli/gendocs"},
	"github.com/google/go-containerregistry/": {"internal/facts", "internal/image", "internal/modproxy", "e2e", "bench"},
	"cel.dev/cel-go":                          {"internal/policy", "internal/modproxy/gate"},
	"github.com/moby/buildkit/":               {"internal/policy/dockerfile"},
	"mvdan.cc/sh/":                            {"internal/policy/dockerfile"},
	"github.com/CycloneDX/":                   {"internal/image/attach"},
	"github.com/spdx/":                        {"internal/image/attach"},
	"github.com/sigstore/":                    {"internal/image/attach"},
	"github.com/secure-systems-lab/":          {"internal/image/attach"},
	"golang.org/x/crypto/x509roots/":          {"internal/image/base"},
	"k8s.io/":                                 {"internal/kube", "api/k8s", "e2e", "bench"},
	"sigs.k8s.io/controller-runtime":          {"internal/kube", "e2e", "bench"},
	"go.opentelemetry.io/":                    {"internal/kube/telemetry"},
	"github.com/prometheus/":                  {"internal/kube", "internal/modproxy", "e2e", "bench"},
	"github.com/google/go-cmp/":               {"internal/modproxy/store/storetest"},
	"golang.org/x/perf/":                      {"internal/bench", "bench"},
	"gonum.org/":                              {"internal/bench", "bench"},
	"modernc.org/sqlite":                      {"internal/bench/history"},
	"github.com/jackc/pgx/":                   {"internal/bench/history"},
	"github.com/rogpeppe/go-internal/":        {},
	"github.com/owenrumney/go-sarif/":         {},
	"pgregory.net/rapid":                      {},
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	Standard   bool
	Imports    []string
	GoFiles    []string
}

// path returns the import path below the module, "." for its root.
func (p pkg) path() string { return below(p.ImportPath) }

func below(importPath string) string {
	if importPath == module {
		return "."
	}
	path, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return path
}

// within says whether path is one of the rooms or lies in one.
func within(path string, rooms []string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return path == r || strings.HasPrefix(path, r+"/") })
}

// room returns the layer and the room that path belongs to, -1 for none.
func room(path string) (int, string) {
	for i, rooms := range layers {
		for _, r := range rooms {
			if within(path, []string{r}) {
				return i, r
			}
		}
	}
	return -1, ""
}

// list returns every package of the workspace as goos has it.
func list(t *testing.T, goos string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "e2e", "-json=ImportPath,Name,Doc,Standard,Imports,GoFiles", "./...", "./sdk/...", "./e2e/cluster/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages: the list is not of this tree", len(pkgs))
	}
	return pkgs
}

func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			for _, p := range list(t, goos) {
				for _, problem := range check(p) {
					t.Error(problem)
				}
			}
		})
	}
}

// check returns what is wrong with the imports of p.
func check(p pkg) []string {
	if p.path() == "." {
		return nil // this test
	}
	layer, own := room(p.path())
	if layer < 0 {
		return []string{p.path() + " is in no layer: put its room into the table"}
	}
	var problems []string
	for _, imp := range p.Imports {
		if to := below(imp); to != "" {
			if l, r := room(to); r != own && l >= layer {
				problems = append(problems, p.path()+" must not import "+to+": imports go downwards only")
			}
			continue
		}
		first, _, _ := strings.Cut(imp, "/")
		if strings.Contains(first, ".") && within(p.path(), stdOnly) && !within(p.path(), stdExempt) {
			problems = append(problems, p.path()+" must not import "+imp+": it uses the standard library only")
		}
		for prefix, rooms := range fences {
			if strings.HasPrefix(imp, prefix) && !within(p.path(), rooms) {
				problems = append(problems, p.path()+" must not import "+imp+": that is fenced in")
			}
		}
	}
	return problems
}

// The rule itself finds what it is there to find.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		ok       bool
	}{
		{"internal/policy", module + "/internal/facts", true},
		{"internal/policy/start", module + "/internal/policy/matrix", true},
		{"internal/facts", module + "/internal/policy", false},
		{"internal/base/x", module + "/api", false},
		{"cmd/x", module + "/e2e", false},
		{"internal/new", "fmt", false},
		{"internal/base/x", "golang.org/x/sync/errgroup", false},
		{"sdk/x", "golang.org/x/sys/unix", false},
		{"sdk/x", "net/http", true},
		{"internal/cli", "github.com/spf13/cobra", true},
		{"internal/facts", "github.com/spf13/cobra", false},
		{"internal/cli", "github.com/google/go-containerregistry/pkg/v1", false},
		{"internal/image/store", module + "/internal/policy/matrix", true},
		{"internal/policy", module + "/internal/image/store", false},
		{"internal/kube/images", module + "/internal/image/attach", true},
		{"internal/image", module + "/internal/kube", false},
		{"internal/kube", "k8s.io/api/core/v1", true},
		{"api/k8s/v1alpha1", "k8s.io/apimachinery/pkg/apis/meta/v1", true},
		{"api", "k8s.io/apimachinery/pkg/apis/meta/v1", false},
		{"e2e/cluster", module + "/sdk/fault", true},
		{"e2e/cluster", module + "/internal/base", false},
		{"internal/image/attach", "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1", true},
		{"internal/cli", "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1", false},
	} {
		problems := check(pkg{ImportPath: module + "/" + tc.from, Imports: []string{tc.to}})
		if (len(problems) == 0) != tc.ok {
			t.Errorf("%s -> %s: problems %q", tc.from, tc.to, problems)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "linux") {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment that says what it is for", p.ImportPath)
		}
	}
}
