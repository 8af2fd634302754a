// Package facts says what an artifact is: it resolves a reference to files,
// trees, images and processes, and measures the executables in them. It reads
// only.
package facts

import (
	"io"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// Subject is what one verdict is about: an image of one platform, one
// executable, or one running process.
type Subject struct {
	// Ref is the reference as the user gave it.
	Ref string
	// Platform is the image's claim, or the executable's own.
	Platform api.Platform
	// Image is nil unless the subject is a container image.
	Image *api.Image
	// Root is the file system that the program starts in: an image's, or a
	// process's; nil for a lone file.
	Root rootfs.FS
	// Process is what is started in Root; nil where Root is.
	Process *Process
	// Files are the measured executables, sorted by path: the one file, or of
	// an image every Go executable and the entrypoint's executable.
	Files []api.Facts
	// dir is the directory that Root reads, which Close closes.
	dir io.Closer
}

// Close ends the use of Root; Files stay. It may be called on any subject.
func (s *Subject) Close() error {
	if s.dir == nil {
		return nil
	}
	return s.dir.Close()
}

// Process is what a container runtime is told to start.
type Process struct {
	// Args is the entrypoint with its arguments; the program is Args[0].
	Args []string
	// Env holds KEY=VALUE lines.
	Env []string
	// User is "user", "uid", "user:group" or "uid:gid"; empty means root.
	User string
	// WorkingDir is where relative names start; empty means "/".
	WorkingDir string
}
