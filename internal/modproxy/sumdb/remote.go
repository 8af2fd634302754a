package sumdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Request is one request that was sent, for metrics.
type Request struct {
	// Host is the host and port that was asked.
	Host string
	// Kind is what was asked for: supported, latest, lookup or tile.
	Kind string
	// Status is the HTTP status, or 0 when there was no answer.
	Status int
	// Bytes is the length of the answer's body, as far as it was read.
	Bytes int64
	// Duration is the time until the answer was read.
	Duration time.Duration
}

const (
	// parallel is how many requests are under way at most.
	parallel = 32
	// requestTime is how long a request may take with its retries.
	requestTime = time.Minute
	// maxDetail is how much of the text that explains a refusal is kept.
	maxDetail = 512
)

// remote asks the database, or the proxy that serves it.
type remote struct {
	name    string
	direct  *url.URL
	proxies []proxy
	client  *http.Client
	offline bool
	observe func(Request)
	slots   chan struct{}

	mu   sync.Mutex
	base *url.URL // nil until it is known
}

func newRemote(db *database, proxies []proxy, opt Options) *remote {
	r := &remote{
		name: db.name, direct: db.address, proxies: proxies, offline: opt.Offline, observe: opt.Observer,
		client: &http.Client{Transport: opt.Transport, CheckRedirect: checkRedirect},
		slots:  make(chan struct{}, parallel),
	}
	if db.only {
		r.base = db.address
	}
	return r
}

// checkRedirect refuses the way from https to http, besides long chains and the
// way into a private network.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if last := via[len(via)-1].URL; req.URL.Scheme != "https" && req.URL.Scheme != last.Scheme {
		return &fault.Error{Code: fault.Denied, Err: fmt.Errorf("it redirects from %s to %s", last.Scheme, req.URL.Scheme)}
	}
	return transport.CheckRedirect(req, via)
}

// get returns what is at the path below the database, of limit bytes at most.
func (r *remote) get(ctx context.Context, kind, path string, limit int64) ([]byte, error) {
	if r.offline {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "checksum database", Input: r.name + path,
			Err: errors.New("it is not kept here, and this proxy is offline"), Hint: "ask for it once while the proxy is online"}
	}
	base, err := r.address(ctx)
	if err != nil {
		return nil, err
	}
	return r.fetch(ctx, kind, base.JoinPath(path), limit)
}

// address finds out how to reach the database, as the go command does
// (go.dev/design/25530-sumdb#proxying-a-checksum-database): the first proxy that
// says it serves the database is used, and only that one.
func (r *remote) address(ctx context.Context) (*url.URL, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.base != nil {
		return r.base, nil
	}
	for _, p := range r.proxies {
		base := p.url.JoinPath("sumdb", r.name)
		_, err := r.fetch(ctx, "supported", base.JoinPath("supported"), maxRecord)
		if err == nil {
			r.base = base
			return base, nil
		}
		if ctx.Err() != nil || !p.onError && fault.CodeOf(err) != fault.NotFound {
			return nil, err
		}
	}
	r.base = r.direct
	return r.base, nil
}

func (r *remote) fetch(ctx context.Context, kind string, u *url.URL, limit int64) (data []byte, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	start, status := time.Now(), 0
	defer func() {
		r.observe(Request{Host: u.Host, Kind: kind, Status: status, Bytes: int64(len(data)), Duration: time.Since(start)})
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, remoteError(u, fault.Usage, err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, remoteError(u, fault.Unavailable, err)
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	if status != http.StatusOK {
		return nil, statusError(u, resp)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, remoteError(u, fault.Unavailable, err)
	}
	if int64(len(data)) > limit {
		return nil, remoteError(u, fault.Limit, fmt.Errorf("the answer is longer than %d bytes", limit))
	}
	return data, nil
}

// remoteError says why there is no answer from u. The client's own words about
// the request are left out, since they may hold a user name.
func remoteError(u *url.URL, code fault.Code, err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var known *fault.Error
	if errors.As(err, &known) {
		code = known.Code
	}
	return &fault.Error{Code: code, Op: "read", Input: shown(u), Err: err}
}

// shown is the URL without credentials.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// statusError says what the answer's status means, and the text that explains it.
func statusError(u *url.URL, resp *http.Response) error {
	f := &fault.Error{Code: fault.Unavailable, Op: "read", Input: shown(u), Err: errors.New(resp.Status)}
	switch s := resp.StatusCode; {
	case s == http.StatusNotFound || s == http.StatusGone:
		f.Code = fault.NotFound
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusProxyAuthRequired:
		f.Code, f.Hint = fault.Denied, "give credentials for this host in the URL of the upstream, or in netrc"
	case s >= 400 && s < 500 && s != http.StatusTooManyRequests && s != http.StatusRequestTimeout:
		f.Code = fault.Invalid
	}
	if text := detail(resp); text != "" {
		f.Err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return f
}

// detail returns the start of a plain text, on one line, or nothing.
func detail(resp *http.Response) string {
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return ""
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
	text := strings.Join(strings.Fields(string(data)), " ")
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}
