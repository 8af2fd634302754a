package upstreamtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
)

// login is what a page or a repository wants to know.
type login struct{ user, password string }

// Internet is all that the go command and git can reach: they go through its
// proxy, which knows every host that they ask for, and leads all of them to one
// server.
type Internet struct {
	t     testing.TB
	dir   string
	home  string
	proxy *httptest.Server
	web   *httptest.Server

	mu sync.Mutex
	// pages are documents by host and path. Repositories are at HOST/NAME.git,
	// and those in secret want these credentials.
	pages  map[string]string
	secret map[string]login
	// hosts were asked for; requests reached the server.
	hosts    map[string]bool
	requests []*http.Request
}

// NewInternet returns one that has nothing. It ends with the test.
func NewInternet(t testing.TB) *Internet {
	n := &Internet{t: t, dir: t.TempDir(), home: hometest.New(t), pages: map[string]string{}, secret: map[string]login{}, hosts: map[string]bool{}}
	n.web = httptest.NewUnstartedServer(http.HandlerFunc(n.answer))
	n.web.TLS = &tls.Config{Certificates: []tls.Certificate{n.certificate()}}
	n.web.Config.ErrorLog = log.New(io.Discard, "", 0) // of hosts that it is not
	n.web.StartTLS()
	n.proxy = httptest.NewServer(http.HandlerFunc(n.connect))
	t.Cleanup(n.web.Close)
	t.Cleanup(n.proxy.Close)
	return n
}

// Environ is the environment of somebody who has this internet and no settings.
func (n *Internet) Environ(more ...string) []string {
	return append([]string{
		"HOME=" + n.home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=" + n.proxy.URL, "HTTP_PROXY=" + n.proxy.URL, "NO_PROXY=",
		"SSL_CERT_FILE=" + n.authority(), "GIT_SSL_CAINFO=" + n.authority(),
	}, more...)
}

func (n *Internet) authority() string { return filepath.Join(n.dir, "authority.pem") }

// certificate makes a certificate for all hosts of the tests.
func (n *Internet) certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"corp.example.com", "git.example.com", "other.example.com"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(n.authority(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// connect is the proxy: it notes the host and connects to the server.
func (n *Internet) connect(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	n.mu.Lock()
	n.hosts[host] = true
	n.mu.Unlock()
	if r.Method != http.MethodConnect {
		http.Error(w, "plain HTTP", http.StatusForbidden)
		return
	}
	there, err := net.Dial("tcp", n.web.Listener.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		_ = there.Close()
		return
	}
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, here)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

// answer is the server of all hosts.
func (n *Internet) answer(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.requests = append(n.requests, r)
	page, isPage := n.pages[r.Host+r.URL.Path]
	name, inRepository, isGit := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	secret, locked := n.secret[r.Host+"/"+name]
	n.mu.Unlock()
	user, password, _ := r.BasicAuth()
	if isPage {
		secret, locked = n.secret[r.Host]
	}
	switch {
	case locked && (login{user, password}) != secret:
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case isPage:
		_, _ = io.WriteString(w, page)
	case isGit && inRepository != "":
		(&cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(Run(n.t, "", nil, "git", "--exec-path")), "git-http-backend"),
			Env:  []string{"GIT_PROJECT_ROOT=" + n.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + user},
		}).ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Vanity lets a path say that the modules below prefix are in a repository.
func (n *Internet) Vanity(path, prefix, repository string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pages[path] = fmt.Sprintf(`<html><head><meta name="go-import" content="%s git %s"></head></html>`, prefix, repository)
}

// Lock wants credentials for the pages of a host, or for a repository.
func (n *Internet) Lock(what, user, password string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.secret[what] = login{user, password}
}

// Asked are the hosts that were asked for since the start, sorted.
func (n *Internet) Asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	hosts := make([]string, 0, len(n.hosts))
	for host := range n.hosts {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return hosts
}

// Seen are the requests that reached the server since it last forgot them.
func (n *Internet) Seen() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests)
}

// Forget lets Seen and Authorized begin anew.
func (n *Internet) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = nil
}

// Authorized are the hosts that credentials were sent to.
func (n *Internet) Authorized() []string {
	var hosts []string
	for _, r := range n.Seen() {
		if r.Header.Get("Authorization") != "" {
			hosts = append(hosts, r.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Repository is a git repository that the internet serves, and its work tree.
type Repository struct {
	t        testing.TB
	tree     string
	Bare     string
	settings []string
}

// Repository makes an empty repository, NAME.git.
func (n *Internet) Repository(name string) *Repository {
	r := &Repository{t: n.t, tree: filepath.Join(n.dir, "tree", name), Bare: filepath.Join(n.dir, name+".git")}
	r.settings = []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_AUTHOR_DATE=2024-05-06T07:08:09Z", "GIT_COMMITTER_DATE=2024-05-06T07:08:09Z"}
	Run(n.t, "", r.settings, "git", "init", "--quiet", "--bare", "--initial-branch=main", r.Bare)
	Run(n.t, "", r.settings, "git", "init", "--quiet", "--initial-branch=main", r.tree)
	return r
}

// Git runs git in the work tree, and returns what it prints.
func (r *Repository) Git(args ...string) string {
	r.t.Helper()
	return strings.TrimSpace(Run(r.t, r.tree, r.settings, "git", args...))
}

// Commit writes files, commits all, sets tags, and publishes it. It returns the
// commit.
func (r *Repository) Commit(files map[string]string, tags ...string) string {
	r.t.Helper()
	for name, content := range files {
		path := filepath.Join(r.tree, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			r.t.Fatal(err)
		}
	}
	r.Git("add", "--all")
	r.Git("commit", "--quiet", "--allow-empty", "--message=x")
	for _, tag := range tags {
		r.Git("tag", tag)
	}
	r.Git("push", "--quiet", "--force", "--tags", r.Bare, "HEAD")
	return r.Git("rev-parse", "HEAD")
}
