package exe

import (
	"debug/elf"
	"encoding/binary"
	"slices"
)

// Machine-specific dynamic tags that debug/elf lacks the meaning of.
const (
	dtMIPSSymtabNo = elf.DynTag(0x70000011) // DT_MIPS_SYMTABNO: number of dynamic symbols
	dtMIPSGotSym   = elf.DynTag(0x70000013) // DT_MIPS_GOTSYM: first symbol that has a GOT entry
)

// reference says how relocations refer to a symbol.
type reference uint8

const (
	// refLazy is by a jump slot, refEager by any other relocation; refCopy
	// by one that copies the library's object into the program.
	refLazy reference = 1 << iota
	refEager
	refCopy
)

// readSymbols fills in Imports and Exports. An import is a symbol that some
// relocation makes the loader look up: undefined ones that nothing refers to are
// never looked up, and a copied one is, although the program defines it too.
func (d *dynamic) readSymbols() error {
	if !d.has(elf.DT_SYMTAB) {
		return nil
	}
	refs, err := d.readReferences()
	if err != nil {
		return err
	}
	count, err := d.symbolCount()
	if err != nil {
		return err
	}
	count = max(count, uint64(len(refs)))
	firstGOT := uint64(1) << 63
	if d.has(dtMIPSGotSym) {
		firstGOT = d.val[dtMIPSGotSym]
	}
	size, index := d.symbolSize(), uint64(0)
	var failed error
	err = d.f.chunksAt(d.val[elf.DT_SYMTAB], count*size, int(size), "dynamic symbol table", func(b []byte) bool {
		for ; len(b) > 0 && failed == nil; b = b[size:] {
			s := d.f.decodeSymbol(b)
			var ref reference
			if index < uint64(len(refs)) {
				ref = refs[index]
			}
			if index >= firstGOT {
				ref |= s.mipsReference()
			}
			failed = d.addSymbol(s, ref)
			index++
		}
		return failed == nil
	})
	slices.Sort(d.facts.Exports)
	d.facts.Exports = slices.Compact(d.facts.Exports)
	if failed != nil {
		return failed
	}
	return err
}

func (d *dynamic) addSymbol(s elfSymbol, ref reference) error {
	bind := elf.ST_BIND(s.info)
	if bind == elf.STB_LOCAL || s.name == 0 {
		return nil
	}
	defined := s.section != elf.SHN_UNDEF
	imported := ref&refCopy != 0 || !defined && ref != 0
	exported := defined && (s.value != 0 || s.section == elf.SHN_ABS || elf.ST_TYPE(s.info) == elf.STT_TLS)
	if !imported && !exported {
		return nil
	}
	name, err := d.str.at(uint64(s.name), "name of a dynamic symbol")
	if err != nil {
		return err
	}
	if imported {
		d.facts.Imports = append(d.facts.Imports, Import{
			Name: string(name),
			Weak: bind == elf.STB_WEAK && !defined,
			Lazy: ref == refLazy,
		})
	}
	if exported {
		d.facts.Exports = append(d.facts.Exports, symbolHashBytes(name))
	}
	return nil
}

type elfSymbol struct {
	name    uint32
	info    uint8
	section elf.SectionIndex
	value   uint64
}

func (d *dynamic) symbolSize() uint64 {
	if d.f.wide {
		return elf.Sym64Size
	}
	return elf.Sym32Size
}

func (f *elfFile) decodeSymbol(b []byte) (s elfSymbol) {
	r := f.fields(b)
	s.name = r.u32()
	if !f.wide {
		s.value = uint64(r.u32())
		r.skip(4) // st_size
	}
	s.info = r.u8()
	r.skip(1) // st_other
	s.section = elf.SectionIndex(r.u16())
	if f.wide {
		s.value = r.u64()
	}
	return s
}

// mipsReference is how the global offset table refers to s, without relocations:
// lazily when s has a stub.
func (s elfSymbol) mipsReference() reference {
	if s.section == elf.SHN_UNDEF && s.value != 0 {
		return refLazy
	}
	return refEager
}

// readReferences goes through the relocations that name symbols, and returns
// how they refer to each symbol, by index. DT_RELR's have no symbols.
func (d *dynamic) readReferences() ([]reference, error) {
	var refs []reference
	limit := d.f.mapped(d.val[elf.DT_SYMTAB]) / d.symbolSize()
	jump := span{d.val[elf.DT_JMPREL], d.val[elf.DT_PLTRELSZ]}
	rela := span{d.val[elf.DT_RELA], d.val[elf.DT_RELASZ]}
	rel := span{d.val[elf.DT_REL], d.val[elf.DT_RELSZ]}
	for _, t := range []struct {
		span
		addend bool
		lazy   bool
	}{
		{rela.without(jump), true, false},
		{rel.without(jump), false, false},
		{jump, elf.DynTag(d.val[elf.DT_PLTREL]) == elf.DT_RELA, true},
	} {
		if t.size == 0 {
			continue
		}
		unit := 2 * d.f.ptrSize
		if t.addend {
			unit += d.f.ptrSize
		}
		beyond := false
		err := d.f.chunksAt(t.addr, t.size, unit, "relocation table", func(b []byte) bool {
			for ; len(b) > 0; b = b[unit:] {
				sym, typ := d.f.decodeReloc(b)
				if sym == 0 {
					continue
				}
				if beyond = uint64(sym) >= limit; beyond {
					return false
				}
				if missing := int(sym) + 1 - len(refs); missing > 0 {
					refs = append(refs, make([]reference, missing)...)
				}
				refs[sym] |= d.f.reference(typ, t.lazy)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		if beyond {
			return nil, invalid("a relocation refers to a symbol beyond the dynamic symbol table")
		}
	}
	return refs, nil
}

// decodeReloc returns the symbol's index and the relocation's type.
func (f *elfFile) decodeReloc(b []byte) (sym, typ uint32) {
	r := f.fields(b)
	_ = r.word() // r_offset
	info := r.word()
	switch {
	case !f.wide:
		return uint32(info >> 8), uint32(info & 0xff)
	case f.header.machine == elf.EM_MIPS && f.order == binary.LittleEndian:
		// 64-bit little-endian MIPS has the symbol in the lower half, and up
		// to three types as single bytes in the upper.
		return uint32(info), uint32(info >> 56)
	}
	return uint32(info >> 32), uint32(info)
}

func (f *elfFile) reference(typ uint32, lazy bool) reference {
	switch {
	case typ == copyReloc(f.header.machine):
		return refCopy | refEager
	case lazy:
		return refLazy
	}
	return refEager
}

// copyReloc returns the number of a machine's R_*_COPY; none has 0.
func copyReloc(m elf.Machine) uint32 {
	switch m {
	case elf.EM_X86_64:
		return uint32(elf.R_X86_64_COPY)
	case elf.EM_386:
		return uint32(elf.R_386_COPY)
	case elf.EM_AARCH64:
		return uint32(elf.R_AARCH64_COPY)
	case elf.EM_ARM:
		return uint32(elf.R_ARM_COPY)
	case elf.EM_PPC64:
		return uint32(elf.R_PPC64_COPY)
	case elf.EM_RISCV:
		return uint32(elf.R_RISCV_COPY)
	case elf.EM_S390:
		return uint32(elf.R_390_COPY)
	case elf.EM_MIPS:
		return 126 // R_MIPS_COPY
	case elf.EM_LOONGARCH:
		return uint32(elf.R_LARCH_COPY)
	}
	return ^uint32(0)
}

// span is a table in memory.
type span struct{ addr, size uint64 }

// without leaves out other where it is the end of s: some linkers count the jump
// slots among the other relocations, and the loader takes them out again.
func (s span) without(other span) span {
	if other.size != 0 && other.addr >= s.addr && other.addr-s.addr <= s.size && s.size-(other.addr-s.addr) == other.size {
		s.size = other.addr - s.addr
	}
	return s
}

// symbolCount returns how many dynamic symbols there are. No tag says so: it is
// the length of DT_HASH's chains, or one more than the last symbol of DT_GNU_HASH,
// which holds defined symbols only.
func (d *dynamic) symbolCount() (uint64, error) {
	switch {
	case d.has(dtMIPSSymtabNo):
		return d.val[dtMIPSSymtabNo], nil
	case d.has(elf.DT_HASH):
		return d.hashCount()
	case d.has(elf.DT_GNU_HASH):
		return d.gnuHashCount()
	}
	return 0, nil
}

// hashCount reads nchain of the System V hash table, whose words have 8 bytes on
// 64-bit S/390 and Alpha.
func (d *dynamic) hashCount() (uint64, error) {
	long := d.f.wide && (d.f.header.machine == elf.EM_S390 || d.f.header.machine == elf.EM_ALPHA)
	size := uint64(4)
	if long {
		size = 8
	}
	b, err := d.f.readAt(d.val[elf.DT_HASH], 2*size, "symbol hash table (DT_HASH)")
	if err != nil {
		return 0, err
	}
	r := fields{b: b, order: d.f.order, wide: long}
	_ = r.word() // nbucket
	return r.word(), nil
}

// gnuHashCount finds the highest bucket and follows its chain, whose last word
// has the lowest bit set.
func (d *dynamic) gnuHashCount() (uint64, error) {
	const what = "symbol hash table (DT_GNU_HASH)"
	addr := d.val[elf.DT_GNU_HASH]
	b, err := d.f.readAt(addr, 16, what)
	if err != nil {
		return 0, err
	}
	r := d.f.fields(b)
	buckets, first, bloom := uint64(r.u32()), uint64(r.u32()), uint64(r.u32())
	at := addr + 16 + bloom*uint64(d.f.ptrSize)
	last := uint64(0)
	err = d.f.chunksAt(at, 4*buckets, 4, what, func(b []byte) bool {
		for ; len(b) > 0; b = b[4:] {
			last = max(last, uint64(d.f.order.Uint32(b)))
		}
		return true
	})
	if err != nil || last < first {
		return first, err
	}
	chain := at + 4*buckets + 4*(last-first)
	ended := false
	err = d.f.chunksAt(chain, d.f.mapped(chain), 4, what, func(b []byte) bool {
		for ; len(b) > 0 && !ended; b = b[4:] {
			ended = d.f.order.Uint32(b)&1 != 0
			last++
		}
		return !ended
	})
	if err == nil && !ended {
		err = invalid("%s: the last chain has no end", what)
	}
	return last, err
}
