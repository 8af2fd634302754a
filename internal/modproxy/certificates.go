package modproxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// certificates are what the files hold, which are replaced now and then.
type certificates struct {
	files   TLSFiles
	current atomic.Pointer[tls.Config]
	last    []byte // what is in force; only load looks at it
}

// loadCertificates reads the files.
func loadCertificates(files TLSFiles) (*certificates, error) {
	c := &certificates{files: files}
	return c, c.load()
}

// load reads the files again, and puts what they hold in force if it is new.
func (c *certificates) load() error {
	cert, certErr := readPEM(c.files.Certificate)
	key, keyErr := readPEM(c.files.Key)
	authority, caErr := readPEM(c.files.ClientCA)
	if err := errors.Join(certErr, keyErr, caErr); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "read certificate", Err: err}
	}
	all := bytes.Join([][]byte{cert, key, authority}, []byte{0})
	if bytes.Equal(all, c.last) {
		return nil
	}
	config, err := c.parse(cert, key, authority)
	if err != nil {
		return err
	}
	c.current.Store(config)
	c.last = all
	return nil
}

func (c *certificates) parse(cert, key, authority []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "read certificate", Input: c.files.Certificate, Err: err,
			Hint: "name a certificate and its key, both in PEM"}
	}
	config := base()
	config.Certificates = []tls.Certificate{pair}
	if c.files.ClientCA == "" {
		return config, nil
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if c.files.RequireClient {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(authority) {
		return nil, &fault.Error{Code: fault.Invalid, Op: "read certificate", Input: c.files.ClientCA, Err: errors.New("it holds no certificate in PEM")}
	}
	return config, nil
}

func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// config returns a configuration that presents the newest certificate.
func (c *certificates) config() *tls.Config {
	config := base()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return config
}

// maxPEM is how long a file of certificates may be.
const maxPEM = 1 << 20

// readPEM reads a file; that of no name is empty.
func readPEM(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPEM))
}
