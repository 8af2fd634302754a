package start

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"path"
	"slices"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
)

// The format of /etc/ld.so.cache is glibc's sysdeps/generic/dl-cache.h: a header
// of 48 bytes, entries of 24 bytes, strings. The form before glibc 2.2 may stand
// before it.
const (
	oldCacheMagic = "ld.so-1.7.0"
	cacheMagic    = "glibc-ld.so.cache1.1"
	cacheHeader   = 48
	cacheEntry    = 24
	// hwcapExtension marks an entry of a glibc-hwcaps directory.
	hwcapExtension = 1 << 62
)

// cacheFlags is _DL_CACHE_DEFAULT_ID of an ELF machine: FLAG_ELF_LIBC6 (3) and
// the processor's own bits. 32-bit x86 and others have none.
var cacheFlags = map[uint16]uint32{
	62: 0x0303, 183: 0x0a03, 40: 0x0903, 243: 0x1003, 21: 0x0503, 22: 0x0403, 258: 0x1203,
}

// readCache returns the path of each soname for programs like program, with the
// best of the usable hwcaps directories. A damaged cache has no entries, as for
// the loader.
func readCache(data []byte, program *exe.ELF, hwcaps []string) map[string]string {
	var order binary.ByteOrder = binary.LittleEndian
	if program.BigEndian {
		order = binary.BigEndian
	}
	data = newCache(data, order)
	if data == nil {
		return nil
	}
	count := int(order.Uint32(data[20:]))
	if count < 0 || count > (len(data)-cacheHeader)/cacheEntry {
		return nil
	}
	want, known := cacheFlags[program.Machine]
	if !known {
		want = 3
	}
	best := map[string]string{}
	rank := map[string]int{}
	for i := range count {
		entry := data[cacheHeader+i*cacheEntry:]
		soname, file := cString(data, order.Uint32(entry[4:])), cString(data, order.Uint32(entry[8:]))
		if order.Uint32(entry) != want || soname == "" || file == "" {
			continue
		}
		r := hwcapRank(order.Uint64(entry[16:]), file, hwcaps)
		if have, seen := rank[soname]; r >= 0 && (!seen || r < have) {
			best[soname], rank[soname] = file, r
		}
	}
	return best
}

// newCache returns the part of the file in the present format, nil if none.
func newCache(data []byte, order binary.ByteOrder) []byte {
	if bytes.HasPrefix(data, []byte(oldCacheMagic)) && len(data) >= 16 {
		const oldHeader, oldEntry = 16, 12
		skip := oldHeader + uint64(order.Uint32(data[12:]))*oldEntry
		skip = (skip + 7) &^ 7
		if skip >= uint64(len(data)) {
			return nil
		}
		data = data[skip:]
	}
	if len(data) < cacheHeader || !bytes.HasPrefix(data, []byte(cacheMagic)) {
		return nil
	}
	return data
}

// hwcapRank orders the entries of one soname: the index in hwcaps of the
// directory that the file is in, -1 for one that this CPU cannot use or that
// only glibc before 2.37 would.
func hwcapRank(hwcap uint64, file string, hwcaps []string) int {
	if hwcap == 0 {
		return slices.Index(hwcaps, "")
	}
	if hwcap&hwcapExtension == 0 || bits.OnesCount64(hwcap>>42) != 1 {
		return -1
	}
	return slices.IndexFunc(hwcaps, func(sub string) bool {
		return sub != "" && path.Base(path.Dir(file)) == path.Base(sub)
	})
}

// cString returns the NUL-terminated string at offset, "" when there is none.
func cString(data []byte, offset uint32) string {
	if uint64(offset) >= uint64(len(data)) {
		return ""
	}
	s, _, ok := bytes.Cut(data[offset:], []byte{0})
	if !ok {
		return ""
	}
	return string(s)
}
