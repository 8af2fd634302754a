package start

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// glibc is the dynamic loader of the GNU C library. Sources: ld.so(8), and
// elf/dl-load.c, elf/dl-cache.c and elf/dl-version.c of glibc.
//
// Not followed: the hardware directories of glibc before 2.33 (tls/, haswell/),
// LD_AUDIT, LD_HWCAP_MASK and prelinking.
type glibc struct {
	*linker
	ldso *dso
	// system are the directories compiled into the loader; libraryPath is
	// LD_LIBRARY_PATH's, none for a set-user-ID program.
	system, libraryPath []string
	// cache maps a soname to its path in /etc/ld.so.cache.
	cache map[string]string
	// hwcaps are the subdirectories tried in each directory, best first; the
	// last is the directory itself.
	hwcaps []string
}

func newGlibc(l *linker, ldso *dso) *glibc {
	g := &glibc{linker: l, ldso: ldso}
	ldso.aliases = append(ldso.aliases, ldso.dynamic().Soname)
	g.system = ldso.elf.SystemDirs
	if len(g.system) == 0 {
		g.system = defaultSystemDirs(l.p.object.Facts.Platform.Arch)
	}
	if !l.p.secure {
		g.libraryPath = splitPath(l.p.env["LD_LIBRARY_PATH"], ":;")
	}
	if l.p.object.Facts.Platform.Arch == "amd64" {
		for level := l.opt.CPULevel; level >= 2; level-- {
			g.hwcaps = append(g.hwcaps, fmt.Sprintf("glibc-hwcaps/x86-64-v%d", level))
		}
	}
	g.hwcaps = append(g.hwcaps, "")
	if data := content(l.p, "/etc/ld.so.cache"); data != nil {
		g.cache = readCache(data, l.p.object.ELF, g.hwcaps)
	}
	return g
}

// multiarch is Debian's name of an architecture, part of its library paths.
var multiarch = map[string]string{
	"amd64": "x86_64-linux-gnu", "386": "i386-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf",
	"riscv64": "riscv64-linux-gnu", "ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu", "loong64": "loongarch64-linux-gnu",
}

// defaultSystemDirs stands in where the loader's own list could not be read.
func defaultSystemDirs(arch string) []string {
	dirs := []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	if triple := multiarch[arch]; triple != "" {
		dirs = append([]string{"/lib/" + triple, "/usr/lib/" + triple}, dirs...)
	}
	return dirs
}

func (g *glibc) loaded(name string) *dso {
	if g.ldso.answers(name) {
		if !slices.Contains(g.objects, g.ldso) {
			g.objects = append(g.objects, g.ldso)
		}
		return g.ldso
	}
	for _, d := range g.objects {
		if d.answers(name) || d.needer != nil && d.dynamic().Soname == name {
			return d
		}
	}
	return nil
}

func (g *glibc) search(name string, by *dso) []string {
	if strings.Contains(name, "/") {
		if expanded := g.expand(name, by); expanded != "" {
			return []string{expanded}
		}
		return nil
	}
	var dirs []string
	if !by.dynamic().HasRunpath {
		dirs = append(dirs, g.rpaths(by)...)
	}
	dirs = append(dirs, g.libraryPath...)
	dirs = append(dirs, g.expandAll(by.dynamic().Runpath, by)...)
	paths := g.inDirs(dirs, name)
	if cached := g.cache[name]; cached != "" && !(by.dynamic().NoDefaultLib && g.inSystem(cached)) {
		paths = append(paths, cached)
	}
	if !by.dynamic().NoDefaultLib {
		paths = append(paths, g.inDirs(g.system, name)...)
	}
	return paths
}

// rpaths is DT_RPATH of by, of the objects that asked for it, and of the
// program; an object with DT_RUNPATH has none.
func (g *glibc) rpaths(by *dso) []string {
	var dirs []string
	program := g.objects[0]
	sawProgram := false
	for d := by; d != nil; d = d.needer {
		sawProgram = sawProgram || d == program
		dirs = append(dirs, g.rpath(d)...)
	}
	if !sawProgram {
		dirs = append(dirs, g.rpath(program)...)
	}
	return dirs
}

func (g *glibc) rpath(d *dso) []string {
	if d.dynamic().HasRunpath {
		return nil
	}
	return g.expandAll(d.dynamic().Rpath, d)
}

func (g *glibc) expandAll(list string, d *dso) []string {
	var dirs []string
	for _, dir := range splitPath(list, ":") {
		if expanded := g.expand(dir, d); expanded != "" {
			dirs = append(dirs, expanded)
		}
	}
	return dirs
}

// expand replaces $ORIGIN, $LIB and $PLATFORM. The program's own $ORIGIN is not
// trusted when it is set-user-ID, unless it leads to a system directory.
func (g *glibc) expand(s string, d *dso) string {
	out := expandTokens(s, map[string]string{
		"ORIGIN":   path.Dir(d.name),
		"LIB":      strings.TrimPrefix(g.system[0], "/"),
		"PLATFORM": platformName(d.elf.Machine),
	})
	if g.p.secure && d == g.objects[0] && strings.Contains(s, "ORIGIN") && !g.inSystem(path.Clean(out)+"/") {
		return ""
	}
	return out
}

// platformName is AT_PLATFORM of an ELF machine; "" where it varies.
func platformName(machine uint16) string {
	switch machine {
	case 62:
		return "x86_64"
	case 183:
		return "aarch64"
	}
	return ""
}

func (g *glibc) inSystem(file string) bool {
	return slices.ContainsFunc(g.system, func(dir string) bool { return strings.HasPrefix(file, dir+"/") })
}

func (g *glibc) inDirs(dirs []string, name string) []string {
	paths := make([]string, 0, len(dirs))
	for _, dir := range dirs {
		for _, sub := range g.hwcaps {
			// The best directories exist nearly nowhere: leave them out of
			// messages and look-ups alike.
			if sub != "" && !g.isDir(path.Join(dir, sub)) {
				continue
			}
			paths = append(paths, path.Join(dir, sub, name))
		}
	}
	return paths
}

func (g *glibc) isDir(name string) bool {
	_, node, err := rootfs.Resolve(g.p.root, g.p.user, g.p.cwd, name)
	return err == nil && node.Mode.IsDir()
}

func (g *glibc) preloads() []string {
	names := strings.FieldsFunc(g.p.env["LD_PRELOAD"], func(r rune) bool { return r == ' ' || r == ':' })
	if g.p.secure {
		names = slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "/") })
	}
	file := strings.FieldsFunc(string(content(g.p, "/etc/ld.so.preload")), func(r rune) bool { return strings.ContainsRune(" \t\n:", r) })
	return append(names, file...)
}

// skips: a library of another class or machine is passed over, anything that is
// no ELF file ends the search with an error.
func (g *glibc) skips(object *exe.ELF) bool {
	return object != nil && !sameMachine(object, g.p.object.ELF)
}

func (g *glibc) bind() {
	for _, d := range g.objects {
		for _, need := range d.dynamic().Requires {
			g.versions(d, need)
		}
	}
	g.isaLevels()
	if g.denied() {
		return
	}
	now := g.p.env["LD_BIND_NOW"] != ""
	g.bindSymbols(func(d *dso) bool { return now || d.dynamic().BindNow }, g.objects)
}

// isaLevels compares the GNU property X86_ISA_1_NEEDED of every object with the
// CPU, as glibc does since 2.33.
func (g *glibc) isaLevels() {
	libc := g.loaded("libc.so.6")
	if libc == nil || exe.CompareGLIBC(highest(libc), "GLIBC_2.33") < 0 {
		return
	}
	for _, d := range g.objects {
		g.cpuLevel(d.real, d.elf.ISALevel)
	}
}

// versions compares what d asks of a library with what that library defines. A
// library without any versions satisfies all, with a warning at run time.
func (g *glibc) versions(d *dso, need exe.Requirement) {
	lib := g.loaded(need.Library)
	if lib == nil || !lib.dynamic().HasVersions {
		return
	}
	var missing []string
	for _, v := range need.Versions {
		if !v.Weak && !slices.Contains(lib.dynamic().Defines, v.Name) {
			missing = append(missing, v.Name)
		}
	}
	if len(missing) > 0 {
		reach := "does not define it"
		if best := highest(lib); best != "" {
			reach = "goes up to " + best
		}
		g.report(SymbolVersion, d.real, "", "%s needs %s of %s, and %s %s", d.name, summary(missing), need.Library, lib.real, reach)
	}
}

// highest returns the highest GLIBC version that a library defines, "" for none.
func highest(lib *dso) string {
	best := ""
	for _, v := range lib.dynamic().Defines {
		if exe.CompareGLIBC(v, best) > 0 {
			best = v
		}
	}
	return best
}

// splitPath splits a search path; an empty element is the working directory.
func splitPath(list, separators string) []string {
	if list == "" {
		return nil
	}
	dirs := strings.Split(strings.Map(func(r rune) rune {
		if strings.ContainsRune(separators, r) {
			return ':'
		}
		return r
	}, list), ":")
	for i, dir := range dirs {
		if dir == "" {
			dirs[i] = "."
		}
	}
	return dirs
}

// content returns the kept content of the file at name. Loaders go on without a
// file that they cannot read: it is nil then.
func content(p *process, name string) []byte {
	data, err := rootfs.ReadKept(p.root, p.user, name)
	if err != nil {
		return nil
	}
	return data
}
