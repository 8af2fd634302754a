package images

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// host is where all images of the tests are.
const host = "registry.example"

// registries are all hosts of the tests: a real registry in memory, in which users
// may read the repositories that begin with their name, and everybody public/….
// It is reached without a network, so that time can be false.
type registries struct {
	backend http.Handler

	mu sync.Mutex
	// admitted are more repositories that a user may read.
	admitted map[string][]string
	// hook may answer in the registry's place.
	hook func(w http.ResponseWriter, req *http.Request) (done bool)
	// counts are the answered requests by method and kind: "HEAD manifests".
	counts map[string]int
}

func newRegistries() *registries {
	return &registries{
		backend:  ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))),
		admitted: map[string][]string{}, counts: map[string]int{},
	}
}

// RoundTrip implements http.RoundTripper.
func (r *registries) RoundTrip(req *http.Request) (*http.Response, error) {
	done := make(chan *http.Response, 1)
	go func() {
		w, received := httptest.NewRecorder(), req.Clone(req.Context())
		if received.Body == nil {
			received.Body = http.NoBody
		}
		r.ServeHTTP(w, received)
		resp := w.Result()
		resp.Request = req
		done <- resp
	}()
	select {
	case resp := <-done:
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

func (r *registries) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, _, _ := req.BasicAuth()
	if req.URL.Path == "/v2/" {
		if user == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		return
	}
	repository, kind := split(req.URL.Path)
	r.mu.Lock()
	r.counts[req.Method+" "+kind]++
	hook := r.hook
	allowed := user == "admin" || strings.HasPrefix(repository, "public/") ||
		user != "" && strings.HasPrefix(repository, user+"/") || slices.Contains(r.admitted[user], repository)
	r.mu.Unlock()
	switch {
	case hook != nil && hook(w, req):
	case allowed:
		r.backend.ServeHTTP(w, req)
	default:
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// split returns the repository and what of it a request is about.
func split(path string) (repository, kind string) {
	for _, kind := range []string{"manifests", "blobs", "referrers"} {
		if repository, _, ok := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/"+kind+"/"); ok {
			return repository, kind
		}
	}
	return "", "other"
}

// took returns the number of requests since it was asked last.
func (r *registries) took(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.counts[what]
	r.counts[what] = 0
	return n
}

func (r *registries) setHook(hook func(w http.ResponseWriter, req *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

func (r *registries) admit(user string, repositories ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted[user] = repositories
}

// push writes an image or an index.
func (r *registries) push(t testing.TB, ref string, what remote.Taggable) {
	t.Helper()
	tag, err := name.NewTag(host + "/" + ref)
	if err == nil {
		err = remote.Push(tag, what, remote.WithTransport(r.as("admin")))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.counts)
}

// as sends every request as user.
func (r *registries) as(user string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.SetBasicAuth(user, "password")
		return r.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// tenantKeys is the keychain of who has the credentials of some users, in order.
type tenantKeys []string

func (k tenantKeys) Find(_ context.Context, repository string) (all []facts.Credentials, err error) {
	for _, user := range k {
		all = append(all, facts.Credentials{Username: user, Password: "password"})
	}
	return all, nil
}

func (k tenantKeys) Fingerprint(string) string { return strings.Join(k, ",") }

// newImage is an image for linux on arch with one layer of files.
func newImage(t testing.TB, arch string, files map[string]string) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return ofLayer(t, arch, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

// ofLayer is an image for linux on arch with one layer, a tar archive.
func ofLayer(t testing.TB, arch string, open tarball.Opener) v1.Image {
	t.Helper()
	layer, err := tarball.LayerFromOpener(open)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", arch, []string{"/app"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// program is an executable that every test has.
func program(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// newIndex lists an image for each architecture.
func newIndex(t testing.TB, archs ...string) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, arch := range archs {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        newImage(t, arch, map[string]string{"app": "#!/bin/sh " + arch}),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index
}

func digestOf(t testing.TB, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
