//go:build e2e

package modproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// world is all that an island hears of the rest: an HTTP proxy that opens every
// connection, notes each request, and passes it on to the host in question or
// answers for a host of the tests. Each test that looks at requests has a world of
// its own.
type world struct {
	// address is where it listens on the island.
	address string
	ca      *authority
	// hosts are answered here.
	hosts map[string]http.Handler
	// pass says whether other hosts are asked.
	pass   bool
	next   http.Handler
	inner  *http.Server
	opened *connections

	cut  atomic.Bool
	mu   sync.Mutex
	said []outgoing
}

// outgoing is a request that somebody on the island made.
type outgoing struct {
	method string
	url    *url.URL
	// authorization says that it had credentials.
	authorization string
}

func (o outgoing) String() string { return o.method + " " + o.url.String() }

// newWorld starts a world with hosts of its own; pass says whether it lets
// requests for other hosts out.
func newWorld(t *testing.T, pass bool, hosts map[string]http.Handler) *world {
	t.Helper()
	w := &world{ca: lab.ca, hosts: hosts, pass: pass, opened: newConnections()}
	out := http.DefaultTransport.(*http.Transport).Clone()
	out.MaxIdleConnsPerHost = 32
	w.next = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) {},
		Transport: out,
		ErrorLog:  log.New(io.Discard, "", 0), // clients that give up are part of tests
	}
	w.inner = &http.Server{Handler: http.HandlerFunc(w.answer), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	l, err := lab.island.listen()
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	outer := &http.Server{Handler: http.HandlerFunc(w.connect), ReadHeaderTimeout: time.Minute}
	go func() { _ = outer.Serve(l) }()
	go func() { _ = w.inner.Serve(w.opened) }()
	t.Cleanup(func() {
		_ = outer.Close()
		_ = w.inner.Close()
		out.CloseIdleConnections()
	})
	return w
}

// environment makes a program's requests go through the world.
func (w *world) environment() []string {
	return []string{
		"HTTP_PROXY=http://" + w.address, "HTTPS_PROXY=http://" + w.address, "http_proxy=http://" + w.address, "https_proxy=http://" + w.address,
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"SSL_CERT_FILE=" + w.ca.file, "SSL_CERT_DIR=/nonexistent", "GIT_SSL_CAINFO=" + w.ca.file,
	}
}

// disconnect lets no more requests through.
func (w *world) disconnect() { w.cut.Store(true) }

// requests are those since the last call.
func (w *world) requests() []outgoing {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	return said
}

// connect takes the place of the host that a client wants to talk to.
func (w *world) connect(rw http.ResponseWriter, r *http.Request) {
	if w.cut.Load() {
		w.note(r)
		http.Error(rw, "there is no way out", http.StatusBadGateway)
		return
	}
	if r.Method != http.MethodConnect {
		w.answer(rw, r)
		return
	}
	conn, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	host, _, _ := strings.Cut(r.Host, ":")
	config := &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return w.ca.issue(host) }}
	w.opened.put(tls.Server(readAhead{conn, buffered.Reader}, config))
}

// answer notes a request and passes it on.
func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		r.URL.Scheme, r.URL.Host = "https", strings.TrimSuffix(r.Host, ":443")
	}
	w.note(r)
	h := w.hosts[r.URL.Host]
	switch {
	case w.cut.Load():
		panic(http.ErrAbortHandler)
	case h != nil:
		h.ServeHTTP(rw, r)
	case w.pass:
		w.next.ServeHTTP(rw, r)
	default:
		http.Error(rw, "no such host: "+r.URL.Host, http.StatusBadGateway)
	}
}

func (w *world) note(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := *r.URL
	if u.Host == "" {
		u.Host = r.Host
	}
	w.said = append(w.said, outgoing{r.Method, &u, r.Header.Get("Authorization")})
}

// requireSecret demands that no request since the last call went to a host other
// than those that may hear of it and has a part of a name.
func (w *world) requireSecret(t *testing.T, part string, mayHear ...string) {
	t.Helper()
	for _, o := range w.requests() {
		if !slices.Contains(mayHear, o.url.Host) && strings.Contains(strings.ToLower(o.String()), part) {
			t.Errorf("%s was told to somebody else: %s", part, o)
		}
	}
}

// readAhead is a connection of which some bytes were read already.
type readAhead struct {
	net.Conn
	from *bufio.Reader
}

func (c readAhead) Read(p []byte) (int, error) { return c.from.Read(p) }

// connections is a listener for connections that exist already.
type connections struct {
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newConnections() *connections {
	return &connections{queue: make(chan net.Conn), closed: make(chan struct{})}
}

func (c *connections) put(conn net.Conn) {
	select {
	case c.queue <- conn:
	case <-c.closed:
		_ = conn.Close()
	}
}

func (c *connections) Accept() (net.Conn, error) {
	select {
	case conn := <-c.queue:
		return conn, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *connections) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *connections) Addr() net.Addr { return &net.TCPAddr{} }

// TestIslandHasNoWayOut proves that what runs on the island reaches nothing but
// the world, or the other tests would prove little.
func TestIslandHasNoWayOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // on this machine, not on the island
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := lab.island.dial(t.Context(), "tcp", l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the island reaches this machine")
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	w := newWorld(t, false, map[string]http.Handler{"hello.example.com": hello})
	transport := &http.Transport{DialContext: lab.island.dial, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: w.address}), TLSClientConfig: lab.ca.client()}
	get := func(url string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		return string(body), err
	}
	if body, err := get("https://hello.example.com/there"); err != nil || body != "hello" {
		t.Errorf("a host of the tests: %q, %v", body, err)
	}
	if _, err := get("https://other.example.com/"); err == nil {
		t.Error("a host that is not there answers")
	}
	if got := fmt.Sprint(w.requests()); got != "[GET https://hello.example.com/there GET https://other.example.com/]" {
		t.Errorf("noted: %s", got)
	}
	w.disconnect()
	if _, err := get("https://hello.example.com/there"); err == nil {
		t.Error("a world that is cut off answers")
	}
}
