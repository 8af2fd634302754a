// Package filesystem has what operating systems do each in their own way with
// directories and with disks that are full.
package filesystem

import "os"

// SyncDir makes the names in a directory outlast a loss of power: of files that
// were made there, renamed or removed.
func SyncDir(name string) error {
	return syncDir(func() (*os.File, error) { return os.Open(name) })
}

// SyncDirIn is SyncDir for a directory below root; "." is root itself.
func SyncDirIn(root *os.Root, name string) error {
	return syncDir(func() (*os.File, error) { return root.Open(name) })
}

// Full reports whether err says that a disk, a quota or the limit on the size of
// files is used up.
func Full(err error) bool { return full(err) }
