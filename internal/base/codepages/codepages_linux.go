package codepages

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Release gives back the pages of the program's file that are in memory and are
// as they are in the file. It returns how many bytes of the program's mappings it
// told the kernel about.
func Release() (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// smaps says of each mapping how much of it was written to: that is not in the file.
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	var total int64
	for _, m := range untouched(smaps, self) {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED); errno != 0 {
			return total, os.NewSyscallError("madvise", errno)
		}
		total += int64(m.end - m.start)
	}
	return total, nil
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// untouched returns the mappings of file in smaps (proc_pid_smaps(5)) that cannot
// be written to and never were: of a position-independent program some that are
// read-only now hold what the start has relocated.
func untouched(smaps []byte, file string) []mapping {
	var all []mapping
	var last *mapping
	for lines := bufio.NewScanner(bytes.NewReader(smaps)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch {
		case strings.Contains(key, " "): // a mapping's first line has a colon only further on
			last = readOnly(lines.Text(), file)
		case key == "Anonymous" && last != nil:
			if strings.TrimSpace(value) == "0 kB" {
				all = append(all, *last)
			}
			last = nil
		}
	}
	return all
}

// readOnly returns the mapping of a first line, nil when it is another file's or
// can be written to.
func readOnly(line, file string) *mapping {
	fields := strings.Fields(line)
	if len(fields) < 6 || strings.Join(fields[5:], " ") != file || strings.Contains(fields[1], "w") || !strings.HasPrefix(fields[1], "r") {
		return nil
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, errFrom := strconv.ParseUint(from, 16, 64)
	end, errTo := strconv.ParseUint(to, 16, 64)
	if errFrom != nil || errTo != nil || start >= end {
		return nil
	}
	return &mapping{uintptr(start), uintptr(end)}
}
