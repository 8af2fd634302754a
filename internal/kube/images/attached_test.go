package images

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newSigner(t *testing.T) *attach.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := attach.LoadSigner(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Facts that a trusted key signed stand in for an image that is slow, until it is
// measured; those of others never do.
func TestAttached(t *testing.T) {
	r := newRegistries()
	img := newImage(t, "amd64", map[string]string{"app": program(t)})
	r.push(t, "a/app:v1", img)
	digest := digestOf(t, img)
	measured := mustGet(t, newStore(t, r, Options{}), "a", "a/app:v1")
	to, err := store.Open(t.Context(), host+"/a/app:v1", store.Options{Transport: r, Keychain: tenantKeys{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	trusted := newSigner(t)
	if err := attach.PutMeasured(t.Context(), to, digest, attach.Run{Files: measured.Subjects[0].Files}, trusted); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer := digestOf(t, layers[0])
	for _, c := range []struct {
		name     string
		verifier *attach.Verifier
		user     string
		want     bool
	}{
		{"trusted", trusted.Verifier(), "a", true},
		{"trusted, but not the tenant's", trusted.Verifier(), "b", false},
		{"another key", newSigner(t).Verifier(), "a", false},
		{"no keys", nil, "a", false},
	} {
		release := make(chan struct{})
		r.setHook(func(_ http.ResponseWriter, req *http.Request) bool {
			if strings.HasSuffix(req.URL.Path, layer) {
				<-release
			}
			return false
		})
		s := newStore(t, r, Options{Verifier: c.verifier})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		got, err := s.Get(ctx, Request{Image: host + "/a/app:v1", Keychain: tenantKeys{c.user}})
		cancel()
		if (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			subject := got.Subjects[0]
			if got.Digest != digest || subject.Root != nil || len(subject.Files) != 1 || subject.Files[0].Source != api.SourceAttached ||
				subject.Ref != got.Ref || subject.Files[0].Ref != got.Ref || subject.Platform.Arch != "amd64" {
				t.Errorf("%s: got %+v with %+v", c.name, got, subject)
			}
		}
		close(release)
		if c.user == "b" {
			_, err := get(t, s, "b", "a/app:v1")
			wantCode(t, err, fault.Denied)
			continue
		}
		if got := mustGet(t, s, c.user, "a/app:v1"); got.Subjects[0].Root == nil {
			t.Errorf("%s: attached facts stay in the place of measured ones", c.name)
		}
	}
}
