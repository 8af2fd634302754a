package exe

import (
	"debug/elf"
	"path"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// conclude derives Link, Hardening and Program from what was read.
func (f *elfFile) conclude(dyn *dynamic) error {
	e, facts := f.obj.ELF, &f.obj.Facts
	f.obj.Program = f.header.typ == elf.ET_EXEC || e.HasInterp || dyn.flags1&elf.DF_1_PIE != 0
	facts.Hardening = api.Hardening{
		PIE:   f.header.typ == elf.ET_DYN && f.obj.Program,
		RELRO: f.relro(dyn.facts),
		NX:    f.nx(),
	}
	facts.Link = f.link(dyn.facts)
	var err error
	e.SystemDirs, err = f.systemDirs(dyn.facts)
	return err
}

func (f *elfFile) link(dyn *Dynamic) api.Link {
	e := f.obj.ELF
	l := api.Link{Interpreter: e.Interp, Mode: api.LinkStatic}
	switch {
	case e.HasInterp:
		l.Mode = api.LinkDynamic
	case f.header.typ == elf.ET_DYN && f.obj.Program:
		l.Mode = api.LinkStaticPIE
	case f.header.typ == elf.ET_DYN:
		l.Mode = api.LinkLibrary
	}
	if dyn != nil {
		l.Needed = dyn.Needed
		l.Rpath, l.Runpath = splitPath(dyn.Rpath), splitPath(dyn.Runpath)
		l.Floor, l.Floors = floors(dyn.Requires)
	}
	l.Libc = libcOf(l)
	return l
}

func splitPath(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ":")
}

// libcOf tells the C library's family by the loader's name, else by the needed
// libraries; "" when they do not say.
func libcOf(l api.Link) string {
	loader := path.Base(l.Interpreter)
	switch {
	case strings.HasPrefix(loader, "ld-musl-"):
		return api.LibcMusl
	case strings.HasPrefix(loader, "ld-linux"), strings.HasPrefix(loader, "ld64.so."), loader == "ld.so.1":
		return api.LibcGNU
	case strings.HasPrefix(l.Interpreter, "/system/bin/linker"):
		return "" // Android's C library is neither, although it is called libc.so
	}
	for _, n := range l.Needed {
		switch {
		case n == "libc.so", strings.HasPrefix(n, "libc.musl-"):
			return api.LibcMusl
		case n == "libc.so.6":
			return api.LibcGNU
		}
	}
	if l.Interpreter == "" && len(l.Needed) == 0 {
		return api.LibcNone
	}
	return ""
}

// floors returns the highest GLIBC_x.y of all and of each library. Weak versions
// may be absent at run time and do not count.
func floors(requires []Requirement) (highest string, byLibrary map[string]string) {
	for _, r := range requires {
		for _, v := range r.Versions {
			if v.Weak || !isGLIBC(v.Name) {
				continue
			}
			if byLibrary == nil {
				byLibrary = map[string]string{}
			}
			byLibrary[r.Library] = laterGlibc(byLibrary[r.Library], v.Name)
			highest = laterGlibc(highest, v.Name)
		}
	}
	return highest, byLibrary
}

// laterGlibc returns the later of two versions.
func laterGlibc(a, b string) string {
	if CompareGLIBC(a, b) > 0 {
		return a
	}
	return b
}

func (f *elfFile) relro(dyn *Dynamic) string {
	_, has := f.prog(elf.PT_GNU_RELRO)
	switch {
	case !has:
		return api.RELRONone
	case dyn != nil && dyn.BindNow:
		return api.RELROFull
	}
	return api.RELROPartial
}

// nx goes by PT_GNU_STACK; without it a loader has to assume that the program
// wants an executable stack.
func (f *elfFile) nx() bool {
	p, ok := f.prog(elf.PT_GNU_STACK)
	return ok && p.flags&elf.PF_X == 0
}

// readProperties reads the x86 instruction set level that the linker recorded
// (GNU_PROPERTY_X86_ISA_1_NEEDED, of the x86-64 psABI) from PT_GNU_PROPERTY, or
// from PT_NOTE as older linkers have it.
func (f *elfFile) readProperties() error {
	if f.header.machine != elf.EM_X86_64 && f.header.machine != elf.EM_386 {
		return nil
	}
	for _, t := range []elf.ProgType{elf.PT_GNU_PROPERTY, elf.PT_NOTE} {
		for _, p := range f.progs {
			if p.typ != t {
				continue
			}
			b, err := f.in.read(p.off, p.filesz, "notes")
			if err != nil {
				return err
			}
			if level := f.isaLevel(b); level > 0 {
				f.obj.ELF.ISALevel = level
				return nil
			}
		}
	}
	return nil
}

// isaLevel looks for the property in a list of notes; 0 when it is not there.
// A malformed note ends the list, as it does for the loader.
func (f *elfFile) isaLevel(notes []byte) int {
	const propertyNote = 5 // NT_GNU_PROPERTY_TYPE_0
	for len(notes) >= 12 {
		r := f.fields(notes)
		nameLen, descLen, typ := uint64(r.u32()), uint64(r.u32()), r.u32()
		desc := alignUp(12+nameLen, f.ptrSize)
		end := alignUp(desc+descLen, f.ptrSize)
		if typ != propertyNote {
			// Other notes are aligned to 4 bytes, whatever the class.
			desc, end = alignUp(12+nameLen, 4), alignUp(alignUp(12+nameLen, 4)+descLen, 4)
		}
		if desc+descLen > uint64(len(notes)) {
			return 0
		}
		if typ == propertyNote && string(notes[12:12+nameLen]) == "GNU\x00" {
			return f.isaProperty(notes[desc : desc+descLen])
		}
		notes = notes[min(end, uint64(len(notes))):]
	}
	return 0
}

func (f *elfFile) isaProperty(b []byte) int {
	const isaNeeded = 0xc0008002 // GNU_PROPERTY_X86_ISA_1_NEEDED
	for len(b) >= 8 {
		r := f.fields(b)
		typ, size := r.u32(), uint64(r.u32())
		if size > uint64(len(r.b)) {
			return 0
		}
		if typ == isaNeeded && size == 4 {
			// Bit 0 is the baseline (v1), bits 1 to 3 are v2 to v4.
			for level := 4; level > 0; level-- {
				if r.order.Uint32(r.b)&(1<<(level-1)) != 0 {
					return level
				}
			}
			return 0
		}
		b = b[min(alignUp(8+size, f.ptrSize), uint64(len(b))):]
	}
	return 0
}

func alignUp(n uint64, to int) uint64 {
	a := uint64(to)
	return (n + a - 1) / a * a
}
