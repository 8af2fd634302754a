package exe

import (
	"bytes"
	"debug/elf"
	"strings"
)

// readSections reads the section header table, which no kernel and no loader
// looks at: a file without one, or with a broken one, still starts.
func (f *elfFile) readSections() error {
	h := f.header
	if h.shoff == 0 || h.shnum == 0 {
		return nil
	}
	if int(h.shentsize) != h.entrySize {
		return invalid("entries have %d bytes each: want %d", h.shentsize, h.entrySize)
	}
	table, err := f.in.read(h.shoff, uint64(h.shnum)*uint64(h.entrySize), "table")
	if err != nil {
		return err
	}
	raw := make([]elfSection, 0, h.shnum)
	for ; len(table) > 0; table = table[h.entrySize:] {
		raw = append(raw, f.decodeSection(table))
	}
	if int(h.shstrndx) >= len(raw) {
		return invalid("index %d of the name table is beyond the last section", h.shstrndx)
	}
	names, err := f.in.read(raw[h.shstrndx].off, raw[h.shstrndx].size, "name table")
	if err != nil {
		return err
	}
	symstr := symbolStrings(raw)
	for i, s := range raw {
		if s.typ == elf.SHT_NULL {
			continue
		}
		if s.typ != elf.SHT_NOBITS {
			if err := f.in.check(s.off, s.size, "content of a section"); err != nil {
				return err
			}
		}
		sec := section{name: sectionName(names, s.name), addr: s.addr, off: s.off, size: s.size}
		sec.class = s.class(sec.name, i == symstr)
		f.sections = append(f.sections, sec)
	}
	return nil
}

type elfSection struct {
	name            uint32
	typ             elf.SectionType
	flags           elf.SectionFlag
	addr, off, size uint64
	link            uint32
}

func (f *elfFile) decodeSection(b []byte) (s elfSection) {
	d := f.fields(b)
	s.name, s.typ = d.u32(), elf.SectionType(d.u32())
	s.flags = elf.SectionFlag(d.word())
	s.addr, s.off, s.size = d.word(), d.word(), d.word()
	s.link = d.u32()
	return s
}

// symbolStrings returns the index of the string table that belongs to the static
// symbol table, or -1.
func symbolStrings(sections []elfSection) int {
	for _, s := range sections {
		if s.typ == elf.SHT_SYMTAB {
			return int(s.link)
		}
	}
	return -1
}

// maxSectionName keeps hostile name tables, in which every name runs to the end,
// from multiplying.
const maxSectionName = 256

func sectionName(names []byte, at uint32) string {
	if uint64(at) >= uint64(len(names)) {
		return ""
	}
	b := names[at:min(len(names), int(at)+maxSectionName)]
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

func (s elfSection) class(name string, symbolStrings bool) class {
	switch {
	case s.typ == elf.SHT_NOBITS:
		return classBSS
	case s.typ == elf.SHT_SYMTAB, symbolStrings:
		return classSymtab
	case isPclntabName(name):
		return classPclntab
	case s.flags&elf.SHF_ALLOC == 0 && (strings.HasPrefix(name, ".debug_") || strings.HasPrefix(name, ".zdebug_")):
		return classDebug
	case s.flags&elf.SHF_ALLOC == 0:
		return classOther
	case s.flags&elf.SHF_EXECINSTR != 0:
		return classText
	case s.flags&elf.SHF_WRITE != 0:
		return classData
	}
	return classROData
}
