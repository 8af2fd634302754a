package exe

import (
	"encoding/binary"

	"github.com/gopherwood-dev/gopherwood/api"
)

// layout is what the headers of every format have in common: where the parts of
// the file are, and where they go in memory.
type layout struct {
	in       input
	order    binary.ByteOrder
	ptrSize  int
	segments []segment
	// headersEnd is the offset behind the headers.
	headersEnd uint64
	// sections is empty when the file has no section table, or a broken one.
	sections []section
}

// segment is a range of the file that is mapped when the program starts.
type segment struct {
	addr, off, size uint64
	// memSize is its length in memory; what exceeds size is zeros.
	memSize              uint64
	writable, executable bool
}

// section is a named part of the file.
type section struct {
	name            string
	addr, off, size uint64
	class           class
}

// class is the kind of a section, as api.Sections counts them.
type class uint8

const (
	classOther class = iota
	classText
	classROData
	classData
	classBSS
	classPclntab
	classSymtab
	classDebug
)

// offsetOf returns where in the file the n bytes at addr are; ok is false unless
// one segment holds all of them.
func (l *layout) offsetOf(addr, n uint64) (off uint64, ok bool) {
	for _, s := range l.segments {
		if addr >= s.addr && addr-s.addr <= s.size && n <= s.size-(addr-s.addr) {
			return s.off + (addr - s.addr), true
		}
	}
	return 0, false
}

// isZero reports whether addr is in the part of a segment that the file does not
// hold: it is zero when the program starts.
func (l *layout) isZero(addr uint64) bool {
	for _, s := range l.segments {
		if addr >= s.addr && addr-s.addr >= s.size && addr-s.addr < s.memSize {
			return true
		}
	}
	return false
}

// mapped returns how many bytes of the file are mapped from addr on, up to the
// end of its segment.
func (l *layout) mapped(addr uint64) uint64 {
	for _, s := range l.segments {
		if addr >= s.addr && addr-s.addr < s.size {
			return s.size - (addr - s.addr)
		}
	}
	return 0
}

// readAt returns the n bytes of the file that are mapped at addr.
func (l *layout) readAt(addr, n uint64, what string) ([]byte, error) {
	off, ok := l.offsetOf(addr, n)
	if !ok {
		return nil, invalid("%s of %d bytes at address %#x lies outside the mapped file", what, n, addr)
	}
	return l.in.read(off, n, what)
}

// chunksAt is input.chunks for what is mapped at addr.
func (l *layout) chunksAt(addr, n uint64, unit int, what string, each func([]byte) bool) error {
	off, ok := l.offsetOf(addr, n)
	if !ok {
		return invalid("%s of %d bytes at address %#x lies outside the mapped file", what, n, addr)
	}
	return l.in.chunks(off, n, unit, what, each)
}

// section returns the first section of one of these names that holds bytes.
func (l *layout) section(names ...string) (section, bool) {
	for _, s := range l.sections {
		for _, n := range names {
			if s.name == n && s.size > 0 && s.class != classBSS {
				return s, true
			}
		}
	}
	return section{}, false
}

// sizes adds the sections up by class; without sections it goes by segments.
// What is in no section (headers, padding) counts as other.
func (l *layout) sizes() api.Sections {
	var sum [classDebug + 1]int64
	for _, s := range l.sections {
		sum[s.class] += l.clamp(s.size, s.class)
	}
	if len(l.sections) == 0 {
		for _, s := range l.segments {
			sum[s.class()] += l.clamp(s.size, s.class())
			sum[classBSS] += l.clamp(s.memSize-min(s.size, s.memSize), classBSS)
		}
	}
	known := sum[classText] + sum[classROData] + sum[classData] + sum[classPclntab] + sum[classSymtab] + sum[classDebug]
	return api.Sections{
		Text:    sum[classText],
		ROData:  sum[classROData],
		Data:    sum[classData],
		BSS:     sum[classBSS],
		Pclntab: sum[classPclntab],
		Symtab:  sum[classSymtab],
		Debug:   sum[classDebug],
		Other:   max(0, l.in.size-known),
	}
}

// clamp keeps hostile sizes from overflowing the sums.
func (l *layout) clamp(size uint64, c class) int64 {
	limit := uint64(l.in.size)
	if c == classBSS {
		limit = 1 << 47 // the largest user address space in common use
	}
	return int64(min(size, limit))
}

func (s segment) class() class {
	switch {
	case s.executable:
		return classText
	case s.writable:
		return classData
	}
	return classROData
}

// stripped reports whether neither symbol table nor debugging information is left.
func (l *layout) stripped() bool {
	for _, s := range l.sections {
		if (s.class == classSymtab || s.class == classDebug) && s.size > 0 {
			return false
		}
	}
	return true
}
