//go:build unix

package facts

import (
	"io/fs"
	"syscall"
)

const (
	// openNonblock keeps open from waiting for a pipe's other end.
	openNonblock = syscall.O_NONBLOCK
	// openNofollow makes open fail on a symbolic link.
	openNofollow = syscall.O_NOFOLLOW
)

// fileID tells the file apart that several hard links lead to.
type fileID struct{ dev, ino uint64 }

// linkID returns info's identity when it has several hard links.
func linkID(info fs.FileInfo) (id fileID, linked bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, true
}
