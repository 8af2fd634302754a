//go:build controlplane || e2e

package controlplane

import (
	"bytes"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// upset is how a registry fails. It returns true when it has dealt with the
// request, and false to let the registry answer.
type upset func(w http.ResponseWriter, r *http.Request) bool

// registryServer is a registry that counts what is asked of it, wants
// credentials, and fails as a test wants it.
type registryServer struct {
	host  string
	inner http.Handler

	mu     sync.Mutex
	counts map[string]int
	upset  upset
	// users are those of a private registry: what each may read, by password.
	users map[string]user
}

// user may read the repositories below prefix.
type user struct{ password, prefix string }

// newRegistry serves a registry until the test ends.
func newRegistry(t *testing.T) *registryServer {
	t.Helper()
	r, err := listenRegistry("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r.registryServer
}

// listening is a registry and the server that serves it.
type listening struct {
	*registryServer
	server *http.Server
}

func (l listening) close() { _ = l.server.Close() }

// listenRegistry serves a new registry at an address.
func listenRegistry(address string) (listening, error) {
	r := &registryServer{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0))), counts: map[string]int{}}
	return r.listen(address)
}

// listen serves r at an address.
func (r *registryServer) listen(address string) (listening, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return listening{}, err
	}
	r.host = l.Addr().String()
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err)
		}
	}()
	return listening{r, server}, nil
}

// ServeHTTP implements http.Handler.
func (r *registryServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	fails, users := r.upset, r.users
	r.counts[countKey(req)]++
	r.mu.Unlock()
	if own := req.Header.Get(ownHeader) != ""; own {
		r.inner.ServeHTTP(w, req)
		return
	}
	if fails != nil && fails(w, req) {
		return
	}
	if users != nil && !allowed(users, req) {
		w.Header().Set("WWW-Authenticate", `Basic realm="e2e"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	r.inner.ServeHTTP(w, req)
}

// ownHeader marks the requests of the tests themselves: they are never refused.
const ownHeader = "X-Gopherwood-Test"

// countKey is "METHOD KIND REFERENCE": "GET blobs sha256:…", "HEAD manifests v1".
func countKey(r *http.Request) string {
	if r.Header.Get(ownHeader) != "" {
		return "own"
	}
	dir, reference := path.Split(r.URL.Path)
	return r.Method + " " + path.Base(dir) + " " + reference
}

func allowed(users map[string]user, r *http.Request) bool {
	name, password, _ := r.BasicAuth()
	u, ok := users[name]
	return ok && u.password == password &&
		(r.URL.Path == "/v2/" || strings.HasPrefix(r.URL.Path, "/v2/"+u.prefix+"/"))
}

// fail makes the registry fail until it is given another upset, or nil.
func (r *registryServer) fail(how upset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upset = how
}

// private makes the registry want credentials.
func (r *registryServer) private(users map[string]user) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users = users
}

// seen returns how often requests with these beginnings have come, and forgets
// nothing.
func (r *registryServer) seen(prefixes ...string) int {
	n := 0
	for key, count := range r.counted() {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			n += count
		}
	}
	return n
}

// counted returns all counts.
func (r *registryServer) counted() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// forget starts counting anew.
func (r *registryServer) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.counts)
}

// hangUp is a registry that ends every connection without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) bool {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
	return true
}

// answers is a registry that has only a status.
func answers(status int) upset {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, http.StatusText(status), status)
		return true
	}
}

// heldUntil is a registry that gives no layer and no configuration before release
// is closed.
func heldUntil(release <-chan struct{}) upset {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		return false
	}
}

// lying is a registry whose layers and configurations have another byte.
func (r *registryServer) lying() upset {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		honest := httptest.NewRecorder()
		r.inner.ServeHTTP(honest, req)
		body := honest.Body.Bytes()
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		maps.Copy(w.Header(), honest.Header())
		w.WriteHeader(honest.Code)
		_, _ = io.Copy(w, bytes.NewReader(body)) // who asked may have gone
		return true
	}
}

// cutting is a registry that ends layers and configurations too early.
func (r *registryServer) cutting() upset {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		honest := httptest.NewRecorder()
		r.inner.ServeHTTP(honest, req)
		maps.Copy(w.Header(), honest.Header())
		w.WriteHeader(honest.Code)
		_, _ = w.Write(honest.Body.Bytes()[:honest.Body.Len()/2])
		return hangUp(w, req)
	}
}
