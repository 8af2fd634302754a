package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestPKI(t *testing.T) {
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "pki")
	d, err := writePKI(dir, net.IPv4(10, 64, 0, 1), now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.LoadX509KeyPair(d.path("apiserver.crt"), d.path("apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(d.ca.cert)
	cert, err := x509.ParseCertificate(server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "kubernetes.default.svc", "10.64.0.1", "127.0.0.1", "10.96.0.1"} {
		for _, at := range []time.Time{now.Add(-backdate / 2), now, now.Add(validity - time.Hour)} {
			if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: at}); err != nil {
				t.Errorf("%s at %s: %v", host, at, err)
			}
		}
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: roots}); err == nil {
		t.Error("the certificate is good for any host")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestKubeconfig(t *testing.T) {
	ca, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := pkiDir{dir: t.TempDir(), ca: ca}
	path := d.path("kubeconfig")
	p, err := d.writeKubeconfig(path, "c", "https://127.0.0.1:1", adminIdentity())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: others can read the administrator's key", info.Mode())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			}
		}
		Current string `json:"current-context"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Clusters) != 1 || got.Clusters[0].Cluster.Server != "https://127.0.0.1:1" || string(got.Clusters[0].Cluster.CA) != string(ca.pem) ||
		len(got.Users) != 1 || string(got.Users[0].User.Cert) != string(p.cert) || got.Current != "c" {
		t.Errorf("%s", data)
	}
	if _, err := tls.X509KeyPair(got.Users[0].User.Cert, got.Users[0].User.Key); err != nil {
		t.Error(err)
	}
}
