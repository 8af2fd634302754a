package exe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Build information is a record that cmd/link puts at the beginning of the data,
// described in debug/buildinfo's source: 32 bytes of header and, since Go 1.18,
// two strings behind it; before, the header has pointers to two strings.

const (
	buildInfoMagic  = "\xff Go buildinf:"
	buildInfoAlign  = 16
	buildInfoHeader = 32
	// maxBuildInfo is the longest module text taken, in bytes: a hundred
	// times that of programs with a thousand modules.
	maxBuildInfo = 4 << 20
	maxGoVersion = 1 << 10
	// moduleFrame is the length of the marks before and after the module text.
	moduleFrame = 16
)

// errNoBuildInfo is for executables without build information: not by Go, or by
// a Go before 1.13.
var errNoBuildInfo = errors.New("no Go build information")

// buildInfo reads the build information. Its error is errNoBuildInfo, of code
// Invalid for a broken record, or what the reader returned.
func (l *layout) buildInfo() (*debug.BuildInfo, error) {
	off, err := l.findBuildInfo()
	if err != nil {
		return nil, err
	}
	header, err := l.in.read(off, buildInfoHeader, "build information")
	if err != nil {
		return nil, err
	}
	const inline = 2 // of the flags in byte 15
	var version, module string
	if header[15]&inline != 0 {
		version, module, err = l.inlineStrings(off + buildInfoHeader)
	} else {
		version, module, err = l.pointedStrings(header)
	}
	if err != nil {
		return nil, err
	}
	if version == "" {
		return nil, errNoBuildInfo
	}
	info := &debug.BuildInfo{}
	if len(module) >= 2*moduleFrame+1 && module[len(module)-moduleFrame-1] == '\n' {
		info, err = debug.ParseBuildInfo(module[moduleFrame : len(module)-moduleFrame])
		if err != nil {
			return nil, invalid("build information: %w", err)
		}
	}
	info.GoVersion = version
	return info, nil
}

// findBuildInfo returns the offset of the record, which is in a section of its
// own, or else somewhere in a writable segment.
func (l *layout) findBuildInfo() (uint64, error) {
	if s, ok := l.section(".go.buildinfo", "__go_buildinfo"); ok {
		return l.searchBuildInfo(s.addr, s.off, s.size)
	}
	left := uint64(l.in.size) // hostile segments may overlap
	for _, s := range l.segments {
		if !s.writable || s.executable {
			continue
		}
		n := min(s.size, left)
		left -= n
		off, err := l.searchBuildInfo(s.addr, s.off, n)
		if !errors.Is(err, errNoBuildInfo) {
			return off, err
		}
	}
	return 0, errNoBuildInfo
}

// searchBuildInfo looks for the magic at aligned addresses.
func (l *layout) searchBuildInfo(addr, off, size uint64) (uint64, error) {
	pad := (buildInfoAlign - addr%buildInfoAlign) % buildInfoAlign
	if pad >= size {
		return 0, errNoBuildInfo
	}
	off, size = off+pad, size-pad
	found := false
	err := l.in.chunks(off, size, buildInfoAlign, "data", func(b []byte) bool {
		at := indexAligned(b, []byte(buildInfoMagic), buildInfoAlign)
		if found = at >= 0; found {
			off += uint64(at)
			return false
		}
		off += uint64(len(b))
		return true
	})
	if err == nil && !found {
		err = errNoBuildInfo
	}
	return off, err
}

// indexAligned is bytes.Index for matches at multiples of align.
func indexAligned(b, what []byte, align int) int {
	for from := 0; from < len(b); {
		i := bytes.Index(b[from:], what)
		if i < 0 {
			return -1
		}
		if at := from + i; at%align == 0 {
			return at
		}
		from += i + 1
	}
	return -1
}

// inlineStrings reads two strings, each with its length before it.
func (l *layout) inlineStrings(off uint64) (version, module string, err error) {
	version, off, err = l.inlineString(off, maxGoVersion)
	if err == nil {
		module, _, err = l.inlineString(off, maxBuildInfo)
	}
	return version, module, err
}

func (l *layout) inlineString(off uint64, limit uint64) (s string, end uint64, err error) {
	const what = "build information"
	if err := l.in.check(off, 1, what); err != nil {
		return "", 0, err
	}
	b, err := l.in.read(off, min(binary.MaxVarintLen64, uint64(l.in.size)-off), what)
	if err != nil {
		return "", 0, err
	}
	length, n := binary.Uvarint(b)
	if n <= 0 {
		return "", 0, invalid("%s: malformed length", what)
	}
	s, err = l.limitedString(off+uint64(n), length, limit)
	return s, off + uint64(n) + length, err
}

func (l *layout) limitedString(off, length, limit uint64) (string, error) {
	if length > limit {
		return "", invalid("build information: a string of %d bytes: more than %d", length, limit)
	}
	b, err := l.in.read(off, length, "build information")
	return string(b), err
}

// pointedStrings follows the header's pointers to Go string headers. Where the
// loader fills pointers in, as in some PIEs, they are 0 in the file.
func (l *layout) pointedStrings(header []byte) (version, module string, err error) {
	size := uint64(header[14])
	if size != 4 && size != 8 {
		return "", "", invalid("build information: pointers of %d bytes", size)
	}
	d := fields{b: header[16:], order: binary.LittleEndian, wide: size == 8}
	if header[15]&1 != 0 {
		d.order = binary.BigEndian
	}
	version, err = l.pointedString(d, d.word(), maxGoVersion)
	if err != nil || version == "" {
		return "", "", err
	}
	d = fields{b: header[16+size:], order: d.order, wide: d.wide}
	module, err = l.pointedString(d, d.word(), maxBuildInfo)
	return version, module, err
}

func (l *layout) pointedString(form fields, addr, limit uint64) (string, error) {
	if addr == 0 || l.isZero(addr) {
		return "", nil // such a string header is empty
	}
	size := uint64(4)
	if form.wide {
		size = 8
	}
	b, err := l.readAt(addr, 2*size, "build information")
	if err != nil {
		return "", err
	}
	d := fields{b: b, order: form.order, wide: form.wide}
	data, length := d.word(), d.word()
	if length == 0 {
		return "", nil
	}
	off, ok := l.offsetOf(data, length)
	if !ok {
		return "", invalid("build information: a string of %d bytes at address %#x lies outside the mapped file", length, data)
	}
	return l.limitedString(off, length, limit)
}

// isDamage reports whether err is about the file's content, not its reading.
func isDamage(err error) bool {
	code := fault.CodeOf(err)
	return code == fault.Invalid || code == fault.Limit
}

// splitVersion takes the experiments off a toolchain version such as
// "go1.26.8-X:nodwarf5,simd". A space takes the hyphen's place in versions that
// have a hyphen already, and with older toolchains in all.
func splitVersion(v string) (version string, experiments []string) {
	version, list, ok := strings.Cut(v, "X:")
	if !ok {
		return v, nil
	}
	return strings.TrimRight(version, " -"), strings.Split(list, ",")
}
