package pullsecret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// What one secret may hold: the API server itself takes none of more than 1 MiB.
const (
	maxConfig  = 1 << 20
	maxEntries = 1000
)

// entry is a place with the credentials for it.
type entry struct {
	// place is the host, perhaps with port and path, without a scheme.
	place string
	// labels are the host's, each a pattern.
	labels []string
	port   string
	path   string
	facts.Credentials
}

// config is a Docker configuration, of which pull secrets have one key.
type config struct {
	Auths map[string]auth `json:"auths"`
}

// auth is what a configuration says of one place.
type auth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// parse reads the content of a pull secret: of kubernetes.io/dockerconfigjson, or
// of the older kubernetes.io/dockercfg, which is its auths alone. Errors never
// repeat the content.
func parse(data []byte, whole bool) ([]entry, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("it has more than %d bytes", maxConfig)
	}
	var c config
	var err error
	if whole {
		err = json.Unmarshal(data, &c)
	} else {
		err = json.Unmarshal(data, &c.Auths)
	}
	if err != nil {
		return nil, errors.New("it is no Docker configuration in JSON")
	}
	if len(c.Auths) > maxEntries {
		return nil, fmt.Errorf("it has more than %d registries", maxEntries)
	}
	var entries []entry
	for place, a := range c.Auths {
		e, ok := newEntry(place)
		if !ok {
			continue // the kubelet passes over it, too
		}
		if e.Credentials, err = a.credentials(); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	sortEntries(entries)
	return entries, nil
}

// credentials returns what is told to the registry. The field auth, when it is
// there, stands for user name and password.
func (a auth) credentials() (facts.Credentials, error) {
	c := facts.Credentials{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	field := strings.TrimSpace(a.Auth)
	if field == "" {
		return c, nil
	}
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(field, "=") {
		encoding = base64.StdEncoding
	}
	plain, err := encoding.DecodeString(field)
	if err != nil {
		return c, errors.New("a field auth is not in base64")
	}
	user, password, ok := strings.Cut(string(plain), ":")
	if !ok {
		return c, errors.New("a field auth is not user:password")
	}
	c.Username, c.Password = user, password
	return c, nil
}

// newEntry reads the name of a place: "registry.example", "*.example:5000",
// "registry.example/team", or a URL such as "https://index.docker.io/v1/".
func newEntry(place string) (entry, bool) {
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(place, scheme); ok {
			place = rest
			break
		}
	}
	u, err := url.Parse("https://" + place)
	if err != nil || u.Host == "" {
		return entry{}, false
	}
	// The version of the API that old clients wrote there is no part of a name.
	if strings.HasPrefix(u.Path, "/v2/") || strings.HasPrefix(u.Path, "/v1/") {
		u.Path = u.Path[len("/v2"):]
	}
	if u.Path == "/" {
		u.Path = ""
	}
	e := entry{place: u.Host + u.Path, path: u.Path}
	e.labels, e.port = splitHost(u.Host)
	return e, true
}

// splitHost returns the labels of a host's name and its port.
func splitHost(hostport string) (labels []string, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, ""
	}
	return strings.Split(host, "."), port
}

// sortEntries puts the places in the order in which they are tried: reversed, by
// which longer ones come before their beginnings. What has the same place stays in
// its order.
func sortEntries(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(b.place, a.place) })
}

// defaultHost is the place of Docker Hub's credentials.
const defaultHost = "index.docker.io"

// match returns the credentials for repository, "host[:port]/path", by the rules
// of the kubelet: the port is the same, each label of the host matches its
// pattern, and the path begins with the place's. Docker Hub is found under its old
// name when nothing else matches.
func match(entries []entry, repository string) []facts.Credentials {
	host, rest, _ := strings.Cut(repository, "/")
	labels, port := splitHost(host)
	var found []facts.Credentials
	for _, e := range entries {
		if e.port == port && strings.HasPrefix("/"+rest, e.path) && labelsMatch(e.labels, labels) {
			found = append(found, e.Credentials)
		}
	}
	if len(found) > 0 || host != "docker.io" && host != defaultHost {
		return found
	}
	for _, e := range entries {
		if e.place == defaultHost {
			found = append(found, e.Credentials)
		}
	}
	return found
}

func labelsMatch(patterns, labels []string) bool {
	return slices.EqualFunc(patterns, labels, func(pattern, label string) bool {
		ok, err := path.Match(pattern, label)
		return ok && err == nil
	})
}
