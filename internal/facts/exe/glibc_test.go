package exe

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompareGLIBC(t *testing.T) {
	ordered := []string{"GLIBC_PRIVATE", "GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.34", "GLIBC_3.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareGLIBC(a, b); got != want {
				t.Errorf("CompareGLIBC(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, same := range []string{"", "GLIBC_", "GLIBC_2.x", "GLIBC_1.2.3.4", "CXXABI_1.3", "GLIBC_-1.2"} {
		if CompareGLIBC(same, "GLIBC_PRIVATE") != 0 {
			t.Errorf("%q counts as a release of glibc", same)
		}
	}
}

func TestFindSystemDirs(t *testing.T) {
	multiarch := []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"}
	for _, tt := range []struct {
		name, data string
		want       []string
	}{
		{"Debian", "\x00x\x00/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/lib/\x00/usr/lib/\x00\x00", multiarch},
		{"other bytes before it", "\x80\x01/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/lib/\x00/usr/lib/\x00", multiarch},
		{"upstream", "\x00/lib64/\x00/usr/lib64/\x00", []string{"/lib64", "/usr/lib64"}},
		{"at the very beginning", "/lib/\x00/usr/lib/\x00", []string{"/lib", "/usr/lib"}},
		{"no list", "/usr/lib/\x00", nil},
		{"empty", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, findSystemDirs([]byte(tt.data))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzFindSystemDirs(f *testing.F) {
	f.Add([]byte("\x00/lib64/\x00/usr/lib64/\x00"))
	f.Add([]byte("/\x00/usr/lib/\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, dir := range findSystemDirs(data) {
			if len(dir) > 128 {
				t.Errorf("a directory of %d bytes", len(dir))
			}
		}
	})
}

func TestDebugFile(t *testing.T) {
	s := newSynth(binary.LittleEndian, true)
	s.progs = append(s.progs, elfProg{typ: elf.PT_DYNAMIC, addr: synthBase, memsz: 0x200})
	if _, err := measureBytes(s.bytes(), Options{}); !errors.Is(err, ErrNotExecutable) {
		t.Errorf("Measure of a file whose dynamic section is elsewhere: %v, want ErrNotExecutable", err)
	}
}
