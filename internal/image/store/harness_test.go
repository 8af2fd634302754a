package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
)

// hook may answer a request in the registry's place.
type hook func(w http.ResponseWriter, req *http.Request) (done bool)

// server is a real registry over HTTP. As most registries do and the library's
// does not, it refuses a manifest whose blobs it lacks.
type server struct {
	host    string
	backend http.Handler

	mu       sync.Mutex
	hook     hook
	lost     map[string]int // how often a blob is still lost after it was taken
	requests []string       // method and kind
	taken    map[string]int // successful PUTs and what they were to
}

func startServer(t testing.TB, options ...ggcr.Option) *server {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // no credentials of the person who runs the tests
	s := &server{lost: map[string]int{}, taken: map[string]int{}}
	s.backend = ggcr.New(append(options, ggcr.Logger(log.New(io.Discard, "", 0)))...)
	web := httptest.NewServer(http.HandlerFunc(s.serve))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(web.Close)
	s.host = strings.TrimPrefix(web.URL, "http://")
	return s
}

// kindOf names what a request is about.
func kindOf(path string) string {
	for _, kind := range []string{"uploads", "blobs", "manifests", "referrers"} {
		if strings.Contains(path, "/"+kind+"/") {
			return kind
		}
	}
	return "ping"
}

func (s *server) serve(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, req.Method+" "+kindOf(req.URL.Path))
	hook := s.hook
	s.mu.Unlock()
	if hook != nil && hook(w, req) {
		return
	}
	if req.Method == http.MethodPut && kindOf(req.URL.Path) == "manifests" && !s.complete(w, req) {
		return
	}
	recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	s.backend.ServeHTTP(recorder, req)
	if req.Method == http.MethodPut && recorder.status == http.StatusCreated {
		s.took(req)
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// took notes a PUT, and loses the blob again where the test wants that.
func (s *server) took(req *http.Request) {
	digest := req.URL.Query().Get("digest")
	s.mu.Lock()
	defer s.mu.Unlock()
	if digest == "" {
		s.taken[req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]]++
		return
	}
	s.taken[digest]++
	if s.lost[digest] > 0 {
		s.lost[digest]--
		s.ask(http.MethodDelete, "/v2/team/app/blobs/"+digest)
	}
}

// ask asks the registry behind all hooks.
func (s *server) ask(method, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	s.backend.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
	return answer
}

// complete reports whether all that a manifest refers to is there, and answers
// when it is not.
func (s *server) complete(w http.ResponseWriter, req *http.Request) bool {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var m v1.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		panic(err)
	}
	refers := m.Layers
	if m.Config.Digest.Hex != "" {
		refers = append(refers, m.Config)
	}
	repo := req.URL.Path[:strings.Index(req.URL.Path, "/manifests/")]
	for _, desc := range refers {
		if s.ask(http.MethodHead, repo+"/blobs/"+desc.Digest.String()).Code != http.StatusOK {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":%q}]}`, desc.Digest)
			return false
		}
	}
	return true
}

func (s *server) setHook(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// reset forgets the requests seen so far.
func (s *server) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.taken = nil, map[string]int{}
}

func (s *server) count(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, request) {
			n++
		}
	}
	return n
}

func (s *server) ref() string { return s.host + "/team/app:v1" }

// manifest returns what the registry has at a tag or digest; "" for nothing.
func (s *server) manifest(ref string) string {
	answer := s.ask(http.MethodGet, "/v2/team/app/manifests/"+ref)
	if answer.Code != http.StatusOK {
		return ""
	}
	return answer.Body.String()
}

// once is a hook that does what h does for the first n requests that match.
func once(n int, method, kind string, h http.HandlerFunc) hook {
	var mu sync.Mutex
	return func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		match := n > 0 && req.Method == method && kindOf(req.URL.Path) == kind
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

const always = 1 << 30

// status answers with an HTTP status.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// quick are timeouts under which nothing takes long.
var quick = transport.Timeouts{
	Dial: 2 * time.Second, TLS: 2 * time.Second, Header: time.Second, Idle: 300 * time.Millisecond,
	Retry: time.Millisecond, RetryMax: 2 * time.Second,
}

// recorder notes what a store says it has sent.
type recorder struct {
	mu             sync.Mutex
	sent           []v1.Descriptor
	expected, done int64
}

func (r *recorder) add(desc v1.Descriptor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, desc)
}

func (r *recorder) Expect(n int64) { r.mu.Lock(); defer r.mu.Unlock(); r.expected += n }
func (r *recorder) Done(n int64)   { r.mu.Lock(); defer r.mu.Unlock(); r.done += n }

// digests returns what was sent, sorted.
func (r *recorder) digests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, desc := range r.sent {
		all = append(all, desc.Digest.String())
	}
	slices.Sort(all)
	return all
}

func open(t testing.TB, ref string, opt Options) Store {
	t.Helper()
	opt.Timeouts = quick
	s, err := Open(context.Background(), ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s Store, item partial.WithRawManifest, tagged bool) {
	t.Helper()
	if err := s.Put(context.Background(), item, tagged); err != nil {
		t.Fatal(err)
	}
}

// randomImage returns an image of n layers of 100 kB.
func randomImage(t testing.TB, n int) v1.Image {
	t.Helper()
	img, err := random.Image(100_000, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func randomIndex(t testing.TB, images int) v1.ImageIndex {
	t.Helper()
	index, err := random.Index(50_000, 2, int64(images))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

const statementType = "application/vnd.example.statement+json"

// attachment returns a manifest about subject, as attachments have them.
func attachment(t testing.TB, subject partial.Describable, text string) v1.Image {
	t.Helper()
	desc, err := partial.Descriptor(subject)
	if err != nil {
		t.Fatal(err)
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, statementType)
	img, err = mutate.AppendLayers(img, static.NewLayer([]byte(text), "text/plain"))
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.Annotations(img, map[string]string{"example.text": text}).(v1.Image)
	return mutate.Subject(img, v1.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}).(v1.Image)
}

func digestOf(t testing.TB, item partial.Describable) v1.Hash {
	t.Helper()
	digest, err := item.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func raw(t testing.TB, item partial.WithRawManifest) string {
	t.Helper()
	data, err := item.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// texts returns the annotation of every referrer, sorted, having checked its type.
func texts(t testing.TB, s Store, subject v1.Hash) []string {
	t.Helper()
	found, err := s.Referrers(context.Background(), subject)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, desc := range found {
		if desc.ArtifactType != statementType {
			t.Errorf("%s has the artifact type %q", desc.Digest, desc.ArtifactType)
		}
		all = append(all, desc.Annotations["example.text"])
	}
	slices.Sort(all)
	return all
}

// blobsOf returns the digests of all that an image consists of, sorted.
func blobsOf(t testing.TB, img v1.Image) []string {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{digestOf(t, img).String(), m.Config.Digest.String()}
	for _, l := range m.Layers {
		all = append(all, l.Digest.String())
	}
	slices.Sort(all)
	return all
}
