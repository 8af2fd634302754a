package exe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

func TestPlatforms(t *testing.T) {
	want := []string{
		"linux/amd64/v1", "linux/amd64/v1", "linux/amd64/v1", "linux/amd64/v1", "linux/amd64/v1", "linux/amd64/v3",
		"linux/arm64/v8.0", "linux/arm/6", "linux/386/sse2", "linux/s390x", "linux/mips/hardfloat", "linux/mips64le/hardfloat",
		"freebsd/amd64/v1", "darwin/arm64/v8.0", "windows/amd64/v1", "windows/386/sse2",
	}
	var got []string
	for _, b := range allBuilds {
		got = append(got, b.measure(t).Facts.Platform.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The oracle of the Go facts is `go version -m`.
func TestGoFactsAgainstGoVersion(t *testing.T) {
	for _, b := range allBuilds {
		path := b.path(t)
		want := strings.TrimPrefix(goCommand(t, ".", nil, "version", "-m", path), path+": ")
		got := goVersionText(b.measure(t).Facts.Go)
		if diff := cmp.Diff(sortedLines(want), sortedLines(got)); diff != "" {
			t.Errorf("%v: (-go version -m, +measured)\n%s", b, diff)
		}
	}
}

// goVersionText writes what `go version -m` does, from facts alone.
func goVersionText(g *api.Go) string {
	info := debug.BuildInfo{Path: g.Main}
	if g.Module != nil {
		info.Main = debugModule(*g.Module)
	}
	for _, d := range g.Deps {
		m := debugModule(d)
		info.Deps = append(info.Deps, &m)
	}
	for k, v := range g.Settings {
		info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
	}
	version := g.Version
	if len(g.Experiments) > 0 {
		version += "-X:" + strings.Join(g.Experiments, ",")
	}
	return version + "\n" + info.String()
}

func debugModule(m api.Module) debug.Module {
	out := debug.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		r := debugModule(*m.Replace)
		out.Replace = &r
	}
	return out
}

func sortedLines(s string) []string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.Trim(l, "\t"); l != "" {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return lines
}

func TestGoFactsDerived(t *testing.T) {
	g := v3.measure(t).Facts.Go
	if diff := cmp.Diff([]string{"nodwarf5"}, g.Experiments); diff != "" {
		t.Errorf("experiments (-want +got)\n%s", diff)
	}
	if !strings.HasPrefix(g.FIPS140, "v1.0.0") || strings.Contains(g.Version, "X:") || g.BuildMode != "exe" || g.Trimpath {
		t.Errorf("wrong facts: %+v", g)
	}
	if g := trimmed.measure(t).Facts.Go; !g.Trimpath || g.FIPS140 != "" || len(g.Experiments) != 0 {
		t.Errorf("wrong facts of -trimpath: %+v", g)
	}
	if g := pie.measure(t).Facts.Go; g.BuildMode != "pie" {
		t.Errorf("build mode of a PIE is %q", g.BuildMode)
	}
}

func TestLinkAndHardening(t *testing.T) {
	static := api.Link{Mode: api.LinkStatic, Libc: api.LibcNone}
	piLink := api.Link{Mode: api.LinkDynamic, Libc: api.LibcGNU, Interpreter: "/lib64/ld-linux-x86-64.so.2"}
	for _, c := range []struct {
		name      string
		build     build
		link      api.Link
		hardening api.Hardening
	}{
		{"default", withDep, static, api.Hardening{RELRO: api.RELRONone, NX: true}},
		{"stripped", stripped, static, api.Hardening{RELRO: api.RELRONone, NX: true, Stripped: true}},
		{"pie", pie, piLink, api.Hardening{RELRO: api.RELROPartial, NX: true, PIE: true}},
		{"pie stripped", pieStrip, piLink, api.Hardening{RELRO: api.RELROPartial, NX: true, PIE: true, Stripped: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			obj := c.build.measure(t)
			if diff := cmp.Diff(c.link, obj.Facts.Link); diff != "" {
				t.Errorf("link (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.hardening, obj.Facts.Hardening); diff != "" {
				t.Errorf("hardening (-want +got)\n%s", diff)
			}
			if !obj.Program || len(obj.Facts.Notes) != 0 {
				t.Errorf("program %v, notes %q", obj.Program, obj.Facts.Notes)
			}
		})
	}
}

func TestELFHeader(t *testing.T) {
	s390 := crossed[3].measure(t)
	want := &ELF{Class: 64, Machine: uint16(elf.EM_S390), Type: uint16(elf.ET_EXEC), BigEndian: true}
	if diff := cmp.Diff(want, s390.ELF); diff != "" {
		t.Errorf("s390x (-want +got)\n%s", diff)
	}
	arm := crossed[1].measure(t)
	want = &ELF{Class: 32, Machine: uint16(elf.EM_ARM), Type: uint16(elf.ET_EXEC)}
	if diff := cmp.Diff(want, arm.ELF); diff != "" {
		t.Errorf("arm (-want +got)\n%s", diff)
	}
	if windows := crossed[8].measure(t); windows.ELF != nil || windows.Facts.Format != "pe" || !windows.Program {
		t.Errorf("windows: %+v", windows)
	}
	darwin := crossed[7].measure(t)
	if darwin.Facts.Format != "macho" || !darwin.Program || !darwin.Facts.Hardening.PIE || !darwin.Facts.Hardening.Stripped {
		t.Errorf("darwin: %+v", darwin)
	}
	if diff := cmp.Diff([]string{"/usr/lib/libSystem.B.dylib"}, darwin.Facts.Link.Needed[:1]); diff != "" {
		t.Errorf("darwin: needed (-want +got)\n%s", diff)
	}
}

func TestSections(t *testing.T) {
	for _, b := range allBuilds {
		f := b.measure(t).Facts
		s := f.Sections
		sum := s.Text + s.ROData + s.Data + s.Pclntab + s.Symtab + s.Debug + s.Other
		if sum != f.Size {
			t.Errorf("%v: sections %+v add up to %d bytes of %d", b, s, sum, f.Size)
		}
		if f.Format != "pe" && s.Pclntab == 0 || s.Text == 0 || s.ROData == 0 || s.BSS == 0 {
			t.Errorf("%v: empty class in %+v", b, s)
		}
		if f.Hardening.Stripped != (s.Symtab == 0 && s.Debug == 0) {
			t.Errorf("%v: stripped %v and sections %+v", b, f.Hardening.Stripped, s)
		}
	}
}

// A file without section headers still says what it is.
func TestWithoutSectionHeaders(t *testing.T) {
	for _, b := range []build{stripped, pieStrip, crossed[3], crossed[1]} {
		want := b.measure(t)
		got, err := measureBytes(withoutSections(b.content(t)), Options{Links: true})
		if err != nil {
			t.Errorf("%v: %v", b, err)
			continue
		}
		got.Facts.Sections, want.Facts.Sections = api.Sections{}, api.Sections{}
		want.Facts.Hardening.Stripped = true
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: (-with +without section headers)\n%s", b, diff)
		}
	}
}

// withoutSections takes the section headers' place out of an ELF header.
func withoutSections(content []byte) []byte {
	out := bytes.Clone(content)
	if out[elf.EI_CLASS] == byte(elf.ELFCLASS64) {
		clear(out[40:48]) // e_shoff
		clear(out[58:64]) // e_shentsize, e_shnum, e_shstrndx
	} else {
		clear(out[32:36])
		clear(out[46:52])
	}
	return out
}

// What no kernel looks at may be broken; it is noted.
func TestBrokenSectionHeaders(t *testing.T) {
	content := bytes.Clone(withDep.content(t))
	binary.LittleEndian.PutUint64(content[40:], uint64(len(content))-10)
	obj, err := measureBytes(content, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(obj.Facts.Notes) != 1 || !strings.Contains(obj.Facts.Notes[0], "section headers") {
		t.Errorf("notes are %q", obj.Facts.Notes)
	}
	if obj.Facts.Go == nil || obj.Facts.Go.Main == "" || !slices.Contains(obj.Facts.Capabilities, "mmap") {
		t.Errorf("facts are lost: %+v", obj.Facts)
	}
}

// A damaged function table, as obfuscators leave it, is noted and not guessed at.
func TestBrokenPclntab(t *testing.T) {
	content := bytes.Clone(stripped.content(t))
	at := bytes.Index(content, []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8})
	if at < 0 {
		t.Fatal("the program has no function table")
	}
	copy(content[at:], "garb")
	obj, err := measureBytes(content, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if obj.Facts.Capabilities != nil || len(obj.Facts.Notes) != 1 || !strings.Contains(obj.Facts.Notes[0], "pclntab") {
		t.Errorf("capabilities %q, notes %q", obj.Facts.Capabilities, obj.Facts.Notes)
	}
	if obj.Facts.Go.Main == "" {
		t.Error("build information is lost")
	}
}

func TestNotExecutable(t *testing.T) {
	object := bytes.Clone(withDep.content(t)[:4096])
	object[16] = byte(elf.ET_REL)
	for name, content := range map[string]string{
		"empty":      "",
		"text":       "just some words, longer than a header",
		"short":      "\x7fELF",
		"DOS":        "MZ" + strings.Repeat("x", 100),
		"short MZ":   "MZ",
		"Java class": "\xca\xfe\xba\xbe\x00\x00\x00\x41" + strings.Repeat("x", 100),
		"object":     string(object),
	} {
		_, err := measureBytes([]byte(content), Options{})
		if !errors.Is(err, ErrNotExecutable) {
			t.Errorf("%s: error is %v, want ErrNotExecutable", name, err)
		}
	}
}

func TestLaterGlibc(t *testing.T) {
	for _, c := range [][3]string{
		{"", "GLIBC_2.2.5", "GLIBC_2.2.5"},
		{"GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.34"},
		{"GLIBC_2.34", "GLIBC_2.9", "GLIBC_2.34"},
		{"GLIBC_2.2.5", "GLIBC_2.2", "GLIBC_2.2.5"},
		{"GLIBC_2.3.4", "GLIBC_2.4", "GLIBC_2.4"},
	} {
		if got := laterGlibc(c[0], c[1]); got != c[2] {
			t.Errorf("laterGlibc(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	got, byLibrary := floors([]Requirement{
		{"libc.so.6", []Version{{Name: "GLIBC_2.17"}, {Name: "GLIBC_PRIVATE"}, {Name: "GLIBC_ABI_DT_RELR"}, {Name: "GLIBC_2.38", Weak: true}}},
		{"libm.so.6", []Version{{Name: "GLIBC_2.29"}}},
		{"libother.so", []Version{{Name: "OTHER_3.0"}}},
	})
	if got != "GLIBC_2.29" {
		t.Errorf("floor is %q", got)
	}
	if diff := cmp.Diff(map[string]string{"libc.so.6": "GLIBC_2.17", "libm.so.6": "GLIBC_2.29"}, byLibrary); diff != "" {
		t.Errorf("floors (-want +got)\n%s", diff)
	}
}

func TestLibcOf(t *testing.T) {
	for _, c := range []struct {
		interp string
		needed []string
		want   string
	}{
		{"/lib64/ld-linux-x86-64.so.2", nil, api.LibcGNU},
		{"/lib/ld-linux-armhf.so.3", nil, api.LibcGNU},
		{"/lib64/ld64.so.2", nil, api.LibcGNU},
		{"/lib/ld-musl-x86_64.so.1", []string{"libc.musl-x86_64.so.1"}, api.LibcMusl},
		{"", []string{"libc.so.6"}, api.LibcGNU},
		{"", []string{"libc.so"}, api.LibcMusl},
		{"", nil, api.LibcNone},
		{"/opt/loader", []string{"libc.so.6"}, api.LibcGNU},
		{"/system/bin/linker64", []string{"libc.so"}, ""},
		{"/opt/loader", nil, ""},
	} {
		if got := libcOf(api.Link{Interpreter: c.interp, Needed: c.needed}); got != c.want {
			t.Errorf("libc of %q, %q is %q, want %q", c.interp, c.needed, got, c.want)
		}
	}
}

func TestSplitVersion(t *testing.T) {
	for in, want := range map[string][]string{
		"go1.26.8":                      {"go1.26.8"},
		"go1.26.8-X:nodwarf5,simd":      {"go1.26.8", "nodwarf5", "simd"},
		"devel go1.27-0123abc X:simd":   {"devel go1.27-0123abc", "simd"},
		"go1.22.3-vendor.1 X:rangefunc": {"go1.22.3-vendor.1", "rangefunc"},
	} {
		v, x := splitVersion(in)
		if diff := cmp.Diff(want, append([]string{v}, x...)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", in, diff)
		}
	}
}
