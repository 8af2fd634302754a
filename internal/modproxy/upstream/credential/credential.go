// Package credential finds the credentials for module proxies and version control,
// in environment variables and the netrc file, and hands them to git and the go
// command.
package credential

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The variables with credentials begin with these and end with EnvHost of the
// host that they are for. A token is sent as a bearer token to a module proxy; with
// a user, and always to git, both are sent as basic authentication.
const (
	UpstreamTokenVar = "GOPHERWOOD_UPSTREAM_TOKEN_"
	UpstreamUserVar  = "GOPHERWOOD_UPSTREAM_USER_"
	GitTokenVar      = "GOPHERWOOD_GIT_TOKEN_"
	GitUserVar       = "GOPHERWOOD_GIT_USER_"
)

// defaultGitUser is the user's name where there is a token only: GitHub, GitLab,
// Gitea and Bitbucket take any or this one.
const defaultGitUser = "oauth2"

// EnvHost writes a host as the names of environment variables have it: in upper
// case, "." as "_", "-" as "__", and ":" before a port as "___". No two hosts
// have one name, so that a token is for one host only. It returns "" for what is
// no host's name.
func EnvHost(host string) string {
	if !validHost(host) {
		return ""
	}
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "__", ":", "___").Replace(host))
}

// hostOfEnv is the inverse of EnvHost.
func hostOfEnv(name string) (string, bool) {
	var host strings.Builder
	for i := 0; i < len(name); {
		run := 0
		for i+run < len(name) && name[i+run] == '_' {
			run++
		}
		switch {
		case run == 0:
			host.WriteByte(name[i])
			run = 1
		case run == 1:
			host.WriteByte('.')
		case run == 3:
			host.WriteByte(':')
		default:
			host.WriteString(strings.Repeat("-", run/2))
		}
		i += run
	}
	found := strings.ToLower(host.String())
	return found, found != "" && EnvHost(found) == name
}

// hostPattern is a name of letters, digits and hyphens in dots, or an IPv4
// address, with or without a port.
var hostPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?$`)

func validHost(host string) bool {
	return len(host) <= 260 && hostPattern.MatchString(host)
}

// Login is what one host wants to know.
type Login struct{ User, Password string }

// Basic is the Authorization header of basic authentication.
func (l Login) Basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(l.User+":"+l.Password))
}

// Logins are the credentials in an environment, and in the netrc file that it
// names. They are read once.
type Logins struct {
	env   map[string]string
	netrc map[string]Login
	// named says that NETRC names the file: git does not know that variable.
	named bool
}

// Read reads the credentials that env ("NAME=value") gives.
func Read(env []string) (*Logins, error) {
	l := &Logins{env: map[string]string{}, netrc: map[string]Login{}}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		l.env[name] = value
	}
	l.named = l.env["NETRC"] != ""
	path := netrcPath(l.env)
	if path == "" {
		return l, nil
	}
	data, err := readNetrc(path)
	if fault.CodeOf(err) == fault.NotFound {
		return l, nil
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: "the netrc file " + path, Err: err}
	}
	l.netrc = parseNetrc(string(data))
	return l, nil
}

// Upstream returns the Authorization header for a module proxy, "" for none.
func (l *Logins) Upstream(u *url.URL) (string, error) {
	header := l.header(u)
	if header != "" && u.Scheme == "http" && !local(u.Hostname()) {
		bare := *u
		bare.User = nil
		return "", &fault.Error{Code: fault.Usage, Op: "use the upstream", Input: bare.String(),
			Err: errors.New("there are credentials for it, and http would send them in the clear"), Hint: "use https"}
	}
	return header, nil
}

func (l *Logins) header(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if password, ok := u.User.Password(); ok || u.User.Username() != "" {
		return Login{u.User.Username(), password}.Basic()
	}
	if name := EnvHost(host); name != "" {
		if token := l.env[UpstreamTokenVar+name]; token != "" {
			if user := l.env[UpstreamUserVar+name]; user != "" {
				return Login{user, token}.Basic()
			}
			return "Bearer " + token
		}
	}
	if found, ok := l.netrc[host]; ok && (u.Scheme == "https" || local(u.Hostname())) {
		return found.Basic()
	}
	return ""
}

// Git returns the credentials for git at a host, which may have a port.
func (l *Logins) Git(host string) (Login, bool) {
	host = strings.ToLower(host)
	if name := EnvHost(host); name != "" {
		if token := l.env[GitTokenVar+name]; token != "" {
			return Login{cmp.Or(l.env[GitUserVar+name], defaultGitUser), token}, true
		}
	}
	found, ok := l.netrc[host]
	return found, ok
}

// GitHosts are the hosts that git is to ask our helper about, sorted: those with
// a token, and those of a netrc file that git would not find.
func (l *Logins) GitHosts() []string {
	var hosts []string
	for name, token := range l.env {
		if suffix, ok := strings.CutPrefix(name, GitTokenVar); ok && token != "" {
			if host, ok := hostOfEnv(suffix); ok {
				hosts = append(hosts, host)
			}
		}
	}
	if l.named {
		for host := range l.netrc {
			if validHost(host) {
				hosts = append(hosts, host)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Check finds variables with credentials that are for no host, so that a slip in
// a name does not go unseen, and values that no header can have.
func (l *Logins) Check() error {
	for name, value := range l.env {
		for _, prefix := range []string{UpstreamTokenVar, UpstreamUserVar, GitTokenVar, GitUserVar} {
			suffix, ok := strings.CutPrefix(name, prefix)
			if !ok {
				continue
			}
			if _, valid := hostOfEnv(suffix); !valid {
				return &fault.Error{Code: fault.Usage, Op: "read the variable", Input: name, Err: errors.New("its name ends with no host"),
					Hint: `write the host in upper case, "." as "_", "-" as "__", and ":" before a port as "___"`}
			}
			if strings.ContainsFunc(value, unicode.IsControl) {
				return &fault.Error{Code: fault.Usage, Op: "read the variable", Input: name, Err: errors.New("its value has a line break or another control character")}
			}
		}
	}
	return nil
}

// Secrets are the values that no message may have. In netrc files, some hosts'
// tokens stand in the place of the user's name: those are long.
func (l *Logins) Secrets() []string {
	const longName, shortSecret = 16, 4
	var found []string
	for name, value := range l.env {
		if strings.HasPrefix(name, GitTokenVar) || strings.HasPrefix(name, UpstreamTokenVar) {
			found = append(found, value)
		}
	}
	for _, entry := range l.netrc {
		found = append(found, entry.Password)
		if len(entry.User) >= longName {
			found = append(found, entry.User)
		}
	}
	return slices.DeleteFunc(found, func(s string) bool { return len(s) < shortSecret })
}

// local reports whether a host is this machine, to which a connection in the
// clear has no one to listen.
func local(hostname string) bool {
	if hostname == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(hostname)
	return err == nil && addr.Unmap().IsLoopback()
}
