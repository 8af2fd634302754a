package route

import (
	"context"
	"net/http"
	"os"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
)

var ctx = context.Background()

// newSource returns a source in an environment without credentials of its own.
func newSource(t testing.TB, opt Options) upstream.Source {
	t.Helper()
	if opt.Timeouts == (transport.Timeouts{}) {
		opt.Timeouts = upstreamtest.Timeouts
	}
	if opt.Environ == nil {
		opt.Environ = []string{"HOME=" + hometest.New(t), "PATH=" + os.Getenv("PATH")}
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type carrierFunc func(*http.Request) (*http.Response, error)

func (f carrierFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func basic(user, password string) string {
	return credential.Login{User: user, Password: password}.Basic()
}
