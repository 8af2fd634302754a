package modproxy_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/mirrortest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/route"
)

// proxy is a module proxy with everything real but its upstream.
type proxy struct {
	up      *mirrortest.Upstream
	dir     string
	store   store.Store
	mirror  *mirror.Mirror
	metrics *modproxy.Metrics
	server  *modproxy.Server
	log     *modproxy.AccessLog
	lines   *buffer
	// url is where it is.
	url string
}

// settings may be changed before the proxy starts.
type settings struct {
	mirror mirror.Options
	server modproxy.Options
}

// newProxy returns a proxy with an upstream and a store of its own; change may be nil.
func newProxy(t testing.TB, change func(*settings)) *proxy {
	t.Helper()
	p := &proxy{up: mirrortest.New(t), dir: t.TempDir()}
	var err error
	if p.store, err = layouts.Open(p.dir, layouts.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return p.another(t, change)
}

// another returns another proxy with the same upstream and store.
func (p *proxy) another(t testing.TB, change func(*settings)) *proxy {
	t.Helper()
	p = &proxy{up: p.up, dir: p.dir, store: p.store, metrics: modproxy.NewMetrics("v1.2.3"), lines: &buffer{}}
	source, err := route.New(route.Options{
		Upstreams: p.up.URL, Environ: []string{"HOME=" + hometest.New(t)}, Transport: http.DefaultTransport, Observer: p.metrics.Upstream,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.log = modproxy.NewAccessLog(p.lines)
	s := settings{
		mirror.Options{Store: p.store, Source: source, Observe: p.metrics.Mirror},
		modproxy.Options{Metrics: p.metrics, Log: p.log},
	}
	if change != nil {
		change(&s)
	}
	p.mirror = mirror.New(s.mirror)
	s.server.Mirror = p.mirror
	p.server = modproxy.NewServer(s.server)
	p.metrics.Watch(p.server, p.mirror, p.log)
	h := httptest.NewServer(p.server)
	p.url = h.URL
	t.Cleanup(func() {
		h.Close()
		if err := p.mirror.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		p.log.Close()
	})
	return p
}

// reply is what a client gets.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. Nothing of it is decompressed.
func ask(t testing.TB, method, url string, header map[string]string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func get(t testing.TB, url string) reply { return ask(t, http.MethodGet, url, nil) }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
