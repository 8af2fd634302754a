package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/certs"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var _ admission.Observer = (*telemetry.Metrics)(nil)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// replica is a webhook's server without a cluster.
type replica struct {
	*webhook
	address string
}

// cluster is what replicas have in common: the Secret.
type cluster struct {
	client client.WithWatch
}

func (c cluster) replica(t *testing.T, h http.Handler) *replica {
	t.Helper()
	issuer, err := certs.NewIssuer(certs.Options{
		Client: c.client, Namespace: "system", Secret: "tls", Names: certs.Names{DNS: []string{"hook"}}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &webhook{
		opt: WebhookOptions{DrainDelay: 300 * time.Millisecond, DrainLimit: 10 * time.Second},
		log: quiet(), health: &health{}, metrics: telemetry.New(telemetry.Build{}, nil), certs: issuer,
	}
	w.server = newServer(admit(DefaultMaxInFlight, w.metrics, h), w.log)
	w.server.TLSConfig = tlsConfig(issuer)
	l, err := listen(t.Context(), "the test", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.server.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		_ = w.server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &replica{w, l.Addr().String()}
}

// caller returns a client that calls as the API server does: HTTP/2 by one
// connection for all, to whichever replica is ready when it dials. It learns that
// one is no longer ready with a delay.
func (c cluster) caller(t *testing.T, late time.Duration, replicas ...*replica) *http.Client {
	t.Helper()
	secret := &corev1.Secret{}
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: "tls"}, secret); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	gone := make([]atomic.Int64, len(replicas))
	pick := func() string {
		for n, r := range replicas {
			if r.health.ready() != nil {
				gone[n].CompareAndSwap(0, time.Now().UnixNano())
			}
			if at := gone[n].Load(); at == 0 || time.Since(time.Unix(0, at)) < late {
				return r.address
			}
		}
		return "127.0.0.1:1"
	}
	go func() { // the endpoints are watched, not asked for
		for t.Context().Err() == nil {
			pick()
			time.Sleep(time.Millisecond)
		}
	}()
	return &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "hook"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, pick())
		},
	}}
}

func post(c *http.Client, body []byte) error {
	resp, err := c.Post("https://hook/validate", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || !bytes.Equal(got, body) {
		return fmt.Errorf("%s %s: %q", resp.Proto, resp.Status, got)
	}
	return nil
}

// While one replica after the other is replaced, no request is refused: neither
// new ones nor those that are being answered.
func TestDrain(t *testing.T) {
	c := cluster{fake.NewClientBuilder().Build()}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if bytes.HasPrefix(body, []byte("slow")) {
			time.Sleep(time.Second)
		}
		_, _ = w.Write(body)
	})
	replicas := []*replica{c.replica(t, echo), c.replica(t, echo), c.replica(t, echo)}
	api := c.caller(t, 150*time.Millisecond, replicas...)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var calls atomic.Int64
	for n := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				body := fmt.Appendf(nil, "quick %d/%d", n, i)
				if n == 0 {
					body = fmt.Appendf(nil, "slow %d/%d", n, i)
				}
				if err := post(api, body); err != nil {
					t.Errorf("%s: %v", body, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for _, r := range replicas[:2] {
		time.Sleep(300 * time.Millisecond)
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if r.health.ready() == nil {
			t.Error("ready while it stops")
		}
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	all.Wait()
	if n := calls.Load(); n < 100 {
		t.Errorf("only %d calls", n)
	}
}

// What does not end is cut off.
func TestDrainLimit(t *testing.T) {
	c := cluster{fake.NewClientBuilder().Build()}
	entered := make(chan struct{})
	r := c.replica(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	r.opt.DrainDelay, r.opt.DrainLimit = 0, 200*time.Millisecond
	api := c.caller(t, 0, r)
	done := make(chan error, 1)
	go func() { done <- post(api, nil) }()
	<-entered
	if err := r.drain(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	if <-done == nil {
		t.Error("a request that was cut off has an answer")
	}
}

func TestAdmitLimit(t *testing.T) {
	m := telemetry.New(telemetry.Build{}, nil)
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	server := httptest.NewServer(admit(2, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})))
	defer server.Close()
	var inside sync.WaitGroup
	get := func() int {
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for range 2 {
		inside.Go(func() {
			if got := get(); got != http.StatusOK {
				t.Errorf("a request within the limit: %d", got)
			}
		})
	}
	<-entered
	<-entered
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("a request over the limit: %d", got)
	}
	close(release)
	inside.Wait()
	if got := get(); got != http.StatusOK {
		t.Errorf("a request afterwards: %d", got)
	}
}

func TestHealth(t *testing.T) {
	synced := make(chan struct{})
	h := &health{checks: []check{awaited("nodes", synced), {"certificate", func() error { return nil }}}}
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "nodes: not read yet\n" {
		t.Errorf("%d %q", code, text)
	}
	close(synced)
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	h.draining.Store(true)
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "stopping\n" {
		t.Errorf("%d %q", code, text)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("%d: a replica that stops must not be killed for it", code)
	}
}

func TestStrip(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}
	got, err := strip(&corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{Unschedulable: true},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: "arm64"}, Images: []corev1.ContainerImage{{SizeBytes: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	n := got.(*corev1.Node)
	if n.ManagedFields != nil || n.Annotations != nil || n.Status.Images != nil {
		t.Errorf("kept: %+v", n)
	}
	if n.Labels["a"] != "b" || !n.Spec.Unschedulable || n.Status.NodeInfo.Architecture != "arm64" {
		t.Errorf("lost: %+v", n)
	}
}

// A namespace that the cache has not seen yet is asked for.
func TestNamespaces(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new", Labels: map[string]string{"team": "a"}}}
	n := &namespaces{cached: fake.NewClientBuilder().Build(), live: fake.NewClientBuilder().WithObjects(ns).Build()}
	labels, err := n.Labels(t.Context(), "new")
	if err != nil || labels["team"] != "a" {
		t.Errorf("%v, %v", labels, err)
	}
	if _, err := n.Labels(t.Context(), "none"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}
