package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// abort breaks the connection after n bytes of the request's body.
func abort(n int64) http.HandlerFunc {
	return func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.CopyN(io.Discard, req.Body, n)
		panic(http.ErrAbortHandler)
	}
}

// TestPassingFaults pushes to registries that fail for the moment: the image is
// there in the end.
func TestPassingFaults(t *testing.T) {
	refuse := status(http.StatusTooManyRequests, "Retry-After", "0")
	for _, c := range []struct {
		name string
		hook func() hook
	}{
		{"429 to HEAD", func() hook { return once(2, "HEAD", "blobs", refuse) }},
		{"429 to POST", func() hook { return once(2, "POST", "uploads", refuse) }},
		{"429 to PATCH", func() hook { return once(2, "PATCH", "uploads", refuse) }},
		{"429 to PUT", func() hook { return once(2, "PUT", "uploads", refuse) }},
		{"429 to a manifest", func() hook { return once(3, "PUT", "manifests", refuse) }},
		{"429 to the login", func() hook { return once(3, "GET", "ping", refuse) }},
		{"500 to POST", func() hook { return once(3, "POST", "uploads", status(500)) }},
		{"500 to PATCH", func() hook { return once(2, "PATCH", "uploads", status(500)) }},
		{"503 to a manifest", func() hook { return once(3, "PUT", "manifests", status(503)) }},
		{"breaks off at the first byte", func() hook { return once(2, "PATCH", "uploads", abort(0)) }},
		{"breaks off within a blob", func() hook { return once(2, "PATCH", "uploads", abort(70_000)) }},
		{"breaks off at a commit", func() hook { return once(1, "PUT", "uploads", abort(0)) }},
		{"breaks off within a manifest", func() hook { return once(3, "PUT", "manifests", abort(20)) }},
		{"garbles a blob", func() hook {
			return once(1, "PUT", "uploads", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}`)
			})
		}},
		{"trickles", func() hook {
			var mu sync.Mutex
			return func(_ http.ResponseWriter, req *http.Request) bool {
				if req.Method == http.MethodPatch {
					mu.Lock() // one at a time, so that the others wait for longer than they may keep silent
					defer mu.Unlock()
					time.Sleep(100 * time.Millisecond)
				}
				return false
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			index := randomIndex(t, 2)
			rec := &recorder{}
			s.setHook(c.hook())
			put(t, open(t, s.ref(), Options{Sent: rec.add, Progress: rec}), index, true)
			s.setHook(nil)
			if s.manifest("v1") != raw(t, index) {
				t.Error("the tag does not stand for the index")
			}
			if rec.done != rec.expected {
				t.Errorf("progress says %d of %d bytes", rec.done, rec.expected)
			}
		})
	}
}

// TestLastingFaults pushes to registries that never take something: the error
// says what to do, soon, and nobody sees half an image.
func TestLastingFaults(t *testing.T) {
	refuse := status(http.StatusTooManyRequests, "Retry-After", "0")
	for _, c := range []struct {
		name string
		hook hook
		code fault.Code
		text string
	}{
		{"401", once(always, "POST", "uploads", status(401)), fault.Denied, "docker login"},
		{"403", once(always, "PUT", "manifests", status(403)), fault.Denied, "account"},
		{"404", once(always, "POST", "uploads", status(404)), fault.NotFound, "repository"},
		{"413", once(always, "PATCH", "uploads", status(413)), fault.Invalid, "413"},
		{"429", once(always, "PATCH", "uploads", refuse), fault.Unavailable, "limits requests"},
		{"429 for an hour", once(always, "POST", "uploads", status(429, "Retry-After", "3600")), fault.Unavailable, "limits requests"},
		{"500 to HEAD", once(always, "HEAD", "manifests", status(500)), fault.Unavailable, "try again"},
		{"500 to a manifest", once(always, "PUT", "manifests", status(500)), fault.Unavailable, "try again"},
		{"breaks off", once(always, "PATCH", "uploads", abort(70_000)), fault.Unavailable, "upload sha256:"},
		{"stops reading", once(always, "PATCH", "uploads", func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.CopyN(io.Discard, req.Body, 1000)
			time.Sleep(time.Second) // longer than a client waits
			panic(http.ErrAbortHandler)
		}), fault.Unavailable, ""},
		{"stores another manifest", once(always, "PUT", "manifests", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			w.WriteHeader(http.StatusCreated)
		}), fault.Invalid, "stored the manifest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			img := randomImage(t, 3)
			s.setHook(c.hook)
			start := time.Now()
			err := open(t, s.ref(), Options{}).Put(context.Background(), img, true)
			said := fmt.Sprint(err, "; ", fault.HintOf(err))
			if fault.CodeOf(err) != c.code || !strings.Contains(said, c.text) || !strings.Contains(said, s.host) {
				t.Errorf("%s (code %s), want %s and %q", said, fault.CodeOf(err), c.code, c.text)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if s.manifest("v1") != "" || s.manifest(digestOf(t, img).String()) != "" {
				t.Error("there is a manifest")
			}
			t.Log(said)
		})
	}
}

func TestLostBlobs(t *testing.T) {
	img := randomImage(t, 2)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	lost := digestOf(t, layers[1]).String()

	s := startServer(t)
	s.lost[lost] = 1
	put(t, open(t, s.ref(), Options{}), img, true)
	if s.taken[lost] != 2 || s.manifest("v1") != raw(t, img) {
		t.Errorf("the blob was taken %d times", s.taken[lost])
	}

	s = startServer(t)
	s.lost[lost] = always
	err = open(t, s.ref(), Options{}).Put(context.Background(), img, true)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "lost content") || !strings.Contains(err.Error(), lost) ||
		!strings.Contains(fault.HintOf(err), "storage") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
	if s.taken[lost] != 2 || s.manifest("v1") != "" {
		t.Errorf("the blob was taken %d times", s.taken[lost])
	}
}

// TestMounts takes layers over from another repository of the registry.
func TestMounts(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"mounted": nil, "401": status(401), "403": status(403), "404": status(404), "405": status(405), "500": status(500),
		"202": nil, // what the registry of the tests answers
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			base := randomImage(t, 2)
			put(t, open(t, s.host+"/bases/small:1", Options{}), base, true)
			pulled, _, err := open(t, s.host+"/bases/small:1", Options{}).Get(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			own := randomImage(t, 1)
			layers, err := own.Layers()
			if err != nil {
				t.Fatal(err)
			}
			img, err := mutate.AppendLayers(pulled.(v1.Image), layers...)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			asked := 0
			s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
				query := req.URL.Query()
				if req.Method == http.MethodHead && kindOf(req.URL.Path) == "blobs" {
					w.WriteHeader(http.StatusNotFound) // the registry of the tests has all blobs in all repositories
					return true
				}
				if query.Get("mount") == "" {
					return false
				}
				mu.Lock()
				asked++
				mu.Unlock()
				if query.Get("from") != "bases/small" {
					t.Errorf("mount from %q", query.Get("from"))
				}
				switch {
				case name == "mounted":
					w.WriteHeader(http.StatusCreated)
				case answer != nil:
					answer(w, req)
				default:
					return false
				}
				return true
			})
			rec := &recorder{}
			put(t, open(t, s.ref(), Options{Sent: rec.add, Progress: rec}), img, true)
			want := 5
			if name == "mounted" {
				want = 3
			}
			if len(rec.sent) != want || asked < 2 || rec.done != rec.expected {
				t.Errorf("%d sent, want %d; %d mounts asked for; %d of %d bytes", len(rec.sent), want, asked, rec.done, rec.expected)
			}
			if s.manifest("v1") != raw(t, img) {
				t.Error("the image is not there")
			}
		})
	}
}

func TestRequestsOfNoChange(t *testing.T) {
	s := startServer(t)
	index := randomIndex(t, 2)
	put(t, open(t, s.ref(), Options{}), index, true)
	s.reset()
	put(t, open(t, s.ref(), Options{}), index, true)
	if diff := cmp.Diff([]string{"GET ping", "HEAD manifests"}, s.requests); diff != "" {
		t.Error(diff)
	}
	// Another tag for what is there sends one manifest.
	s.reset()
	rec := &recorder{}
	put(t, open(t, s.host+"/team/app:v2", Options{Sent: rec.add}), index, true)
	if len(rec.sent) != 1 || s.count("POST") != 0 {
		t.Errorf("%q were sent, requests %q", rec.digests(), s.requests)
	}
}

func TestManifestsComeLast(t *testing.T) {
	s := startServer(t)
	index := randomIndex(t, 3)
	put(t, open(t, s.ref(), Options{}), index, true)
	// That blobs come before their manifest, and manifests before their index, is
	// what the registry of the tests insists on.
	if n := s.count("PUT manifests"); n != 4 {
		t.Errorf("%d manifests were put", n)
	}
	if last := s.requests[len(s.requests)-1]; last != "PUT manifests" {
		t.Errorf("the last request is %s", last)
	}
}

func TestCredentials(t *testing.T) {
	s := startServer(t)
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if user, password, ok := req.BasicAuth(); ok && user == "ann" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	img := randomImage(t, 1)
	err := open(t, s.ref(), Options{}).Put(context.Background(), img, true)
	if fault.CodeOf(err) != fault.Denied || !strings.Contains(fault.HintOf(err), "docker login "+s.host) {
		t.Errorf("without credentials: %v; %s", err, fault.HintOf(err))
	}
	config := fmt.Sprintf(`{"auths":{%q:{"username":"ann","password":"secret"}}}`, s.host)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, s.ref(), Options{}), img, true)
}

// TestFallbackList looks at the tag itself: other tools read it.
func TestFallbackList(t *testing.T) {
	s := startServer(t)
	img := randomImage(t, 1)
	to := open(t, s.ref(), Options{})
	put(t, to, img, true)
	a := attachment(t, img, "a")
	put(t, to, a, false)
	tag := strings.Replace(digestOf(t, img).String(), ":", "-", 1)
	var index v1.IndexManifest
	if err := json.Unmarshal([]byte(s.manifest(tag)), &index); err != nil {
		t.Fatal(err)
	}
	want := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIManifestSchema1, Digest: digestOf(t, a), Size: int64(len(raw(t, a))),
		ArtifactType: statementType, Annotations: map[string]string{"example.text": "a"},
	}}}
	if diff := cmp.Diff(want, index); diff != "" {
		t.Error(diff)
	}

	// When the list was lost, attaching the same again repairs it.
	s.ask(http.MethodDelete, "/v2/team/app/manifests/"+tag)
	put(t, open(t, s.ref(), Options{}), a, false)
	if got := texts(t, to, digestOf(t, img)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}

	// A registry with the API gets no such tag.
	s = startServer(t, ggcr.WithReferrersSupport(true))
	to = open(t, s.ref(), Options{})
	put(t, to, img, true)
	put(t, to, a, false)
	if s.manifest(tag) != "" {
		t.Error("there is a fallback tag")
	}
}

// TestFallbackUnderContention replaces the list again and again, as a writer
// that never saw the others.
func TestFallbackUnderContention(t *testing.T) {
	s := startServer(t)
	img := randomImage(t, 1)
	to := open(t, s.ref(), Options{})
	put(t, to, img, true)
	tag := strings.Replace(digestOf(t, img).String(), ":", "-", 1)
	times := 3
	replace := func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, tag) && times > 0 {
			times--
			s.ask(http.MethodDelete, "/v2/team/app/manifests/"+tag)
		}
		return false
	}
	s.setHook(replace)
	put(t, to, attachment(t, img, "a"), false)
	if got := texts(t, to, digestOf(t, img)); !slices.Equal(got, []string{"a"}) || times != 0 {
		t.Errorf("%q", got)
	}
	times = always
	err := to.Put(context.Background(), attachment(t, img, "b"), false)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), tag) || !strings.Contains(err.Error(), "other writers") {
		t.Errorf("%v", err)
	}
}

// TestReferrersInPages reads the lists that registries make in their own ways.
func TestReferrersInPages(t *testing.T) {
	s := startServer(t, ggcr.WithReferrersSupport(true))
	img := randomImage(t, 1)
	to := open(t, s.ref(), Options{})
	put(t, to, img, true)
	var entries []string
	for _, text := range []string{"a", "b", "c"} {
		a := attachment(t, img, text)
		put(t, to, a, false)
		// Without artifact type and annotations, as some registries list them.
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, types.OCIManifestSchema1, digestOf(t, a), len(raw(t, a))))
	}
	gone := fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%064d","size":7}`, types.OCIManifestSchema1, 7)
	entries = append(entries, gone)
	endless := false
	s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if kindOf(req.URL.Path) != "referrers" {
			return false
		}
		var page int
		_, _ = fmt.Sscan(req.URL.Query().Get("page"), &page)
		w.Header().Set("Content-Type", string(types.OCIImageIndex)+"; charset=utf-8")
		if page < len(entries)-1 || endless {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, req.URL.Path, page+1))
		}
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[%s]}`, entries[page%len(entries)])
		return true
	})
	if diff := cmp.Diff([]string{"a", "b", "c"}, texts(t, to, digestOf(t, img))); diff != "" {
		t.Error(diff)
	}
	endless = true
	if _, err := to.Referrers(context.Background(), digestOf(t, img)); fault.CodeOf(err) != fault.Limit {
		t.Errorf("%v", err)
	}
}

func TestHostileLists(t *testing.T) {
	subject := digestOf(t, randomImage(t, 1))
	for name, c := range map[string]struct {
		body string
		code fault.Code
	}{
		"HTML":                    {"<html>", fault.Invalid},
		"an image":                {`{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `"},"layers":[]}`, fault.Invalid},
		"a digest that is a path": {`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../etc"}]}`, fault.Invalid},
		"endless":                 {strings.Repeat(" ", 5<<20), fault.Limit},
		"401":                     {"", fault.Denied},
	} {
		for _, kind := range []string{"referrers", "manifests"} {
			t.Run(name+" of "+kind, func(t *testing.T) {
				s := startServer(t)
				s.setHook(func(w http.ResponseWriter, req *http.Request) bool {
					if kindOf(req.URL.Path) != kind {
						return false
					}
					w.Header().Set("Content-Type", string(types.OCIImageIndex))
					if c.body == "" {
						w.WriteHeader(http.StatusUnauthorized)
					}
					_, _ = io.WriteString(w, c.body)
					return true
				})
				found, err := open(t, s.ref(), Options{}).Referrers(context.Background(), subject)
				if fault.CodeOf(err) != c.code {
					t.Errorf("%v, %v", found, err)
				}
			})
		}
	}
}
