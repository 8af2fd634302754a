package modproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Defaults of RunOptions.
const (
	DefaultDrainDelay = 5 * time.Second
	DefaultDrainLimit = 20 * time.Second
)

// Limits of the HTTP server.
const (
	headerTime  = 10 * time.Second
	idleTime    = 2 * time.Minute
	headerBytes = 64 << 10
	// reloadEvery is how often files are looked at that may have changed.
	reloadEvery = 15 * time.Second
)

// RunOptions is what Run runs with.
type RunOptions struct {
	Handler *Server
	Metrics *Metrics
	// Listen is the address of the module proxy, Admin that of /healthz, /readyz and
	// /metrics; when it is empty, they are served beside the modules, to everybody.
	Listen, Admin string
	// TLS names the files of certificates; nil means plain HTTP. Admin is always
	// plain.
	TLS *TLSFiles
	// DrainDelay is how long requests are still accepted after ctx has ended and
	// /readyz fails, so that everybody has stopped calling. DrainLimit is how long
	// what has begun may take after that, DefaultDrainLimit for zero.
	DrainDelay, DrainLimit time.Duration
	// Reload are read again now and then; an error leaves things as they were.
	Reload []func() error
	// Drain is called when no request is answered any more, until its context ends
	// at the drain limit; may be nil.
	Drain func(context.Context)
	Log   *slog.Logger
	// Started is told the addresses when all listen; admin is nil when there is no
	// such listener. May be nil.
	Started func(listen, admin net.Addr)
}

// Run serves modules until ctx ends, and then until nobody calls any more: /readyz
// fails at once, requests are answered for DrainDelay, and those that have begun are
// answered to their end. An error says why it could not start or go on.
func Run(ctx context.Context, opt RunOptions) error {
	if opt.DrainLimit == 0 {
		opt.DrainLimit = DefaultDrainLimit
	}
	r := &running{opt: opt}
	if err := r.open(ctx); err != nil {
		r.close()
		return err
	}
	watched, stop := context.WithCancel(ctx)
	defer stop()
	go r.reload(watched)
	var err error
	select {
	case err = <-r.ended:
		r.close()
	case <-ctx.Done():
		err = r.drain()
	}
	return err
}

// running is a server that runs.
type running struct {
	opt      RunOptions
	draining atomic.Bool
	servers  []*http.Server
	ended    chan error
}

// open listens everywhere, and says so.
func (r *running) open(ctx context.Context) error {
	r.ended = make(chan error, 2)
	var reload *certificates
	if r.opt.TLS != nil {
		var err error
		if reload, err = loadCertificates(*r.opt.TLS); err != nil {
			return err
		}
		r.opt.Reload = append(r.opt.Reload, reload.load)
	}
	h := http.Handler(r.opt.Handler)
	if r.opt.Admin == "" {
		h = r.beside(h)
	}
	at, err := r.serve(ctx, r.opt.Listen, h, reload)
	if err != nil {
		return err
	}
	var admin net.Addr
	if r.opt.Admin != "" {
		if admin, err = r.serve(ctx, r.opt.Admin, r.beside(http.NotFoundHandler()), nil); err != nil {
			return err
		}
	}
	r.opt.Log.Info("module proxy listens", "address", at.String(), "admin", fmt.Sprint(admin), "tls", r.opt.TLS != nil)
	if r.opt.Started != nil {
		r.opt.Started(at, admin)
	}
	return nil
}

// serve answers with h at an address, in the background.
func (r *running) serve(ctx context.Context, address string, h http.Handler, c *certificates) (net.Addr, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "listen", Input: address, Err: err, Hint: "choose another address"}
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      sendTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		// Port scans and clients that go are nobody's problem.
		ErrorLog: slog.NewLogLogger(r.opt.Log.Handler(), slog.LevelDebug),
	}
	r.servers = append(r.servers, server)
	serve := server.Serve
	if c != nil {
		server.TLSConfig = c.config()
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	go func() {
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.ended <- &fault.Error{Code: fault.Unavailable, Op: "serve", Input: address, Err: err}
		}
	}()
	return l.Addr(), nil
}

// beside answers what is asked about the proxy itself, and lets h answer the rest.
// No module can have these paths: their first elements hold a dot.
func (r *running) beside(h http.Handler) http.Handler {
	metrics := r.opt.Metrics.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/healthz":
			_, _ = w.Write([]byte("ok\n"))
		case "/readyz":
			if r.draining.Load() {
				http.Error(w, "stopping", http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("ok\n"))
		case "/metrics":
			metrics.ServeHTTP(w, req)
		default:
			h.ServeHTTP(w, req)
		}
	})
}

// reload reads files again until ctx ends. What is wrong with one is logged once.
func (r *running) reload(ctx context.Context) {
	last := make([]string, len(r.opt.Reload))
	for tick := time.Tick(reloadEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		for i, load := range r.opt.Reload {
			text := ""
			err := load()
			if err != nil {
				text = err.Error()
			}
			if err != nil && text != last[i] {
				r.opt.Log.Error("what was read before stays in force", "error", text)
			}
			last[i] = text
		}
	}
}

// drain stops so that nobody is refused.
func (r *running) drain() error {
	r.draining.Store(true)
	r.opt.Log.Info("stopping: requests are answered until nobody calls", "delay", r.opt.DrainDelay.String())
	select {
	case <-time.After(r.opt.DrainDelay):
	case err := <-r.ended:
		r.close()
		return err
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), r.opt.DrainLimit)
	defer cancel()
	var errs []error
	for _, server := range r.servers {
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
			errs = append(errs, &fault.Error{Code: fault.Unavailable, Op: "stop", Err: fmt.Errorf("requests were still being answered after %s", r.opt.DrainLimit)})
		}
	}
	if r.opt.Drain != nil {
		r.opt.Drain(ctx)
	}
	r.opt.Log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond).String())
	return errors.Join(errs...)
}

// close stops at once.
func (r *running) close() {
	for _, server := range r.servers {
		_ = server.Close()
	}
}

// TLSFiles are files in PEM.
type TLSFiles struct {
	// Certificate and Key are the server's.
	Certificate, Key string
	// ClientCA vouches for clients; empty when they need no certificate.
	ClientCA string
	// RequireClient refuses clients without a certificate; otherwise they may prove
	// who they are in another way.
	RequireClient bool
}
