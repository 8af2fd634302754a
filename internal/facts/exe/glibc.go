package exe

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
)

// CompareGLIBC compares two symbol versions of the form GLIBC_x.y[.z] by their
// numbers. Anything else, such as GLIBC_PRIVATE, is below every number.
func CompareGLIBC(a, b string) int {
	na, nb := glibcNumbers(a), glibcNumbers(b)
	for i := range na {
		if c := cmp.Compare(na[i], nb[i]); c != 0 {
			return c
		}
	}
	return 0
}

// isGLIBC reports whether version stands for a release of glibc; GLIBC_PRIVATE
// and GLIBC_ABI_DT_RELR do not.
func isGLIBC(version string) bool { return glibcNumbers(version)[0] >= 0 }

// glibcNumbers returns the up to three numbers of a GLIBC version; all -1 when
// it has none.
func glibcNumbers(version string) [3]int {
	none := [3]int{-1, -1, -1}
	rest, ok := strings.CutPrefix(version, "GLIBC_")
	parts := strings.Split(rest, ".")
	if !ok || len(parts) > 3 {
		return none
	}
	var numbers [3]int
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return none
		}
		numbers[i] = n
	}
	return numbers
}

// maxLoader is more than any dynamic loader's size, in bytes.
const maxLoader = 4 << 20

// systemDirs returns the directories compiled into the file when it is glibc's
// dynamic loader.
func (f *elfFile) systemDirs(dyn *Dynamic) ([]string, error) {
	if dyn == nil || f.in.size > maxLoader || !strings.HasPrefix(dyn.Soname, "ld") || f.obj.ELF.HasInterp {
		return nil, nil
	}
	data, err := f.in.read(0, uint64(f.in.size), "dynamic loader")
	return findSystemDirs(data), err
}

// findSystemDirs finds the list of library directories that glibc's build compiles
// into its loader (elf/dl-load.c, system_dirs): NUL-terminated strings, one
// after the other, each with a slash at its end, the last "/usr/lib/" or
// "/usr/lib64/". It returns nil when data, the loader, has none.
func findSystemDirs(data []byte) []string {
	for _, last := range []string{"/usr/lib/\x00", "/usr/lib64/\x00", "/usr/libx32/\x00"} {
		i := bytes.Index(data, []byte("/\x00"+last))
		if i < 0 {
			continue
		}
		end := i + len("/\x00") + len(last)
		start := end - len(last)
		for start > 0 {
			prev := bytes.LastIndexByte(data[:start-1], 0) + 1
			dir := data[prev : start-1]
			slash := bytes.IndexByte(dir, '/')
			if slash < 0 || len(dir)-slash > 128 || dir[len(dir)-1] != '/' {
				break
			}
			// Bytes before the first slash belong to what stands before the list.
			start = prev + slash
			if slash > 0 {
				break
			}
		}
		var dirs []string
		for dir := range bytes.SplitSeq(bytes.TrimSuffix(data[start:end], []byte{0}), []byte{0}) {
			dirs = append(dirs, strings.TrimSuffix(string(dir), "/"))
		}
		return dirs
	}
	return nil
}
