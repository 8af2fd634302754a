package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// newTransport returns an HTTP transport that ends what keeps silent and repeats
// what failed for the moment.
func newTransport(t Timeouts) http.RoundTripper {
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

// watcher ends a request whose body stops growing.
type watcher struct {
	inner http.RoundTripper
	idle  time.Duration
}

func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := w.inner.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	silence := &fault.Error{Code: fault.Unavailable, Op: "registry", Input: req.URL.Host, Hint: "try again later",
		Err: fmt.Errorf("it sent nothing more for %v", w.idle)}
	body := &watchedBody{body: resp.Body, ctx: ctx, cancel: cancel, idle: w.idle, host: req.URL.Host}
	body.timer = time.AfterFunc(w.idle, func() { cancel(silence) })
	body.timer.Stop()
	resp.Body = body
	return resp, nil
}

// watchedBody is a body whose reads must not wait for long. The time that its
// reader takes between reads does not count.
type watchedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
	host   string
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	var silence *fault.Error
	if cause := context.Cause(b.ctx); errors.As(cause, &silence) {
		return n, silence
	} else if cause != nil {
		return n, cause
	}
	return n, &fault.Error{Code: fault.Unavailable, Op: "registry", Input: b.host, Hint: "try again later",
		Err: fmt.Errorf("the connection broke: %w", err)}
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}

// retrier repeats requests that failed for the moment, as the registry asks for
// with Retry-After, or after a growing wait.
type retrier struct {
	inner          http.RoundTripper
	first, longest time.Duration
	close          func()
}

// tries is how often a request is sent at most.
const tries = 4

func (r *retrier) CloseIdleConnections() { r.close() }

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	wait := r.first
	for try := 1; ; try++ {
		resp, err := r.inner.RoundTrip(req)
		if try == tries || req.Body != nil || !passing(resp, err) {
			return resp, err
		}
		pause := wait + rand.N(wait/4+1)
		if asked, ok := retryAfter(resp); ok {
			if asked > r.longest {
				return resp, err
			}
			pause = asked
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
			_ = resp.Body.Close()
		}
		select {
		case <-time.After(pause):
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
		wait *= 2
	}
}

// passing reports whether a failure may be gone soon. Timeouts are not among
// them: they have cost enough.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(resp *http.Response) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}

// maxRedirects is how often a registry may send a request elsewhere.
const maxRedirects = 5

// checkRedirect refuses long chains, and redirects by which a public registry
// could reach into the user's own network.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the registry redirected more than %d times", maxRedirects)}
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
