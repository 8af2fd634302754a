//go:build e2e

package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

// cosignVersion is the version of cosign that the tests hold their subject
// against; it is built from its module and kept between runs.
const cosignVersion = "v3.1.3"

// cosign is the command with a directory for what it keeps.
type cosign struct{ path, dir string }

func newCosign(t *testing.T) cosign {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(cache, "gopherwood-e2e", "bin", "cosign-"+cosignVersion)
	c := cosign{filepath.Join(bin, "cosign"), t.TempDir()}
	if runtime.GOOS == "windows" {
		c.path += ".exe"
	}
	if _, err := os.Stat(c.path); err == nil {
		return c
	}
	cmd := exec.CommandContext(t.Context(), "go", "install", "github.com/sigstore/cosign/v3/cmd/cosign@"+cosignVersion)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+bin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build cosign: %v\n%s", err, out)
	}
	return c
}

// run runs cosign without reaching for anything but the given registry.
func (c cosign) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "TUF_ROOT="+filepath.Join(c.dir, "tuf"), "COSIGN_PASSWORD=open sesame", "COSIGN_YES=true")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cosign %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out), nil
}

func (c cosign) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// noServices writes a signing configuration that names neither a transparency
// log nor a timestamp authority.
func (c cosign) noServices(t *testing.T) string {
	t.Helper()
	path := filepath.Join(c.dir, "signing-config.json")
	const config = `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCosignVerifies has cosign verify what Put has signed.
func TestCosignVerifies(t *testing.T) {
	c := newCosign(t)
	c.must(t, "generate-key-pair")
	generated, err := LoadSigner(filepath.Join(c.dir, "cosign.key"), func() ([]byte, error) { return []byte("open sesame"), nil })
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey, ed25519Key := ecdsaKey(t), ed25519Key(t)
	strangers := publicFile(t, ecdsaKey)
	for name, test := range map[string]struct {
		signer *Signer
		public string
	}{
		"cosign's own key": {generated, filepath.Join(c.dir, "cosign.pub")},
		"ECDSA":            {signerOf(t, ecdsaKey), publicFile(t, ecdsaKey)},
		"Ed25519":          {signerOf(t, ed25519Key), publicFile(t, ed25519Key)},
	} {
		for _, referrers := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s with referrers %t", name, referrers), func(t *testing.T) {
				ref := newRegistry(t, referrers) + "/team/app:v1"
				s := storeIndex(t, ref)
				attachAll(t, s, sampleRun(), test.signer)
				flags := []string{"--key", test.public, "--insecure-ignore-tlog", "--allow-http-registry"}
				out := c.must(t, append(append([]string{"verify"}, flags...), ref)...)
				if !strings.Contains(out, s.index.Digest.String()) {
					t.Errorf("verify says nothing of the index:\n%s", out)
				}
				for _, img := range s.images {
					c.verifyImage(t, flags, s.Ref(img.Digest), img.Digest.String())
				}
				if name == "ECDSA" {
					return
				}
				flags[1] = strangers
				if out, err := c.run(t.Context(), append(append([]string{"verify"}, flags...), ref)...); err == nil {
					t.Errorf("cosign trusts another key:\n%s", out)
				}
			})
		}
	}
}

// verifyImage has cosign verify the signature and every statement of one image.
func (c cosign) verifyImage(t *testing.T, flags []string, ref, digest string) {
	t.Helper()
	c.must(t, append(append([]string{"verify"}, flags...), ref)...)
	for flag, want := range map[string]string{
		"slsaprovenance1": api.PredicateProvenance, "spdxjson": api.PredicateSPDX, "cyclonedx": api.PredicateCycloneDX,
		api.PredicateFacts: api.PredicateFacts, api.PredicateBuildFacts: api.PredicateBuildFacts,
	} {
		out := c.must(t, append(append([]string{"verify-attestation", "--type", flag}, flags...), ref)...)
		var envelope struct{ Payload []byte }
		if err := json.Unmarshal([]byte(out), &envelope); err != nil {
			t.Fatalf("%s: %v in\n%s", flag, err, out)
		}
		s, err := ParseStatement(envelope.Payload)
		if err != nil || s.PredicateType != want || "sha256:"+s.Subjects[0].Digest["sha256"] != digest {
			t.Errorf("%s: %s about %v, %v", flag, s.PredicateType, s.Subjects, err)
		}
	}
}

// TestReadsCosign lists and verifies what cosign has signed and attested.
func TestReadsCosign(t *testing.T) {
	c := newCosign(t)
	c.must(t, "generate-key-pair")
	key := filepath.Join(c.dir, "cosign.key")
	predicate := filepath.Join(c.dir, "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"reviewed":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, referrers := range []bool{true, false} {
		t.Run(fmt.Sprintf("referrers %t", referrers), func(t *testing.T) {
			ref := newRegistry(t, referrers) + "/team/app:v1"
			s := storeIndex(t, ref)
			flags := []string{"--key", key, "--signing-config", c.noServices(t), "--allow-http-registry"}
			c.must(t, append(append([]string{"sign", "--recursive"}, flags...), s.Ref(s.index.Digest))...)
			c.must(t, append(append([]string{"attest", "--type", "https://example.org/review/v1", "--predicate", predicate}, flags...), s.Ref(s.images[0].Digest))...)
			v, err := LoadVerifier([]string{filepath.Join(c.dir, "cosign.pub")})
			if err != nil {
				t.Fatal(err)
			}
			if _, unsigned, err := Verify(t.Context(), s, v); err != nil || len(unsigned) != 0 {
				t.Errorf("unsigned %v, %v", unsigned, err)
			}
			if got := strings.Join(listed(t, s, v), "\n"); !strings.Contains(got, "linux/amd64 https://example.org/review/v1 signed=true verified=true ") {
				t.Errorf("attachments:\n%s", got)
			}
		})
	}
}
