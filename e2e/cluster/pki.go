package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// validity is how long the certificates of a cluster last.
	validity = 2 * 365 * 24 * time.Hour
	// backdate is how far back they begin, for clocks that are not quite equal.
	backdate = time.Hour
)

// authority is a cluster's own certificate authority.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
	now  time.Time
}

// identity is what a certificate stands for.
type identity struct {
	name  string // common name
	group string // organization; empty for none
	hosts []string
	ips   []net.IP
}

// newAuthority creates a certificate authority.
func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(identity{name: "gopherwood cluster"}, now)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: encode("CERTIFICATE", der), now: now}, nil
}

func newTemplate(id identity, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: id.name}
	if id.group != "" {
		subject.Organization = []string{id.group}
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      subject,
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(validity),
		DNSNames:     id.hosts,
		IPAddresses:  id.ips,
	}, nil
}

// pair is a certificate and its key in PEM.
type pair struct{ cert, key []byte }

// issue creates a certificate for both sides of a connection.
func (a *authority) issue(id identity) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template, err := newTemplate(id, a.now)
	if err != nil {
		return pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	private, err := encodeKey(key)
	return pair{encode("CERTIFICATE", der), private}, err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encode("PRIVATE KEY", der), err
}

// write writes NAME.crt and NAME.key into dir.
func (p pair) write(dir, name string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".crt"), p.cert, 0o600),
		os.WriteFile(filepath.Join(dir, name+".key"), p.key, 0o600),
	)
}

// The identities that Kubernetes' own roles are bound to.
func adminIdentity() identity     { return identity{name: "admin", group: "system:masters"} }
func managerIdentity() identity   { return identity{name: "system:kube-controller-manager"} }
func schedulerIdentity() identity { return identity{name: "system:kube-scheduler"} }
func proxyIdentity() identity     { return identity{name: "system:kube-proxy"} }

func nodeIdentity(name string, ip net.IP) identity {
	return identity{name: "system:node:" + name, group: "system:nodes", hosts: []string{name}, ips: []net.IP{ip}}
}

// serverIdentity is the API server's, at address and at the first address of
// the services' range.
func serverIdentity(address net.IP) identity {
	return identity{
		name:  "kube-apiserver",
		hosts: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		ips:   []net.IP{address, net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
	}
}

// pkiDir is what every process of a cluster authenticates with.
type pkiDir struct {
	dir string
	ca  *authority
}

func (d pkiDir) path(name string) string { return filepath.Join(d.dir, name) }

// writePKI writes the authority, the API server's certificates and the key of
// service account tokens into dir.
func writePKI(dir string, address net.IP, now time.Time) (pkiDir, error) {
	d := pkiDir{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return d, err
	}
	var err error
	if d.ca, err = newAuthority(now); err != nil {
		return d, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(d.ca.key)
	if err != nil {
		return d, err
	}
	if err := (pair{d.ca.pem, encode("PRIVATE KEY", private)}).write(dir, "ca"); err != nil {
		return d, err
	}
	for name, id := range map[string]identity{
		"apiserver":         serverIdentity(address),
		"apiserver-kubelet": {name: "apiserver-kubelet", group: "system:masters"},
		"front-proxy":       {name: "front-proxy"},
	} {
		p, err := d.ca.issue(id)
		if err != nil {
			return d, err
		}
		if err := p.write(dir, name); err != nil {
			return d, err
		}
	}
	return d, writeTokenKey(dir)
}

// writeTokenKey writes the key that signs the tokens of service accounts.
func writeTokenKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "sa.key"), private, 0o600),
		os.WriteFile(filepath.Join(dir, "sa.pub"), encode("PUBLIC KEY", public), 0o600),
	)
}

// writeKubeconfig issues a certificate for id and writes a kubeconfig that uses
// it for server. JSON is YAML too.
func (d pkiDir) writeKubeconfig(path, cluster, server string, id identity) (pair, error) {
	p, err := d.ca.issue(id)
	if err != nil {
		return p, err
	}
	type named map[string]any
	data, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []named{{"name": cluster, "cluster": named{
			"server":                     server,
			"certificate-authority-data": base64.StdEncoding.EncodeToString(d.ca.pem),
		}}},
		"users": []named{{"name": cluster, "user": named{
			"client-certificate-data": base64.StdEncoding.EncodeToString(p.cert),
			"client-key-data":         base64.StdEncoding.EncodeToString(p.key),
		}}},
		"contexts":        []named{{"name": cluster, "context": named{"cluster": cluster, "user": cluster}}},
		"current-context": cluster,
	}, "", "  ")
	if err != nil {
		return p, err
	}
	return p, writeAtomically(path, append(data, '\n'), 0o600)
}
