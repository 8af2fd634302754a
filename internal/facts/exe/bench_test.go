package exe

import (
	"bytes"
	"testing"
)

// BenchmarkMeasure tells how many bytes of executable are measured a second; it
// reads only a few of them.
func BenchmarkMeasure(b *testing.B) {
	for name, build := range map[string]build{"elf": {program: "grpc"}, "elf-pie": pie, "macho": crossed[7], "pe": crossed[8]} {
		content := build.content(b)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := measureBytes(content, Options{Links: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCapabilities tells how many bytes of function names are scanned a
// second.
func BenchmarkCapabilities(b *testing.B) {
	content := build{program: "grpc"}.content(b)
	at := bytes.Index(content, []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8})
	size := uint64(len(content))
	l := &layout{in: input{r: bytes.NewReader(content), size: int64(size)}, order: le, ptrSize: 8}
	t, err := l.pclntabAt(uint64(at), size-uint64(at))
	if err != nil {
		b.Fatal(err)
	}
	names := content[t.namesOff : t.namesOff+t.namesSize]
	b.SetBytes(int64(len(names)))
	b.ReportAllocs()
	for b.Loop() {
		newMatcher().scan(names)
	}
}
