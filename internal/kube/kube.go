// Package kube hosts what Gopherwood does in a Kubernetes cluster: the webhook
// that answers the API server (RunWebhook), and the controller that keeps the
// verdicts on everything that runs (RunController). It connects the packages
// below it with the cluster, certificates, health checks and telemetry, and stops
// them in an order that refuses nobody.
package kube

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// How many requests a process sends to the API server, a second and at once.
// Reads of pull secrets come in bursts, when many pods are created.
const (
	queriesPerSecond = 100
	queriesAtOnce    = 300
)

// Connect returns how to reach the cluster that kubeconfig names, or without one
// the cluster that this process runs in, or else that of $KUBECONFIG. agent names
// the program.
func Connect(kubeconfig, agent string) (*rest.Config, error) {
	cfg, err := connect(kubeconfig)
	if err != nil {
		return nil, &fault.Error{Code: fault.NotFound, Op: "connect to the cluster", Input: kubeconfig, Err: err,
			Hint: "run it in a pod, or name a kubeconfig by --kubeconfig or $KUBECONFIG"}
	}
	cfg.UserAgent = agent
	cfg.QPS, cfg.Burst = queriesPerSecond, queriesAtOnce
	return cfg, nil
}

func connect(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if !errors.Is(err, rest.ErrNotInCluster) {
			return cfg, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}

// namespaceFile is where the kubelet tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// OwnNamespace returns the namespace of the pod that this process runs in; ok is
// false outside of a cluster.
func OwnNamespace() (name string, ok bool) {
	data, err := os.ReadFile(namespaceFile)
	name = strings.TrimSpace(string(data))
	return name, err == nil && name != ""
}

// bridge makes the libraries of Kubernetes log to log. It is called once, before
// any of them is used.
func bridge(log *slog.Logger) logr.Logger {
	calm := calmHandler{log.Handler()}
	l := logr.FromSlogHandler(calm)
	ctrl.SetLogger(l)
	klog.SetSlogLogger(slog.New(calm))
	return l
}

// calmHandler leaves out what is said as an error of every orderly end: that a
// replica which stops is no longer elected.
type calmHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h calmHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "error received after stop sequence was engaged" {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h calmHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return calmHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h calmHandler) WithGroup(name string) slog.Handler {
	return calmHandler{h.Handler.WithGroup(name)}
}

// newScheme returns the kinds that are read and written.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s))
}

// election says who of several replicas does what only one may do.
type election struct {
	enabled         bool
	namespace, name string
}

// gracePeriod is how long the parts of a manager have to stop.
const gracePeriod = 10 * time.Second

// newManager returns a manager that keeps in memory what is asked of it and no
// more: reading a kind that nothing watches is an error, and Secrets and service
// accounts are always read from the API server.
func newManager(cfg *rest.Config, log logr.Logger, e election) (manager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "register kinds", Err: err}
	}
	grace := gracePeriod
	m, err := manager.New(cfg, manager.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  cache.Options{Scheme: scheme, ReaderFailOnMissingInformer: true, DefaultTransform: strip},
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ServiceAccount{}}}},
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		LeaderElection:                e.enabled,
		LeaderElectionNamespace:       e.namespace,
		LeaderElectionID:              e.name,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
		Controller:                    config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		return nil, &fault.Error{Code: fault.Unavailable, Op: "connect to the cluster", Input: cfg.Host, Err: err,
			Hint: "check that the API server answers and that the custom resource definitions are installed"}
	}
	return m, nil
}

// strip takes from objects what nobody here reads, before they are kept.
func strip(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.Node:
		o.ManagedFields, o.Annotations = nil, nil
		o.Status = corev1.NodeStatus{NodeInfo: o.Status.NodeInfo,
			Capacity: corev1.ResourceList{corev1.ResourceCPU: *o.Status.Capacity.Cpu()}}
	case *metav1.PartialObjectMetadata:
		o.ManagedFields, o.Annotations = nil, nil
	case metav1.Object:
		o.SetManagedFields(nil)
	}
	return o, nil
}

// runnable is a function that a manager starts in every replica.
type runnable func(ctx context.Context) error

// Start implements manager.Runnable.
func (r runnable) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection says no.
func (runnable) NeedLeaderElection() bool { return false }

// secretTTL is how long a pull secret is remembered, and so how long a change of
// one takes to be seen.
const secretTTL = 30 * time.Second

// nobody has no credentials for anything.
type nobody struct{}

// Keychain returns none.
func (nobody) Keychain(context.Context, string, string, []corev1.LocalObjectReference) (facts.Keychain, error) {
	return nil, nil
}
