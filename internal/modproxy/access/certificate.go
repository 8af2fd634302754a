package access

import (
	"crypto/x509"
	"path"
	"slices"
)

// certificate is a rule about certificates.
type certificate struct {
	rights
	name string
	// patterns must all match, each one of the values that it is about.
	patterns []certificatePattern
}

type certificatePattern struct {
	pattern string
	values  func(*x509.Certificate) []string
}

func commonName(c *x509.Certificate) []string { return []string{c.Subject.CommonName} }
func units(c *x509.Certificate) []string      { return c.Subject.OrganizationalUnit }
func dnsNames(c *x509.Certificate) []string   { return c.DNSNames }
func emails(c *x509.Certificate) []string     { return c.EmailAddresses }

func uris(c *x509.Certificate) []string {
	var all []string
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return all
}

func (c *certificate) match(leaf *x509.Certificate) bool {
	for _, p := range c.patterns {
		matches := func(value string) bool {
			ok, err := path.Match(p.pattern, value)
			return ok && err == nil
		}
		if !slices.ContainsFunc(p.values(leaf), matches) {
			return false
		}
	}
	return len(c.patterns) > 0
}
