package start

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// dso is one object in the loader's link map.
type dso struct {
	// name is the path by which it was opened, real the path without links.
	name, real string
	// aliases are the other names under which it is known as loaded.
	aliases []string
	elf     *exe.ELF
	// level is what a Go runtime in it insists on (see goLevel).
	level int
	// needer is the object that first asked for it; nil for the program.
	needer *dso
}

// dynamic returns the dynamic section, an empty one where there is none.
func (d *dso) dynamic() *exe.Dynamic {
	if d.elf.Dynamic == nil {
		return &exe.Dynamic{}
	}
	return d.elf.Dynamic
}

// answers reports whether the object goes by name.
func (d *dso) answers(name string) bool {
	return d.name == name || slices.Contains(d.aliases, name)
}

// linker is a dynamic loader at work on one process.
type linker struct {
	*check
	p *process
	// objects is the link map in load order: the program, preloaded
	// libraries, then breadth first what they need.
	objects []*dso
	// failed says that an object could not be loaded: the loader ends before
	// it looks at symbols.
	failed bool
	family family
}

// family is what the C libraries do differently.
type family interface {
	// loaded returns the object that already answers to name.
	loaded(name string) *dso
	// search returns the paths to try for name, in order, when by needs it.
	search(name string, by *dso) []string
	// preloads returns the names of libraries to load before all others.
	preloads() []string
	// skips reports whether the search goes on past a file with this object
	// (nil: no object at all) as if it were not there.
	skips(object *exe.ELF) bool
	// bind checks versions and symbols of the complete link map.
	bind()
}

// maxObjects bounds a link map; the largest programs load a few hundred.
const maxObjects = 4096

// link runs the dynamic loader ldso on the program p.
func (c *check) link(p *process, ldso *dso) {
	program := &dso{name: p.path, real: p.path, elf: p.object.ELF}
	l := &linker{check: c, p: p, objects: []*dso{program}}
	if isMusl(ldso) {
		l.family = newMusl(l, ldso)
	} else {
		l.family = newGlibc(l, ldso)
	}
	for _, name := range l.family.preloads() {
		if d, _ := l.open(name, program, true); d == nil {
			c.report(PreloadIgnored, p.path, "", "%s is to be preloaded and cannot be loaded", name)
		}
	}
	for i := 0; i < len(l.objects) && len(l.objects) < maxObjects; i++ {
		for _, name := range l.objects[i].dynamic().Needed {
			l.need(name, l.objects[i])
		}
	}
	if l.failed {
		return
	}
	l.family.bind()
	for _, d := range l.objects[1:] {
		l.cpuLevel(d.real, d.level)
	}
}

// need loads name for by unless it is loaded, and reports when it cannot be.
func (l *linker) need(name string, by *dso) {
	d, err := l.open(name, by, false)
	if d != nil {
		return
	}
	l.failed = true
	var invalid *invalidError
	switch {
	case errors.As(err, &invalid), fault.CodeOf(err) == fault.Invalid:
		l.report(LibraryInvalid, by.real, "", "%s needs %s, and %v", by.name, name, err)
	case err != nil:
		l.report(Unmeasured, by.real, "", "%s needs %s: %v", by.name, name, err)
	default:
		l.report(LibraryMissing, by.real, "", "%s needs %s, which the image does not have where its loader looks: %s",
			by.name, name, summary(l.family.search(name, by)))
	}
}

// open returns the object for name, loading it where the family finds it. It
// returns nil and no error when no file fits.
func (l *linker) open(name string, by *dso, preload bool) (*dso, error) {
	if d := l.family.loaded(name); d != nil {
		return d, nil
	}
	for _, candidate := range l.family.search(name, by) {
		d, err := l.try(candidate, name, by)
		if d != nil || err != nil {
			return d, err
		}
	}
	return nil, nil
}

// invalidError says that the file found first cannot be loaded.
type invalidError struct{ file, reason string }

func (e *invalidError) Error() string { return fmt.Sprintf("%s is %s", e.file, e.reason) }

// try opens the file at name for the library soname. It returns nil and no error
// where the loader goes on to the next directory.
func (l *linker) try(name, soname string, by *dso) (*dso, error) {
	real, node, err := rootfs.Resolve(l.p.root, l.p.user, l.p.cwd, name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || isPathError(err) {
			return nil, nil
		}
		return nil, err
	}
	if !l.p.user.May(node, rootfs.Read) {
		return nil, nil
	}
	if i := slices.IndexFunc(l.objects, func(d *dso) bool { return d.real == real }); i >= 0 {
		l.objects[i].aliases = append(l.objects[i].aliases, soname)
		return l.objects[i], nil
	}
	if !node.Mode.IsRegular() {
		return nil, &invalidError{name, "no regular file"}
	}
	file, err := l.p.root.File(real)
	if err != nil {
		return nil, err
	}
	var elf *exe.ELF
	if file.Object != nil {
		elf = file.Object.ELF
	}
	if l.family.skips(elf) {
		return nil, nil
	}
	if elf == nil || elf.Type != etDyn && elf.Type != etExec {
		return nil, &invalidError{name, "no shared library"}
	}
	d := &dso{name: name, real: real, aliases: []string{soname}, elf: elf, needer: by, level: goLevel(&file.Object.Facts)}
	l.objects = append(l.objects, d)
	return d, nil
}

// bindSymbols reports strong symbols that the loader binds at start and that no
// object of the link map defines. now says that it binds lazy ones too.
func (l *linker) bindSymbols(now func(*dso) bool, scope []*dso) {
	for _, d := range scope {
		var missing []string
		for _, imp := range d.dynamic().Imports {
			if imp.Weak || imp.Lazy && !now(d) {
				continue
			}
			defines := func(o *dso) bool { return o.dynamic().Exports.Has(imp.Name) }
			if !slices.ContainsFunc(scope, defines) {
				missing = append(missing, imp.Name)
			}
		}
		if len(missing) > 0 {
			l.report(SymbolMissing, d.real, "", "%s needs %s, which no loaded library defines", d.name, summary(missing))
		}
	}
}

// expandTokens replaces $NAME and ${NAME} in s by values; names that are not in
// it stay. It returns "" when a value is empty: loaders drop a path with a token
// that they know and cannot tell.
func expandTokens(s string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		token, n := tokenAt(rest)
		value, known := values[token]
		switch {
		case !known:
			out.WriteByte('$')
			s = rest
			continue
		case value == "":
			return ""
		}
		out.WriteString(value)
		s = rest[n:]
	}
}

// tokenAt returns the NAME of "NAME…" or "{NAME}…" and the length it takes.
func tokenAt(s string) (string, int) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		name, _, closed := strings.Cut(inner, "}")
		if !closed {
			return "", 0
		}
		return name, len(name) + 2
	}
	end := strings.IndexFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], end
}

// isPathError reports whether err says that a path leads nowhere.
func isPathError(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENAMETOOLONG)
}

// summary lists the first few of names.
func summary(names []string) string {
	const most = 8
	if len(names) == 0 {
		return "nowhere"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
