package proxy

import (
	"cmp"
	"context"
	"net/url"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
)

var ctx = context.Background()

// newSource returns the module proxy at a URL, which may have credentials.
func newSource(t testing.TB, address string, opt Options) upstream.Source {
	t.Helper()
	if opt.Timeouts == (transport.Timeouts{}) {
		opt.Timeouts = upstreamtest.Timeouts
	}
	if opt.Observer == nil {
		opt.Observer = func(upstream.Request) {}
	}
	opt.MaxZip = cmp.Or(opt.MaxZip, artifact.MaxZip)
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if base.Scheme == "file" {
		return NewClient(opt).Directory(base)
	}
	authorization := ""
	if password, ok := base.User.Password(); ok {
		authorization = credential.Login{User: base.User.Username(), Password: password}.Basic()
		base.User = nil
	}
	return NewClient(opt).Source(base, authorization)
}
