package exe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// synth writes small ELF files that no linker would: one segment that holds the
// whole file, at address base, and what a test adds.
type synth struct {
	order   binary.AppendByteOrder
	wide    bool
	typ     elf.Type
	machine elf.Machine
	progs   []elfProg
	body    []byte
	dyn     [][2]uint64
	strings []byte
}

const (
	synthBase  = 0x400000
	synthProgs = 8
)

func newSynth(order binary.AppendByteOrder, wide bool) *synth {
	return &synth{order: order, wide: wide, typ: elf.ET_DYN, machine: elf.EM_X86_64, strings: []byte{0}}
}

func (s *synth) word(b []byte, v uint64) []byte {
	if s.wide {
		return s.order.AppendUint64(b, v)
	}
	return s.order.AppendUint32(b, uint32(v))
}

func (s *synth) ptrSize() int {
	if s.wide {
		return 8
	}
	return 4
}

// start is where the body begins in the file.
func (s *synth) start() int {
	if s.wide {
		return 64 + synthProgs*56
	}
	return 52 + synthProgs*32
}

// add appends content and returns its address.
func (s *synth) add(content []byte) uint64 {
	for len(s.body)%8 != 0 {
		s.body = append(s.body, 0)
	}
	addr := synthBase + uint64(s.start()+len(s.body))
	s.body = append(s.body, content...)
	return addr
}

// str returns the offset of a new string in the string table.
func (s *synth) str(v string) uint32 {
	off := len(s.strings)
	s.strings = append(append(s.strings, v...), 0)
	return uint32(off)
}

func (s *synth) tag(t elf.DynTag, v uint64) { s.dyn = append(s.dyn, [2]uint64{uint64(t), v}) }

func (s *synth) interp(name string) {
	addr := s.add([]byte(name))
	s.progs = append(s.progs, elfProg{typ: elf.PT_INTERP, addr: addr, off: addr - synthBase, filesz: uint64(len(name))})
}

// u16s and u32s are records of the numbers' own size.
func (s *synth) u16s(b []byte, v ...uint16) []byte {
	for _, n := range v {
		b = s.order.AppendUint16(b, n)
	}
	return b
}

func (s *synth) u32s(b []byte, v ...uint32) []byte {
	for _, n := range v {
		b = s.order.AppendUint32(b, n)
	}
	return b
}

func (s *synth) symbol(b []byte, name uint32, bind elf.SymBind, section elf.SectionIndex, value uint64) []byte {
	info := elf.ST_INFO(bind, elf.STT_FUNC)
	b = s.u32s(b, name)
	if !s.wide {
		b = s.u32s(b, uint32(value), 0)
	}
	b = s.u16s(append(b, info, 0), uint16(section))
	if s.wide {
		b = s.word(s.word(b, value), 0)
	}
	return b
}

func (s *synth) rela(b []byte, sym, typ uint32) []byte {
	info := uint64(sym)<<32 | uint64(typ)
	if !s.wide {
		info = uint64(sym)<<8 | uint64(typ)
	}
	return s.word(s.word(s.word(b, 0), info), 0)
}

// bytes finishes the file.
func (s *synth) bytes() []byte {
	if len(s.dyn) > 0 {
		s.tag(elf.DT_STRTAB, s.add(s.strings))
		s.tag(elf.DT_STRSZ, uint64(len(s.strings)))
		s.tag(elf.DT_NULL, 0)
		var d []byte
		for _, e := range s.dyn {
			d = s.word(s.word(d, e[0]), e[1])
		}
		addr := s.add(d)
		s.progs = append(s.progs, elfProg{typ: elf.PT_DYNAMIC, addr: addr, off: addr - synthBase, filesz: uint64(len(d))})
	}
	size := uint64(s.start() + len(s.body))
	s.progs = append(s.progs, elfProg{typ: elf.PT_LOAD, flags: elf.PF_R, addr: synthBase, filesz: size, memsz: size})
	class, data, phent := byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), uint16(32)
	if s.wide {
		class, phent = byte(elf.ELFCLASS64), 56
	}
	if s.order.String() == binary.BigEndian.String() {
		data = byte(elf.ELFDATA2MSB)
	}
	b := append([]byte{0x7f, 'E', 'L', 'F', class, data, 1}, make([]byte, 9)...)
	b = s.u16s(b, uint16(s.typ), uint16(s.machine))
	b = s.u32s(b, 1)
	head := len(b) + 3*s.ptrSize() + 4 + 6*2
	b = s.word(s.word(s.word(b, 0), uint64(head)), 0)
	b = s.u32s(b, 0)
	b = s.u16s(b, uint16(head), phent, uint16(len(s.progs)), 0, 0, 0)
	for _, p := range s.progs {
		b = s.prog(b, p)
	}
	b = append(b, make([]byte, s.start()-len(b))...)
	return append(b, s.body...)
}

func (s *synth) prog(b []byte, p elfProg) []byte {
	b = s.u32s(b, uint32(p.typ))
	if s.wide {
		b = s.u32s(b, uint32(p.flags))
	}
	for _, v := range []uint64{p.off, p.addr, p.addr, p.filesz, p.memsz} {
		b = s.word(b, v)
	}
	if !s.wide {
		b = s.u32s(b, uint32(p.flags))
	}
	return s.word(b, 8)
}

// library is a shared library that has one of everything.
func library(order binary.AppendByteOrder, wide bool) *synth {
	s := newSynth(order, wide)
	s.tag(elf.DT_SONAME, uint64(s.str("libone.so.1")))
	libc := s.str("libc.so.6")
	s.tag(elf.DT_NEEDED, uint64(libc))
	s.tag(elf.DT_NEEDED, uint64(s.str("libtwo.so")))
	s.tag(elf.DT_RPATH, uint64(s.str("/old")))
	s.tag(elf.DT_RUNPATH, uint64(s.str("$ORIGIN/../lib:/opt/lib")))
	s.tag(elf.DT_FLAGS_1, uint64(elf.DF_1_NOW|elf.DF_1_NODEFLIB))

	need := s.u16s(nil, 1, 2)
	need = s.u32s(need, libc, 16, 0)
	need = s.u16s(s.u32s(need, 0), 0, 2)
	need = s.u32s(need, s.str("GLIBC_2.9"), 16)
	need = s.u16s(s.u32s(need, 0), 2, 3)
	need = s.u32s(need, s.str("GLIBC_2.34"), 0)
	s.tag(elf.DT_VERNEED, s.add(need))
	s.tag(elf.DT_VERNEEDNUM, 1)

	def := s.u16s(nil, 1, 1, 1, 1) // the base
	def = s.u32s(def, 0, 20, 28)
	def = s.u32s(def, s.str("libone.so.1"), 0)
	def = s.u16s(def, 1, 0, 4, 1)
	def = s.u32s(def, 0, 20, 0)
	def = s.u32s(def, s.str("ONE_1.0"), 0)
	s.tag(elf.DT_VERDEF, s.add(def))
	s.tag(elf.DT_VERDEFNUM, 2)

	sym := s.symbol(nil, 0, elf.STB_LOCAL, elf.SHN_UNDEF, 0)
	sym = s.symbol(sym, s.str("lazy"), elf.STB_GLOBAL, elf.SHN_UNDEF, 0)
	sym = s.symbol(sym, s.str("eager"), elf.STB_GLOBAL, elf.SHN_UNDEF, 0)
	sym = s.symbol(sym, s.str("weak"), elf.STB_WEAK, elf.SHN_UNDEF, 0)
	sym = s.symbol(sym, s.str("unused"), elf.STB_GLOBAL, elf.SHN_UNDEF, 0)
	sym = s.symbol(sym, s.str("copied"), elf.STB_GLOBAL, 5, 0x1000)
	sym = s.symbol(sym, s.str("export"), elf.STB_GLOBAL, 5, 0x1000)
	sym = s.symbol(sym, s.str("hidden"), elf.STB_LOCAL, 5, 0x1000)
	s.tag(elf.DT_SYMTAB, s.add(sym))
	const count, first = 8, 5
	gnu := s.u32s(nil, 2, first, 1, 0)
	gnu = s.word(gnu, 0)
	gnu = s.u32s(gnu, 0, first, 2, 4, 7) // buckets, chains
	s.tag(elf.DT_GNU_HASH, s.add(gnu))

	// The jump slots are the end of the other relocations.
	rela := s.rela(nil, 0, 8)
	rela = s.rela(rela, 2, 6)
	rela = s.rela(rela, 3, 6)
	rela = s.rela(rela, 5, uint32(elf.R_X86_64_COPY))
	jump := s.rela(s.rela(nil, 1, 7), 2, 7)
	addr := s.add(append(rela, jump...))
	s.tag(elf.DT_RELA, addr)
	s.tag(elf.DT_RELASZ, uint64(len(rela)+len(jump)))
	s.tag(elf.DT_JMPREL, addr+uint64(len(rela)))
	s.tag(elf.DT_PLTRELSZ, uint64(len(jump)))
	s.tag(elf.DT_PLTREL, uint64(elf.DT_RELA))
	return s
}

type shape struct {
	name  string
	order binary.AppendByteOrder
	wide  bool
}

var shapes = []shape{
	{"64 little", binary.LittleEndian, true},
	{"64 big", binary.BigEndian, true},
	{"32 little", binary.LittleEndian, false},
	{"32 big", binary.BigEndian, false},
}

func TestDynamic(t *testing.T) {
	want := &Dynamic{
		Soname: "libone.so.1", Needed: []string{"libc.so.6", "libtwo.so"},
		Rpath: "/old", Runpath: "$ORIGIN/../lib:/opt/lib", HasRunpath: true,
		BindNow: true, NoDefaultLib: true,
		Requires:    []Requirement{{"libc.so.6", []Version{{Name: "GLIBC_2.9"}, {Name: "GLIBC_2.34", Weak: true}}}},
		Defines:     []string{"ONE_1.0"},
		HasVersions: true,
		Imports:     []Import{{Name: "lazy", Lazy: true}, {Name: "eager"}, {Name: "weak", Weak: true}, {Name: "copied"}},
		Exports:     NewSymbolSet([]string{"copied", "export"}),
	}
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			obj, err := measureBytes(library(shape.order, shape.wide).bytes(), Options{Links: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, obj.ELF.Dynamic); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			link := api.Link{
				Mode: api.LinkLibrary, Libc: api.LibcGNU, Floor: "GLIBC_2.9", Floors: map[string]string{"libc.so.6": "GLIBC_2.9"},
				Needed: want.Needed, Rpath: []string{"/old"}, Runpath: []string{"$ORIGIN/../lib", "/opt/lib"},
			}
			if diff := cmp.Diff(link, obj.Facts.Link); diff != "" {
				t.Errorf("link (-want +got)\n%s", diff)
			}
			if obj.Program || obj.Facts.Go != nil || obj.Facts.Capabilities != nil {
				t.Errorf("a plain library is taken for %+v", obj)
			}
		})
	}
}

func TestProgramKinds(t *testing.T) {
	for _, c := range []struct {
		name    string
		typ     elf.Type
		interp  string
		flags1  elf.DynFlag1
		program bool
		mode    string
	}{
		{"static", elf.ET_EXEC, "", 0, true, api.LinkStatic},
		{"static PIE", elf.ET_DYN, "", elf.DF_1_PIE, true, api.LinkStaticPIE},
		{"library", elf.ET_DYN, "", 0, false, api.LinkLibrary},
		{"dynamic", elf.ET_EXEC, "/lib/ld.so\x00", 0, true, api.LinkDynamic},
		{"dynamic PIE", elf.ET_DYN, "/lib/ld.so\x00", elf.DF_1_PIE, true, api.LinkDynamic},
		{"library that runs", elf.ET_DYN, "/lib/ld.so\x00", 0, true, api.LinkDynamic},
	} {
		s := newSynth(binary.LittleEndian, true)
		s.typ = c.typ
		if c.interp != "" {
			s.interp(c.interp)
		}
		s.tag(elf.DT_FLAGS_1, uint64(c.flags1))
		obj, err := measureBytes(s.bytes(), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if obj.Program != c.program || obj.Facts.Link.Mode != c.mode || obj.ELF.HasInterp != (c.interp != "") {
			t.Errorf("%s: program %v, mode %s, interpreter %q", c.name, obj.Program, obj.Facts.Link.Mode, obj.ELF.Interp)
		}
	}
}

func TestISALevel(t *testing.T) {
	for bits, want := range map[uint32]int{0: 0, 1: 1, 3: 2, 7: 3, 15: 4, 4: 3} {
		for _, typ := range []elf.ProgType{elf.PT_GNU_PROPERTY, elf.PT_NOTE} {
			s := newSynth(binary.LittleEndian, true)
			note := append(s.u32s(nil, 4, 4, 1), "GNU\x00abcd"...) // another note
			note = append(s.u32s(note, 4, 32, 5), "GNU\x00"...)
			note = s.u32s(note, 0xc0000002, 4, 3, 0)
			note = s.u32s(note, 0xc0008002, 4, bits, 0)
			if typ == elf.PT_GNU_PROPERTY {
				note = note[20:]
			}
			addr := s.add(note)
			s.progs = append(s.progs, elfProg{typ: typ, addr: addr, off: addr - synthBase, filesz: uint64(len(note))})
			obj, err := measureBytes(s.bytes(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if obj.ELF.ISALevel != want {
				t.Errorf("level of %#x in %v is %d, want %d", bits, typ, obj.ELF.ISALevel, want)
			}
		}
	}
}

// Each file is wrong in one way, which its error must name.
func TestHostileELF(t *testing.T) {
	huge := uint64(1) << 62
	for _, c := range []struct {
		name, says string
		change     func(s *synth)
		patch      func(b []byte) []byte
	}{
		{"class", "class is 9", nil, func(b []byte) []byte { b[4] = 9; return b }},
		{"byte order", "byte order is 0", nil, func(b []byte) []byte { b[5] = 0; return b }},
		{"header cut", "header", nil, func(b []byte) []byte { return b[:40] }},
		{"program header size", "have 57 bytes", nil, func(b []byte) []byte { b[54] = 57; return b }},
		{"no program headers", "no program headers", nil, func(b []byte) []byte { b[56] = 0; return b }},
		{"many program headers", "more than a kernel", nil, func(b []byte) []byte { b[56], b[57] = 0xff, 0xff; return b }},
		{"program headers cut", "program header table", nil, func(b []byte) []byte { return b[:100] }},
		{"segment cut", "loadable segment 0", nil, func(b []byte) []byte { return b[:len(b)-1] }},
		{"interpreter without NUL", "NUL", func(s *synth) { s.interp("/lib/ld.so") }, nil},
		{"interpreter too long", "PT_INTERP", func(s *synth) { s.interp(string(make([]byte, 5000))) }, nil},
		{"dynamic elsewhere", "dynamic section", func(s *synth) {
			s.progs = append(s.progs, elfProg{typ: elf.PT_DYNAMIC, addr: 0x10, filesz: 64})
		}, nil},
		{"dynamic huge", "dynamic section", func(s *synth) {
			s.progs = append(s.progs, elfProg{typ: elf.PT_DYNAMIC, addr: synthBase, filesz: huge})
		}, nil},
		{"strings elsewhere", "string table", func(s *synth) { s.tag(elf.DT_STRTAB, 0x10) }, nil},
		{"string beyond", "DT_NEEDED", func(s *synth) { s.tag(elf.DT_NEEDED, 1<<20) }, nil},
		{"needed without strings", "DT_SONAME", func(s *synth) { s.tag(elf.DT_SONAME, huge) }, nil},
		{"versions elsewhere", "DT_VERNEED", func(s *synth) { s.tag(elf.DT_VERNEED, huge); s.tag(elf.DT_VERNEEDNUM, 1) }, nil},
		{"versions without end", "more than", func(s *synth) {
			s.str(strings.Repeat("a", 20))
			at := s.add(bytes.Repeat([]byte{16, 0, 0, 0}, 4*maxVersions+4)) // all fields are 16
			s.tag(elf.DT_VERNEED, at)
			s.tag(elf.DT_VERNEEDNUM, 1)
		}, nil},
		{"symbols elsewhere", "hash table", func(s *synth) { s.tag(elf.DT_SYMTAB, synthBase); s.tag(elf.DT_HASH, 1) }, nil},
		{"symbols without end", "symbol table", func(s *synth) {
			s.tag(elf.DT_SYMTAB, synthBase)
			s.tag(elf.DT_HASH, s.add(s.u32s(nil, 1, 0xffffffff)))
		}, nil},
		{"chain without end", "no end", func(s *synth) {
			s.tag(elf.DT_SYMTAB, synthBase)
			table := s.u32s(nil, 1, 1, 0, 0, 1, 2, 2, 2)
			off := s.add(table) - synthBase
			s.progs = append(s.progs, elfProg{typ: elf.PT_LOAD, addr: 0x900000, off: off, filesz: uint64(len(table))})
			s.tag(elf.DT_GNU_HASH, 0x900000)
		}, nil},
		{"buckets huge", "hash table", func(s *synth) {
			s.tag(elf.DT_SYMTAB, synthBase)
			s.tag(elf.DT_GNU_HASH, s.add(s.u32s(nil, 0xffffffff, 1, 0xffffffff, 0)))
		}, nil},
		{"relocation of no symbol", "beyond the dynamic symbol table", func(s *synth) {
			s.tag(elf.DT_SYMTAB, synthBase)
			rela := s.rela(nil, 0xffffff, 6)
			s.tag(elf.DT_RELA, s.add(rela))
			s.tag(elf.DT_RELASZ, uint64(len(rela)))
		}, nil},
		{"relocations huge", "relocation table", func(s *synth) {
			s.tag(elf.DT_SYMTAB, synthBase)
			s.tag(elf.DT_RELA, synthBase)
			s.tag(elf.DT_RELASZ, huge)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSynth(binary.LittleEndian, true)
			if c.change != nil {
				c.change(s)
			}
			b := s.bytes()
			if c.patch != nil {
				b = c.patch(b)
			}
			checkInvalid(t, b, c.says)
		})
	}
}

// checkInvalid fails unless measuring b is an error of code Invalid that says so.
func checkInvalid(t *testing.T, b []byte, says string) {
	t.Helper()
	_, err := measureBytes(b, Options{Links: true})
	if fault.CodeOf(err) != fault.Invalid {
		t.Fatalf("error is %v (%s), want one of code invalid", err, fault.CodeOf(err))
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("error is %q: want it to say %q", err, says)
	}
}

// Names that overlap must not make a small file cost gigabytes.
func TestOverlappingNames(t *testing.T) {
	s := newSynth(binary.LittleEndian, true)
	long := s.str(strings.Repeat("a", 1<<20))
	for i := range uint64(1000) {
		s.tag(elf.DT_NEEDED, uint64(long)+i)
	}
	checkInvalid(t, s.bytes(), "longer than the table allows")
}
