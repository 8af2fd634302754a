package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/certs"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/kube/pullsecret"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Defaults of WebhookOptions.
const (
	DefaultDrainDelay  = 5 * time.Second
	DefaultDrainLimit  = 20 * time.Second
	DefaultMaxInFlight = 1000
)

// WebhookOptions is what the webhook runs with.
type WebhookOptions struct {
	// Config is how to reach the API server.
	Config *rest.Config
	// Namespace is where the Secret and the lease are. Service is the Service that
	// the API server calls, for the certificate.
	Namespace, Service string
	// Certificates says where the certificate is from.
	Certificates CertificateOptions
	// Listen is the address for the API server, Health for the kubelet's probes and
	// Metrics for Prometheus; "0" for no health checks or no metrics.
	Listen, Health, Metrics string
	// Elect lets one of several replicas write the status of policies, by the
	// lease Lease; otherwise every one does.
	Elect bool
	Lease string
	// Images is what is known of images, and where from. The observer is set here.
	Images images.Options
	// PullSecrets reads the pull secrets of pods and their service accounts;
	// otherwise every image is read without credentials.
	PullSecrets bool
	Matrix      *matrix.Matrix
	// MaxInFlight is how many requests are answered at once, DefaultMaxInFlight for
	// zero; further ones are turned away.
	MaxInFlight int
	// DrainDelay is how long requests are still accepted after ctx has ended and
	// /readyz fails, so that everybody has stopped calling. DrainLimit is how long
	// those that have begun may take after that, DefaultDrainLimit for zero.
	DrainDelay, DrainLimit time.Duration
	Build                  telemetry.Build
	// Getenv is asked for OTEL_*; nil means no traces.
	Getenv func(string) string
	Log    *slog.Logger
	// Started is told the addresses when all listen; may be nil. Ready checks can
	// still fail then.
	Started func(WebhookAddresses)
}

// CertificateOptions say where the webhook's certificate is from.
type CertificateOptions struct {
	// Dir holds tls.crt and tls.key, filled by somebody else. All other fields but
	// Dir are for certificates that the webhook makes itself.
	Dir string
	// Secret keeps them.
	Secret string
	// Targets are told whom to trust.
	Targets certs.Targets
	// CALife and Life are the validities, zero for the defaults.
	CALife, Life time.Duration
	// Extra are names besides those of the Service, for a webhook that is called by
	// a URL.
	Extra certs.Names
}

// WebhookAddresses are where a webhook listens. Health and Metrics may be nil.
type WebhookAddresses struct {
	Listen, Health, Metrics net.Addr
}

// webhook is a running webhook.
type webhook struct {
	opt     WebhookOptions
	log     *slog.Logger
	library logr.Logger // what the libraries of Kubernetes log to
	clock   *apiClock
	set     *gopolicy.Set
	nodes   *nodes.Watch
	certs   certificates
	metrics *telemetry.Metrics
	manager manager.Manager
	health  *health
	side    side
	server  *http.Server
}

// RunWebhook answers the API server until ctx ends, and then until nobody calls
// any more: /readyz fails at once, requests are answered for DrainDelay, and those
// that have begun are answered to their end. An error says why it could not start
// or go on.
func RunWebhook(ctx context.Context, opt WebhookOptions) error {
	if opt.MaxInFlight == 0 {
		opt.MaxInFlight = DefaultMaxInFlight
	}
	if opt.DrainLimit == 0 {
		opt.DrainLimit = DefaultDrainLimit
	}
	if opt.Getenv == nil {
		opt.Getenv = func(string) string { return "" }
	}
	tracing, err := telemetry.NewTracing(ctx, opt.Getenv, "gopherwood-webhook", opt.Build.Version, opt.Log)
	if err != nil {
		return err
	}
	defer flush(tracing, opt.Log)
	w := &webhook{
		opt: opt, log: opt.Log, library: bridge(opt.Log), clock: &apiClock{}, set: &gopolicy.Set{}, nodes: &nodes.Watch{}, health: &health{},
		metrics: telemetry.New(opt.Build, tracing),
	}
	w.opt.Config = w.clock.watch(opt.Config)
	if w.manager, err = newManager(w.opt.Config, w.library, election{}); err != nil {
		return err
	}
	if w.certs, err = w.newCertificates(); err != nil {
		return err
	}
	opt.Images.Observe = w.metrics.Images()
	store := images.New(opt.Images)
	defer store.Close()
	w.server = newServer(admit(opt.MaxInFlight, w.metrics, tracing.Wrap(w.handler(store))), w.log)
	w.server.TLSConfig = tlsConfig(w.certs)
	return w.run(ctx)
}

// flush sends the last traces.
func flush(t *telemetry.Tracing, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), gracePeriod)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("traces", "error", err)
	}
}

// newCertificates returns what is presented to the API server.
func (w *webhook) newCertificates() (certificates, error) {
	c := w.opt.Certificates
	if c.Dir != "" {
		return certs.NewDir(c.Dir, w.log), nil
	}
	direct, err := client.NewWithWatch(w.opt.Config, client.Options{Scheme: w.manager.GetScheme()})
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "connect to the cluster", Input: w.opt.Config.Host, Err: err}
	}
	names := certs.Names{DNS: serviceNames(w.opt.Service, w.opt.Namespace)}
	names.DNS = append(names.DNS, c.Extra.DNS...)
	names.IPs = c.Extra.IPs
	return certs.NewIssuer(certs.Options{
		Client: direct, Namespace: w.opt.Namespace, Secret: c.Secret, Names: names,
		CALife: c.CALife, Life: c.Life, Targets: c.Targets, Now: w.clock.Now, Log: w.log,
	})
}

// serviceNames are the names by which the API server, and others, call a Service.
func serviceNames(service, namespace string) []string {
	return []string{service + "." + namespace + ".svc", service + "." + namespace, service + "." + namespace + ".svc.cluster.local"}
}

// handler answers the API server.
func (w *webhook) handler(store *images.Store) http.Handler {
	var keychains admission.Keychains = nobody{}
	if w.opt.PullSecrets {
		keychains = pullsecret.New(w.manager.GetAPIReader(), secretTTL)
	}
	mux := http.NewServeMux()
	admission.New(admission.Options{
		Images:     store,
		Policies:   w.set,
		Keychains:  keychains,
		Namespaces: &namespaces{cached: w.manager.GetClient(), live: w.manager.GetAPIReader()},
		Judge:      &verdict.Judge{Matrix: w.opt.Matrix, Now: w.clock.Now},
		Nodes:      w.nodes,
		Observe:    w.metrics,
		Log:        w.log,
	}).Register(mux)
	return mux
}

// run starts everything, waits for ctx, and stops everything in order: the server
// last of those that somebody calls, and before what it needs.
func (w *webhook) run(ctx context.Context) error {
	// What the handlers need outlives ctx by the time that draining takes.
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	if err := w.prepare(inner); err != nil {
		return err
	}
	defer w.side.close()
	l, err := w.open(ctx)
	if err != nil {
		return err
	}
	parts := make(chan error, 3)
	start := func(what string, f func() error) {
		go func() { parts <- ended(what, f(), inner) }()
	}
	start("manager", func() error { return w.manager.Start(inner) })
	start("status", func() error { return w.writeStatus(inner) })
	start("server", func() error { return w.server.ServeTLS(l, "", "") })

	select {
	case <-ctx.Done():
		err = w.drain()
		stop(errStopped)
	case err = <-parts:
		stop(errStopped)
		_ = w.server.Close()
		return errors.Join(err, <-parts, <-parts)
	}
	return errors.Join(err, <-parts, <-parts, <-parts)
}

// errStopped is why the parts end when they are told to.
var errStopped = errors.New("stopped")

// ended returns the error of a part: none when it was told to end.
func ended(what string, err error, inner context.Context) error {
	if inner.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	if err == nil {
		err = errors.New("ended by itself")
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "run " + what, Err: err}
}

// prepare registers what runs beside the server, and what has to be there before
// requests are answered.
func (w *webhook) prepare(ctx context.Context) error {
	synced := make(chan struct{})
	namespaceInformer := runnable(func(ctx context.Context) error {
		if w.manager.GetCache().WaitForCacheSync(ctx) {
			close(synced)
		}
		<-ctx.Done()
		return nil
	})
	feeder := &gopolicy.Feeder{Informers: w.manager.GetCache(), Set: w.set, Log: w.log}
	for _, r := range []manager.Runnable{feeder, runnable(w.certs.Run), namespaceInformer} {
		if err := w.manager.Add(r); err != nil {
			return &fault.Error{Code: fault.Internal, Op: "start", Err: err}
		}
	}
	if err := w.watch(ctx); err != nil {
		return err
	}
	w.health.checks = []check{
		{"certificate", func() error { return w.certs.Ready(w.clock.Now()) }},
		{"policies", func() error {
			if !w.set.Ready() {
				return errors.New("not read yet")
			}
			return nil
		}},
		awaited("nodes and namespaces", synced),
	}
	measureCertificate(w.metrics, w.certs, w.clock)
	w.metrics.Register(newPolicyMetrics(w.set, w.manager.GetClient()))
	return nil
}

// watch begins to keep nodes and namespaces in memory.
func (w *webhook) watch(ctx context.Context) error {
	failed := func(what string, err error) error {
		return &fault.Error{Code: fault.Unavailable, Op: "watch " + what, Err: err,
			Hint: "check that the API server answers, and that the service account may list and watch " + what}
	}
	if _, err := w.manager.GetCache().GetInformer(ctx, namespaceMetadata()); err != nil {
		return failed("namespaces", err)
	}
	informer, err := w.manager.GetCache().GetInformer(ctx, &corev1.Node{})
	if err != nil {
		return failed("nodes", err)
	}
	if _, err := informer.AddEventHandler(w.nodes); err != nil {
		return failed("nodes", err)
	}
	return nil
}

// open listens everywhere, and says so.
func (w *webhook) open(ctx context.Context) (net.Listener, error) {
	var at WebhookAddresses
	l, err := listen(ctx, "the API server", w.opt.Listen)
	if err != nil {
		return nil, err
	}
	at.Listen = l.Addr()
	if at.Health, err = w.side.open(ctx, "health checks", w.opt.Health, w.health.handler(), w.log); err == nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", w.metrics.Handler(libraries{}))
		at.Metrics, err = w.side.open(ctx, "metrics", w.opt.Metrics, mux, w.log)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	w.log.Info("webhook listens", "address", fmt.Sprint(at.Listen), "health", fmt.Sprint(at.Health), "metrics", fmt.Sprint(at.Metrics))
	if w.opt.Started != nil {
		w.opt.Started(at)
	}
	return l, nil
}

// drain stops the server so that nobody is refused.
func (w *webhook) drain() error {
	w.health.draining.Store(true)
	w.log.Info("stopping: requests are answered until nobody calls", "delay", w.opt.DrainDelay.String())
	time.Sleep(w.opt.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), w.opt.DrainLimit)
	defer cancel()
	begin := time.Now()
	if err := w.server.Shutdown(ctx); err != nil {
		_ = w.server.Close()
		return &fault.Error{Code: fault.Unavailable, Op: "stop", Err: fmt.Errorf("requests were still being answered after %s", w.opt.DrainLimit)}
	}
	w.log.Info("stopped: every request has its answer", "took", time.Since(begin).Round(time.Millisecond).String())
	return nil
}

// statusRetry is how long a replica that lost the election waits to stand again.
const statusRetry = 2 * time.Second

// writeStatus keeps the status of policies up to date while this replica is
// elected, with a manager of its own: to lose the election, as all do when the API
// server is away for a while, must not end the replica.
func (w *webhook) writeStatus(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.elected(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("status of policies is not written", "error", err, "again", statusRetry.String())
		}
		select {
		case <-ctx.Done():
		case <-time.After(statusRetry):
		}
	}
	return nil
}

func (w *webhook) elected(ctx context.Context) error {
	m, err := newManager(w.opt.Config, w.library, election{w.opt.Elect, w.opt.Namespace, w.opt.Lease})
	if err != nil {
		return err
	}
	writer := &gopolicy.StatusWriter{Client: m.GetClient(), Set: w.set, Now: w.clock.Now}
	if err := writer.SetupWithManager(m); err != nil {
		return &fault.Error{Code: fault.Internal, Op: "start", Err: err}
	}
	return m.Start(ctx)
}
