// Package upstream says what a source of modules is: another module proxy, or
// version control. It has what both have in common: versions on their way into a
// store, and what is wrong with them.
package upstream

import (
	"context"
	"time"

	"golang.org/x/mod/module"
)

// Source answers what a module proxy answers. All errors are *fault.Error:
// NotFound where the upstream says that there is no such thing (HTTP 404 and
// 410), which lets the go command go on to the next entry of its GOPROXY; Denied
// where it wants other credentials, or refuses; Unavailable where another try may
// help; Invalid where what it sent is not what it must be; Limit where it is too
// large; Usage where the module's path or the version is no valid one;
// Unsupported where this machine lacks git or the go command. Their text is
// printed by the go command, and has no credentials.
type Source interface {
	// Versions lists the versions that are known upstream, without
	// pseudo-versions, in the order of semver.
	Versions(ctx context.Context, path string) ([]string, error)
	// Latest returns the .info document of what the upstream calls the latest
	// version.
	Latest(ctx context.Context, path string) ([]byte, error)
	// Info returns the .info document of a version or of another query, such as
	// the name of a branch. Of a version, the document is of that version.
	Info(ctx context.Context, path, query string) ([]byte, error)
	// Mod returns the go.mod file of a version.
	Mod(ctx context.Context, m module.Version) ([]byte, error)
	// Fetch gets a version whole, into a new file in dir, and checks that it
	// is well-formed: the limits and paths of golang.org/x/mod/zip, the
	// version that .info states. The sums are computed, not compared. When it
	// fails, nothing is left in dir.
	Fetch(ctx context.Context, m module.Version, dir string, known Known) (*Download, error)
}

// Known is what is known of a version that is to be fetched.
type Known struct {
	// Info and Mod are documents that the source has answered lately, which need not
	// come again; nil where it has not.
	Info, Mod []byte
	// Background says that nobody waits for the version: it leaves a processor to
	// those who wait for something else.
	Background bool
}

// Request is a request that was sent to an upstream.
type Request struct {
	// Host is the host of a module proxy, with its port if it has one, "file" for
	// a directory, or "direct".
	Host string
	// Kind is what was asked for: "list", "latest", "info", "mod" or "zip".
	Kind string
	// Module is the path of the module.
	Module string
	// Status is the HTTP status of the answer, 0 when there was none.
	Status int
	// Bytes is how much of the answer's content was read.
	Bytes int64
	// Duration is the time to the end of the content.
	Duration time.Duration
	// Err is why it failed; nil when it did not.
	Err error
}
