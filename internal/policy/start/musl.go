package start

import (
	"path"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
)

// musl is the dynamic loader of musl libc, which is the C library itself.
// Source: ldso/dynlink.c of musl.
type musl struct {
	*linker
	ldso        *dso
	libraryPath []string
	system      []string
}

// isMusl tells musl's loader, which may stand in under glibc's name, by its
// SONAME or the names of its file.
func isMusl(ldso *dso) bool {
	for _, name := range []string{ldso.dynamic().Soname, path.Base(ldso.real), path.Base(ldso.name)} {
		switch {
		case name == "libc.so", strings.HasPrefix(name, "libc.musl-"), strings.HasPrefix(name, "ld-musl-"):
			return true
		case strings.HasPrefix(name, "ld-linux"), strings.HasPrefix(name, "ld64."), strings.HasPrefix(name, "ld-2."):
			return false
		}
	}
	return false
}

// muslArch is musl's name of an ELF machine (LDSO_ARCH).
var muslArch = map[uint16]string{
	3: "i386", 62: "x86_64", 40: "armhf", 183: "aarch64", 243: "riscv64", 22: "s390x", 21: "powerpc64le", 258: "loongarch64",
}

func newMusl(l *linker, ldso *dso) *musl {
	m := &musl{linker: l, ldso: ldso}
	if !l.p.secure {
		m.libraryPath = muslPath(l.p.env["LD_LIBRARY_PATH"])
	}
	m.system = muslPath("/lib:/usr/local/lib:/usr/lib")
	// The loader in /lib reads /etc/ld-musl-ARCH.path; one elsewhere reads it
	// below its own prefix.
	prefix := strings.TrimSuffix(path.Dir(path.Dir(ldso.name)), "/")
	if data := content(l.p, prefix+"/etc/ld-musl-"+muslArch[ldso.elf.Machine]+".path"); data != nil {
		m.system = muslPath(string(data))
	}
	return m
}

// muslPath splits at colons and newlines; empty elements do not count.
func muslPath(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == '\n' })
}

// own are the libraries that musl is itself, whatever the suffix: a program that
// needs libm.so.6 or libpthread.so.0 gets musl's.
var own = []string{"libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."}

func (m *musl) loaded(name string) *dso {
	isOwn := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	if slices.ContainsFunc(own, isOwn) || name == m.ldso.name {
		return m.self()
	}
	for _, d := range m.objects[1:] {
		if slices.Contains(d.aliases, name) && !strings.Contains(name, "/") {
			return d
		}
	}
	return nil
}

// self enters the loader into the link map, once.
func (m *musl) self() *dso {
	if !slices.Contains(m.objects, m.ldso) {
		m.objects = append(m.objects, m.ldso)
	}
	return m.ldso
}

func (m *musl) search(name string, by *dso) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	dirs := slices.Clone(m.libraryPath)
	for d := by; d != nil; d = d.needer {
		dirs = append(dirs, m.rpath(d)...)
	}
	dirs = append(dirs, m.system...)
	paths := make([]string, len(dirs))
	for i, dir := range dirs {
		paths[i] = path.Join(dir, name)
	}
	return paths
}

// rpath is DT_RUNPATH or else DT_RPATH, both inherited by what the object needs.
// Only $ORIGIN is known; any other token drops the whole path.
func (m *musl) rpath(d *dso) []string {
	list := d.dynamic().Rpath
	if d.dynamic().HasRunpath {
		list = d.dynamic().Runpath
	}
	origin := path.Dir(d.name)
	if m.p.secure && d == m.objects[0] {
		origin = ""
	}
	list = expandTokens(list, map[string]string{"ORIGIN": origin})
	if strings.Contains(list, "$") {
		return nil
	}
	return muslPath(list)
}

func (m *musl) preloads() []string {
	if m.p.secure {
		return nil
	}
	return strings.FieldsFunc(m.p.env["LD_PRELOAD"], func(r rune) bool { return r == ' ' || r == ':' || r == '\t' || r == '\n' })
}

// skips: musl opens the first file there is and fails if it cannot map it.
func (m *musl) skips(*exe.ELF) bool { return false }

// bind: musl knows no symbol versions and binds every symbol at start.
func (m *musl) bind() {
	m.self()
	m.bindSymbols(func(*dso) bool { return true }, m.objects)
}
