package exe

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The PE format is that of Microsoft's "PE Format" specification; numbers come
// from debug/pe.

const (
	peOffsetField   = 0x3c // where the MS-DOS header says where the PE header is
	peHeaderSize    = 4 + 20
	peSectionSize   = 40
	peCoffSymbol    = 18
	peDiscardable   = pe.IMAGE_SCN_MEM_DISCARDABLE
	peUninitialised = pe.IMAGE_SCN_CNT_UNINITIALIZED_DATA
)

// measurePE fills in what a PE file's headers and section table say.
func measurePE(in input, obj *Object) (*layout, error) {
	lay := &layout{in: in, order: binary.LittleEndian, ptrSize: 4}
	at, err := peHeaderOffset(in)
	if err != nil {
		return nil, err
	}
	b, err := in.read(at, peHeaderSize, "PE header")
	if err != nil {
		return nil, err
	}
	d := fields{b: b[4:], order: lay.order}
	machine, count := d.u16(), d.u16()
	d.skip(4) // TimeDateStamp
	symtab, symbols := d.u32(), d.u32()
	optSize, flags := d.u16(), d.u16()
	if optSize == 0 {
		return nil, fmt.Errorf("PE object file: %w", ErrNotExecutable)
	}
	opt, err := in.read(at+peHeaderSize, uint64(optSize), "PE optional header")
	if err != nil {
		return nil, err
	}
	base, traits, err := lay.readOptional(opt)
	if err != nil {
		return nil, err
	}
	obj.Program = flags&pe.IMAGE_FILE_DLL == 0
	obj.Facts.Platform = api.Platform{OS: "windows", Arch: peArch(machine)}
	obj.Facts.Hardening = api.Hardening{
		PIE: traits&pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE != 0,
		NX:  traits&pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT != 0,
	}
	obj.Facts.Link.Mode = api.LinkDynamic
	if !obj.Program {
		obj.Facts.Link.Mode = api.LinkLibrary
	}
	obj.note("linkage of PE files is not measured: imported libraries are missing")
	tableAt := at + peHeaderSize + uint64(optSize)
	table, err := in.read(tableAt, uint64(count)*peSectionSize, "PE section table")
	if err != nil {
		return nil, err
	}
	lay.headersEnd = tableAt + uint64(len(table))
	if err := lay.readPESections(table, base); err != nil {
		return nil, err
	}
	if symbols > 0 {
		lay.sections = append(lay.sections, section{off: uint64(symtab), size: uint64(symbols) * peCoffSymbol, class: classSymtab})
	}
	return lay, nil
}

// peHeaderOffset finds the PE header. Without one the file is an MS-DOS program,
// or a text that begins with MZ.
func peHeaderOffset(in input) (uint64, error) {
	head, err := in.read(0, uint64(min(in.size, peOffsetField+4)), "MS-DOS header")
	if err != nil {
		return 0, err
	}
	if len(head) < peOffsetField+4 {
		return 0, fmt.Errorf("MS-DOS file: %w", ErrNotExecutable)
	}
	at := uint64(binary.LittleEndian.Uint32(head[peOffsetField:]))
	if in.check(at, 4, "") != nil {
		return 0, fmt.Errorf("MS-DOS file: %w", ErrNotExecutable)
	}
	sign, err := in.read(at, 4, "PE signature")
	if err == nil && !bytes.Equal(sign, []byte("PE\x00\x00")) {
		err = fmt.Errorf("MS-DOS file: %w", ErrNotExecutable)
	}
	return at, err
}

// readOptional returns the image's base address and its DLL characteristics.
func (l *layout) readOptional(b []byte) (base uint64, traits uint16, err error) {
	const traitsAt = 70 // in both variants
	if len(b) < traitsAt+2 {
		return 0, 0, invalid("PE optional header has %d bytes: want at least %d", len(b), traitsAt+2)
	}
	switch magic := l.order.Uint16(b); magic {
	case 0x10b: // PE32
		base = uint64(l.order.Uint32(b[28:]))
	case 0x20b: // PE32+
		base = l.order.Uint64(b[24:])
		l.ptrSize = 8
	default:
		return 0, 0, invalid("PE optional header has magic %#x: want 0x10b or 0x20b", magic)
	}
	return base, l.order.Uint16(b[traitsAt:]), nil
}

func peArch(machine uint16) string {
	switch machine {
	case pe.IMAGE_FILE_MACHINE_AMD64:
		return "amd64"
	case pe.IMAGE_FILE_MACHINE_I386:
		return "386"
	case pe.IMAGE_FILE_MACHINE_ARM64:
		return "arm64"
	case pe.IMAGE_FILE_MACHINE_ARM, pe.IMAGE_FILE_MACHINE_ARMNT:
		return "arm"
	}
	return fmt.Sprintf("pe-%#x", machine)
}

// readPESections reads the section table; every section is a segment, too.
func (l *layout) readPESections(table []byte, base uint64) error {
	for ; len(table) > 0; table = table[peSectionSize:] {
		d := fields{b: table, order: l.order}
		name := cString(table[:8])
		d.skip(8)
		memSize, addr := uint64(d.u32()), base+uint64(d.u32())
		size, off := uint64(d.u32()), uint64(d.u32())
		d.skip(12) // relocations and line numbers
		flags := d.u32()
		if flags&peUninitialised != 0 && off == 0 {
			size = 0
		}
		if err := l.in.check(off, size, "PE section "+name); err != nil {
			return err
		}
		seg := segment{
			addr: addr, off: off, size: size, memSize: memSize,
			writable:   flags&pe.IMAGE_SCN_MEM_WRITE != 0,
			executable: flags&pe.IMAGE_SCN_MEM_EXECUTE != 0,
		}
		l.segments = append(l.segments, seg)
		s := section{name: name, addr: addr, off: off, size: size, class: peClass(name, flags, seg)}
		if s.class == classBSS {
			s.size = memSize
		}
		l.sections = append(l.sections, s)
		if over := memSize - min(memSize, size); over > 0 && s.class == classData {
			l.sections = append(l.sections, section{addr: addr + size, size: over, class: classBSS})
		}
	}
	return nil
}

func peClass(name string, flags uint32, seg segment) class {
	switch {
	case flags&peUninitialised != 0:
		return classBSS
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, ".debug"), strings.HasPrefix(name, ".zdebug"):
		return classDebug // a name that is too long for the table is a DWARF section's
	case flags&peDiscardable != 0, name == ".symtab":
		return classOther
	}
	return seg.class()
}
