package exe

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// pclntabLayout writes a function table as some range of Go versions does: old
// toolchains cannot be had everywhere, so these tables are made by hand. Tables
// of the present toolchain come from real programs.
type pclntabLayout struct {
	name  string
	magic uint32
	words int // pointer-sized numbers in the header; 0 for Go before 1.16
}

var pclntabLayouts = []pclntabLayout{
	{"1.2", pclntabGo12, 0},
	{"1.16", pclntabGo116, 7},
	{"1.18", pclntabGo118, 8},
	{"1.20", pclntabGo120, 8},
}

// synthNames are what a table made by hand holds.
const synthNames = "main.main\x00runtime.LockOSThread\x00time.LoadLocation\x00main.end\x00"

func (l pclntabLayout) table(order binary.AppendByteOrder, wide bool) []byte {
	s := newSynth(order, wide)
	b := s.u32s(nil, l.magic)
	b = append(b, 0, 0, 1, byte(s.ptrSize()))
	names := strings.SplitAfter(synthNames, "\x00")
	names = names[:len(names)-1]
	if l.words == 0 {
		return l.oldTable(s, b, names)
	}
	start := uint64(8 + l.words*s.ptrSize())
	end := start + uint64(len(synthNames))
	b = s.word(s.word(b, uint64(len(names))), 1)
	if l.words == 8 {
		b = s.word(b, 0x401000)
	}
	for _, off := range []uint64{start, end, end, end, end} {
		b = s.word(b, off)
	}
	return append(append(b, synthNames...), make([]byte, 64)...)
}

// oldTable has a record for each function, which holds its entry and where its
// name is, and the names behind.
func (l pclntabLayout) oldTable(s *synth, b []byte, names []string) []byte {
	word := s.ptrSize()
	records := 8 + word + (2*len(names)+1)*word
	record := word + 4
	b = s.word(b, uint64(len(names)))
	for i := range names {
		b = s.word(s.word(b, uint64(0x401000+i)), uint64(records+i*record))
	}
	b = s.word(b, 0x402000)
	at := records + len(names)*record
	for i, n := range names {
		b = s.u32s(s.word(b, uint64(0x401000+i)), uint32(at))
		at += len(n)
	}
	return append(append(b, synthNames...), make([]byte, 64)...)
}

func TestPclntabLayouts(t *testing.T) {
	for _, shape := range shapes {
		for _, l := range pclntabLayouts {
			t.Run(l.name+" "+shape.name, func(t *testing.T) {
				table := l.table(shape.order, shape.wide)
				content := append(bytes.Repeat([]byte{0xf1, 0xff, 0xff, 0xff}, 8), table...) // with false matches before
				if shape.order.String() == binary.BigEndian.String() {
					content = append(bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xf1}, 8), table...)
				}
				size := uint64(len(content))
				lay := &layout{
					in:    input{r: bytes.NewReader(content), size: int64(size)},
					order: binary.ByteOrder(binary.LittleEndian), ptrSize: 4,
					segments: []segment{{size: size}},
				}
				if shape.order.String() == binary.BigEndian.String() {
					lay.order = binary.BigEndian
				}
				if shape.wide {
					lay.ptrSize = 8
				}
				bySection := section{off: size - uint64(len(table)), size: uint64(len(table))}
				for how, s := range map[string]section{"section": bySection, "search": {}} {
					names, err := lay.capabilities(s)
					if got := strings.Join(names, " "); err != nil || got != "thread-lock timezone" {
						t.Errorf("by %s: capabilities %q, %v", how, got, err)
					}
				}
			})
		}
	}
}
