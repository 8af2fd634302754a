// Package transport is how Gopherwood talks HTTP to registries and other servers:
// it ends what keeps silent, repeats what failed for the moment, and does not
// follow a public server into the user's own network.
package transport

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Timeouts bounds how long a server may take for each step; a zero field means
// its default. A transfer that moves may take as long as it needs.
type Timeouts struct {
	// Dial, TLS and Header are for connecting (30 s), the TLS handshake (15 s)
	// and the answer's header (60 s).
	Dial, TLS, Header time.Duration
	// Idle is how long a body may stand still, in either direction (60 s).
	Idle time.Duration
	// Retry is the wait before a request that failed for the moment is sent
	// again (1 s); it doubles each time. RetryMax is the longest wait that a
	// server may ask for (30 s): past it the request fails.
	Retry, RetryMax time.Duration
}

// OrDefault returns the timeouts with every zero field filled in.
func (t Timeouts) OrDefault() Timeouts {
	return Timeouts{
		Dial:     cmp.Or(t.Dial, 30*time.Second),
		TLS:      cmp.Or(t.TLS, 15*time.Second),
		Header:   cmp.Or(t.Header, time.Minute),
		Idle:     cmp.Or(t.Idle, time.Minute),
		Retry:    cmp.Or(t.Retry, time.Second),
		RetryMax: cmp.Or(t.RetryMax, 30*time.Second),
	}
}

// New returns an HTTP transport that ends what keeps silent and repeats what
// failed for the moment. It has a method CloseIdleConnections, as http.Client
// knows it.
func New(t Timeouts) http.RoundTripper {
	t = t.OrDefault()
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: t.Dial}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       t.Idle,
		TLSHandshakeTimeout:   t.TLS,
		ResponseHeaderTimeout: t.Header,
		// Layers are compressed already, and their length must stay known.
		DisableCompression: true,
	}
	return &retrier{inner: &watcher{inner: base, idle: t.Idle}, first: t.Retry, longest: t.RetryMax, close: base.CloseIdleConnections}
}

// maxRedirects is how often a server may send a request elsewhere.
const maxRedirects = 5

// CheckRedirect refuses long chains, and redirects by which a public server
// could reach into the user's own network. It is for http.Client.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the server redirected more than %d times", maxRedirects)}
	}
	from, to := via[0].URL.Hostname(), req.URL.Hostname()
	if from != to && isPrivate(to) && !isPrivate(from) {
		return &fault.Error{Code: fault.Denied, Err: fmt.Errorf("%s redirects to %s, an address of a private network", from, to)}
	}
	return nil
}

func isPrivate(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

// silence returns the fault by which the watcher ended a transfer, or nil when
// cause is another.
func silence(cause error) *fault.Error {
	var f *fault.Error
	if errors.As(cause, &f) {
		return f
	}
	return nil
}
