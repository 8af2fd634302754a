// Package images keeps the facts of container images for many tenants: measured
// once for each digest, shared by all who may pull it, and by nobody else.
//
// What is kept are facts, by digest, in memory above a cache on disk; verdicts
// never are. Before a tenant is given anything, a registry must have answered
// that tenant's own credentials for the image in that repository, be it that the
// facts are known for long. A tenant who may not pull an image therefore sees
// exactly what the registry says of it, and cannot tell whether another tenant
// runs it.
//
// A Get that is not answered in time ends with ErrNotReady, and the work goes on
// without it, so that a later one finds it done.
package images

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ErrNotReady is wrapped by the error of a Get whose context ended before the
// image was known. The work goes on.
var ErrNotReady = errors.New("the image is still being read")

// Request asks for an image on behalf of a tenant.
type Request struct {
	// Image is what the container names: "nginx:1" is docker.io/library/nginx:1.
	Image string
	// Keychain holds the tenant's credentials; nil means none at all.
	Keychain facts.Keychain
	// Platforms is where the image may run. Empty means every platform that the
	// image has, but for Windows where it has others.
	Platforms []api.Platform
}

// Image is what is known of an image. What it points to is shared and must not be
// changed.
type Image struct {
	// Ref is the reference as it was asked for, Digest what it resolves to: an
	// image's manifest or an index.
	Ref, Digest string
	// Repository is "host/path".
	Repository string
	// Available are the platforms that the image has.
	Available []api.Platform
	// Subjects has one element for each wanted platform that the image has; none
	// when it has none of them. Attached facts that a trusted key signed stand in
	// for those that could not be measured in time: their Source says so, and they
	// have neither Root nor Image.
	Subjects []*facts.Subject
	// Problems are the files that may be executed and could not be measured.
	Problems []error
}

// Options configures a Store. A zero field means its default.
type Options struct {
	// CacheDir keeps what was measured on disk, up to CacheSize bytes, and holds
	// large executables while they are measured; empty means memory only.
	CacheDir  string
	CacheSize int64
	// MemoryBytes bounds the facts in memory, as estimated (64 MiB).
	MemoryBytes int64
	// Fetches is how many images are read at once (3), of one registry one less, so
	// that a slow one does not hold up the others; FetchTimeout is how long one may
	// take (2 min) and Queue how many may wait to be read (1000).
	Fetches      int
	FetchTimeout time.Duration
	Queue        int
	// Limits bounds what one image may cost. Their defaults here are lower than
	// elsewhere, so that all stays within 200 MiB: 200,000 entries, 16 GiB
	// unpacked, a window of 32 MiB, and executables of 256 MiB with a CacheDir and
	// 48 MiB without.
	Limits facts.Limits
	// Mirrors and PlainHTTPHosts are those of package facts. A tenant may have
	// what a mirror lets them have: nodes with the same mirrors would pull it, too.
	Mirrors        map[string][]string
	PlainHTTPHosts []string
	// Transport sends all requests; nil means one of its own.
	Transport http.RoundTripper
	// TagTTL is how long a tag is taken for the digest that it had (10 s),
	// AccessTTL how long a tenant who could pull an image is taken for one who
	// can (5 min), and AbsentTTL how long an image that does not exist is taken
	// for absent (5 s).
	TagTTL, AccessTTL, AbsentTTL time.Duration
	// Verifier says whose attached facts are trusted; nil means nobody's.
	Verifier *attach.Verifier
	Observe  Observer
}

// Observer hears what a Store does. Functions that are nil are not called; the
// others are called from several goroutines and must be quick.
type Observer struct {
	// Hit is told where the facts of one platform were found.
	Hit func(Level)
	// FetchStarted and FetchEnded are about one image of one platform that is read:
	// how many bytes of layers came from the registry, how long it took, and the
	// code of the error, empty when there was none.
	FetchStarted func()
	FetchEnded   func(bytes int64, took time.Duration, code fault.Code)
	// Proof is told how a registry answered a tenant's credentials; empty when it
	// let them in.
	Proof func(code fault.Code)
	// Evicted is told how many images were let go from memory.
	Evicted func(n int)
}

// Level is where facts were found.
type Level string

// The levels.
const (
	Memory   Level = "memory"
	Disk     Level = "disk"
	Registry Level = "registry"
	Attached Level = "attached"
)

func (o Observer) withDefaults() Observer {
	if o.Hit == nil {
		o.Hit = func(Level) {}
	}
	if o.FetchStarted == nil {
		o.FetchStarted = func() {}
	}
	if o.FetchEnded == nil {
		o.FetchEnded = func(int64, time.Duration, fault.Code) {}
	}
	if o.Proof == nil {
		o.Proof = func(fault.Code) {}
	}
	if o.Evicted == nil {
		o.Evicted = func(int) {}
	}
	return o
}

// anonymous is the keychain of who has none.
type anonymous struct{}

func (anonymous) Find(context.Context, string) ([]facts.Credentials, error) { return nil, nil }
func (anonymous) Fingerprint(string) string                                 { return "" }
