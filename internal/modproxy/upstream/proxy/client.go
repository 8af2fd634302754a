package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxRedirects is how often an upstream may send a request elsewhere: as
	// often as the go command lets it.
	maxRedirects = 10
	// bodyTries is how often an answer is asked for whose content breaks off.
	bodyTries = 2
	// maxDetail is how much of an upstream's message is passed on, in bytes.
	maxDetail = 8 * 81
)

// question is what is asked of an upstream.
type question struct {
	kind, module string
	// limit is how long the answer may be, in bytes.
	limit int64
}

// getter gets the content of a URL. It calls take with the content, again if
// that broke off and another try may help: take then starts anew. The error that
// take returns for its own sake is a *fault.Error.
type getter interface {
	get(ctx context.Context, u *url.URL, q question, take func(io.Reader) error) error
}

// Options say how module proxies are asked.
type Options struct {
	// Timeouts are those of requests. Transport carries them in the place of a
	// transport with those timeouts.
	Timeouts  transport.Timeouts
	Transport http.RoundTripper
	// MaxZip is the largest zip in bytes.
	MaxZip int64
	// Observer is told of every request.
	Observer func(upstream.Request)
}

// Client sends requests to module proxies.
type Client struct {
	http    http.Client
	maxZip  int64
	observe func(upstream.Request)
}

// NewClient returns a client for any number of module proxies.
func NewClient(opt Options) *Client {
	carrier := opt.Transport
	if carrier == nil {
		carrier = transport.New(opt.Timeouts)
	}
	return &Client{http: http.Client{Transport: carrier, CheckRedirect: checkRedirect}, maxZip: opt.MaxZip, observe: opt.Observer}
}

// Source returns the module proxy at base, an http or https URL without
// credentials. Its requests have the given Authorization header, unless that is "".
func (c *Client) Source(base *url.URL, authorization string) upstream.Source {
	return &proxy{base: base, origin: base.String(), get: &server{Client: c, host: base.Host, authorization: authorization}, maxZip: c.maxZip}
}

// Directory returns the module proxy that a directory is, by its file URL.
func (c *Client) Directory(base *url.URL) upstream.Source {
	return &proxy{base: base, origin: base.String(), get: &files{observe: c.observe}, maxZip: c.maxZip}
}

// checkRedirect lets an upstream send requests to other servers, such as its
// storage, but never with what was meant for itself, over a worse connection, or
// into a private network from outside.
func checkRedirect(req *http.Request, via []*http.Request) error {
	from, last := via[0].URL, via[len(via)-1].URL
	if last.Scheme == "https" && req.URL.Scheme != "https" {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("it redirects from https to %s, which anyone could change", bare(req.URL))}
	}
	for _, earlier := range via {
		if earlier.URL.String() == req.URL.String() {
			return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("it redirects in a loop, to %s again", bare(req.URL))}
		}
	}
	if len(via) > maxRedirects {
		return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("it redirects more than %d times", maxRedirects)}
	}
	// A host or port of its own is another server; what was for the first one is
	// not for that, nor is the name of the module that Referer would give away.
	if req.URL.Scheme != from.Scheme || req.URL.Host != from.Host {
		req.Header.Del("Authorization")
	}
	req.Header.Del("Referer")
	req.URL.User = nil
	return transport.CheckRedirect(req, via[:1])
}

// bare writes a URL without credentials and query, which may have signatures.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// server is one module proxy, as the client speaks to it.
type server struct {
	*Client
	host, authorization string
}

func (s *server) get(ctx context.Context, u *url.URL, q question, take func(io.Reader) error) error {
	for try := 1; ; try++ {
		broke, err := s.once(ctx, u, q, take)
		if err == nil {
			return nil
		}
		if !broke || try == bodyTries || ctx.Err() != nil {
			return s.fault(ctx, u, err)
		}
	}
}

// once sends one request. It says whether the answer's content broke off.
func (s *server) once(ctx context.Context, u *url.URL, q question, take func(io.Reader) error) (broke bool, err error) {
	seen := upstream.Request{Host: s.host, Kind: q.kind, Module: q.module}
	start := time.Now()
	content := &counter{limit: q.limit}
	defer func() {
		seen.Bytes, seen.Duration, seen.Err = content.n, time.Since(start), err
		s.observe(seen)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", "gopherwood")
	if s.authorization != "" {
		req.Header.Set("Authorization", s.authorization)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	seen.Status, content.r = resp.StatusCode, resp.Body
	if err := refusal(resp, s.authorization != ""); err != nil {
		return false, err
	}
	if resp.ContentLength > q.limit {
		return false, tooLong(q.limit)
	}
	err = take(content)
	if content.err != nil {
		// What is wrong with half a document says less than why it is half.
		return !content.over, content.err
	}
	return false, err
}

// fault says what was being done when err happened.
func (s *server) fault(ctx context.Context, u *url.URL, err error) error {
	out := &fault.Error{Op: "get", Input: bare(u), Hint: "try again later"}
	var f *fault.Error
	var outer *url.Error
	switch {
	case ctx.Err() != nil:
		out.Code, out.Err, out.Hint = fault.CodeOf(context.Cause(ctx)), context.Cause(ctx), ""
	case errors.As(err, &f):
		out.Code, out.Err, out.Hint = f.Code, f.Err, f.Hint
	case transport.Broken(err):
		out.Code, out.Err = fault.Unavailable, errors.New("the connection broke before the end of the answer")
	case errors.As(err, &outer):
		// Its text repeats the URL, of a redirect with all that is in its query.
		out.Code, out.Err = fault.Unavailable, outer.Err
	default:
		out.Code, out.Err = fault.Unavailable, err
	}
	return out
}

// refusal is the fault that an answer's header says, if it does.
func refusal(resp *http.Response, credentials bool) error {
	code, hint := fault.Invalid, ""
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		if mediaType(resp) == "text/html" {
			return htmlFault()
		}
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		code = fault.NotFound
	case status == http.StatusUnauthorized && !credentials:
		code, hint = fault.Denied, "give the module proxy credentials for this upstream: netrc, or the variable "+credential.UpstreamTokenVar+"HOST"
	case status == http.StatusUnauthorized:
		code, hint = fault.Denied, "check the module proxy's credentials for this upstream"
	case status == http.StatusForbidden || status == http.StatusUnavailableForLegalReasons:
		code = fault.Denied
	case status == http.StatusRequestTimeout || transport.PassingStatus(status) || status >= 500:
		code, hint = fault.Unavailable, "try again later"
	}
	text := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said := detail(resp); said != "" {
		text += ": " + said
	}
	return &fault.Error{Code: code, Err: errors.New(text), Hint: hint}
}

func htmlFault() error {
	return &fault.Error{Code: fault.Invalid, Err: errors.New("it answers with a page in HTML"),
		Hint: "check that the URL is a module proxy's, and that no login page is before it"}
}

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// detail returns the upstream's message: its first lines, if they are plain text
// that a terminal can show.
func detail(resp *http.Response) string {
	if mediaType(resp) != "text/plain" {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
	if err != nil && len(data) == 0 {
		return ""
	}
	return upstream.Printable(string(data))
}

func tooLong(limit int64) error {
	return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("its answer has more than %d bytes", limit)}
}

// counter reads content up to a limit, counts it, and keeps why it ended early.
type counter struct {
	r     io.Reader
	n     int64
	limit int64
	// over says that err is about the limit.
	over bool
	err  error
}

func (c *counter) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > c.limit {
		c.over, c.err = true, tooLong(c.limit)
		return 0, c.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
