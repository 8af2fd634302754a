package route

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	pathpkg "path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/proxy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// link is one entry of a GOPROXY list.
type link struct {
	upstream.Source
	// onAnyError lets the next entry try after every error, not only NotFound.
	onAnyError bool
	// direct errors tell more than those of proxies.
	direct bool
}

// chain asks its entries one after the other, as the go command does with those
// of GOPROXY (cmd/go/internal/modfetch.TryProxies).
type chain []link

// builder makes the entries of chains.
type builder struct {
	logins  *credential.Logins
	proxies *proxy.Client
	// direct returns the one source for all lists.
	direct func() (upstream.Source, error)
}

// chain reads a list in the syntax of GOPROXY.
func (b *builder) chain(list string) (chain, error) {
	var links chain
	for rest := list; rest != ""; {
		entry, onAnyError := rest, false
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			entry, onAnyError, rest = rest[:i], rest[i] == '|', rest[i+1:]
		} else {
			rest = ""
		}
		switch entry = strings.TrimSpace(entry); entry {
		case "":
			continue
		case "off":
			return append(links, link{Source: off{}}), nil
		case "direct":
			source, err := b.direct()
			if err != nil {
				return nil, err
			}
			return append(links, link{Source: source, direct: true}), nil
		}
		source, err := b.proxy(entry)
		if err != nil {
			return nil, err
		}
		links = append(links, link{Source: source, onAnyError: onAnyError})
	}
	if len(links) == 0 {
		return nil, &fault.Error{Code: fault.Usage, Op: "read the upstreams", Input: fmt.Sprintf("%q", list), Err: errors.New("the list has no entries"),
			Hint: `list URLs of module proxies, "direct" or "off", as in GOPROXY`}
	}
	return links, nil
}

// proxy returns the source of a URL, which may lack its scheme as in GOPROXY.
func (b *builder) proxy(entry string) (upstream.Source, error) {
	if strings.ContainsAny(entry, ".:/") && !strings.Contains(entry, ":/") && !filepath.IsAbs(entry) && !pathpkg.IsAbs(entry) {
		entry = "https://" + entry
	}
	base, err := url.Parse(entry)
	if err != nil {
		// The reason of url.Parse has the whole text, and with it a password.
		return nil, upstreamFault("an entry of the list", errors.New("it is not a valid URL"))
	}
	bare := *base
	bare.User = nil
	shown := bare.String()
	switch {
	case base.Scheme == "file" && (base.Host != "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil || base.Path == ""):
		return nil, upstreamFault(shown, errors.New("a file URL has a path and nothing else"))
	case base.Scheme == "file":
		return b.proxies.Directory(base), nil
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, upstreamFault(shown, errors.New("its scheme is not https, http or file"))
	case base.Host == "" || base.Opaque != "":
		return nil, upstreamFault(shown, errors.New("it names no host"))
	case base.RawQuery != "" || base.Fragment != "":
		return nil, upstreamFault(shown, errors.New("it has a query or a fragment"))
	}
	authorization, err := b.logins.Upstream(base)
	if err != nil {
		return nil, err
	}
	return b.proxies.Source(&bare, authorization), nil
}

func upstreamFault(shown string, err error) error {
	return &fault.Error{Code: fault.Usage, Op: "use the upstream", Input: shown, Err: err,
		Hint: `list URLs of module proxies, "direct" or "off", as in GOPROXY`}
}

// How much an error says, lowest first.
const (
	notFoundRank = iota
	proxyRank
	directRank
)

// try calls f with each entry until one succeeds, or fails in a way that ends
// the list. It returns the error that says most.
func try[T any](c chain, f func(upstream.Source) (T, error)) (T, error) {
	var none T
	var best error
	rank := notFoundRank
	for _, l := range c {
		value, err := f(l.Source)
		if err == nil {
			return value, nil
		}
		notFound := fault.CodeOf(err) == fault.NotFound
		switch {
		case l.direct:
			best, rank = err, directRank
		case rank <= proxyRank && !notFound:
			best, rank = err, proxyRank
		case rank == notFoundRank:
			best = err
		}
		if !l.onAnyError && !notFound {
			break
		}
	}
	return none, best
}

func (c chain) Versions(ctx context.Context, path string) ([]string, error) {
	return try(c, func(s upstream.Source) ([]string, error) { return s.Versions(ctx, path) })
}

func (c chain) Latest(ctx context.Context, path string) ([]byte, error) {
	return try(c, func(s upstream.Source) ([]byte, error) { return s.Latest(ctx, path) })
}

func (c chain) Info(ctx context.Context, path, query string) ([]byte, error) {
	return try(c, func(s upstream.Source) ([]byte, error) { return s.Info(ctx, path, query) })
}

func (c chain) Mod(ctx context.Context, m module.Version) ([]byte, error) {
	return try(c, func(s upstream.Source) ([]byte, error) { return s.Mod(ctx, m) })
}

func (c chain) Fetch(ctx context.Context, m module.Version, dir string, known upstream.Known) (*upstream.Download, error) {
	return try(c, func(s upstream.Source) (*upstream.Download, error) { return s.Fetch(ctx, m, dir, known) })
}

// off is the entry "off": it has nothing.
type off struct{}

func (off) refuse(what string) error {
	return &fault.Error{Code: fault.NotFound, Op: "get", Input: what, Err: errors.New("the list of upstreams ends with off")}
}

func (o off) Versions(_ context.Context, path string) ([]string, error) { return nil, o.refuse(path) }
func (o off) Latest(_ context.Context, path string) ([]byte, error)     { return nil, o.refuse(path) }

func (o off) Info(_ context.Context, path, query string) ([]byte, error) {
	return nil, o.refuse(path + "@" + query)
}

func (o off) Mod(_ context.Context, m module.Version) ([]byte, error) {
	return nil, o.refuse(m.String())
}

func (o off) Fetch(_ context.Context, m module.Version, _ string, _ upstream.Known) (*upstream.Download, error) {
	return nil, o.refuse(m.String())
}
