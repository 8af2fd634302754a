package attach

import (
	"cmp"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
)

// stdlibPath is how bills of materials call the Go standard library.
const stdlibPath = "stdlib"

// bill is what both bills of materials say: what is in the image as far as Go's
// build information and the build itself know it. Licences and which module
// needs which are not known.
type bill struct {
	name     string
	digest   v1.Hash
	base     api.BaseChoice
	run      Run
	programs []program
	// modules are all that the programs link, each once, sorted.
	modules []module
}

// program is a Go executable of the image.
type program struct {
	path, digest string
	// main is the index in bill.modules of the main module, or -1; links are those
	// of the others, with the standard library.
	main  int
	links []int
}

// module is a Go module as it is linked. It is comparable.
type module struct {
	path, version, purl string
	// sum is "h1:…", or empty.
	sum string
	// replaces is the module that this one took the place of, "path@version".
	replaces string
}

func newBill(digest v1.Hash, name string, base api.BaseChoice, run Run) *bill {
	b := &bill{name: cmp.Or(name, digest.String()), digest: digest, base: base, run: run}
	index := map[module]int{}
	for _, f := range run.Files {
		if f.Go == nil {
			continue
		}
		for _, m := range modulesOf(f.Go) {
			index[m] = 0
		}
	}
	for m := range index {
		b.modules = append(b.modules, m)
	}
	slices.SortFunc(b.modules, compareModules)
	for i, m := range b.modules {
		index[m] = i
	}
	for _, f := range run.Files {
		if f.Go != nil {
			b.programs = append(b.programs, newProgram(f, index))
		}
	}
	return b
}

func compareModules(a, b module) int {
	return cmp.Or(cmp.Compare(a.path, b.path), semver.Compare(a.version, b.version), cmp.Compare(a.version, b.version),
		cmp.Compare(a.sum, b.sum), cmp.Compare(a.replaces, b.replaces))
}

// modulesOf returns the main module, if it is known, the standard library and
// the other modules that are linked.
func modulesOf(g *api.Go) []module {
	var list []module
	if g.Module != nil && g.Module.Path != "" {
		list = append(list, newModule(*g.Module))
	}
	version := stdlibVersion(g.Version)
	list = append(list, module{path: stdlibPath, version: version, purl: purl(stdlibPath, version)})
	for _, m := range g.Deps {
		list = append(list, newModule(m))
	}
	return list
}

func newProgram(f api.Facts, index map[module]int) program {
	p := program{path: f.Path, digest: f.Digest, main: -1}
	list := modulesOf(f.Go)
	if f.Go.Module != nil && f.Go.Module.Path != "" {
		p.main, list = index[list[0]], list[1:]
	}
	for _, m := range list {
		p.links = append(p.links, index[m])
	}
	slices.Sort(p.links)
	p.links = slices.Compact(p.links)
	return p
}

// newModule says what is really linked for m: its replacement, if it has one. A
// directory in the place of a module has no name in any registry.
func newModule(m api.Module) module {
	if m.Replace == nil {
		version := known(m.Version)
		return module{path: m.Path, version: version, sum: m.Sum, purl: purl(m.Path, version)}
	}
	original := m.Path
	if version := known(m.Version); version != "" {
		original += "@" + version
	}
	if isDir(*m.Replace) {
		return module{path: m.Path, replaces: original}
	}
	version := known(m.Replace.Version)
	return module{path: m.Replace.Path, version: version, sum: m.Replace.Sum, purl: purl(m.Replace.Path, version), replaces: original}
}

// isDir reports whether a replacement is a directory.
func isDir(m api.Module) bool {
	return m.Version == "" || strings.HasPrefix(m.Path, "./") || strings.HasPrefix(m.Path, "../") || filepath.IsAbs(m.Path) || path.IsAbs(m.Path)
}

// known returns the version of a module, empty where the go command had none.
func known(version string) string {
	if version == "(devel)" {
		return ""
	}
	return version
}

// stdlibVersion turns a toolchain's version, such as "go1.26.8 X:arenas", into
// that of the standard library, "1.26.8".
func stdlibVersion(toolchain string) string {
	version, _, _ := strings.Cut(toolchain, " ")
	return strings.TrimPrefix(version, "go")
}

// purl is the package URL of a Go module. The specification of package URLs has
// the names of modules in lower case.
func purl(modulePath, version string) string {
	if modulePath == "" {
		return ""
	}
	elements := strings.Split(strings.ToLower(modulePath), "/")
	for i, e := range elements {
		elements[i] = escape(e)
	}
	out := "pkg:golang/" + strings.Join(elements, "/")
	if version != "" {
		out += "@" + escape(version)
	}
	return out
}

// basePURL is the package URL of a base image in a registry; empty for others.
func basePURL(base api.BaseChoice) string {
	ref, err := name.ParseReference(base.Ref)
	if err != nil || !image.Named(base.Ref) {
		return ""
	}
	repo := ref.Context()
	out := "pkg:oci/" + escape(strings.ToLower(path.Base(repo.RepositoryStr()))) + "@" + escape(base.Digest) +
		"?repository_url=" + escape(repo.Name())
	if tag, ok := ref.(name.Tag); ok {
		out += "&tag=" + escape(tag.TagStr())
	}
	return out
}

// escape writes s as a part of a package URL, where a space is %20 and a colon
// itself.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":").Replace(url.QueryEscape(s))
}
