package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Limits of the HTTP servers.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second // longer than the API server ever waits
	idleTimeout   = 2 * time.Minute
	headerBytes   = 64 << 10
	// streams is how many requests one connection may carry at once: the API server
	// uses a single one.
	streams = 1000
)

// listen opens a TCP address.
func listen(ctx context.Context, what, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "listen for " + what, Input: address, Err: err,
			Hint: "choose another address"}
	}
	return l, nil
}

// newServer returns a server with limits.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      2 * bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams},
		// Port scans and probes without TLS are nobody's problem.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// certificates are what a TLS server presents.
type certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Ready(now time.Time) error
	Expires() time.Time
	Run(ctx context.Context) error
}

// tlsConfig presents c's newest certificate.
func tlsConfig(c certificates) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.GetCertificate, NextProtos: []string{"h2", "http/1.1"}}
}

// admit lets at most limit requests be answered at once, and turns away the rest:
// the memory that they take is bounded.
func admit(limit int, m *telemetry.Metrics, next http.Handler) http.Handler {
	places := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
		default:
			m.Overload()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
			return
		}
		defer func() { <-places }()
		defer m.Enter()()
		next.ServeHTTP(w, r)
	})
}

// health answers the kubelet.
type health struct {
	draining atomic.Bool
	// checks say what is not ready yet, by name, in the order of the answer.
	checks []check
}

type check struct {
	name string
	err  func() error
}

// ready returns an error that names everything that is not.
func (h *health) ready() error {
	if h.draining.Load() {
		return errors.New("stopping")
	}
	var all []error
	for _, c := range h.checks {
		if err := c.err(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(all...)
}

// handler serves /healthz, which answers as long as the process runs, and /readyz.
func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

// awaited returns a check that is ready when done is closed.
func awaited(name string, done <-chan struct{}) check {
	return check{name, func() error {
		select {
		case <-done:
			return nil
		default:
			return errors.New("not read yet")
		}
	}}
}

// side serves what is beside the real work: health and metrics, without TLS.
type side struct {
	servers []*http.Server
}

// open serves h at address; "" and "0" mean nowhere.
func (s *side) open(ctx context.Context, what, address string, h http.Handler, log *slog.Logger) (net.Addr, error) {
	if address == "" || address == "0" {
		return nil, nil
	}
	l, err := listen(ctx, what, address)
	if err != nil {
		return nil, err
	}
	server := newServer(h, log)
	s.servers = append(s.servers, server)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("no longer served", "what", what, "error", err)
		}
	}()
	return l.Addr(), nil
}

// close stops serving at once.
func (s *side) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
}
