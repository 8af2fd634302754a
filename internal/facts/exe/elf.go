package exe

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The ELF format is that of the System V ABI, edition 4.1 and its gABI drafts;
// numbers come from debug/elf.

const (
	// maxInterp is the kernel's limit of PT_INTERP (PATH_MAX).
	maxInterp = 4096
	// maxHeaders is the kernel's limit of the program header table, in bytes.
	maxHeaders = 64 << 10
)

// elfFile is an ELF file with its program headers read.
type elfFile struct {
	layout
	obj    *Object
	wide   bool
	header elfHeader
	progs  []elfProg
}

type elfHeader struct {
	osabi               elf.OSABI
	typ                 elf.Type
	machine             elf.Machine
	phoff, shoff        uint64
	phentsize, phnum    uint16
	shentsize, shnum    uint16
	shstrndx            uint16
	phdrSize, entrySize int
}

type elfProg struct {
	typ                      elf.ProgType
	flags                    elf.ProgFlag
	off, addr, filesz, memsz uint64
}

// measureELF fills in what an ELF file's headers and dynamic section say.
func measureELF(in input, obj *Object, opt Options) (*layout, error) {
	f := &elfFile{obj: obj, layout: layout{in: in}}
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	if err := f.readProgs(); err != nil {
		return nil, err
	}
	if err := f.readSections(); err != nil {
		obj.note("section headers: %v", err)
		f.sections = nil
	}
	h := f.header
	obj.ELF = &ELF{
		Class: 8 * f.ptrSize, Machine: uint16(h.machine), Type: uint16(h.typ),
		OSABI: uint8(h.osabi), BigEndian: f.order == binary.BigEndian,
	}
	obj.Facts.Platform = api.Platform{OS: elfOS(h.osabi), Arch: elfArch(h.machine, f.wide, f.order == binary.BigEndian)}
	if err := f.readInterp(); err != nil {
		return nil, err
	}
	if err := f.readProperties(); err != nil {
		return nil, err
	}
	dyn, err := f.readDynamic(opt)
	if err != nil {
		return nil, err
	}
	obj.ELF.Dynamic = dyn.facts
	return &f.layout, f.conclude(dyn)
}

func (f *elfFile) fields(b []byte) fields { return fields{b: b, order: f.order, wide: f.wide} }

func (f *elfFile) readHeader() error {
	ident, err := f.in.read(0, elf.EI_NIDENT, "ELF identification")
	if err != nil {
		return err
	}
	h := &f.header
	size := uint64(64)
	switch elf.Class(ident[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		f.wide, f.ptrSize, h.phdrSize, h.entrySize = true, 8, 56, 64
	case elf.ELFCLASS32:
		f.ptrSize, h.phdrSize, h.entrySize, size = 4, 32, 40, 52
	default:
		return invalid("ELF class is %d: want 1 (32 bits) or 2 (64 bits)", ident[elf.EI_CLASS])
	}
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.order = binary.BigEndian
	default:
		return invalid("ELF byte order is %d: want 1 (little-endian) or 2 (big-endian)", ident[elf.EI_DATA])
	}
	b, err := f.in.read(0, size, "ELF header")
	if err != nil {
		return err
	}
	d := f.fields(b[elf.EI_NIDENT:])
	h.osabi = elf.OSABI(ident[elf.EI_OSABI])
	h.typ, h.machine = elf.Type(d.u16()), elf.Machine(d.u16())
	d.skip(4)          // e_version
	_ = d.word()       // e_entry
	h.phoff = d.word() // in this order in both classes
	h.shoff = d.word()
	d.skip(4 + 2) // e_flags, e_ehsize
	h.phentsize, h.phnum = d.u16(), d.u16()
	h.shentsize, h.shnum, h.shstrndx = d.u16(), d.u16(), d.u16()
	if h.typ != elf.ET_EXEC && h.typ != elf.ET_DYN {
		return fmt.Errorf("ELF file of type %v: %w", h.typ, ErrNotExecutable)
	}
	return nil
}

func (f *elfFile) readProgs() error {
	h := f.header
	if h.phnum == 0 {
		return invalid("ELF file has no program headers")
	}
	if int(h.phentsize) != h.phdrSize {
		return invalid("ELF program headers have %d bytes each: want %d", h.phentsize, h.phdrSize)
	}
	n := int(h.phnum) * h.phdrSize
	if n > maxHeaders {
		return invalid("ELF file has %d program headers, more than a kernel takes", h.phnum)
	}
	b, err := f.in.read(h.phoff, uint64(n), "ELF program header table")
	if err != nil {
		return err
	}
	f.headersEnd = h.phoff + uint64(n)
	for ; len(b) > 0; b = b[h.phdrSize:] {
		p := f.decodeProg(b)
		f.progs = append(f.progs, p)
		if p.typ != elf.PT_LOAD {
			continue
		}
		what := fmt.Sprintf("loadable segment %d", len(f.segments))
		if err := f.in.check(p.off, p.filesz, what); err != nil {
			return err
		}
		f.segments = append(f.segments, segment{
			addr: p.addr, off: p.off, size: p.filesz, memSize: p.memsz,
			writable: p.flags&elf.PF_W != 0, executable: p.flags&elf.PF_X != 0,
		})
	}
	return nil
}

func (f *elfFile) decodeProg(b []byte) (p elfProg) {
	d := f.fields(b)
	p.typ = elf.ProgType(d.u32())
	if f.wide {
		p.flags = elf.ProgFlag(d.u32())
	}
	p.off, p.addr = d.word(), d.word()
	_ = d.word() // p_paddr
	p.filesz, p.memsz = d.word(), d.word()
	if !f.wide {
		p.flags = elf.ProgFlag(d.u32())
	}
	return p
}

// prog returns the first program header of type t.
func (f *elfFile) prog(t elf.ProgType) (elfProg, bool) {
	for _, p := range f.progs {
		if p.typ == t {
			return p, true
		}
	}
	return elfProg{}, false
}

func (f *elfFile) readInterp() error {
	p, ok := f.prog(elf.PT_INTERP)
	if !ok {
		return nil
	}
	if p.filesz > maxInterp {
		return invalid("interpreter name (PT_INTERP) has %d bytes: the kernel takes up to %d", p.filesz, maxInterp)
	}
	b, err := f.in.read(p.off, p.filesz, "interpreter name (PT_INTERP)")
	if err != nil {
		return err
	}
	if len(b) > 0 && b[len(b)-1] != 0 {
		return invalid("interpreter name (PT_INTERP) does not end in a NUL byte")
	}
	name, _, _ := strings.Cut(string(b), "\x00")
	f.obj.ELF.Interp, f.obj.ELF.HasInterp = name, true
	return nil
}

// elfOS returns the GOOS that an OSABI stands for. Linux writes either its own
// number or none; so do systems that mark their files otherwise, whose GOOS then
// comes from the build settings.
func elfOS(abi elf.OSABI) string {
	switch abi {
	case elf.ELFOSABI_FREEBSD:
		return "freebsd"
	case elf.ELFOSABI_NETBSD:
		return "netbsd"
	case elf.ELFOSABI_OPENBSD:
		return "openbsd"
	case elf.ELFOSABI_SOLARIS:
		return "solaris"
	}
	return "linux"
}

// elfArch returns the GOARCH of a machine, or its ELF name in lower case where
// Go has none.
func elfArch(m elf.Machine, wide, big bool) string {
	pick := func(is bool, yes, no string) string {
		if is {
			return yes
		}
		return no
	}
	switch m {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_386:
		return "386"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_PPC64:
		return pick(big, "ppc64", "ppc64le")
	case elf.EM_S390:
		return pick(wide, "s390x", "s390")
	case elf.EM_RISCV:
		return pick(wide, "riscv64", "riscv")
	case elf.EM_LOONGARCH:
		return pick(wide, "loong64", "loong32")
	case elf.EM_MIPS:
		return pick(wide, "mips64", "mips") + pick(big, "", "le")
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}
