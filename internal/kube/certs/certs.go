// Package certs keeps the serving certificate of a webhook: issued by an
// authority of its own that lives in a Secret, or read from a directory that
// something else fills. Either is renewed while connections are served.
//
// The Secret holds what every replica needs, and is the only thing that they
// share:
//
//	tls.crt, tls.key  the serving certificate and its key
//	ca.crt            every authority that callers must trust, the newest first
//	ca.key            the keys of the authorities that may still sign
//
// Whichever replica comes first writes it; the others lose the race by
// optimistic concurrency and read it. No replica leads.
//
// An authority is renewed after two thirds of its life. The new one is first only
// made known: it stands in ca.crt and in the webhook configurations, while
// serving certificates are still signed by the old one. It signs when callers have
// had time to learn of it, and the old one stays trusted until it expires. So at
// every moment a caller that trusts what was last made known can call a replica
// that serves what it last read.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Serving holds the certificate that is served now. It is safe for concurrent
// use. The zero value has none.
type Serving struct {
	current atomic.Pointer[tls.Certificate]
}

// GetCertificate is for tls.Config: every handshake gets the newest certificate.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := s.current.Load()
	if c == nil {
		return nil, errNone
	}
	return c, nil
}

// Expires returns when the certificate that is served ends, zero for none.
func (s *Serving) Expires() time.Time {
	c := s.current.Load()
	if c == nil {
		return time.Time{}
	}
	return c.Leaf.NotAfter
}

// Ready returns an error while there is no certificate that callers can accept
// at the time now.
func (s *Serving) Ready(now time.Time) error {
	c := s.current.Load()
	switch {
	case c == nil:
		return errNone
	case now.After(c.Leaf.NotAfter):
		return &fault.Error{Code: fault.Unavailable, Op: "serve",
			Err: errors.New("the certificate ended at " + c.Leaf.NotAfter.UTC().Format(time.RFC3339))}
	}
	return nil
}

// set serves chain from now on, and says whether that is another one.
func (s *Serving) set(chain []*x509.Certificate, key any) bool {
	next := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		next.Certificate = append(next.Certificate, c.Raw)
	}
	last := s.current.Swap(next)
	return last == nil || !last.Leaf.Equal(next.Leaf)
}

var errNone = &fault.Error{Code: fault.Unavailable, Op: "serve", Err: errors.New("there is no certificate yet")}
