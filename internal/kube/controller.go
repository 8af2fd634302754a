package kube

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/gopherwood-dev/gopherwood/internal/kube/fleet"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/pullsecret"
	"github.com/gopherwood-dev/gopherwood/internal/kube/report"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ControllerOptions is what the fleet controller runs with.
type ControllerOptions struct {
	// Config is how to reach the API server.
	Config *rest.Config
	// Namespace is where the lease Lease is, by which one of several replicas works.
	Namespace, Lease string
	Elect            bool
	// Health is the address for the kubelet's probes, Metrics for Prometheus; "0"
	// for none.
	Health, Metrics string
	// Images is what is known of images, and where from. The observer is set here.
	Images images.Options
	// PullSecrets reads the pull secrets of pods and their service accounts.
	PullSecrets bool
	// Reports writes PolicyReports, at most ReportsPerSecond; 0 for the default.
	Reports          bool
	ReportsPerSecond float64
	Matrix           *matrix.Matrix
	// Workers is how many images are worked on at once; 0 for the default.
	Workers int
	Build   telemetry.Build
	Getenv  func(string) string
	Log     *slog.Logger
	// Started is told the addresses when they listen; may be nil.
	Started func(ControllerAddresses)
}

// ControllerAddresses are where a controller listens; either may be nil.
type ControllerAddresses struct {
	Health, Metrics net.Addr
}

// RunController keeps the verdicts on all running containers up to date until ctx
// ends. An error says why it could not start or go on: that the election is lost,
// for one, after which it must be started again.
func RunController(ctx context.Context, opt ControllerOptions) error {
	if opt.Getenv == nil {
		opt.Getenv = func(string) string { return "" }
	}
	tracing, err := telemetry.NewTracing(ctx, opt.Getenv, "gopherwood-fleet", opt.Build.Version, opt.Log)
	if err != nil {
		return err
	}
	defer flush(tracing, opt.Log)
	metrics := telemetry.New(opt.Build, tracing)
	clock := &apiClock{}
	opt.Config = clock.watch(opt.Config)
	m, err := newManager(opt.Config, bridge(opt.Log), election{opt.Elect, opt.Namespace, opt.Lease})
	if err != nil {
		return err
	}
	opt.Images.Observe = metrics.Images()
	store := images.New(opt.Images)
	defer store.Close()

	set := &gopolicy.Set{}
	controller, err := newFleet(opt, m, set, store, clock.Now)
	if err != nil {
		return err
	}
	feeder := &gopolicy.Feeder{Informers: m.GetCache(), Set: set, Log: opt.Log}
	if err := errors.Join(m.Add(feeder), m.Add(controller)); err != nil {
		return &fault.Error{Code: fault.Internal, Op: "start", Err: err}
	}
	metrics.Register(controller.Collector())
	metrics.Register(newPolicyMetrics(set, m.GetClient()))
	var beside side
	defer beside.close()
	if err := openController(ctx, opt, set, metrics, &beside); err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil && ctx.Err() == nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "run controller", Err: err}
	}
	return nil
}

// newFleet returns the controller, connected with the cluster of m.
func newFleet(opt ControllerOptions, m manager.Manager, set *gopolicy.Set, store *images.Store, now func() time.Time) (*fleet.Controller, error) {
	cluster, err := fleet.NewCluster("", opt.Config)
	if err != nil {
		return nil, err
	}
	o := fleet.Options{
		Kube: cluster.Kube, Metadata: cluster.Metadata,
		Images: store, Keychains: nobody{},
		Policies:         &fleet.ClusterPolicies{Set: set, Judge: &verdict.Judge{Matrix: opt.Matrix, Now: now}, Client: m.GetClient()},
		Matrix:           opt.Matrix,
		Now:              now,
		Workers:          opt.Workers,
		ReportsPerSecond: opt.ReportsPerSecond,
		Log:              opt.Log,
	}
	if opt.PullSecrets {
		o.Keychains = pullsecret.New(m.GetAPIReader(), secretTTL)
	}
	if opt.Reports {
		d, err := dynamic.NewForConfig(opt.Config)
		if err != nil {
			return nil, &fault.Error{Code: fault.Unavailable, Op: "connect to the cluster", Input: opt.Config.Host, Err: err}
		}
		o.Reports = report.NewClient(d)
	}
	return fleet.New(o), nil
}

// openController serves health and metrics. A replica is ready when it knows the
// policies, elected or not.
func openController(ctx context.Context, opt ControllerOptions, set *gopolicy.Set, metrics *telemetry.Metrics, beside *side) error {
	h := &health{checks: []check{{"policies", func() error {
		if !set.Ready() {
			return errors.New("not read yet")
		}
		return nil
	}}}}
	var at ControllerAddresses
	var err error
	if at.Health, err = beside.open(ctx, "health checks", opt.Health, h.handler(), opt.Log); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(libraries{}))
	if at.Metrics, err = beside.open(ctx, "metrics", opt.Metrics, mux, opt.Log); err != nil {
		return err
	}
	if opt.Started != nil {
		opt.Started(at)
	}
	return nil
}
