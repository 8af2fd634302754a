package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/crypto/bcrypt"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What one document may hold.
const (
	maxUsers        = 10_000
	maxTokens       = 20 // of a user
	maxCertificates = 1_000
	maxPatterns     = 500 // of one list
	// maxCost is the highest cost of a bcrypt hash: about a second.
	maxCost = 14
)

// load compiles an access document; name is the file's name in errors.
func load(name string, data []byte) (*state, error) {
	var file api.ModuleAccess
	doc, err := document.Decode("load module access", name, data, api.KindModuleAccess, &file)
	if err != nil {
		return nil, withoutValues(err)
	}
	c := &compiler{doc: doc, out: &state{users: newUsers()}}
	c.compile(file)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// shownValue is how the decoder shows a value that it did not expect.
var shownValue = regexp.MustCompile(`(?s), got ".*"$`)

// withoutValues returns the decoder's error without values of the document, which
// may be secrets at the wrong place.
func withoutValues(err error) error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for i, one := range all {
		var f *fault.Error
		if errors.As(one, &f) && f.Err != nil {
			plain := *f
			plain.Err = errors.New(shownValue.ReplaceAllString(f.Err.Error(), ", got a text"))
			all[i] = &plain
		}
	}
	return errors.Join(all...)
}

// compiler turns a document into rules and reports what is wrong.
type compiler struct {
	doc *document.Document
	out *state
	// decoyCost is the cost of out.users.decoy.
	decoyCost int
}

func (c *compiler) report(path document.Path, format string, args ...any) {
	c.doc.Report(path, 0, fmt.Sprintf(format, args...))
}

func (c *compiler) compile(file api.ModuleAccess) {
	anonymous := c.rights(document.Path{"anonymous"}, file.Anonymous.Read, file.Anonymous.Except)
	c.out.anonymous = &anonymous
	if c.fits(document.Path{"users"}, len(file.Users), maxUsers) {
		for i, u := range file.Users {
			c.user(document.Path{"users", i}, u)
		}
	}
	if c.fits(document.Path{"certificates"}, len(file.Certificates), maxCertificates) {
		for i, cert := range file.Certificates {
			c.certificate(document.Path{"certificates", i}, cert)
		}
	}
}

func (c *compiler) fits(path document.Path, n, limit int) bool {
	if n > limit {
		c.report(path, "there are %d items, the limit is %d", n, limit)
	}
	return n <= limit
}

func (c *compiler) user(path document.Path, u api.ModuleUser) {
	out := &user{name: u.Name, rights: c.ownRights(path, u.Read, u.Except)}
	c.name(path, u.Name)
	switch {
	case strings.Contains(u.Name, ":"):
		c.report(path.Join("name"), "a name with a colon cannot sign in")
	case c.out.users.byName[u.Name] != nil:
		c.report(path.Join("name"), "user %q is given twice", u.Name)
	}
	if u.Password == "" && len(u.Tokens) == 0 {
		c.report(path, "password or tokens is missing")
	}
	if u.Password != "" {
		out.password = c.password(path.Join("password"), u.Password)
	}
	if c.fits(path.Join("tokens"), len(u.Tokens), maxTokens) {
		for i, t := range u.Tokens {
			c.token(path.Join("tokens", i), t, out)
		}
	}
	c.out.users.byName[u.Name] = out
}

// name checks a name, which goes into logs.
func (c *compiler) name(path document.Path, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		c.report(path, "name is missing")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || len(name) > 256:
		c.report(path.Join("name"), "the name is too long, or has characters that cannot be shown")
	}
}

// bcryptHash is the form of the hashes that htpasswd -B writes.
var bcryptHash = regexp.MustCompile(`^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$`)

func (c *compiler) password(path document.Path, hash string) []byte {
	cost, err := bcrypt.Cost([]byte(hash))
	switch {
	case !bcryptHash.MatchString(hash) || err != nil:
		c.report(path, "the password is no bcrypt hash: htpasswd -nB NAME makes one")
	case cost > maxCost:
		c.report(path, "the bcrypt hash has the cost %d, the limit is %d", cost, maxCost)
	case cost > c.decoyCost:
		c.out.users.decoy, c.decoyCost = []byte(hash), cost
	}
	return []byte(hash)
}

func (c *compiler) token(path document.Path, text string, owner *user) {
	digits, ok := strings.CutPrefix(text, "sha256:")
	sum, err := hex.DecodeString(digits)
	switch {
	case !ok || err != nil || len(sum) != sha256.Size:
		c.report(path, "the token is not of the form sha256: and 64 hexadecimal digits")
		return
	case digest(sum) == sha256.Sum256(nil) || digest(sum) == sha256.Sum256([]byte("\n")):
		c.report(path, "this is the hash of an empty token")
		return
	case c.out.users.byToken[digest(sum)] != nil:
		c.report(path, "the token is given twice")
	}
	owner.tokens = append(owner.tokens, digest(sum))
	c.out.users.byToken[digest(sum)] = owner
}

func (c *compiler) certificate(path document.Path, cert api.ModuleCertificate) {
	out := &certificate{name: cert.Name, rights: c.ownRights(path, cert.Read, cert.Except)}
	c.name(path, cert.Name)
	for _, p := range []struct {
		key, pattern string
		values       func(*x509.Certificate) []string
	}{
		{"commonName", cert.CommonName, commonName},
		{"unit", cert.Unit, units},
		{"dns", cert.DNS, dnsNames},
		{"uri", cert.URI, uris},
		{"email", cert.Email, emails},
	} {
		if p.pattern == "" {
			continue
		}
		if badPattern(p.pattern) {
			c.report(path.Join(p.key), "the pattern has a bracket or a backslash that nothing ends")
		}
		out.patterns = append(out.patterns, certificatePattern{p.pattern, p.values})
	}
	if len(out.patterns) == 0 {
		c.report(path, "nothing is said about the certificate: want commonName, unit, dns, uri or email")
	}
	c.out.certificates = append(c.out.certificates, out)
}

// ownRights are the rights of those who have some.
func (c *compiler) ownRights(path document.Path, read, except []string) rights {
	if len(read) == 0 {
		c.report(path, "read is missing")
	}
	return c.rights(path, read, except)
}

func (c *compiler) rights(path document.Path, read, except []string) rights {
	c.patterns(path.Join("read"), read)
	c.patterns(path.Join("except"), except)
	if len(read) == 0 && len(except) > 0 {
		c.report(path.Join("except"), "there is nothing to take away from: read is missing")
	}
	return rights{strings.Join(read, ","), strings.Join(except, ",")}
}

func (c *compiler) patterns(at document.Path, patterns []string) {
	if !c.fits(at, len(patterns), maxPatterns) {
		return
	}
	for i, p := range patterns {
		switch {
		case strings.Trim(p, "/ ") == "":
			c.report(at.Join(i), "the pattern is empty")
		case strings.ContainsAny(p, ",@: ") || strings.HasPrefix(p, "/"):
			c.report(at.Join(i), "the pattern is none of a module path: want one such as corp.example.com/team or *")
		case badPattern(p):
			c.report(at.Join(i), "the pattern has a bracket or a backslash that nothing ends")
		}
	}
}

func badPattern(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err != nil
}
