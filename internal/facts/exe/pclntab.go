package exe

import (
	"bytes"
	"slices"
)

// The function table (pclntab) is described in the sources of runtime, cmd/link
// and debug/gosym. Only the names in it are read: of every function that is
// linked in, or was inlined into one that is.

// pclntabNames are the sections that hold nothing but the function table. With
// some linkers it is a part of .data.rel.ro or .rdata instead.
var pclntabNames = []string{".gopclntab", ".data.rel.ro.gopclntab", "__gopclntab"}

func isPclntabName(name string) bool { return slices.Contains(pclntabNames, name) }

// The magics of the function table.
const (
	pclntabGo12  = 0xfffffffb // Go 1.2 to 1.15
	pclntabGo116 = 0xfffffffa // Go 1.16 and 1.17
	pclntabGo118 = 0xfffffff0 // Go 1.18 and 1.19
	pclntabGo120 = 0xfffffff1 // since Go 1.20
)

// maxPclntabHits is how many false matches of the magic are looked at.
const maxPclntabHits = 1000

// pclntab is the header of a function table, checked.
type pclntab struct {
	magic uint32
	// off is where the table begins in the file, size how long it is at most.
	off, size uint64
	// namesOff and namesSize are where the names are in the file; not of Go
	// before 1.16, which mixes them with the rest.
	namesOff, namesSize uint64
}

// capabilities returns the names of the capabilities that the function table
// shows, sorted, never nil. Its error has code Invalid when there is no table.
func (l *layout) capabilities(table section) ([]string, error) {
	t, err := l.findPclntab(table)
	if err != nil {
		return nil, err
	}
	m := newMatcher()
	if t.magic == pclntabGo12 {
		err = l.scanOldNames(t, m)
	} else {
		err = l.in.chunks(t.namesOff, t.namesSize, 1, "function names", func(b []byte) bool {
			m.scan(b)
			return true
		})
	}
	return m.found(), err
}

// findPclntab takes the table from its section, or else searches what is mapped:
// what cannot be written first, code last.
func (l *layout) findPclntab(s section) (*pclntab, error) {
	if s.size > 0 {
		if t, err := l.pclntabAt(s.off, s.size); t != nil || err != nil && !isDamage(err) {
			return t, err
		}
	}
	segments := slices.Clone(l.segments)
	slices.SortStableFunc(segments, func(a, b segment) int { return a.searchOrder() - b.searchOrder() })
	search := pclntabSearch{l: l, hits: maxPclntabHits}
	left := uint64(l.in.size)
	for _, seg := range segments {
		n := min(seg.size, left)
		left -= n
		if err := search.segment(seg.off, n); err != nil {
			return nil, err
		}
		if search.table != nil {
			return search.table, nil
		}
	}
	return nil, invalid("no Go function table (pclntab) was found")
}

func (s segment) searchOrder() int {
	switch {
	case s.executable:
		return 2
	case s.writable:
		return 1
	}
	return 0
}

// pclntabSearch looks for a function table by its magic.
type pclntabSearch struct {
	l     *layout
	hits  int
	table *pclntab
}

func (p *pclntabSearch) segment(off, size uint64) error {
	const align = 8
	var failed error
	err := p.l.in.chunks(off, size, align, "segment", func(b []byte) bool {
		failed = p.chunk(b, off, size)
		off += uint64(len(b))
		size -= uint64(len(b))
		return failed == nil && p.table == nil && p.hits > 0
	})
	if failed != nil {
		return failed
	}
	return err
}

// chunk looks at b, which begins at off; size is what is left of the segment.
// Tables are aligned at least to pointers, so no magic crosses into the next.
func (p *pclntabSearch) chunk(b []byte, off, size uint64) error {
	for _, magic := range []uint32{pclntabGo120, pclntabGo118, pclntabGo116, pclntabGo12} {
		var pattern [6]byte // the magic and two zeros
		p.l.order.PutUint32(pattern[:], magic)
		for from := 0; p.hits > 0; {
			i := indexAligned(b[from:], pattern[:], 4)
			if i < 0 {
				break
			}
			at := uint64(from + i)
			t, err := p.l.pclntabAt(off+at, size-at)
			if err != nil && !isDamage(err) {
				return err
			}
			if t != nil {
				p.table = t
				return nil
			}
			p.hits--
			from += i + 4
		}
	}
	return nil
}

// pclntabAt reads and checks the header of the function table at off, which has
// up to size bytes.
func (l *layout) pclntabAt(off, size uint64) (*pclntab, error) {
	const fixed = 8 // magic, two zeros, instruction size, pointer size
	word := uint64(l.ptrSize)
	b, err := l.in.read(off, min(size, fixed+8*word), "function table")
	if err != nil {
		return nil, err
	}
	if uint64(len(b)) < fixed+8*word || b[4] != 0 || b[5] != 0 || !slices.Contains([]byte{1, 2, 4}, b[6]) || uint64(b[7]) != word {
		return nil, errPclntab()
	}
	t := &pclntab{magic: l.order.Uint32(b), off: off, size: size}
	d := fields{b: b[fixed:], order: l.order, wide: l.ptrSize == 8}
	funcs := d.word()
	words := uint64(8)
	switch t.magic {
	case pclntabGo12:
		if funcs == 0 || funcs > size/(2*word) {
			return nil, errPclntab()
		}
		return t, nil
	case pclntabGo116:
		words = 7
	case pclntabGo118, pclntabGo120:
	default:
		return nil, errPclntab()
	}
	_ = d.word() // files
	if words == 8 {
		_ = d.word() // textStart, until Go 1.25
	}
	// Names, compilation units, files, tables and functions follow each other.
	parts := []uint64{fixed + words*word, d.word(), d.word(), d.word(), d.word(), d.word(), size}
	if funcs == 0 || funcs > size || !slices.IsSorted(parts) || parts[1]-parts[0] > 64 || parts[2] == parts[1] {
		return nil, errPclntab()
	}
	t.namesOff, t.namesSize = off+parts[1], parts[2]-parts[1]
	return t, nil
}

func errPclntab() error { return invalid("malformed Go function table (pclntab)") }

// scanOldNames reads the table of Go 1.2 to 1.15, where the names lie between the
// functions' records. Functions that are only inlined are not in it.
func (l *layout) scanOldNames(t *pclntab, m *matcher) error {
	b, err := l.in.read(t.off, min(t.size, maxTable), "function table")
	if err != nil {
		return err
	}
	word := l.ptrSize
	d := fields{b: b[8:], order: l.order, wide: word == 8}
	for funcs := d.word(); funcs > 0 && len(d.b) >= 2*word; funcs-- {
		_ = d.word() // entry address
		record := d.word()
		if record > uint64(len(b)) || uint64(len(b))-record < uint64(word)+4 {
			return errPclntab()
		}
		name := uint64(l.order.Uint32(b[record+uint64(word):]))
		if name >= uint64(len(b)) {
			return errPclntab()
		}
		candidate := b[name:min(uint64(len(b)), name+uint64(m.longest)+1)]
		if end := bytes.IndexByte(candidate, 0); end >= 0 {
			m.match(candidate[:end])
		}
	}
	return nil
}
