//go:build e2e

package e2e

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// goPackages are Debian packages of Go programs, whose Go versions are their
// suites': 1.15, 1.19 and 1.24.
var goPackages = map[string][]string{
	bullseye: {"restic", "docker-registry", "gobuster", "direnv", "fzf", "runc"},
	bookworm: {"restic", "docker-registry", "gobuster", "direnv", "fzf", "runc", "age", "prometheus-node-exporter"},
	trixie:   {"restic", "docker-registry", "gobuster", "direnv", "fzf", "runc", "age", "caddy"},
}

// TestDebianPackages holds the facts of Debian's Go programs against what
// `go version -m` and readelf say of them.
func TestDebianPackages(t *testing.T) {
	archive := openArchive(t)
	for suite, packages := range goPackages {
		t.Run(suite, func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, archive, dir, debian.Source{Suite: suite, Arch: amd64}, packages...)
			found := 0
			for subject, err := range facts.Open(t.Context(), dir, facts.Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range subject.Files {
					found++
					t.Run(f.Path, func(t *testing.T) { checkFacts(t, filepath.Join(dir, f.Path), f) })
				}
			}
			if want := countGoPrograms(t, dir); found != want {
				t.Errorf("inspect found %d Go executables; `go version` finds %d", found, want)
			}
		})
	}
}

// countGoPrograms asks the go command for the Go executables below dir.
func countGoPrograms(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		out, _ := output(t.Context(), nil, "go", "version", file) // fails for every other file
		if strings.Contains(out, ": go") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func checkFacts(t *testing.T, file string, f api.Facts) {
	if diff := cmp.Diff(recorded(t, file), goFacts(f.Go), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what Go recorded (-go version -m +inspect):\n%s", diff)
	}
	if diff := cmp.Diff(readELF(t, file), linkFacts(f), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("how it is linked (-readelf +inspect):\n%s", diff)
	}
	if want := "sha256:" + strings.Fields(command(t, nil, "sha256sum", file))[0]; f.Digest != want {
		t.Errorf("digest %s, sha256sum says %s", f.Digest, want)
	}
}

// buildFacts is what both the go command and Gopherwood say of a build.
type buildFacts struct {
	Version, Main string
	Module        api.Module
	Deps          []api.Module
	Settings      map[string]string
}

// goFacts takes from facts what the go command also says.
func goFacts(g *api.Go) buildFacts {
	if g == nil {
		return buildFacts{}
	}
	b := buildFacts{Version: g.Version, Main: g.Main, Deps: g.Deps, Settings: g.Settings}
	if g.Module != nil {
		b.Module = *g.Module
	}
	return b
}

// recorded asks the go command what it recorded in file.
func recorded(t *testing.T, file string) buildFacts {
	t.Helper()
	var info debug.BuildInfo
	if err := json.Unmarshal([]byte(command(t, nil, "go", "version", "-m", "-json", file)), &info); err != nil {
		t.Fatal(err)
	}
	b := buildFacts{Version: info.GoVersion, Main: info.Path, Module: moduleFacts(info.Main), Settings: map[string]string{}}
	for _, dep := range info.Deps {
		b.Deps = append(b.Deps, moduleFacts(*dep))
	}
	for _, s := range info.Settings {
		b.Settings[s.Key] = s.Value
	}
	return b
}

func moduleFacts(m debug.Module) api.Module {
	out := api.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		replace := moduleFacts(*m.Replace)
		out.Replace = &replace
	}
	return out
}

// elfFacts is what both readelf and Gopherwood say of a file.
type elfFacts struct {
	Dynamic                bool
	Interpreter            string
	Needed, Rpath, Runpath []string
	Floor                  string
	PIE, NX                bool
	RELRO                  string
}

// linkFacts takes from facts what readelf also says.
func linkFacts(f api.Facts) elfFacts {
	return elfFacts{
		Dynamic:     f.Link.Mode == api.LinkDynamic,
		Interpreter: f.Link.Interpreter,
		Needed:      f.Link.Needed,
		Rpath:       f.Link.Rpath,
		Runpath:     f.Link.Runpath,
		Floor:       f.Link.Floor,
		PIE:         f.Hardening.PIE,
		NX:          f.Hardening.NX,
		RELRO:       f.Hardening.RELRO,
	}
}

// What readelf prints.
var (
	readelfInterp  = regexp.MustCompile(`Requesting program interpreter: (\S+)\]`)
	readelfNeeded  = regexp.MustCompile(`\(NEEDED\)\s+Shared library: \[(.*)\]`)
	readelfRpath   = regexp.MustCompile(`\(RPATH\)\s+Library rpath: \[(.*)\]`)
	readelfRunpath = regexp.MustCompile(`\(RUNPATH\)\s+Library runpath: \[(.*)\]`)
	readelfVersion = regexp.MustCompile(`Name: (GLIBC_[0-9.]+)  Flags`)
	readelfStack   = regexp.MustCompile(`GNU_STACK .* (RWE?) `)
	readelfNow     = regexp.MustCompile(`BIND_NOW|Flags:.* NOW`)
)

// readELF asks readelf about file.
func readELF(t *testing.T, file string) elfFacts {
	t.Helper()
	text := command(t, []string{"LC_ALL=C"}, "readelf", "-W", "-h", "-l", "-d", "-V", file)
	var e elfFacts
	if m := readelfInterp.FindStringSubmatch(text); m != nil {
		e.Dynamic, e.Interpreter = true, m[1]
	}
	for _, m := range readelfNeeded.FindAllStringSubmatch(text, -1) {
		e.Needed = append(e.Needed, m[1])
	}
	if m := readelfRpath.FindStringSubmatch(text); m != nil {
		e.Rpath = strings.Split(m[1], ":")
	}
	if m := readelfRunpath.FindStringSubmatch(text); m != nil {
		e.Runpath = strings.Split(m[1], ":")
	}
	e.Floor = highest(t, readelfVersion.FindAllStringSubmatch(text, -1))
	e.PIE = strings.Contains(text, "DYN (Position-Independent Executable file)")
	stack := readelfStack.FindStringSubmatch(text)
	e.NX = stack != nil && stack[1] == "RW"
	switch {
	case !strings.Contains(text, "GNU_RELRO"):
		e.RELRO = api.RELRONone
	case readelfNow.MatchString(text):
		e.RELRO = api.RELROFull
	default:
		e.RELRO = api.RELROPartial
	}
	return e
}

// highest returns the last of symbol versions in the order of sort -V.
func highest(t *testing.T, versions [][]string) string {
	t.Helper()
	var names []string
	for _, m := range versions {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		return ""
	}
	sorted := strings.Fields(command(t, nil, "sh", append([]string{"-c", `printf '%s\n' "$@" | sort -V`, "sort"}, slices.Compact(names)...)...))
	return sorted[len(sorted)-1]
}
