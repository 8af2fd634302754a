package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/base/codepages"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/access"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/gate"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/cached"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// serveFlags are the flags of serve that say how modules are served.
type serveFlags struct {
	listen, admin          string
	cert, key              string
	clientCA               string
	requireClient          bool
	access, accessLog      string
	listAge, staleAge      time.Duration
	drainDelay, drainLimit time.Duration
	log                    logFlags
}

func newModproxyServe(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve Go modules and the checksum database",
		Long: `Serve answers go commands whose GOPROXY it is. What is in the store is answered from
there. What is not is fetched from upstream, held against the checksum database,
stored and then answered; versions are fetched once however many ask for them.
Lists of versions are answered from memory and renewed meanwhile.

Upstreams, the checksum database and private patterns are by default what the go
command on this machine has. Credentials for upstreams come from ~/.netrc, from
GOPHERWOOD_UPSTREAM_TOKEN_<HOST> and, for version control, GOPHERWOOD_GIT_TOKEN_<HOST>.

/healthz, /readyz and /metrics are beside the modules, or at --admin. Files that
are named by flags are read again when they change. On SIGTERM /readyz fails at
once, requests are answered for --drain-delay, and those that have begun are
answered to their end.`,
		Example: `  gopherwood modproxy serve --store /var/lib/gopherwood/modules
  gopherwood modproxy serve --store oci://registry.corp.example.com/modules --cache /var/cache/gopherwood --cache-size 10GiB
  gopherwood modproxy serve --store modules --private 'corp.example.com/*' --cooldown 72h --access access.yaml
  gopherwood modproxy serve --store modules --offline --listen 127.0.0.1:8080`,
		Args: maxArgs(0),
	}
	p := addModuleProxy(cmd)
	f := &serveFlags{}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		if err := p.check(cmd, a.getenv); err != nil {
			return err
		}
		return a.serveModules(cmd.Context(), p, f)
	}
	return cmd
}

func (f *serveFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", ":8080", "address for go commands")
	fl.StringVar(&f.admin, "admin", "", "address of /healthz, /readyz and /metrics (default: that of --listen)")
	fl.StringVar(&f.cert, "tls-cert", "", "file with the certificate for HTTPS, in PEM; without it, HTTP is served")
	fl.StringVar(&f.key, "tls-key", "", "file with the certificate's key")
	fl.StringVar(&f.clientCA, "client-ca", "", "file with the authorities of clients' certificates, in PEM")
	fl.BoolVar(&f.requireClient, "require-client-cert", false, "refuse clients without a certificate; otherwise --access says what they may read")
	fl.StringVar(&f.access, "access", "", "ModuleAccess file: who may read what, described in docs/formats/moduleaccess.md (default: everybody all)")
	fl.StringVar(&f.accessLog, "access-log", "-", "file for a line of JSON a request, - for standard error; empty for none")
	fl.DurationVar(&f.listAge, "list-age", mirror.DefaultListAge, "how long a list of versions, a latest version or a branch is taken for what it was")
	fl.DurationVar(&f.staleAge, "list-stale", mirror.DefaultStaleAge, "how old a list may be that is answered while it is renewed")
	fl.DurationVar(&f.drainDelay, "drain-delay", modproxy.DefaultDrainDelay, "how long requests are still accepted after SIGTERM")
	fl.DurationVar(&f.drainLimit, "drain-limit", modproxy.DefaultDrainLimit, "how long what has begun may take after that")
	f.log.add(cmd)
}

// check finds what is wrong with the flags themselves.
func (f *serveFlags) check(cmd *cobra.Command) error {
	switch {
	case (f.cert == "") != (f.key == ""):
		return usage(cmd, "--tls-cert and --tls-key need each other")
	case f.clientCA != "" && f.cert == "":
		return usage(cmd, "--client-ca needs --tls-cert")
	case f.requireClient && f.clientCA == "":
		return usage(cmd, "--require-client-cert needs --client-ca")
	case f.clientCA != "" && !f.requireClient && f.access == "":
		return usage(cmd, "--client-ca needs --require-client-cert or --access, or certificates would change nothing")
	case f.listAge <= 0 || f.staleAge < f.listAge:
		return usage(cmd, "--list-age must be above 0, and --list-stale not below it")
	case f.drainDelay < 0 || f.drainLimit <= 0:
		return usage(cmd, "--drain-delay must not be below 0, --drain-limit above")
	}
	return nil
}

// serveModules serves until ctx ends.
func (a *app) serveModules(ctx context.Context, p *moduleProxy, f *serveFlags) error {
	log := f.log.logger(a)
	metrics := modproxy.NewMetrics(buildVersion().Version)
	hear := moduleHearer{metrics, log}
	parts, err := p.open(ctx, a, moduleEvents{store: hear.store, upstream: metrics.Upstream, sumdb: metrics.Sumdb, audit: hear.audit})
	if err != nil {
		return err
	}
	defer func() {
		// Versions are safe on disk; what is lost is when some were used last.
		if closed := parts.Close(); closed != nil {
			log.Warn("the store was not closed in order", "error", closed)
		}
	}()
	opt := parts.mirror()
	opt.ListAge, opt.StaleAge, opt.Observe = f.listAge, f.staleAge, hear.mirror
	m := mirror.New(opt)
	// Once it was drained, there is nothing left to wait for.
	defer func() { _ = m.Close(ctx) }()
	requests, closeLog, err := f.openLog(a)
	if err != nil {
		return err
	}
	defer closeLog()
	server := modproxy.Options{Mirror: m, Sums: parts.db, Metrics: metrics, Log: requests}
	run := modproxy.RunOptions{
		Metrics: metrics, Listen: f.listen, Admin: f.admin, TLS: f.tls(),
		DrainDelay: f.drainDelay, DrainLimit: f.drainLimit,
		Reload: []func() error{parts.gate.Reload}, Drain: func(ctx context.Context) { parts.drain(ctx, m, log) }, Log: log,
	}
	if f.access != "" {
		rules, err := access.Open(f.access)
		if err != nil {
			return err
		}
		server.Access = rules
		run.Reload = append(run.Reload, rules.Reload)
	}
	run.Handler = modproxy.NewServer(server)
	metrics.Watch(run.Handler, m, requests)
	if c, ok := parts.store.(*cached.Store); ok {
		metrics.WatchPending(c.Pending)
	}
	run.Started = func(net.Addr, net.Addr) {
		_, _ = codepages.Release() // what stays in memory does no harm
	}
	log.Info("module proxy", "store", parts.store.Name(), "offline", parts.source == nil, "private", parts.private, "sumdb", parts.db.Name())
	return modproxy.Run(ctx, run)
}

// drain fetches and writes what waits, until ctx ends. What is left is no failure:
// it is asked for again, or waits on disk.
func (p *moduleParts) drain(ctx context.Context, m *mirror.Mirror, log *slog.Logger) {
	if err := errors.Join(m.Close(ctx), settle(ctx, p.store)); err != nil {
		log.Warn("not all that waited was done", "error", err)
	}
}

func (f *serveFlags) tls() *modproxy.TLSFiles {
	if f.cert == "" {
		return nil
	}
	return &modproxy.TLSFiles{Certificate: f.cert, Key: f.key, ClientCA: f.clientCA, RequireClient: f.requireClient}
}

// openLog opens the log of requests; what it returns closes it.
func (f *serveFlags) openLog(a *app) (*modproxy.AccessLog, func(), error) {
	if f.accessLog == "" {
		return nil, func() {}, nil
	}
	var out io.Writer = a.stderr
	closeFile := func() error { return nil }
	if f.accessLog != "-" {
		file, err := os.OpenFile(f.accessLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, nil, &fault.Error{Code: fault.CodeOf(err), Op: "open the log of requests", Input: f.accessLog, Err: err}
		}
		out, closeFile = file, file.Close
	}
	l := modproxy.NewAccessLog(out)
	return l, func() {
		l.Close()
		_ = closeFile() // nobody could read what is missing
	}, nil
}

// moduleHearer puts what happens in a proxy into metrics and the log.
type moduleHearer struct {
	metrics *modproxy.Metrics
	log     *slog.Logger
}

// mirror hears what the mirror does. That content is not what it has to be is for
// somebody to look into; the rest the client is told.
func (h moduleHearer) mirror(e mirror.Event) {
	h.metrics.Mirror(e)
	level := slog.LevelDebug
	switch {
	case fault.CodeOf(e.Err) == fault.Invalid:
		level = slog.LevelError
	case e.Kind == mirror.Dropped || e.Kind == mirror.Renewed:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("module", e.Module.String()), slog.Bool("background", e.Background)}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	h.log.LogAttrs(context.Background(), level, string(e.Kind), attrs...)
}

// store hears what happens between a cache and its registry.
func (h moduleHearer) store(e cached.Event) {
	h.metrics.Store(e)
	if e.Kind != cached.Online && e.Err == nil {
		return
	}
	attrs := []slog.Attr{slog.String("event", string(e.Kind))}
	if e.Module.Path != "" {
		attrs = append(attrs, slog.String("module", e.Module.String()))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	h.log.LogAttrs(context.Background(), slog.LevelWarn, "registry", attrs...)
}

// audit hears what the gate decides.
func (h moduleHearer) audit(ctx context.Context, e gate.Event) {
	h.log.LogAttrs(ctx, slog.LevelInfo, "audit", slog.String("module", e.Path+"@"+e.Version), slog.String("rule", e.Rule),
		slog.String("decision", e.Decision), slog.String("message", e.Message), slog.String("reason", e.Reason))
}
