package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// server is a real registry over HTTP. It counts what it sends, and hook may
// answer in its place.
type server struct {
	host string
	hook func(w http.ResponseWriter, req *http.Request) (done bool)

	mu       sync.Mutex
	requests map[string]int   // by kind: blobs, manifests, HEAD, other
	sent     map[string]int64 // body bytes by kind
}

func startServer(t testing.TB) *server {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // no credentials of the person who runs the tests
	s := &server{}
	s.reset()
	backend := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		counted := &countingWriter{ResponseWriter: w, server: s, kind: kindOf(req)}
		s.mu.Lock()
		s.requests[counted.kind]++
		hook := s.hook
		s.mu.Unlock()
		if hook == nil || !hook(counted, req) {
			backend.ServeHTTP(counted, req)
		}
	}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(web.Close)
	s.host = strings.TrimPrefix(web.URL, "http://")
	return s
}

func kindOf(req *http.Request) string {
	switch {
	case req.Method == http.MethodHead:
		return "HEAD"
	case strings.Contains(req.URL.Path, "/blobs/"):
		return kindBlobs
	case strings.Contains(req.URL.Path, "/manifests/"):
		return kindManifests
	}
	return "other"
}

func (s *server) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.sent = map[string]int{}, map[string]int64{}
}

func (s *server) setHook(hook func(w http.ResponseWriter, req *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// count returns the number of requests and of body bytes of a kind.
func (s *server) count(kind string) (requests int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[kind], s.sent[kind]
}

type countingWriter struct {
	http.ResponseWriter
	server *server
	kind   string
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.sent[w.kind] += int64(n)
	return n, err
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// push writes an image or index and returns its reference by tag and by digest.
func (s *server) push(t testing.TB, repo string, what interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}) (tag, digest string) {
	t.Helper()
	ref, err := name.NewTag(s.host+"/"+repo+":v1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s.reset()
	return ref.Name(), s.host + "/" + repo + "@" + hash.String()
}

// weight is the length of the compressed layers of an image.
func weight(t testing.TB, img v1.Image) int64 {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, l := range m.Layers {
		total += l.Size
	}
	return total
}

func TestRegistry(t *testing.T) {
	s := startServer(t)
	img := sample(t, "amd64")
	tag, digest := s.push(t, "team/prog", img)
	opt := quick()
	opt.PlainHTTP = true
	for _, ref := range []string{tag, digest, strings.TrimSuffix(tag, ":v1") + ":v1@" + digest[strings.Index(digest, "sha256:"):]} {
		s.reset()
		got := one(t, ref, opt)
		checkSample(t, got, "amd64")
		if got.Ref != ref {
			t.Errorf("ref %q, want %q", got.Ref, ref)
		}
		_, blobs := s.count(kindBlobs)
		_, manifests := s.count(kindManifests)
		if limit := weight(t, img) * 102 / 100; blobs+manifests > limit {
			t.Errorf("%s: fetched %d bytes of an image of %d", ref, blobs+manifests, weight(t, img))
		}
	}
}

func TestNothingIsFetchedTwice(t *testing.T) {
	s := startServer(t)
	shared := layerOf(t, gzipLayer, map[string][]byte{"shared/prog": program(t, "amd64")})
	amd, arm := imageOf(t, "amd64", shared, shared), imageOf(t, "arm64", shared)
	tag, digest := s.push(t, "team/many", index(t, amd, arm))
	opt := quick()
	opt.CacheDir = t.TempDir()

	images, errs := open(t, tag, opt)
	if len(images) != 2 || len(errs) != 0 {
		t.Fatalf("%d images, errors %v", len(images), errs)
	}
	if n, _ := s.count(kindBlobs); n != 3 {
		t.Errorf("%d blobs were fetched, want the layer and two configurations", n)
	}
	for _, c := range []struct {
		ref  string
		want map[string]int
	}{
		{tag, map[string]int{kindBlobs: 0, kindManifests: 0, "HEAD": 1}},
		{digest, map[string]int{kindBlobs: 0, kindManifests: 0, "HEAD": 0, "other": 0}},
	} {
		s.reset()
		images, errs := open(t, c.ref, opt)
		if len(images) != 2 || len(errs) != 0 || len(images[1].Files) != 1 {
			t.Fatalf("%s: %d images, errors %v", c.ref, len(images), errs)
		}
		for kind, want := range c.want {
			if n, _ := s.count(kind); n != want {
				t.Errorf("%s: %d requests of kind %s, want %d", c.ref, n, kind, want)
			}
		}
	}
}

func TestCachedAnswersAreTheSame(t *testing.T) {
	s := startServer(t)
	_, digest := s.push(t, "team/prog", sample(t, "amd64"))
	opt := quick()
	opt.CacheDir = t.TempDir()
	for range 2 {
		checkSample(t, one(t, digest, opt), "amd64")
	}
	if n, _ := s.count(kindBlobs); n != 4 {
		t.Errorf("%d blobs were fetched, want 4", n)
	}
	// Damaged records are read again.
	records, err := filepath.Glob(filepath.Join(opt.CacheDir, "*"))
	if err != nil || len(records) == 0 {
		t.Fatalf("no records: %v", err)
	}
	for _, r := range records {
		if err := os.Truncate(r, 60); err != nil {
			t.Fatal(err)
		}
	}
	s.reset()
	checkSample(t, one(t, digest, opt), "amd64")
	if n, _ := s.count(kindBlobs); n != 4 {
		t.Errorf("after damage %d blobs were fetched, want 4", n)
	}
}

func TestLimitedLayersAreNotCached(t *testing.T) {
	s := startServer(t)
	_, digest := s.push(t, "team/prog", sample(t, "amd64"))
	opt := quick()
	opt.CacheDir, opt.Limits.File = t.TempDir(), 1000
	img := one(t, digest, opt)
	if len(img.Files) != 0 || len(img.Problems) != 1 || fault.CodeOf(img.Problems[0]) != fault.Limit {
		t.Errorf("%d files, problems %v", len(img.Files), img.Problems)
	}
	opt.Limits.File = 0
	checkSample(t, one(t, digest, opt), "amd64")
}

func TestImageLimits(t *testing.T) {
	s := startServer(t)
	zeros := layerOf(t, gzipLayer, map[string][]byte{"zeros": make([]byte, 50<<20)})
	tag, _ := s.push(t, "team/bomb", index(t, imageOf(t, "amd64", zeros), sample(t, "arm64")))
	opt := quick()
	opt.Limits.Image = 20 << 20
	images, errs := open(t, tag, opt)
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Limit || !strings.Contains(fault.HintOf(errs[0]), "--max-image-size") {
		t.Errorf("%v", errs)
	}
	if len(images) != 1 {
		t.Fatalf("%d other images", len(images))
	}
	checkSample(t, images[0], "arm64")

	opt = quick()
	opt.Limits.Entries = 2
	_, errs = open(t, tag, opt)
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Limit || !strings.Contains(fault.HintOf(errs[0]), "--max-entries") {
		t.Errorf("%v", errs)
	}
}

func TestCredentials(t *testing.T) {
	s := startServer(t)
	tag, _ := s.push(t, "team/prog", sample(t, "amd64"))
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if user, password, ok := req.BasicAuth(); ok && user == "ann" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, errs := open(t, tag, quick())
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Denied || !strings.Contains(fault.HintOf(errs[0]), "docker login "+s.host) {
		t.Errorf("without credentials: %v, hint %q", errs, fault.HintOf(errs[0]))
	}
	config := fmt.Sprintf(`{"auths":{%q:{"username":"ann","password":"secret"}}}`, s.host)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	checkSample(t, one(t, tag, quick()), "amd64")
}

// answer is a hook that answers requests of a kind with a status.
func answer(kind string, status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if kindOf(req) == kind {
			w.WriteHeader(status)
		}
		return kindOf(req) == kind
	}
}

// altered is a hook that sends the largest blob, the layer with the program, as
// change makes it.
func altered(s *server, digest string, change func(w http.ResponseWriter, body []byte)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if kindOf(req) != kindBlobs || !strings.HasSuffix(req.URL.Path, digest) || req.Header.Get("X-Original") != "" {
			return false
		}
		inner, err := http.NewRequest(http.MethodGet, "http://"+s.host+req.URL.Path, nil)
		if err != nil {
			panic(err)
		}
		inner.Header.Set("X-Original", "1")
		resp, err := http.DefaultClient.Do(inner)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		change(w, body)
		return true
	}
}

func send(w http.ResponseWriter, length int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(length))
	_, _ = w.Write(body)
}

func TestFaultyRegistry(t *testing.T) {
	s := startServer(t)
	img := sample(t, "amd64")
	tag, _ := s.push(t, "team/prog", img)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	layer := hash.String()
	hang := func(kind string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, req *http.Request) bool {
			if kindOf(req) == kind {
				<-req.Context().Done()
			}
			return kindOf(req) == kind
		}
	}
	for _, c := range []struct {
		name string
		hook func(http.ResponseWriter, *http.Request) bool
		code fault.Code
		text string
	}{
		{"401", answer(kindManifests, 401), fault.Denied, "401"},
		{"403 for a blob", answer(kindBlobs, 403), fault.Denied, "403"},
		{"404", answer(kindManifests, 404), fault.NotFound, "404"},
		{"404 for a blob", answer(kindBlobs, 404), fault.NotFound, "404"},
		{"429", answer(kindManifests, 429), fault.Unavailable, "429"},
		{"500", answer(kindManifests, 500), fault.Unavailable, "500"},
		{"503 for a blob", answer(kindBlobs, 503), fault.Unavailable, "503"},
		{"418", answer(kindManifests, 418), fault.Invalid, "418"},
		{"hangs at the ping", hang("other"), fault.Unavailable, "timeout"},
		{"hangs before the manifest", hang(kindManifests), fault.Unavailable, "timeout"},
		{"hangs before a blob", hang(kindBlobs), fault.Unavailable, "timeout"},
		{"hangs within a blob", altered(s, layer, func(w http.ResponseWriter, body []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * time.Second)
		}), fault.Unavailable, "sent nothing more"},
		{"breaks off", altered(s, layer, func(w http.ResponseWriter, body []byte) {
			send(w, len(body), body[:len(body)/2])
			panic(http.ErrAbortHandler)
		}), fault.Unavailable, "broke"},
		{"is short", altered(s, layer, func(w http.ResponseWriter, body []byte) { send(w, len(body)-7, body[:len(body)-7]) }), fault.Invalid, "ends after"},
		{"is long", altered(s, layer, func(w http.ResponseWriter, body []byte) { send(w, len(body)+1, append(body, 0)) }), fault.Invalid, "more than the"},
		{"flips a bit", altered(s, layer, func(w http.ResponseWriter, body []byte) { body[len(body)/2] ^= 1; send(w, len(body), body) }), fault.Invalid, "digest"},
		{"sends another blob", altered(s, layer, func(w http.ResponseWriter, body []byte) {
			send(w, len(body), compressTo(t, len(body)))
		}), fault.Invalid, "digest"},
		{"lies about the digest", func(w http.ResponseWriter, req *http.Request) bool {
			w.Header().Set(digestHeader, "sha256:"+strings.Repeat("0", 64))
			if kindOf(req) == kindManifests {
				_, _ = w.Write([]byte(`{"schemaVersion":2}`))
				return true
			}
			return false
		}, fault.Invalid, "digest"},
		{"redirects for ever", func(w http.ResponseWriter, req *http.Request) bool {
			if kindOf(req) == kindBlobs {
				http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
			}
			return kindOf(req) == kindBlobs
		}, fault.Invalid, "redirected"},
		{"sends an endless manifest", func(w http.ResponseWriter, req *http.Request) bool {
			if kindOf(req) == kindManifests {
				for range 64 {
					_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
				}
			}
			return kindOf(req) == kindManifests
		}, fault.Limit, "longer"},
		{"sends HTML", func(w http.ResponseWriter, req *http.Request) bool {
			if kindOf(req) == kindManifests {
				_, _ = w.Write([]byte("<html>"))
			}
			return kindOf(req) == kindManifests
		}, fault.Invalid, "JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.setHook(c.hook)
			defer s.setHook(nil)
			start := time.Now()
			images, errs := open(t, tag, quick())
			if len(images) != 0 || len(errs) != 1 {
				t.Fatalf("%d images, errors %v", len(images), errs)
			}
			text := errs[0].Error()
			if fault.CodeOf(errs[0]) != c.code || !strings.Contains(text, c.text) || !strings.Contains(text, tag) {
				t.Errorf("%v (code %s), want %s and %q", text, fault.CodeOf(errs[0]), c.code, c.text)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Log(text)
		})
	}
}

// compressTo returns n bytes that begin like zstd and are something else.
func compressTo(t *testing.T, n int) []byte {
	t.Helper()
	data := compress(t, tarOf(t, map[string][]byte{"x": []byte("x")}), zstdLayer)
	// A skippable frame (zstd format, 3.1.2) fills the rest.
	rest := n - len(data) - 8
	return append(append(data, 0x50, 0x2a, 0x4d, 0x18, byte(rest), byte(rest>>8), byte(rest>>16), byte(rest>>24)), make([]byte, rest)...)
}

func TestRetries(t *testing.T) {
	s := startServer(t)
	tag, _ := s.push(t, "team/prog", sample(t, "amd64"))
	var mu sync.Mutex
	seen := map[string]int{}
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if seen[req.URL.Path]++; seen[req.URL.Path] > 1 {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	checkSample(t, one(t, tag, quick()), "amd64")

	// A registry that asks for more patience than the user has is not waited for.
	s.setHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	start := time.Now()
	_, errs := open(t, tag, quick())
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Unavailable || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", errs, time.Since(start))
	}
}

func TestUnreachableRegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	_, errs := open(t, "127.0.0.1:1/team/prog", quick())
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Unavailable {
		t.Errorf("%v", errs)
	}
	_, errs = open(t, "NOT A REFERENCE", quick())
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Usage {
		t.Errorf("%v", errs)
	}
}

// put stores a manifest as it is, which no proper client would.
func (s *server) put(t testing.TB, mediaType types.MediaType, tag, manifest string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+s.host+"/v2/team/raw/manifests/"+tag, strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", string(mediaType))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("put %s: %s %s", tag, resp.Status, text)
	}
	sum := sha256.Sum256([]byte(manifest))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestHostileManifests(t *testing.T) {
	s := startServer(t)
	base := sample(t, "amd64")
	s.push(t, "team/raw", base)
	real, err := base.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	nested := s.put(t, types.OCIManifestSchema1, "image", string(real))
	mediaType := types.OCIManifestSchema1
	for range maxDepth + 2 {
		nested = s.put(t, types.OCIImageIndex, "nested", fmt.Sprintf(
			`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":-1}]}`, mediaType, nested))
		mediaType = types.OCIImageIndex
	}
	var many strings.Builder
	for i := range maxManifests + 1 {
		fmt.Fprintf(&many, `,{"mediaType":%q,"size":1,"digest":"sha256:%064x","platform":{"os":"linux","architecture":"amd64"}}`, types.OCIManifestSchema1, i)
	}
	withLayer := func(mediaType string) string {
		return strings.Replace(string(real), string(gzipLayer), mediaType, 1)
	}
	for _, c := range []struct {
		name, manifest string
		code           fault.Code
		text           string
	}{
		{"depth", "", fault.Limit, "deep"},
		{"breadth", `{"schemaVersion":2,"manifests":[` + many.String()[1:] + `]}`, fault.Limit, "manifests"},
		{"empty index", `{"schemaVersion":2,"manifests":[]}`, fault.NotFound, "no image"},
		{"ambiguous", `{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}`, fault.Invalid, "neither"},
		{"null", `null`, fault.Invalid, "schemaVersion"},
		{"schema 1", `{"schemaVersion":1,"fsLayers":[]}`, fault.Unsupported, "schema 1"},
		{"another artifact", `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:` +
			strings.Repeat("0", 64) + `","size":2},"layers":[]}`, fault.Unsupported, "not a container image"},
		{"bad digest", `{"schemaVersion":2,"config":{"digest":"sha256:../../etc","size":2},"layers":[]}`, fault.Invalid, "non-hex"},
		{"foreign layer", withLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), fault.Unsupported, "foreign"},
		{"encrypted layer", withLayer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), fault.Unsupported, "encrypted"},
		{"unknown layer", withLayer("application/x-unknown"), fault.Unsupported, "x-unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := s.host + "/team/raw:nested"
			if c.manifest != "" {
				s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
					if kindOf(req) == kindManifests {
						_, _ = io.WriteString(w, c.manifest)
					}
					return kindOf(req) == kindManifests
				})
				defer s.setHook(nil)
			}
			_, errs := open(t, ref, quick())
			if len(errs) != 1 || fault.CodeOf(errs[0]) != c.code || !strings.Contains(errs[0].Error(), c.text) {
				t.Errorf("%v, want %s and %q", errs, c.code, c.text)
			}
		})
	}
}

// TestIndexLoop meets a registry that serves an index as what it lists. Only one
// that lies about digests can, so the digest gives it away.
func TestIndexLoop(t *testing.T) {
	s := startServer(t)
	loop := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"size":-1,"digest":"sha256:%064d"}]}`, types.OCIImageIndex, 7)
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if kindOf(req) == kindManifests {
			_, _ = io.WriteString(w, loop)
		}
		return kindOf(req) == kindManifests
	})
	_, errs := open(t, s.host+"/team/loop", quick())
	if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.Invalid {
		t.Errorf("%v", errs)
	}
}

func TestOneOfAnIndexIsMissing(t *testing.T) {
	s := startServer(t)
	tag, _ := s.push(t, "team/many", index(t, sample(t, "amd64"), imageOf(t, "arm64")))
	missing := imageOf(t, "arm64")
	hash, err := missing.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		gone := strings.HasSuffix(req.URL.Path, hash.String())
		if gone {
			w.WriteHeader(http.StatusNotFound)
		}
		return gone
	})
	images, errs := open(t, tag, quick())
	if len(images) != 1 || len(errs) != 1 || fault.CodeOf(errs[0]) != fault.NotFound || !strings.Contains(errs[0].Error(), "linux/arm64") {
		t.Fatalf("%d images, errors %v", len(images), errs)
	}
	checkSample(t, images[0], "amd64")
}

func TestDockerMediaTypes(t *testing.T) {
	s := startServer(t)
	img := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: "arm64", Variant: "v8", Config: v1.Config{Cmd: []string{"/prog"}}})
	if err != nil {
		t.Fatal(err)
	}
	data := compress(t, tarOf(t, map[string][]byte{"prog": program(t, "arm64")}), gzipLayer)
	layer := layerOf(t, gzipLayer, map[string][]byte{"prog": program(t, "arm64")})
	if size, err := layer.Size(); err != nil || size != int64(len(data)) {
		t.Fatalf("the layer has %d bytes, %v", size, err)
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.DockerLayer})
	if err != nil {
		t.Fatal(err)
	}
	tag, _ := s.push(t, "team/docker", img)
	got := one(t, tag, quick())
	if got.Entrypoint != "/prog" || got.Platform.String() != "linux/arm64/v8.0" || got.Config.Layers[0].MediaType != string(types.DockerLayer) {
		t.Errorf("%+v", got.Config)
	}
}
