// Package store keeps versions of modules, each whole or not at all, as OCI
// artifacts. This is the contract. Package layouts keeps them in a directory of
// OCI layouts, package registry in a registry, and package cached in a registry
// with a bounded directory before it.
package store

import (
	"context"
	"io"
	"iter"
	"time"

	"golang.org/x/mod/module"
)

// Version is one version of a module without its zip.
type Version struct {
	module.Version
	// Info is the .info document, and Mod the go.mod file, as they are served.
	// They may be shared, and must not be changed.
	Info, Mod []byte
	// Sum and GoModSum are the hashes of the zip and of go.mod as go.sum has
	// them ("h1:…"). Put checks GoModSum against Mod; that Sum is the zip's is its
	// caller's to know.
	Sum, GoModSum string
	// ZipSize is the length of the zip in bytes. Put sets it where it is zero, and
	// refuses another zip where it is not.
	ZipSize int64
	// Origin says where the version came from: the URL of an upstream without
	// credentials, "direct", or "import".
	Origin string
	// Stored is when the version was committed; Put sets it where it is zero.
	Stored time.Time
}

// Zip is a module's zip. Of versions on this machine's disk it is an *os.File,
// so that it can be sent without copying.
type Zip interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
}

// Entry is a version in a store.
type Entry struct {
	Version
	// Manifest and ZipDigest are the digests of the artifact's manifest and of
	// the layer with the zip ("sha256:…").
	Manifest, ZipDigest string

	// Opener is what Open calls.
	Opener func(context.Context) (Zip, error)
}

// Open opens the zip. A version that is open is not removed by other processes'
// Delete. The caller closes it.
func (e *Entry) Open(ctx context.Context) (Zip, error) { return e.Opener(ctx) }

// Store keeps versions. Its methods may be called from several goroutines, and
// the same store may be open in several processes. All errors are *fault.Error:
// NotFound where a version or module is not there, Unavailable where the store
// cannot be reached, Limit where a quota is used up.
type Store interface {
	// Get returns a version. One that is there and damaged is an error with the
	// code Invalid; Delete and Put repair it.
	Get(ctx context.Context, m module.Version) (*Entry, error)
	// Put commits a version whose zip is the file at path, which stays where it
	// is; a file in Staging may be linked instead of copied. The version is
	// there whole or not at all, whatever happens meanwhile. What is there
	// already with the same sums stays; with other sums the error has the code
	// Invalid, and nothing is replaced.
	Put(ctx context.Context, v Version, path string) (*Entry, error)
	// Versions lists the versions of a module, in the order of semver; empty
	// when there are none.
	Versions(ctx context.Context, path string) ([]string, error)
	// Modules lists the paths of all modules that are there.
	Modules(ctx context.Context) iter.Seq2[string, error]
	// Delete removes a version unless it is being read: then it returns false.
	// Readers that have opened it read on where it is removed nevertheless.
	Delete(ctx context.Context, m module.Version) (bool, error)

	// Seen returns since when each of the versions is known here; those that
	// nobody asked for before are known from now on. It is written before it is
	// returned;
	// where several processes ask for a version for the first time at once, each may
	// be told, and any may be kept, of their times.
	Seen(ctx context.Context, path string, versions []string, now time.Time) (map[string]time.Time, error)
	// Used notes that a version was used. It is cheap, keeps no more than the
	// latest time to the hour, and may be written later, by Close at the latest.
	Used(m module.Version, at time.Time)
	// Uses returns when the versions of a module were used last, as far as that
	// was noted.
	Uses(ctx context.Context, path string) (map[string]time.Time, error)

	// Staging is an existing directory for files that Put is to take.
	Staging() string
	// Name is how the store was named: DIR or oci://registry/prefix.
	Name() string
	// Close writes what was noted, and waits for what is being written.
	Close() error
}

// Downloader is a Store that brings zips to this machine's disk anyway.
type Downloader interface {
	Store
	// Download writes the zip of one of its entries into a new file in dir,
	// verified, and returns its path.
	Download(ctx context.Context, e *Entry, dir string) (path string, err error)
}
