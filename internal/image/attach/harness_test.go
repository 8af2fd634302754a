package attach

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
)

// digestOf is a digest made of one hex digit.
func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// sampleSubject is the manifest that statements of these tests are about.
func sampleSubject(t testing.TB) v1.Descriptor {
	t.Helper()
	h, err := v1.NewHash(digestOf("1"))
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 500, Digest: h}
}

// sampleBuilt is a built image with every kind of module that build information
// can name.
func sampleBuilt() api.BuiltImage {
	const sum = "h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="
	platform := api.Platform{OS: "linux", Arch: "amd64", Level: "v1"}
	module := api.Module{Path: "example.org/app", Version: "(devel)"}
	base := api.BaseChoice{Ref: "registry.example.org/base/glibc:12", Digest: digestOf("2"), Reason: "it is linked dynamically"}
	return api.BuiltImage{
		Platform: platform,
		Digest:   digestOf("1"),
		Base:     base,
		Facts: api.Facts{
			Ref: "somewhere", Path: "/usr/local/bin/app", Digest: digestOf("3"), Size: 4711, Format: "elf", Platform: platform, Entrypoint: true,
			Go: &api.Go{
				Version: "go1.26.8", Main: "example.org/app/cmd", Module: &module,
				Deps: []api.Module{
					{Path: "github.com/Upper/Case", Version: "v1.2.3", Sum: sum},
					{Path: "example.org/old", Version: "v2.0.0+incompatible", Sum: sum},
					{Path: "example.org/replaced", Version: "v1.0.0", Replace: &api.Module{Path: "example.org/fork", Version: "v1.0.1", Sum: sum}},
					{Path: "example.org/local", Version: "v1.0.0", Replace: &api.Module{Path: "../local"}},
				},
			},
			Capabilities: []string{"net"},
		},
		Build: api.BuildFacts{
			SchemaVersion: api.SchemaVersion, Kind: api.KindBuildFacts, Package: "example.org/app/cmd", Platform: platform,
			Module: module, Dir: "cmd", ModuleGraph: digestOf("4"),
			Source: &api.VCS{System: "git", Revision: strings.Repeat("5", 40), Time: "2026-11-01T10:00:00Z"},
			Go:     "go1.26.8", CGO: api.CGODecision{Asked: api.CGOAuto, Reason: "nothing needs it"},
			Flags: []string{"-trimpath", "-ldflags=-s -w"}, Env: map[string]string{"CGO_ENABLED": "0", "GOAMD64": "v1"},
			Program: "/usr/local/bin/app", Digest: digestOf("3"), Size: 4711, Base: base, Compression: "gzip",
			Config: api.PackageConfig{CGO: api.CGOAuto, Ldflags: []string{"-s", "-w"}},
		},
	}
}

// sampleRun is when it was built.
func sampleRun() Run {
	at := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	return Run{Version: "v1.2.3", Files: []api.Facts{sampleBuilt().Facts}, Created: at.Add(-time.Hour), Started: at, Finished: at.Add(time.Minute)}
}

func describe(t testing.TB, subject v1.Descriptor, run Run) []Statement {
	t.Helper()
	statements, err := Describe(subject, "app", sampleBuilt(), run)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// predicate returns the predicate of one type.
func predicate(t testing.TB, statements []Statement, predicateType string) []byte {
	t.Helper()
	for _, s := range statements {
		if s.PredicateType == predicateType {
			return s.Predicate
		}
	}
	t.Fatalf("no statement of the type %s", predicateType)
	return nil
}

func ecdsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed25519Key(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writePEM writes one block to a file and returns its path.
func writePEM(t testing.TB, blockType string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// privateFile and publicFile write a key as openssl does.
func privateFile(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "PRIVATE KEY", der)
}

func publicFile(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "PUBLIC KEY", der)
}

// signerOf and verifierOf load a key from a file as a user's.
func signerOf(t testing.TB, key crypto.Signer) *Signer {
	t.Helper()
	s, err := LoadSigner(privateFile(t, key), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verifierOf(t testing.TB, keys ...crypto.Signer) *Verifier {
	t.Helper()
	var files []string
	for _, k := range keys {
		files = append(files, publicFile(t, k))
	}
	v, err := LoadVerifier(files)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// newRegistry starts a registry with the referrers API, or without it.
func newRegistry(t testing.TB, referrers bool) string {
	t.Helper()
	server := httptest.NewServer(registry.New(
		registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// platformImage is a small image for one platform.
func platformImage(t testing.TB, platform v1.Platform) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		&v1.ConfigFile{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant})
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, static.NewLayer(bytes.Repeat([]byte(platform.Architecture), 10), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// stored is a multi-platform image in a store.
type stored struct {
	store.Store
	index  v1.Descriptor
	images []v1.Descriptor
}

// storeIndex puts an index of two platforms to ref.
func storeIndex(t testing.TB, ref string) stored {
	t.Helper()
	s := stored{Store: open(t, ref)}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}} {
		img := platformImage(t, p)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &p}})
		s.images = append(s.images, descriptor(t, img))
	}
	if err := s.Put(t.Context(), index, true); err != nil {
		t.Fatal(err)
	}
	s.index = descriptor(t, index)
	return s
}

func open(t testing.TB, ref string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), ref, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func descriptor(t testing.TB, d partial.Describable) v1.Descriptor {
	t.Helper()
	desc, err := partial.Descriptor(d)
	if err != nil {
		t.Fatal(err)
	}
	return *desc
}
