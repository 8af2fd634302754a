//go:build e2e

package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/gopherwood-dev/gopherwood/e2e/gotool"
)

// registries are the servers that images are pushed to.
var registries = []struct {
	name string
	// start returns the host and port.
	start func(*testing.T) string
	// referrers says whether the server has the referrers API.
	referrers bool
	// mounts says whether the server answers a mount of a blob from another
	// repository; the others have one place for all blobs.
	mounts bool
}{
	{"docker-registry-2.8", func(t *testing.T) string { return startRegistry(t, openArchive(t), false) }, false, true},
	{"distribution-3", func(t *testing.T) string {
		return serveDistribution(t, goTool(t, "github.com/distribution/distribution/v3/cmd/registry", "v3.1.2"), false)
	}, false, true},
	{"go-containerregistry", func(t *testing.T) string { return inProcess(t, false) }, false, false},
	{"go-containerregistry-referrers", func(t *testing.T) string { return inProcess(t, true) }, true, false},
}

// inProcess is go-containerregistry's own server.
func inProcess(t *testing.T, referrers bool) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers)))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// goTool returns a program that is built from its module once.
func goTool(t *testing.T, path, version string) string {
	t.Helper()
	file, err := gotool.Install(t.Context(), path, version)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// traffic is what a registry was sent.
type traffic struct {
	mu sync.Mutex
	// sessions counts the bytes of uploads that are not complete, by path.
	sessions map[string]int64
	// blobs has the bytes that were sent for each digest, mounted those that came
	// from another repository without being sent.
	blobs   map[string]int64
	mounted map[string]bool
	// manifests are the names under which manifests were put.
	manifests []string
}

// watch starts a proxy before host that keeps account.
func watch(t *testing.T, host string) (*traffic, string) {
	t.Helper()
	m := &traffic{}
	m.reset()
	return m, before(t, host, m.handle)
}

// reset forgets everything.
func (m *traffic) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions, m.blobs, m.mounted, m.manifests = map[string]int64{}, map[string]int64{}, map[string]bool{}, nil
}

func (m *traffic) handle(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body := &countedBody{ReadCloser: r.Body}
	r.Body = body
	answer := &statusWriter{ResponseWriter: w}
	next.ServeHTTP(answer, r)
	m.mu.Lock()
	defer m.mu.Unlock()
	query := r.URL.Query()
	switch _, file, _ := strings.Cut(r.URL.Path, "/manifests/"); {
	case r.Method == http.MethodPut && file != "":
		m.manifests = append(m.manifests, r.URL.Path)
	case r.Method == http.MethodPost && query.Has("mount") && answer.status == http.StatusCreated:
		m.mounted[query.Get("mount")] = true
	case r.Method == http.MethodPut && query.Has("digest"):
		m.blobs[query.Get("digest")] += m.sessions[r.URL.Path] + body.n
		delete(m.sessions, r.URL.Path)
	default:
		m.sessions[r.URL.Path] += body.n
	}
}

// countedBody counts what is read of a request.
type countedBody struct {
	io.ReadCloser
	n int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
