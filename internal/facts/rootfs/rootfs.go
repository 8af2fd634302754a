// Package rootfs is the file system that a program will see, as metadata and
// measured executables: of an image's layers, of a directory, or of either with
// one more file laid over it. Nothing in it can write or run.
package rootfs

import (
	"io/fs"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
)

// FS is a root file system. Paths are absolute, slash-separated and clean, and
// are never resolved through symbolic links: that is Resolve's work.
//
// Errors match fs.ErrNotExist for what is not there; any other error means that
// the file could not be measured, not that it is missing.
type FS interface {
	// Lstat returns the node at path itself.
	Lstat(path string) (Node, error)
	// File returns the content facts of the regular file at path.
	File(path string) (File, error)
	// ReadDir returns the names in the directory at path, sorted.
	ReadDir(path string) ([]string, error)
}

// Node is what lstat(2) says of a file.
type Node struct {
	// Mode holds the type, the permission bits and setuid, setgid, sticky.
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
	Size int64       `json:"size,omitempty"`
	// Target is a symbolic link's target, unresolved.
	Target string `json:"target,omitempty"`
}

// HeadSize is how much of a file's beginning is kept: what the kernel itself
// reads to see how to start it (BINPRM_BUF_SIZE).
const HeadSize = 256

// File is what is known of a regular file's content.
type File struct {
	// Head is the first HeadSize bytes, fewer of a shorter file; kept for
	// files that are not measured objects.
	Head []byte `json:"head,omitempty"`
	// Content is the whole content of the few small files that decide how
	// programs start (see Kept); nil for all others.
	Content []byte `json:"content,omitempty"`
	// Object is set when the file is an executable or a shared library.
	Object *exe.Object `json:"object,omitempty"`
}
