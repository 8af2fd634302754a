package transport

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/pause"
)

// retrier repeats requests that failed for the moment, as the server asks for
// with Retry-After, or after a growing wait.
type retrier struct {
	inner          http.RoundTripper
	first, longest time.Duration
	close          func()
}

// tries is how often a request is sent at most.
const tries = 4

// CloseIdleConnections ends the connections that no request uses.
func (r *retrier) CloseIdleConnections() { r.close() }

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	if !repeatable(req) {
		return r.once(req)
	}
	wait := r.first
	for try := 1; ; try++ {
		resp, err := r.inner.RoundTrip(req)
		if try == tries || !passing(resp, err) {
			return resp, err
		}
		delay := wait + rand.N(wait/4+1)
		if asked, ok := retryAfter(resp); ok {
			if asked > r.longest {
				return resp, err
			}
			delay = asked
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
			_ = resp.Body.Close()
		}
		if err := pause.For(req.Context(), delay); err != nil {
			return nil, err
		}
		if req, err = again(req); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

// once sends a request that only its maker can repeat. When the server asks
// for patience, the answer comes after that time.
func (r *retrier) once(req *http.Request) (*http.Response, error) {
	resp, err := r.inner.RoundTrip(req)
	if err != nil || !passing(resp, nil) {
		return resp, err
	}
	if asked, ok := retryAfter(resp); ok && asked <= r.longest {
		if err := pause.For(req.Context(), asked); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
	}
	return resp, nil
}

// repeatable reports whether the request can be sent again as it is. A PATCH
// cannot: part of it may have been added to the upload that it continues.
func repeatable(req *http.Request) bool {
	return !hasBody(req) || req.GetBody != nil && req.Method != http.MethodPatch
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// again returns the request with its body from the start.
func again(req *http.Request) (*http.Request, error) {
	if !hasBody(req) {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// passing reports whether a failure may be gone soon. Timeouts are not among
// them: they have cost enough.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		return Broken(err)
	}
	return PassingStatus(resp.StatusCode)
}

// Broken reports whether err says that the other side ended a connection. The
// HTTP client then closes it, too, which a write may find before all else.
func Broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// PassingStatus reports whether an answer with the HTTP status may be another one soon.
func PassingStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
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
