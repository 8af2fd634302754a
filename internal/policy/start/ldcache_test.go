package start

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
)

// cacheLine is one entry of a cache made for a test.
type cacheLine struct {
	flags        uint32
	soname, file string
	hwcap        uint64
}

// buildCache writes a cache in glibc's format.
func buildCache(lines []cacheLine) []byte {
	var strings bytes.Buffer
	var entries []byte
	start := uint32(cacheHeader + len(lines)*cacheEntry)
	add := func(s string) uint32 {
		at := start + uint32(strings.Len())
		strings.WriteString(s + "\x00")
		return at
	}
	for _, l := range lines {
		for _, word := range []uint32{l.flags, add(l.soname), add(l.file), 0, uint32(l.hwcap), uint32(l.hwcap >> 32)} {
			entries = binary.LittleEndian.AppendUint32(entries, word)
		}
	}
	header := append([]byte(cacheMagic), make([]byte, cacheHeader-len(cacheMagic))...)
	binary.LittleEndian.PutUint32(header[20:], uint32(len(lines)))
	binary.LittleEndian.PutUint32(header[24:], uint32(strings.Len()))
	return append(append(header, entries...), strings.Bytes()...)
}

var amd64 = &exe.ELF{Class: 64, Machine: 62}

func TestReadCache(t *testing.T) {
	data := buildCache([]cacheLine{
		{0x0303, "libz.so.1", "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1", hwcapExtension | 1},
		{0x0303, "libz.so.1", "/usr/lib/glibc-hwcaps/x86-64-v2/libz.so.1", hwcapExtension},
		{0x0303, "libz.so.1", "/usr/lib/libz.so.1", 0},
		{0x0303, "liblegacy.so", "/usr/lib/haswell/liblegacy.so", 1 << 52},
		{0x0003, "lib32.so", "/usr/lib32/lib32.so", 0},
		{0x0303, "libbad.so", "", 0},
	})
	none := []string{""}
	v2 := []string{"glibc-hwcaps/x86-64-v2", ""}
	v3 := append([]string{"glibc-hwcaps/x86-64-v3"}, v2...)
	tests := []struct {
		name   string
		data   []byte
		hwcaps []string
		want   map[string]string
	}{
		{"plain CPU", data, none, map[string]string{"libz.so.1": "/usr/lib/libz.so.1"}},
		{"v2", data, v2, map[string]string{"libz.so.1": "/usr/lib/glibc-hwcaps/x86-64-v2/libz.so.1"}},
		{"v3", data, v3, map[string]string{"libz.so.1": "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1"}},
		{"after the old format", append(append([]byte(oldCacheMagic), 0, 0, 0, 0, 0), data...), none, map[string]string{"libz.so.1": "/usr/lib/libz.so.1"}},
		{"empty", nil, none, nil},
		{"truncated", data[:60], none, nil},
		{"other file", bytes.Repeat([]byte("x"), 100), none, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readCache(tt.data, amd64, tt.hwcaps)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzReadCache(f *testing.F) {
	f.Add(buildCache([]cacheLine{{0x0303, "libz.so.1", "/usr/lib/libz.so.1", 0}}))
	f.Add([]byte(oldCacheMagic + "\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for soname, file := range readCache(data, amd64, []string{""}) {
			if soname == "" || file == "" {
				t.Errorf("empty entry %q: %q", soname, file)
			}
		}
	})
}

func TestExpandTokens(t *testing.T) {
	values := map[string]string{"ORIGIN": "/opt", "PLATFORM": ""}
	for in, want := range map[string]string{
		"/lib":             "/lib",
		"$ORIGIN/../lib":   "/opt/../lib",
		"${ORIGIN}x":       "/optx",
		"$ORIGINAL":        "$ORIGINAL",
		"a$":               "a$",
		"${ORIGIN":         "${ORIGIN",
		"/x/$PLATFORM/lib": "",
		"$$ORIGIN":         "$/opt",
	} {
		if got := expandTokens(in, values); got != want {
			t.Errorf("expandTokens(%q) = %q, want %q", in, got, want)
		}
	}
}
