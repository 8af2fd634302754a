package kube

import (
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// apiClock is the time of the API server, as far as its answers tell. Verdicts and
// certificates are measured by it, so that all replicas agree: one on a node whose
// clock is wrong must not issue what is not valid yet, nor excuse or support what
// no longer is.
type apiClock struct {
	offset atomic.Int64 // nanoseconds that the API server is ahead
}

// tolerance is how far clocks are apart before it counts: the header has seconds,
// and answers take time.
const tolerance = 5 * time.Second

// Now returns the API server's time, this machine's until it has answered.
func (c *apiClock) Now() time.Time { return time.Now().Add(c.Offset()) }

// Offset returns how far the API server's clock is ahead of this machine's.
func (c *apiClock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// watch returns cfg such that the time is read in the answers to all of its
// clients.
func (c *apiClock) watch(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &clocked{c, next} })
	return cfg
}

type clocked struct {
	clock *apiClock
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	date, dateErr := http.ParseTime(resp.Header.Get("Date"))
	if dateErr != nil {
		return resp, nil
	}
	ahead := time.Until(date)
	if ahead.Abs() < tolerance {
		ahead = 0
	}
	t.clock.offset.Store(int64(ahead))
	return resp, nil
}

// WrappedRoundTripper lets client-go find the transport below.
func (t *clocked) WrappedRoundTripper() http.RoundTripper { return t.next }
