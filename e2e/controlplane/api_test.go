//go:build controlplane || e2e

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// The names that the chart gives.
const (
	systemNamespace = "gopherwood-system"
	webhookName     = "gopherwood-webhook"
	fleetName       = "gopherwood-fleet"
)

// apiClient speaks to the API server as the administrator.
type apiClient struct {
	client.Client
	config   *rest.Config
	warnings warnings
}

func newAPIClient(kubeconfig string) (*apiClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	ctrllog.SetLogger(logr.Discard())
	a := &apiClient{config: config}
	config.QPS, config.Burst, config.Timeout = 5000, 5000, time.Minute
	config.WarningHandler = &a.warnings
	a.Client, err = client.New(config, client.Options{Scheme: scheme})
	return a, err
}

// warnings are those that the API server has sent since they were last taken.
type warnings struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// installChart applies what `gopherwood install --dry-run` prints, but for what
// would run in pods: here these are processes. Webhook configurations are kept
// until there is a webhook.
func (l *laboratory) installChart(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, l.gopherwood, "install", "--dry-run").Output()
	if err != nil {
		return fmt.Errorf("gopherwood install --dry-run: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := l.api.Create(ctx, namespace); err != nil {
		return err
	}
	for _, text := range strings.Split(string(out), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			return err
		}
		switch o.GetKind() {
		case "", "Deployment", "PodDisruptionBudget", "Service", "Namespace":
			continue
		case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
			err = l.register(ctx, o)
		default:
			err = l.create(ctx, o)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// create creates an object, waiting for its kind.
func (l *laboratory) create(ctx context.Context, o client.Object) error {
	for attempt := 0; ; attempt++ {
		err := l.api.Create(ctx, o)
		if err == nil || attempt == 50 || !apierrors.IsNotFound(err) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// register creates a webhook configuration that calls this machine instead of the
// chart's service. Everything else of it is the chart's.
func (l *laboratory) register(ctx context.Context, o *unstructured.Unstructured) error {
	hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, h := range hooks {
		hook, ok := h.(map[string]any)
		if !ok {
			return errors.New("a webhook is no object")
		}
		path, _, err := unstructured.NestedString(hook, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		hook["clientConfig"] = map[string]any{"url": "https://" + l.webhooks.address + path}
	}
	if err := unstructured.SetNestedSlice(o.Object, hooks, "webhooks"); err != nil {
		return err
	}
	return l.api.Create(ctx, o)
}

// configured returns the webhooks as the API server has them.
func configured(t *testing.T) []admissionv1.ValidatingWebhook {
	t.Helper()
	o := &admissionv1.ValidatingWebhookConfiguration{}
	if err := lab.api.Get(t.Context(), client.ObjectKey{Name: webhookName}, o); err != nil {
		t.Fatal(err)
	}
	return o.Webhooks
}

// timeout is how long the API server waits for the webhooks.
func timeout(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(*configured(t)[0].TimeoutSeconds) * time.Second
}

// newNamespace creates a namespace that is deleted after the test, and waits until
// pods can be created in it.
func newNamespace(t *testing.T) string {
	t.Helper()
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := lab.api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.api.Delete(context.Background(), o); err != nil {
			t.Error(err)
		}
	})
	until(t, 20*time.Second, "the default service account", func() error {
		return lab.api.Get(t.Context(), client.ObjectKey{Namespace: o.Name, Name: "default"}, &corev1.ServiceAccount{})
	})
	return o.Name
}

// apply creates an object; it is deleted after the test where its namespace is not.
func apply(t *testing.T, o client.Object) {
	t.Helper()
	if err := lab.api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if o.GetNamespace() == "" {
		t.Cleanup(func() {
			if err := client.IgnoreNotFound(lab.api.Delete(context.Background(), o)); err != nil {
				t.Error(err)
			}
		})
	}
}

// status returns what the API server says of an error.
func status(err error) metav1.Status {
	if s := apierrors.APIStatus(nil); errors.As(err, &s) {
		return s.Status()
	}
	return metav1.Status{}
}

// refused is true of an error by which the webhook itself has refused something,
// and false where the API server could not ask it.
func refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), `admission webhook "workloads.gopherwood.dev" denied the request`)
}

// requireRefused wants the webhook to have refused, with all of the words.
func requireRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	if !refused(err) {
		t.Errorf("want a refusal by the webhook with %q, got: %v", words, err)
		return
	}
	requireWords(t, err.Error(), words...)
}

func requireWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in: %s", w, text)
		}
	}
}

func requireNoError(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// percentiles returns a line about durations.
func percentiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(p int) time.Duration { return all[min(len(all)-1, len(all)*p/100)].Round(100 * time.Microsecond) }
	return fmt.Sprintf("n=%d p50=%v p90=%v p99=%v max=%v", len(all), at(50), at(90), at(99), all[len(all)-1].Round(100*time.Microsecond))
}

// freeLease lets somebody else be elected at once, after who held a lease was
// killed.
func freeLease(t *testing.T, name string) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}}
	free := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"holderIdentity":""}}`))
	if err := lab.api.Patch(context.Background(), lease, free); err != nil {
		t.Error(err)
	}
}
