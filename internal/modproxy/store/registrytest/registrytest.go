// Package registrytest is a registry for tests, in this process, that answers as
// a test wants.
package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
)

// Hook may answer a request in the registry's place.
type Hook func(w http.ResponseWriter, req *http.Request) (done bool)

// Server is a real registry over HTTP. As most registries do and the library's
// does not, it refuses a manifest whose blobs it lacks.
type Server struct {
	// Host is where it listens, host:port.
	Host    string
	backend http.Handler

	// Down breaks every connection.
	Down atomic.Bool

	mu       sync.Mutex
	hook     Hook
	requests []string
}

// Start starts a registry, which ends with the test. There are no credentials of
// the person who runs the test.
func Start(t testing.TB) *Server {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s := &Server{backend: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	web := httptest.NewServer(http.HandlerFunc(s.serve))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(web.Close)
	s.Host = strings.TrimPrefix(web.URL, "http://")
	return s
}

// Ref returns the prefix for a store.
func (s *Server) Ref() string { return s.Host + "/team/modules" }

// Kind names what a request for the path is about: uploads, blobs, manifests,
// tags, _catalog or ping.
func Kind(path string) string {
	for _, kind := range []string{"uploads", "blobs", "manifests", "tags", "_catalog"} {
		if strings.Contains(path+"/", "/"+kind+"/") {
			return kind
		}
	}
	return "ping"
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, req.Method+" "+Kind(req.URL.Path)+" "+req.URL.Path)
	hook := s.hook
	s.mu.Unlock()
	if s.Down.Load() {
		panic(http.ErrAbortHandler)
	}
	if hook != nil && hook(w, req) {
		return
	}
	if req.Method == http.MethodPut && Kind(req.URL.Path) == "manifests" && !s.complete(w, req) {
		return
	}
	s.backend.ServeHTTP(w, req)
}

// Ask asks the registry behind all hooks.
func (s *Server) Ask(method, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	s.backend.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
	return answer
}

// complete reports whether all that a manifest refers to is there, and answers
// when it is not.
func (s *Server) complete(w http.ResponseWriter, req *http.Request) bool {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var m v1.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		panic(err)
	}
	repo := req.URL.Path[:strings.Index(req.URL.Path, "/manifests/")]
	for _, desc := range append(m.Layers, m.Config) {
		if s.Ask(http.MethodHead, repo+"/blobs/"+desc.Digest.String()).Code != http.StatusOK {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":%q}]}`, desc.Digest)
			return false
		}
	}
	return true
}

// SetHook sets what may answer from now on; nil for nothing.
func (s *Server) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Reset forgets the requests seen so far.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Count returns how many requests began with one of these ("GET blobs").
func (s *Server) Count(requests ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if slices.ContainsFunc(requests, func(prefix string) bool { return strings.HasPrefix(r, prefix) }) {
			n++
		}
	}
	return n
}

// Tagged returns the manifest at a tag of a repository below the prefix; "" for none.
func (s *Server) Tagged(repo, tag string) string {
	answer := s.Ask(http.MethodGet, "/v2/team/modules/"+repo+"/manifests/"+tag)
	if answer.Code != http.StatusOK {
		return ""
	}
	return answer.Body.String()
}

// Layer returns the digest of the n-th layer of the manifest at a tag.
func (s *Server) Layer(t testing.TB, repo, tag string, n int) string {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal([]byte(s.Tagged(repo, tag)), &m); err != nil {
		t.Fatal(err)
	}
	return m.Layers[n].Digest.String()
}

// Times is a hook that does what h does for the first n requests that match.
func Times(n int, method, kind string, h http.HandlerFunc) Hook {
	var mu sync.Mutex
	return func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		match := n > 0 && req.Method == method && Kind(req.URL.Path) == kind
		if match {
			n--
		}
		mu.Unlock()
		if match {
			h(w, req)
		}
		return match
	}
}

// Always is as often as a test can ask.
const Always = 1 << 30

// Status answers with an HTTP Status.
func Status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// Says answers with an HTTP status and an error in the form of the distribution
// API.
func Says(code int, name, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, name, message)
	}
}

// Abort breaks the connection after n bytes of the request's body.
func Abort(n int64) http.HandlerFunc {
	return func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.CopyN(io.Discard, req.Body, n)
		panic(http.ErrAbortHandler)
	}
}

// ServeBlob answers for a blob with what change makes of it.
func (s *Server) ServeBlob(change func(w http.ResponseWriter, content []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		change(w, s.Ask(http.MethodGet, req.URL.Path).Body.Bytes())
	}
}

// Quick are timeouts under which nothing takes long.
var Quick = transport.Timeouts{
	Dial: 2 * time.Second, TLS: 2 * time.Second, Header: time.Second, Idle: 300 * time.Millisecond,
	Retry: time.Millisecond, RetryMax: 2 * time.Second,
}

// AskWith asks the registry behind all hooks, with a manifest as the body.
func (s *Server) AskWith(method, path, body string) int {
	req, err := http.NewRequest(method, "http://"+s.Host+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	answer := httptest.NewRecorder()
	s.backend.ServeHTTP(answer, req)
	return answer.Code
}

// Gone waits until a client is Gone, which a handler does not always learn.
func Gone(req *http.Request) {
	select {
	case <-req.Context().Done():
	case <-time.After(200 * time.Millisecond):
	}
}
