// Package route says which upstream is asked for which module, and in what order:
// lists in the syntax of GOPROXY, one for private modules and one for the others.
package route

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/direct"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/proxy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options say where modules come from.
type Options struct {
	// Upstreams are asked for public modules, in the syntax of GOPROXY: URLs,
	// "direct" and "off", with "," where the next is for what is not found and
	// "|" where it is for all errors.
	Upstreams string
	// Private are patterns of modules that Upstreams must not hear of, in the
	// syntax of GOPRIVATE. They come from PrivateUpstreams ("direct" when empty).
	Private, PrivateUpstreams string

	// Timeouts are for module proxies. Transport carries the requests to them
	// in the place of a transport with those timeouts.
	Timeouts  transport.Timeouts
	Transport http.RoundTripper
	// MaxZip is the largest zip in bytes; 0 is the go command's limit, 500 MiB,
	// and no other may be larger.
	MaxZip int64

	// Dir is a directory for the module cache and the repositories of "direct".
	Dir string
	// GoCommand is the go command for "direct" ("go" on PATH when empty), and
	// DirectTimeout how long one call of it may take (15 min when zero).
	GoCommand     string
	DirectTimeout time.Duration
	// CredentialCommand is a command that calls credential.Answer, and its arguments;
	// the go command and git run it for the credentials in the environment. When
	// it is empty, it is this program with the arguments "modproxy credential".
	CredentialCommand []string

	// Environ is the environment with the credentials (see credential.EnvHost; and netrc)
	// and with what the go command and git are told; nil is that of the process.
	Environ []string

	// Observer is told of every request to an upstream. It may be nil.
	Observer func(upstream.Request)
}

// New returns the source that opt describes.
func New(opt Options) (upstream.Source, error) {
	opt.MaxZip = cmp.Or(opt.MaxZip, artifact.MaxZip)
	if opt.MaxZip < 0 || opt.MaxZip > artifact.MaxZip {
		return nil, &fault.Error{Code: fault.Usage, Op: "limit zips", Err: errors.New("the limit is not between 1 byte and 500 MiB"),
			Hint: "the go command takes no zips above 500 MiB"}
	}
	if opt.Environ == nil {
		opt.Environ = os.Environ()
	}
	if opt.Observer == nil {
		opt.Observer = func(upstream.Request) {}
	}
	known, err := credential.Read(opt.Environ)
	if err != nil {
		return nil, err
	}
	if err := known.Check(); err != nil {
		return nil, err
	}
	b := &builder{logins: known,
		proxies: proxy.NewClient(proxy.Options{Timeouts: opt.Timeouts, Transport: opt.Transport, MaxZip: opt.MaxZip, Observer: opt.Observer}),
		direct: sync.OnceValues(func() (upstream.Source, error) {
			return direct.New(direct.Options{Dir: opt.Dir, GoCommand: opt.GoCommand, Timeout: opt.DirectTimeout, CredentialCommand: opt.CredentialCommand,
				Environ: opt.Environ, Private: opt.Private, MaxZip: opt.MaxZip, Observer: opt.Observer}, known)
		}),
	}
	public, err := b.chain(opt.Upstreams)
	if err != nil {
		return nil, err
	}
	private, err := b.chain(cmp.Or(opt.PrivateUpstreams, "direct"))
	if err != nil {
		return nil, err
	}
	return &router{patterns: opt.Private, public: public, private: private}, nil
}
