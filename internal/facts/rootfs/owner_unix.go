//go:build unix

package rootfs

import (
	"io/fs"
	"syscall"
)

// owner returns the user and group of a file.
func owner(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return 0, 0
}
