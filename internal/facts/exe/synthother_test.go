package exe

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var le = binary.LittleEndian

// synthMachO is a small 64-bit Mach-O executable.
func synthMachO() []byte {
	name := func(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }
	u32 := func(b []byte, v ...uint32) []byte {
		for _, n := range v {
			b = le.AppendUint32(b, n)
		}
		return b
	}
	u64 := func(b []byte, v ...uint64) []byte {
		for _, n := range v {
			b = le.AppendUint64(b, n)
		}
		return b
	}
	segment := append(u32(nil, 0x19, 72+80), name("__TEXT")...)
	segment = u64(segment, 0x100000000, 4096, 0, 400)
	segment = u32(segment, 5, 5, 1, 0)
	segment = append(append(segment, name("__rodata")...), name("__TEXT")...)
	segment = u64(segment, 0x100000100, 16)
	segment = u32(segment, 0x100, 4, 0, 0, 0, 0, 0, 0)
	dylib := append(u32(nil, 0xc, 40, 24, 0, 0, 0), name("/usr/lib/a")...)
	symtab := u32(nil, 2, 24, 300, 1, 320, 8)
	dysymtab := u32(nil, 0xb, 16, 0, 1)
	commands := append(append(append(segment, dylib...), symtab...), dysymtab...)
	b := u32(nil, 0xfeedfacf, 0x01000007, 3, 2, 4, uint32(len(commands)), 0x200000, 0)
	b = append(b, commands...)
	return append(b, make([]byte, 400-len(b))...)
}

// synthPE is a small PE32+ executable.
func synthPE() []byte {
	b := append([]byte("MZ"), make([]byte, 62)...)
	le.PutUint32(b[peOffsetField:], 64)
	b = append(b, "PE\x00\x00"...)
	b = le.AppendUint16(b, 0x8664)
	b = le.AppendUint16(b, 1) // sections
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint16(b, 112) // optional header
	b = le.AppendUint16(b, 2)   // IMAGE_FILE_EXECUTABLE_IMAGE
	opt := make([]byte, 112)
	le.PutUint16(opt, 0x20b)
	le.PutUint64(opt[24:], 0x140000000)
	le.PutUint16(opt[70:], 0x140)
	b = append(b, opt...)
	b = append(b, ".data\x00\x00\x00"...)
	for _, v := range []uint32{0x200, 0x1000, 0x100, 0x100, 0, 0, 0, 0xc0000040} {
		b = le.AppendUint32(b, v)
	}
	return append(b, make([]byte, 0x200-len(b))...)
}

func TestSynthMachO(t *testing.T) {
	obj, err := measureBytes(synthMachO(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := obj.Facts
	if f.Platform.String() != "darwin/amd64" || !obj.Program || !f.Hardening.PIE || f.Hardening.Stripped ||
		len(f.Link.Needed) != 1 || f.Link.Needed[0] != "/usr/lib/a" || f.Sections.ROData != 16 {
		t.Errorf("wrong facts: %+v", f)
	}
}

func TestSynthPE(t *testing.T) {
	obj, err := measureBytes(synthPE(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := obj.Facts
	if f.Platform.String() != "windows/amd64" || !obj.Program || !f.Hardening.PIE || !f.Hardening.NX || !f.Hardening.Stripped ||
		f.Sections.Data != 0x100 || f.Sections.BSS != 0x100 {
		t.Errorf("wrong facts: %+v", f)
	}
}

func TestHostileMachO(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(b []byte)
	}{
		{"load command 4 lies beyond", func(b []byte) { le.PutUint32(b[16:], 5) }},
		{"more than", func(b []byte) { le.PutUint32(b[20:], 0xffffffff) }},
		{"beyond the end of the file", func(b []byte) { le.PutUint32(b[20:], 4000) }},
		{"load command 0 has 0 bytes", func(b []byte) { le.PutUint32(b[36:], 0) }},
		{"load command 0 has 4096 bytes", func(b []byte) { le.PutUint32(b[36:], 4096) }},
		{"more than its command holds", func(b []byte) { le.PutUint32(b[32+64:], 0xffffffff) }},
		{"segment __TEXT", func(b []byte) { le.PutUint64(b[32+40:], 1<<62) }},
	} {
		b := synthMachO()
		c.change(b)
		checkInvalid(t, b, c.says)
	}
}

func TestHostilePE(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(b []byte)
	}{
		{"magic 0x0", func(b []byte) { le.PutUint16(b[88:], 0) }},
		{"optional header has 4 bytes", func(b []byte) { le.PutUint16(b[84:], 4) }},
		{"optional header", func(b []byte) { le.PutUint16(b[84:], 0xffff) }},
		{"section table", func(b []byte) { le.PutUint16(b[70:], 0xffff) }},
		{"PE section .data", func(b []byte) { le.PutUint32(b[200+16:], 0xffffffff) }},
	} {
		b := synthPE()
		c.change(b)
		checkInvalid(t, b, c.says)
	}
}

// A fat file says how to get at what it holds.
func TestFatMachO(t *testing.T) {
	_, err := measureBytes([]byte("\xca\xfe\xba\xbe\x00\x00\x00\x02"), Options{})
	if err == nil || fault.CodeOf(err) != fault.Unsupported || fault.HintOf(err) == "" {
		t.Errorf("error is %v", err)
	}
}

// A packed file says so, and nothing that is true of the packer's stub only.
func TestPacked(t *testing.T) {
	elf := newSynth(le, true)
	elf.interp("/lib/ld.so\x00")
	elf.add([]byte("\x01\x02\x03\x04UPX!\x00\x00\x0d\x16"))
	macho := synthMachO()
	copy(macho[32+152+40+24+16+20:], upxMagic)
	pe := append(synthPE()[:0x105], upxMagic...)
	pe = append(pe, make([]byte, 0x100)...)
	for _, content := range [][]byte{elf.bytes(), macho, pe} {
		obj, err := measureBytes(content, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := obj.Facts
		if f.Hardening.Packed != "upx" || f.Link.Mode != "" || f.Link.Interpreter != "" || f.Go != nil || f.Capabilities != nil {
			t.Errorf("facts of a packed %s: %+v", f.Format, f)
		}
		if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "packed with upx") {
			t.Errorf("notes of a packed %s: %q", f.Format, f.Notes)
		}
	}
}
