package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gopherwood-dev/gopherwood/internal/kube/certs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const serverName = "hook.system.svc"

// world is a cluster with a clock of its own.
type world struct {
	t      *testing.T
	client client.WithWatch
	now    atomic.Int64
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, client: fake.NewClientBuilder().WithObjects(objects...).Build()}
	w.now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return w
}

func (w *world) time() time.Time         { return time.Unix(0, w.now.Load()) }
func (w *world) forward(d time.Duration) { w.now.Add(int64(d)) }
func (w *world) options() certs.Options {
	return certs.Options{
		Client: w.client, Namespace: "system", Secret: "tls",
		Names:   certs.Names{DNS: []string{serverName}},
		Targets: certs.Targets{Validating: []string{"hooks"}, Mutating: []string{"hooks"}},
		Now:     w.time,
		Log:     slog.New(slog.DiscardHandler),
	}
}

func (w *world) issuer() *certs.Issuer {
	w.t.Helper()
	i, err := certs.NewIssuer(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *world) sync(i *certs.Issuer) {
	w.t.Helper()
	if _, err := i.Sync(context.Background()); err != nil {
		w.t.Fatalf("at %s: %v", w.time(), err)
	}
}

func (w *world) secret() *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "system", Name: "tls"}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// bundles returns the caBundle of each webhook.
func (w *world) bundles() [][]byte {
	w.t.Helper()
	v, m := &admissionv1.ValidatingWebhookConfiguration{}, &admissionv1.MutatingWebhookConfiguration{}
	for _, o := range []client.Object{v, m} {
		if err := w.client.Get(context.Background(), client.ObjectKey{Name: "hooks"}, o); err != nil {
			w.t.Fatal(err)
		}
	}
	all := [][]byte{m.Webhooks[0].ClientConfig.CABundle}
	for _, h := range v.Webhooks {
		all = append(all, h.ClientConfig.CABundle)
	}
	return all
}

func hooks() []client.Object {
	fail := admissionv1.Fail
	return []client.Object{
		&admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "hooks", Labels: map[string]string{"kept": "yes"}},
			Webhooks: []admissionv1.ValidatingWebhook{
				{Name: "a.example.org", FailurePolicy: &fail, ClientConfig: admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1/a")}},
				{Name: "b.example.org", ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte("old")}},
			},
		},
		&admissionv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "hooks"},
			Webhooks:   []admissionv1.MutatingWebhook{{Name: "m.example.org"}},
		},
	}
}

// call does what the API server does: a handshake, trusting bundle only.
func call(i *certs.Issuer, bundle []byte, now time.Time) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("no authority in the bundle")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = tls.Server(conn, &tls.Config{GetCertificate: i.GetCertificate}).Handshake()
			conn.Close()
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	err = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: serverName, Time: func() time.Time { return now }}).Handshake()
	conn.Close()
	return errors.Join(err, <-served)
}

func TestFirst(t *testing.T) {
	w := newWorld(t, hooks()...)
	i := w.issuer()
	if i.Ready(w.time()) == nil {
		t.Error("ready before there is a certificate")
	}
	if _, err := i.GetCertificate(nil); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no certificate: %v", err)
	}
	w.sync(i)
	if err := i.Ready(w.time()); err != nil {
		t.Error(err)
	}
	if got := i.Expires().Sub(w.time()); got.Round(time.Minute) != certs.DefaultLife {
		t.Errorf("valid for %s", got)
	}
	s := w.secret()
	if s.Type != corev1.SecretTypeTLS || len(s.Data["tls.crt"]) == 0 || len(s.Data["tls.key"]) == 0 || len(s.Data["ca.key"]) == 0 {
		t.Errorf("Secret is %s with %d keys", s.Type, len(s.Data))
	}
	for n, b := range w.bundles() {
		if !bytes.Equal(b, s.Data["ca.crt"]) {
			t.Errorf("webhook %d trusts %q", n, b)
		}
		if err := call(i, b, w.time().Add(-30*time.Minute)); err != nil {
			t.Errorf("a caller whose clock is late: %v", err)
		}
	}
	v := &admissionv1.ValidatingWebhookConfiguration{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: "hooks"}, v); err != nil {
		t.Fatal(err)
	}
	if v.Labels["kept"] != "yes" || *v.Webhooks[0].FailurePolicy != admissionv1.Fail || *v.Webhooks[0].ClientConfig.URL != "https://127.0.0.1/a" {
		t.Errorf("more than the bundle was changed: %+v", v)
	}
	version := w.secret().ResourceVersion + v.ResourceVersion
	w.sync(i)
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: "hooks"}, v); err != nil {
		t.Fatal(err)
	}
	if w.secret().ResourceVersion+v.ResourceVersion != version {
		t.Error("written again without need")
	}
}

// Two and a half years go by. At every moment the API server, which may have
// heard of the last change up to 40 minutes late, can call each of the replicas,
// of which one is slow to notice.
func TestRotation(t *testing.T) {
	w := newWorld(t, hooks()...)
	quick, slow := w.issuer(), w.issuer()
	w.sync(quick)
	w.sync(slow)
	type heard struct {
		at     time.Time
		bundle []byte
	}
	history := []heard{{w.time(), w.bundles()[0]}}
	authorities, leaves := map[string]bool{}, map[string]bool{}
	end := w.time().Add(900 * 24 * time.Hour)
	hurry := 0
	for n := 0; w.time().Before(end); n++ {
		w.forward(24 * time.Hour)
		if hurry--; hurry > 0 {
			w.forward(10*time.Minute - 24*time.Hour)
		}
		w.sync(quick)
		if n%5 == 0 {
			w.sync(slow)
		}
		last := history[len(history)-1]
		if now := w.bundles()[0]; !bytes.Equal(now, last.bundle) {
			history, hurry = append(history, heard{w.time(), now}), 20
		}
		late := history[0].bundle
		for _, h := range history {
			if !h.at.After(w.time().Add(-40 * time.Minute)) {
				late = h.bundle
			}
		}
		for name, i := range map[string]*certs.Issuer{"quick": quick, "slow": slow} {
			for kind, bundle := range map[string][]byte{"new": w.bundles()[1], "late": late} {
				if err := call(i, bundle, w.time()); err != nil {
					t.Fatalf("at %s, replica %s, %s bundle: %v", w.time(), name, kind, err)
				}
			}
		}
		s := w.secret()
		authorities[string(firstPEM(s.Data["ca.crt"]))] = true
		leaves[string(s.Data["tls.crt"])] = true
	}
	if len(authorities) != 4 {
		t.Errorf("%d authorities in 900 days, want 4: one every 243 days", len(authorities))
	}
	if len(leaves) < 14 || len(leaves) > 16 {
		t.Errorf("%d certificates in 900 days, want 15: one every 60 days", len(leaves))
	}
	if n := bytes.Count(w.secret().Data["ca.crt"], []byte("BEGIN")); n > 2 {
		t.Errorf("%d authorities are trusted at the end", n)
	}
	if n := bytes.Count(w.secret().Data["ca.key"], []byte("BEGIN")); n != 1 {
		t.Errorf("%d authorities can sign at the end", n)
	}
}

func firstPEM(b []byte) []byte {
	first, _, _ := bytes.Cut(b, []byte("-----END"))
	return first
}

// However many replicas start at once, they agree on one authority.
func TestRace(t *testing.T) {
	for range 20 {
		w := newWorld(t, hooks()...)
		replicas := make([]*certs.Issuer, 5)
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range replicas {
			replicas[n] = w.issuer()
			all.Go(func() {
				<-start
				if _, err := replicas[n].Sync(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		s := w.secret()
		for n, i := range replicas {
			c, err := i.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if block := firstPEM(s.Data["tls.crt"]); !bytes.HasPrefix(pemOf(c), block) {
				t.Errorf("replica %d serves another certificate", n)
			}
			if err := call(i, w.bundles()[0], w.time()); err != nil {
				t.Errorf("replica %d: %v", n, err)
			}
		}
	}
}

func TestBadSecret(t *testing.T) {
	good := newWorld(t, hooks()...)
	good.sync(good.issuer())
	data := good.secret().Data
	other := newWorld(t, hooks()...)
	other.sync(other.issuer())
	for _, test := range []struct {
		name   string
		change func(map[string][]byte)
		keepCA bool
	}{
		{"garbage", func(d map[string][]byte) { d["tls.crt"], d["ca.crt"] = []byte("garbage"), []byte("garbage") }, false},
		{"empty", func(d map[string][]byte) { clear(d); d["tls.crt"], d["tls.key"] = []byte{}, []byte{} }, false},
		{"certificate cut", func(d map[string][]byte) { d["tls.crt"] = d["tls.crt"][:len(d["tls.crt"])/2] }, true},
		{"another's key", func(d map[string][]byte) { d["tls.key"] = other.secret().Data["tls.key"] }, true},
		{"another's certificate", func(d map[string][]byte) {
			d["tls.crt"], d["tls.key"] = other.secret().Data["tls.crt"], other.secret().Data["tls.key"]
		}, true},
		{"no authority's key", func(d map[string][]byte) { delete(d, "ca.key") }, false},
		{"huge", func(d map[string][]byte) { d["ca.crt"] = bytes.Repeat([]byte("x"), 1<<20) }, false},
		{"authority is none", func(d map[string][]byte) { d["ca.crt"], d["ca.key"] = d["tls.crt"], d["tls.key"] }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad := map[string][]byte{"mine": []byte("kept")}
			for k, v := range data {
				bad[k] = slices.Clone(v)
			}
			test.change(bad)
			w := newWorld(t, append(hooks(), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "tls"}, Type: corev1.SecretTypeOpaque, Data: bad})...)
			i := w.issuer()
			w.sync(i)
			if err := call(i, w.bundles()[0], w.time()); err != nil {
				t.Error(err)
			}
			if kept := bytes.Contains(w.secret().Data["ca.crt"], firstPEM(data["ca.crt"])); test.keepCA && !kept {
				t.Error("a good authority was thrown away")
			}
		})
	}
}

// A replica that was away until all has expired, or that finds what one with a
// wrong clock made, starts anew.
func TestWrongTimes(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"certificate expired": 100 * 24 * time.Hour,
		"all expired":         400 * 24 * time.Hour,
		"from the future":     -400 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, hooks()...)
			i := w.issuer()
			w.sync(i)
			w.forward(jump)
			if jump > 0 && i.Ready(w.time()) == nil {
				t.Error("ready with an expired certificate")
			}
			if err := call(i, w.bundles()[0], w.time()); err == nil {
				t.Fatal("the certificate is valid: the test tests nothing")
			}
			w.sync(i)
			if err := errors.Join(i.Ready(w.time()), call(i, w.bundles()[0], w.time())); err != nil {
				t.Error(err)
			}
		})
	}
}

// Replicas of two releases that want different names settle on one certificate.
func TestNames(t *testing.T) {
	w := newWorld(t, hooks()...)
	old := w.issuer()
	opt := w.options()
	opt.Names = certs.Names{DNS: []string{"new.system.svc"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	next, err := certs.NewIssuer(opt)
	if err != nil {
		t.Fatal(err)
	}
	w.sync(old)
	w.sync(next)
	both := w.secret().ResourceVersion
	w.sync(old)
	w.sync(next)
	if w.secret().ResourceVersion != both {
		t.Error("they take turns")
	}
	c, err := old.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{serverName, "new.system.svc", "127.0.0.1"} {
		if err := c.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

// Without the right to change the configurations certificates are renewed all the
// same, but no authority signs that nobody has been told of.
func TestNotTold(t *testing.T) {
	w := newWorld(t, hooks()...)
	i := w.issuer()
	w.sync(i)
	told := w.bundles()[0]
	opt := w.options()
	opt.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, "hooks", errors.New("no"))
		},
	})
	mute, err := certs.NewIssuer(opt)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for range 350 {
		w.forward(24 * time.Hour)
		_, last = mute.Sync(t.Context())
		if err := call(mute, told, w.time()); err != nil {
			t.Fatalf("at %s: %v", w.time(), err)
		}
	}
	if fault.CodeOf(last) != fault.Denied || fault.HintOf(last) == "" {
		t.Errorf("got %v, want that it is denied, and a hint", last)
	}
}

// While the API server does not answer, what is served is served on.
func TestServerAway(t *testing.T) {
	w := newWorld(t, hooks()...)
	away := false
	opt := w.options()
	opt.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if away {
				return apierrors.NewServiceUnavailable("restarting")
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	i, err := certs.NewIssuer(opt)
	if err != nil {
		t.Fatal(err)
	}
	w.sync(i)
	away = true
	if _, err := i.Sync(t.Context()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := call(i, w.bundles()[0], w.time()); err != nil {
		t.Error(err)
	}
}

// Run notices what others change, at once.
func TestRun(t *testing.T) {
	w := newWorld(t, hooks()...)
	w.now.Store(time.Now().UnixNano())
	i := w.issuer()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	eventually(t, "the first certificate", func() error { return i.Ready(w.time()) })
	eventually(t, "the authority to be known", func() error { return call(i, w.bundles()[0], w.time()) })

	// Somebody applies the configuration without the bundle.
	v := &admissionv1.ValidatingWebhookConfiguration{}
	if err := w.client.Get(ctx, client.ObjectKey{Name: "hooks"}, v); err != nil {
		t.Fatal(err)
	}
	v.Webhooks[0].ClientConfig.CABundle = nil
	if err := w.client.Update(ctx, v); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bundle to come back", func() error { return call(i, w.bundles()[1], w.time()) })

	// Somebody deletes the Secret; the new one is served.
	before := i.Expires()
	w.forward(time.Minute)
	if err := w.client.Delete(ctx, w.secret()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new certificate", func() error {
		if !i.Expires().After(before) {
			return errors.New("the old one is served")
		}
		return call(i, w.bundles()[0], w.time())
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	w := newWorld(t)
	opt := w.options()
	opt.CALife, opt.Life = time.Hour, 30*time.Minute
	if _, err := certs.NewIssuer(opt); fault.CodeOf(err) != fault.Usage {
		t.Errorf("an authority that is too short: %v", err)
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("waiting for %s: %v", what, err)
}

func pemOf(c *tls.Certificate) []byte {
	return encodePEM(c.Certificate[0])
}
