package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Dir serves what something else, such as cert-manager, puts into a directory:
// tls.crt and tls.key, as the kubelet mounts a Secret.
type Dir struct {
	Serving

	path string
	log  *slog.Logger
	last []byte // what was read last, good or bad
}

// dirInterval is how often a Dir reads its files. The kubelet itself takes about
// a minute to change them.
const dirInterval = 5 * time.Second

// NewDir returns the certificate in the directory path. It has been read once,
// but need not have been there.
func NewDir(path string, log *slog.Logger) *Dir {
	d := &Dir{path: path, log: log}
	d.Load()
	return d
}

// Run reads the files again whenever they have changed, until ctx ends.
func (d *Dir) Run(ctx context.Context) error {
	tick := time.NewTicker(dirInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.Load()
		}
	}
}

// Load reads the files. What is bad in them is logged, once, and what was served
// before is served on.
func (d *Dir) Load() {
	cert, certErr := readFile(filepath.Join(d.path, corev1.TLSCertKey))
	key, keyErr := readFile(filepath.Join(d.path, corev1.TLSPrivateKeyKey))
	var pair tls.Certificate
	err := certErr
	if err == nil {
		err = keyErr
	}
	if err == nil {
		pair, err = tls.X509KeyPair(cert, key)
	}
	now := bytes.Join([][]byte{cert, key}, []byte{0})
	if err != nil {
		now = append(now, err.Error()...)
	}
	if bytes.Equal(now, d.last) {
		return
	}
	d.last = now
	if err != nil {
		d.log.Error("certificate not read", "error", &fault.Error{Code: fault.Invalid, Op: "read certificate", Input: d.path, Err: err})
		return
	}
	d.current.Store(&pair)
	d.log.Info("certificate in use", "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339), "serial", pair.Leaf.SerialNumber.Text(16))
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPEM))
}
