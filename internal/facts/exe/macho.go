package exe

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The Mach-O format is that of <mach-o/loader.h>; numbers come from debug/macho.

// Load commands and flags that debug/macho lacks.
const (
	lcLoadWeakDylib   = 0x80000018
	machoStackExec    = 0x20000 // MH_ALLOW_STACK_EXECUTION
	machoWrite        = 2       // VM_PROT_WRITE
	machoExecute      = 4       // VM_PROT_EXECUTE
	machoSectionTypes = 0xff    // SECTION_TYPE
	machoZeroFill     = 1       // S_ZEROFILL
	machoPureCode     = 0x80000000
	// maxCommands is the most load commands taken, in bytes.
	maxCommands = 4 << 20
)

// machoFile is a thin Mach-O file while it is being read.
type machoFile struct {
	layout
	obj  *Object
	wide bool
	// importsOnly is true when the symbol table has nothing but what the
	// loader needs.
	importsOnly bool
}

// measureMachO fills in what a thin Mach-O file's header and load commands say.
func measureMachO(in input, obj *Object) (*layout, error) {
	f := &machoFile{obj: obj, layout: layout{in: in, order: binary.LittleEndian, ptrSize: 4}}
	b, err := in.read(0, 28, "Mach-O header")
	if err != nil {
		return nil, err
	}
	if b[0] == 0xfe { // the most significant byte of the magic comes first
		f.order = binary.BigEndian
	}
	d := fields{b: b, order: f.order}
	start := uint64(28)
	if d.u32() == macho.Magic64 {
		f.wide, f.ptrSize, start = true, 8, 32
	}
	cpu := macho.Cpu(d.u32())
	d.skip(4) // cpusubtype
	typ, count, size, flags := macho.Type(d.u32()), d.u32(), d.u32(), d.u32()
	switch typ {
	case macho.TypeExec, macho.TypeDylib, macho.TypeBundle:
	default:
		return nil, fmt.Errorf("Mach-O file of type %v: %w", typ, ErrNotExecutable)
	}
	obj.Program = typ == macho.TypeExec
	obj.Facts.Platform = api.Platform{OS: "darwin", Arch: machoArch(cpu)}
	obj.Facts.Hardening = api.Hardening{PIE: flags&macho.FlagPIE != 0, NX: flags&machoStackExec == 0}
	obj.Facts.Link.Mode = api.LinkDynamic
	if !obj.Program {
		obj.Facts.Link.Mode = api.LinkLibrary
	}
	if size > maxCommands {
		return nil, invalid("Mach-O load commands have %d bytes: more than %d", size, maxCommands)
	}
	commands, err := in.read(start, uint64(size), "Mach-O load commands")
	if err != nil {
		return nil, err
	}
	f.headersEnd = start + uint64(size)
	if err := f.readCommands(commands, count); err != nil {
		return nil, err
	}
	if f.importsOnly {
		for i := range f.sections {
			if f.sections[i].class == classSymtab {
				f.sections[i].class = classOther
			}
		}
	}
	return &f.layout, nil
}

func machoArch(cpu macho.Cpu) string {
	switch cpu {
	case macho.CpuAmd64:
		return "amd64"
	case macho.CpuArm64:
		return "arm64"
	case macho.Cpu386:
		return "386"
	case macho.CpuArm:
		return "arm"
	case macho.CpuPpc64:
		return "ppc64"
	}
	return strings.ToLower(strings.TrimPrefix(cpu.String(), "Cpu"))
}

func (f *machoFile) readCommands(b []byte, count uint32) error {
	for i := range count {
		if len(b) < 8 {
			return invalid("Mach-O load command %d lies beyond the load commands", i)
		}
		d := fields{b: b, order: f.order, wide: f.wide}
		cmd, size := macho.LoadCmd(d.u32()), d.u32()
		if size < 8 || uint64(size) > uint64(len(b)) {
			return invalid("Mach-O load command %d has %d bytes: want 8 to %d", i, size, len(b))
		}
		body := fields{b: b[8:size], order: f.order, wide: f.wide}
		if err := f.readCommand(cmd, body, b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

func (f *machoFile) readCommand(cmd macho.LoadCmd, body fields, whole []byte) error {
	link := &f.obj.Facts.Link
	switch cmd {
	case macho.LoadCmdSegment, macho.LoadCmdSegment64:
		body.wide = cmd == macho.LoadCmdSegment64
		return f.readSegment(body)
	case macho.LoadCmdDylib, lcLoadWeakDylib:
		link.Needed = append(link.Needed, f.commandString(whole))
	case macho.LoadCmdDylinker:
		link.Interpreter = f.commandString(whole)
	case macho.LoadCmdRpath:
		link.Runpath = append(link.Runpath, f.commandString(whole))
	case macho.LoadCmdSymtab:
		return f.readSymtab(body)
	case macho.LoadCmdDysymtab:
		if len(body.b) >= 8 {
			body.skip(4) // ilocalsym
			f.importsOnly = body.u32() == 0
		}
	}
	return nil
}

func (f *machoFile) readSymtab(d fields) error {
	if len(d.b) < 16 {
		return invalid("Mach-O symbol table command is too short")
	}
	entry := uint64(12) // sizeof(struct nlist)
	if f.wide {
		entry = 16
	}
	table := section{off: uint64(d.u32()), size: uint64(d.u32()) * entry, class: classSymtab}
	names := section{off: uint64(d.u32()), size: uint64(d.u32()), class: classSymtab}
	f.sections = append(f.sections, table, names)
	return nil
}

// commandString returns the string of a command whose first field says where in
// the command it begins; "" when that is outside.
func (f *machoFile) commandString(whole []byte) string {
	if len(whole) < 12 {
		return ""
	}
	at := f.order.Uint32(whole[8:])
	if uint64(at) > uint64(len(whole)) {
		return ""
	}
	return cString(whole[at:])
}

// cString returns b up to its first NUL byte.
func cString(b []byte) string {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

func (f *machoFile) readSegment(d fields) error {
	header, entry := 48, 68
	if d.wide {
		header, entry = 64, 80
	}
	if len(d.b) < header {
		return invalid("Mach-O segment command is too short")
	}
	name := cString(d.b[:16])
	d.skip(16)
	s := segment{addr: d.word(), memSize: d.word()}
	s.off, s.size = d.word(), d.word()
	d.skip(4) // maxprot
	prot := d.u32()
	s.writable, s.executable = prot&machoWrite != 0, prot&machoExecute != 0
	count := uint64(d.u32())
	d.skip(4) // flags
	if err := f.in.check(s.off, s.size, "segment "+name); err != nil {
		return err
	}
	f.segments = append(f.segments, s)
	if count*uint64(entry) > uint64(len(d.b)) {
		return invalid("Mach-O segment %s has %d sections, more than its command holds", name, count)
	}
	for range count {
		f.readSection(fields{b: d.b, order: d.order, wide: d.wide}, s)
		d.skip(entry)
	}
	return nil
}

func (f *machoFile) readSection(d fields, in segment) {
	s := section{name: cString(d.b[:16])}
	segmentName := cString(d.b[16:32])
	d.skip(32)
	s.addr, s.size = d.word(), d.word()
	s.off = uint64(d.u32())
	d.skip(4 + 4 + 4) // align, reloff, nreloc
	flags := d.u32()
	switch {
	case flags&machoSectionTypes == machoZeroFill:
		s.class = classBSS
	case isPclntabName(s.name):
		s.class = classPclntab
	case segmentName == "__DWARF":
		s.class = classDebug
	case flags&machoPureCode != 0:
		s.class = classText
	case in.writable:
		s.class = classData
	default:
		s.class = classROData
	}
	f.sections = append(f.sections, s)
}
