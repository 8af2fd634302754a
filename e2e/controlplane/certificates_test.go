//go:build controlplane || e2e

package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// signed is a certificate and its key.
type signed struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes an authority, or a certificate for the webhook that by signs.
func issue(t *testing.T, by *signed, begins, ends time.Time) signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("e2e %d", serial)}, NotBefore: begins, NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		service := webhookName + "." + systemNamespace
		c.DNSNames = []string{service + ".svc", service, service + ".svc.cluster.local"}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed{c, key}
}

func (s signed) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
}

func (s signed) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// keepCertificate writes an authority and a certificate into the webhook's Secret.
func keepCertificate(t *testing.T, ca, leaf signed) {
	t.Helper()
	secret := certificateSecret(t)
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	maps.Copy(secret.Data, map[string][]byte{
		"ca.crt": ca.certPEM(), "ca.key": ca.keyPEM(t), "tls.crt": leaf.certPEM(), "tls.key": leaf.keyPEM(t),
	})
	if err := lab.api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func certificateSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: webhookName + "-tls"}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

// served returns the certificate that a replica presents, when a caller that
// trusts what the API server trusts accepts it at the time now.
func (r replica) served(t *testing.T, now time.Time) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(configured(t)[0].ClientConfig.CABundle)
	conn, err := tls.Dial("tcp", r.serving, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12, Time: func() time.Time { return now }})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// TestCertificateIssued begins with an empty Secret: the webhook makes everything,
// also for a caller whose clock is late.
func TestCertificateIssued(t *testing.T) {
	secret := certificateSecret(t)
	secret.Data = nil
	requireNoError(t, lab.api.Update(t.Context(), secret), "empty the Secret")
	replicas := startWebhooks(t, 2)
	namespace, fine, bad := strict(t, "issued")
	requireNoError(t, lab.api.Create(t.Context(), pod(namespace, "app", fine)), "pod")
	requireRefused(t, lab.api.Create(t.Context(), pod(namespace, "bad", bad)), "start/interpreter-missing")
	var serials []string
	for i, r := range replicas {
		cert, err := r.served(t, time.Now())
		if err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		serials = append(serials, cert.SerialNumber.Text(16))
		if _, err := r.served(t, time.Now().Add(-30*time.Minute)); err != nil {
			t.Errorf("a caller whose clock is 30 minutes late does not accept replica %d: %v", i, err)
		}
		t.Logf("replica %d: %s, from %s to %s", i, serials[i], cert.NotBefore.Format(time.DateTime), cert.NotAfter.Format(time.DateTime))
	}
	if serials[0] != serials[1] {
		t.Errorf("the replicas serve different certificates: %v", serials)
	}
}

// TestCertificateExpired puts a certificate that has ended in the place of the
// webhook's: before the webhook starts, while it runs, and with an authority that
// nobody knows.
func TestCertificateExpired(t *testing.T) {
	now := time.Now()
	authority := func() signed { return issue(t, nil, now.Add(-time.Hour), now.Add(240*time.Hour)) }
	expired := func(ca signed) signed { return issue(t, &ca, now.Add(-2*time.Hour), now.Add(-time.Second)) }
	ca := authority()
	keepCertificate(t, ca, expired(ca))
	begin := time.Now()
	r := startWebhooks(t, 1)[0]
	t.Logf("with an expired certificate the webhook was ready after %v", time.Since(begin).Round(time.Millisecond))
	namespace, fine, bad := strict(t, "expired")

	replaced := func(ca signed) {
		t.Helper()
		leaf := expired(ca)
		keepCertificate(t, ca, leaf)
		until(t, 20*time.Second, "the certificate is replaced while it is served", func() error {
			cert, err := r.served(t, time.Now())
			if err == nil && bytes.Equal(certificateSecret(t).Data["tls.crt"], leaf.certPEM()) {
				err = errors.New("it is still in the Secret")
			}
			if err == nil && cert.Issuer.CommonName != ca.cert.Subject.CommonName {
				err = fmt.Errorf("it is from %s", cert.Issuer.CommonName)
			}
			return err
		})
		time.Sleep(500 * time.Millisecond)
	}
	l := startLoad(t, namespace, fine, bad, 30)
	time.Sleep(300 * time.Millisecond)
	replaced(ca)
	l.end(t, "certificate replaced by an expired one").requireNone(t)

	// Who replaces the authority, too, at once breaks what its callers trust; the
	// webhook tells them the new one.
	l = startLoad(t, namespace, fine, bad, 30)
	time.Sleep(300 * time.Millisecond)
	replaced(authority())
	back := time.Now()
	time.Sleep(500 * time.Millisecond)
	for _, a := range l.end(t, "authority replaced by another one").failed {
		if a.at.After(back) {
			t.Errorf("a request failed after the new authority was known: %v", a.err)
		}
	}
}

// TestCertificateRotates has two replicas under load whose certificate, and whose
// authority, are to be renewed: nobody is turned away, and both serve the same.
func TestCertificateRotates(t *testing.T) {
	now := time.Now()
	// Two thirds of the authority's life are over, and in some seconds those of the
	// certificate's. What the webhook makes begins an hour before it was made.
	made := now.Add(-time.Hour)
	ca := issue(t, nil, made.Add(-50*time.Minute), now.Add(20*time.Minute))
	leaf := issue(t, &ca, made.Add(-110*time.Second), now.Add(70*time.Second))
	keepCertificate(t, ca, leaf)
	replicas := startWebhooks(t, 2, "--cert-validity", "1m", "--ca-validity", "3m")
	namespace, fine, bad := strict(t, "rotates")
	l := startLoad(t, namespace, fine, bad, 30)
	begin := time.Now()
	seen := []map[string]bool{{}, {}}
	until(t, 60*time.Second, "both replicas serve a certificate of the new authority", func() error {
		var issuers []string
		for i, r := range replicas {
			cert, err := r.served(t, time.Now())
			if err != nil {
				t.Errorf("replica %d is not accepted: %v", i, err)
				return nil
			}
			seen[i][cert.SerialNumber.Text(16)] = true
			issuers = append(issuers, cert.Issuer.CommonName)
		}
		if issuers[0] == ca.cert.Subject.CommonName || issuers[0] != issuers[1] {
			return fmt.Errorf("they are from %q", issuers)
		}
		return nil
	})
	t.Logf("a new authority signed after %v; certificates seen: %d and %d", time.Since(begin).Round(time.Millisecond), len(seen[0]), len(seen[1]))
	time.Sleep(time.Second)
	l.end(t, "authority and certificate renewed").requireNone(t)
	first, err := replicas[0].served(t, time.Now())
	requireNoError(t, err, "replica 0")
	second, err := replicas[1].served(t, time.Now())
	requireNoError(t, err, "replica 1")
	if first != nil && second != nil && !first.Equal(second) {
		t.Error("the replicas serve different certificates")
	}
}
