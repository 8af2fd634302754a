package modproxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// runner is a server that runs.
type runner struct {
	url, admin string
	log        *buffer
	cancel     context.CancelFunc
	ended      chan error
	once       sync.Once
	err        error
}

// start runs a server until the test ends, or stop is called.
func start(t *testing.T, opt modproxy.RunOptions) *runner {
	t.Helper()
	r := &runner{log: &buffer{}, ended: make(chan error, 1)}
	opt.Log = slog.New(slog.NewJSONHandler(r.log, nil))
	opt.Listen = "127.0.0.1:0"
	if opt.Metrics == nil {
		opt.Metrics = modproxy.NewMetrics("v1.2.3")
	}
	started := make(chan struct{})
	opt.Started = func(listen, admin net.Addr) {
		scheme := "http://"
		if opt.TLS != nil {
			scheme = "https://"
		}
		r.url = scheme + listen.String()
		if admin != nil {
			r.admin = "http://" + admin.String()
		}
		close(started)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.cancel = cancel
	go func() { r.ended <- modproxy.Run(ctx, opt) }()
	t.Cleanup(func() { _ = r.stop() })
	select {
	case <-started:
	case err := <-r.ended:
		t.Fatal(err)
	}
	return r
}

// stop ends the server and returns what Run does.
func (r *runner) stop() error {
	r.once.Do(func() {
		r.cancel()
		r.err = <-r.ended
	})
	return r.err
}

func TestHealth(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	for _, admin := range []string{"", "127.0.0.1:0"} {
		r := start(t, modproxy.RunOptions{Handler: p.server, Metrics: modproxy.NewMetrics("v1"), Admin: admin})
		at, elsewhere := r.url, ""
		if admin != "" {
			at, elsewhere = r.admin, r.url
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			if got := get(t, at+path); got.status != 200 || got.body == "" {
				t.Errorf("%s: %d %q", path, got.status, got.body)
			}
			if elsewhere != "" && get(t, elsewhere+path).status != 404 {
				t.Errorf("%s is not only at --admin", path)
			}
		}
		if got := get(t, r.url+"/"+lib+"/@v/list"); got.status != 200 {
			t.Errorf("%d", got.status)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestDrain stops a server with a request under way: /readyz fails first, new
// requests are answered for a while, and the one that has begun gets its answer.
func TestDrain(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	p.up.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/v1.1.0.zip") {
			asked <- struct{}{}
			<-hold
		}
		return false
	})
	drained := make(chan struct{})
	r := start(t, modproxy.RunOptions{Handler: p.server, DrainDelay: 300 * time.Millisecond, DrainLimit: 10 * time.Second,
		Drain: func(ctx context.Context) { close(drained); _ = p.mirror.Close(ctx) }})
	slow := make(chan reply, 1)
	go func() { slow <- get(t, r.url+"/"+lib+"/@v/v1.1.0.zip") }()
	<-asked
	r.cancel()
	await(t, "/readyz to fail", func() bool { return get(t, r.url+"/readyz").status == 503 })
	if got := get(t, r.url+"/healthz"); got.status != 200 {
		t.Errorf("/healthz: %d", got.status)
	}
	if got := get(t, r.url+"/"+lib+"/@v/v1.0.0.info"); got.status != 200 {
		t.Errorf("a request while draining: %d", got.status)
	}
	await(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case <-drained:
		t.Error("the mirror is closed under a request")
	default:
	}
	close(hold)
	if got := <-slow; got.status != 200 || len(got.body) == 0 {
		t.Errorf("the request that had begun: %d", got.status)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	<-drained
}

// TestDrainLimit stops a server whose request does not end.
func TestDrainLimit(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	hold, asked := make(chan struct{}), make(chan struct{}, 10)
	p.up.Hook(func(http.ResponseWriter, *http.Request) bool { asked <- struct{}{}; <-hold; return false })
	r := start(t, modproxy.RunOptions{Handler: p.server, DrainLimit: 50 * time.Millisecond})
	go func() {
		resp, err := http.Get(r.url + "/" + lib + "/@v/v1.1.0.zip")
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	err := r.stop()
	close(hold)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("%v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, opt := range []modproxy.RunOptions{{Listen: l.Addr().String()}, {Listen: "127.0.0.1:0", Admin: l.Addr().String()}} {
		opt.Handler, opt.Metrics, opt.Log = modproxy.NewServer(modproxy.Options{}), modproxy.NewMetrics("v1"), slog.New(slog.DiscardHandler)
		if err := modproxy.Run(t.Context(), opt); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("%v", err)
		}
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make(name, nil)
	return a
}

// make writes NAME.pem and NAME-key.pem.
func (a *authority) make(name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if a.cert == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		parent, signer = a.cert, a.key
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// client returns a client that trusts a, and presents the certificate called name.
func (a *authority) client(name string) *http.Client {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.cert)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+"-key.pem"))
		if err != nil {
			a.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	a.t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestTLS serves HTTP/2 over TLS, also the zips.
func TestTLS(t *testing.T) {
	p := newProxy(t, nil)
	p.fill(t)
	a := newAuthority(t, "ca")
	a.make("server", nil)
	r := start(t, modproxy.RunOptions{Handler: p.server, TLS: &modproxy.TLSFiles{Certificate: a.file("server.pem"), Key: a.file("server-key.pem")}})
	for _, path := range []string{"/" + lib + "/@v/list", "/" + lib + "/@v/v1.0.0.zip", "/readyz"} {
		resp, err := a.client("").Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || len(body) == 0 || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s %s, %v", path, resp.Proto, resp.Status, err)
		}
	}
}

// TestClientCertificates lets certificates say who asks.
func TestClientCertificates(t *testing.T) {
	a := newAuthority(t, "ca")
	a.make("server", nil)
	a.make("builder", nil)
	strange := newAuthority(t, "strange")
	strange.make("builder", nil)
	access := write(t, "access.yaml", `schemaVersion: gopherwood/v1
kind: ModuleAccess
certificates: [{name: builders, commonName: build*, read: [corp.example.com]}]
`)
	p := newProxy(t, func(s *settings) { s.server.Access = open(t, access) })
	p.fill(t)
	status := func(c *http.Client, url string) int {
		t.Helper()
		resp, err := c.Get(url)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	stranger := a.client("")
	pair, err := tls.LoadX509KeyPair(strange.file("builder.pem"), strange.file("builder-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	config := stranger.Transport.(*http.Transport).TLSClientConfig
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	for require, want := range map[bool][3]int{false: {200, 401, 0}, true: {200, 0, 0}} {
		r := start(t, modproxy.RunOptions{Handler: p.server, TLS: &modproxy.TLSFiles{
			Certificate: a.file("server.pem"), Key: a.file("server-key.pem"), ClientCA: a.file("ca.pem"), RequireClient: require,
		}})
		url := r.url + "/" + lib + "/@v/list"
		if got := [3]int{status(a.client("builder"), url), status(a.client(""), url), status(stranger, url)}; got != want {
			t.Errorf("required %v: %v, want %v", require, got, want)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadCertificates(t *testing.T) {
	a := newAuthority(t, "ca")
	a.make("server", nil)
	a.make("other", nil)
	for name, files := range map[string]modproxy.TLSFiles{
		"no file":        {Certificate: a.file("none.pem"), Key: a.file("server-key.pem")},
		"other key":      {Certificate: a.file("server.pem"), Key: a.file("other-key.pem")},
		"no certificate": {Certificate: a.file("server.pem"), Key: a.file("server-key.pem"), ClientCA: a.file("other-key.pem")},
	} {
		err := modproxy.Run(t.Context(), modproxy.RunOptions{Listen: "127.0.0.1:0", TLS: &files, Log: slog.New(slog.DiscardHandler), Metrics: modproxy.NewMetrics("v1")})
		var f *fault.Error
		if !errors.As(err, &f) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
