package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The keys of the Secret besides those that Kubernetes names.
const (
	caCertKey = "ca.crt"
	caKeyKey  = "ca.key"
)

const (
	// skew is how far back certificates begin, for callers whose clocks are late.
	skew = time.Hour
	// maxPEM is the most that is read of one value of the Secret, in bytes.
	maxPEM = 256 << 10
	// maxAuthorities is how many authorities are kept.
	maxAuthorities = 8
	// maxNames is how many names a certificate takes over from its predecessor.
	maxNames = 32
)

// authority is a certificate authority. The key is nil where it no longer signs.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// material is what the Secret holds.
type material struct {
	authorities []authority // the newest first
	leaf        *x509.Certificate
	key         *ecdsa.PrivateKey
}

// decode reads what is good of a Secret's data, and names the keys of the rest.
func decode(data map[string][]byte) (material, []string) {
	var m material
	var bad []string
	note := func(key string, ok bool) {
		if !ok && len(data[key]) > 0 {
			bad = append(bad, key)
		}
	}
	authorities, ok := parseCertificates(data[caCertKey])
	note(caCertKey, ok)
	keys, ok := parseKeys(data[caKeyKey])
	note(caKeyKey, ok)
	for _, c := range authorities {
		if c.IsCA {
			m.authorities = append(m.authorities, authority{c, keyOf(c, keys)})
		}
	}
	chain, ok := parseCertificates(data[corev1.TLSCertKey])
	note(corev1.TLSCertKey, ok)
	keys, ok = parseKeys(data[corev1.TLSPrivateKeyKey])
	note(corev1.TLSPrivateKeyKey, ok)
	if len(chain) > 0 {
		if m.key = keyOf(chain[0], keys); m.key != nil {
			m.leaf = chain[0]
		}
	}
	return m, bad
}

// encode is the reverse of decode.
func (m material) encode() (map[string][]byte, error) {
	key, err := pemKey(m.key)
	if err != nil {
		return nil, err
	}
	var keys []byte
	for _, a := range m.authorities {
		if a.key == nil {
			continue
		}
		k, err := pemKey(a.key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k...)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pemCertificate(m.leaf),
		corev1.TLSPrivateKeyKey: key,
		caCertKey:               m.bundle(),
		caKeyKey:                keys,
	}, nil
}

// bundle returns what callers must trust, as PEM; empty for nothing.
func (m material) bundle() []byte {
	var b []byte
	for _, a := range m.authorities {
		b = append(b, pemCertificate(a.cert)...)
	}
	return b
}

// serves says whether callers that trust the authorities accept the certificate
// at the time now, for every one of the names.
func (m material) serves(names Names, now time.Time) bool {
	if m.leaf == nil {
		return false
	}
	pool := x509.NewCertPool()
	for _, a := range m.authorities {
		pool.AddCert(a.cert)
	}
	_, err := m.leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil && names.in(m.leaf)
}

// Names are what a certificate is for.
type Names struct {
	DNS []string
	IPs []net.IP
}

func (n Names) in(c *x509.Certificate) bool {
	for _, name := range n.DNS {
		if !slices.Contains(c.DNSNames, name) {
			return false
		}
	}
	for _, ip := range n.IPs {
		if !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

// with adds the names of c, so that replicas that want different names agree on
// one certificate.
func (n Names) with(c *x509.Certificate) Names {
	all := Names{DNS: slices.Clone(n.DNS), IPs: slices.Clone(n.IPs)}
	for _, name := range c.DNSNames {
		if !slices.Contains(all.DNS, name) && len(all.DNS) < maxNames {
			all.DNS = append(all.DNS, name)
		}
	}
	for _, ip := range c.IPAddresses {
		if !slices.ContainsFunc(all.IPs, ip.Equal) && len(all.IPs) < maxNames {
			all.IPs = append(all.IPs, ip)
		}
	}
	return all
}

// newAuthority makes an authority that is valid for life from now.
func newAuthority(now time.Time, life time.Duration) (authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "gopherwood webhook CA " + now.UTC().Format("2006-01-02T15:04:05Z")},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, key, err := create(template, authority{})
	return authority{cert, key}, err
}

// newLeaf makes a serving certificate that is valid for life from now, but no
// longer than its authority.
func newLeaf(now time.Time, life time.Duration, names Names, by authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	end := now.Add(life)
	if end.After(by.cert.NotAfter) {
		end = by.cert.NotAfter
	}
	return create(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "gopherwood webhook"},
		DNSNames:              names.DNS,
		IPAddresses:           names.IPs,
		NotBefore:             now.Add(-skew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, by)
}

// create signs template with a new key by an authority, by itself for none.
func create(template *x509.Certificate, by authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	failed := func(err error) error { return &fault.Error{Code: fault.Internal, Op: "issue certificate", Err: err} }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, failed(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, failed(err)
	}
	parent, signer := by.cert, by.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, failed(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, failed(err)
	}
	return cert, key, nil
}

// renewal returns when a certificate of this package is to be renewed: after two
// thirds of its life.
func renewal(c *x509.Certificate) time.Time {
	issued := c.NotBefore.Add(skew)
	if !issued.Before(c.NotAfter) { // from somewhere else, and short
		issued = c.NotBefore
	}
	return issued.Add(c.NotAfter.Sub(issued) / 3 * 2)
}

// parseCertificates returns the certificates of a PEM file that can be read; ok
// is false when something in it could not, or when there is none.
func parseCertificates(data []byte) (certs []*x509.Certificate, ok bool) {
	ok = eachBlock(data, func(b *pem.Block) bool {
		c, err := x509.ParseCertificate(b.Bytes)
		if b.Type != "CERTIFICATE" || err != nil {
			return false
		}
		certs = append(certs, c)
		return true
	})
	return certs, ok && len(certs) > 0
}

// parseKeys returns the ECDSA keys of a PEM file as parseCertificates does.
func parseKeys(data []byte) (keys []*ecdsa.PrivateKey, ok bool) {
	ok = eachBlock(data, func(b *pem.Block) bool {
		k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
		key, isEC := k.(*ecdsa.PrivateKey)
		if b.Type != "PRIVATE KEY" || err != nil || !isEC {
			return false
		}
		keys = append(keys, key)
		return true
	})
	return keys, ok && len(keys) > 0
}

// eachBlock calls read with the PEM blocks of data, a bounded number of them. It
// says whether data is nothing but blocks that read could read.
func eachBlock(data []byte, read func(*pem.Block) bool) bool {
	if len(data) > maxPEM {
		return false
	}
	ok := true
	for range 4 * maxAuthorities {
		var b *pem.Block
		b, data = pem.Decode(data)
		if b == nil {
			return ok && len(bytes.TrimSpace(data)) == 0
		}
		ok = read(b) && ok
	}
	return ok && len(bytes.TrimSpace(data)) == 0
}

// keyOf returns the key that belongs to c, nil for none.
func keyOf(c *x509.Certificate, keys []*ecdsa.PrivateKey) *ecdsa.PrivateKey {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil
	}
	for _, k := range keys {
		if public.Equal(k.Public()) {
			return k
		}
	}
	return nil
}

func pemCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func pemKey(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "encode key", Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
