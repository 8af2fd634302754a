package sumdb

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// knownKeys are the databases whose key need not be given, as in the go command
// (cmd/go/internal/modfetch/key.go).
var knownKeys = map[string]string{
	"sum.golang.org": "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
}

// aliases are other names of known databases, each with its own address.
var aliases = map[string]string{
	"sum.golang.google.cn": "sum.golang.org https://sum.golang.google.cn",
}

// database is what GOSUMDB says.
type database struct {
	// name is the host, and path if any, that the key is for.
	name string
	key  note.Verifier
	// address is where the database is when it is not asked through proxies;
	// only says that it must not be.
	address *url.URL
	only    bool
}

// parseDatabase reads GOSUMDB's syntax: a known name or NAME+ID+KEY, and possibly
// a URL to use instead of proxies and of https://NAME. It returns nil for "off".
func parseDatabase(gosumdb string) (*database, error) {
	if gosumdb == "off" {
		return nil, nil
	}
	if alias := aliases[gosumdb]; alias != "" {
		gosumdb = alias
	}
	fields := strings.Fields(gosumdb)
	if len(fields) == 0 || len(fields) > 2 {
		return nil, nameError(gosumdb, errors.New("want NAME, NAME+KEY, NAME+KEY URL, or off"))
	}
	key := fields[0]
	if known := knownKeys[key]; known != "" {
		key = known
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, nameError(gosumdb, fmt.Errorf("the key: %w", err))
	}
	db := &database{name: verifier.Name(), key: verifier}
	if db.address, err = databaseURL(db.name); err != nil {
		return nil, nameError(gosumdb, err)
	}
	if len(fields) == 2 {
		db.only = true
		if db.address, err = parseURL(fields[1]); err != nil {
			return nil, nameError(fields[0], err)
		}
	}
	return db, nil
}

func nameError(gosumdb string, err error) error {
	return &fault.Error{Code: fault.Usage, Op: "checksum database", Input: gosumdb, Err: err,
		Hint: "give it as GOSUMDB is given; `go env GOSUMDB` prints what the go command uses"}
}

// databaseURL returns https://NAME when the name is a host with at most a path.
func databaseURL(name string) (*url.URL, error) {
	u, err := url.Parse("https://" + name)
	if err != nil || u.Host == "" || !fs.ValidPath(name) || *u != (url.URL{Scheme: "https", Host: u.Host, Path: u.Path}) {
		return nil, fmt.Errorf("the key's name is %q, not a host", name)
	}
	return u, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("a URL in it cannot be read") // and may hold a password
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return nil, fmt.Errorf("%s is no http or https URL", u.Redacted())
	}
	return u, nil
}

// proxy is one entry of GOPROXY that may serve the database.
type proxy struct {
	url *url.URL
	// onError says that any error leads to the next entry, not only that the
	// proxy does not serve the database.
	onError bool
}

// parseProxies reads GOPROXY's syntax up to "direct" or "off", which both mean
// the database itself. Directories (file://) serve no database.
func parseProxies(goproxy string) ([]proxy, error) {
	var list []proxy
	for goproxy != "" {
		entry, sep := goproxy, ""
		if i := strings.IndexAny(goproxy, ",|"); i >= 0 {
			entry, sep, goproxy = goproxy[:i], goproxy[i:i+1], goproxy[i+1:]
		} else {
			goproxy = ""
		}
		entry = strings.TrimSpace(entry)
		switch {
		case entry == "direct" || entry == "off":
			return list, nil
		case entry == "" || strings.HasPrefix(entry, "file:"):
			continue
		case strings.ContainsAny(entry, ".:/") && !strings.Contains(entry, ":/"):
			entry = "https://" + entry
		}
		u, err := parseURL(entry)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "checksum database", Input: "upstreams", Err: err, Hint: "give them as GOPROXY is given"}
		}
		list = append(list, proxy{url: u, onError: sep == "|"})
	}
	return list, nil
}
