package attach

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// rawBundle is a Sigstore bundle as its specification writes it in JSON.
type rawBundle struct {
	MediaType            string `json:"mediaType"`
	VerificationMaterial struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
	DSSEEnvelope struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

// TestSeal verifies bundles with the standard library alone.
func TestSeal(t *testing.T) {
	payload := []byte(`{"a":"<b>"}`)
	for name, key := range map[string]crypto.Signer{"ECDSA": ecdsaKey(t), "Ed25519": ed25519Key(t)} {
		t.Run(name, func(t *testing.T) {
			signer := signerOf(t, key)
			data, err := signer.seal(payload)
			if err != nil {
				t.Fatal(err)
			}
			var b rawBundle
			if err := json.Unmarshal(data, &b); err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKIXPublicKey(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			id := sha256.Sum256(der)
			got := []string{b.MediaType, b.VerificationMaterial.PublicKey.Hint, b.DSSEEnvelope.PayloadType, string(b.DSSEEnvelope.Payload), signer.KeyID()}
			want := []string{"application/vnd.dev.sigstore.bundle.v0.3+json", base64.StdEncoding.EncodeToString(id[:]),
				"application/vnd.in-toto+json", string(payload), hex.EncodeToString(id[:])}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("bundle (-want +got):\n%s", diff)
			}
			signed := fmt.Appendf(nil, "DSSEv1 28 application/vnd.in-toto+json %d %s", len(payload), payload)
			sig := b.DSSEEnvelope.Signatures[0].Sig
			sum := sha256.Sum256(signed)
			valid := false
			switch public := key.Public().(type) {
			case *ecdsa.PublicKey:
				valid = ecdsa.VerifyASN1(public, sum[:], sig)
			case ed25519.PublicKey:
				valid = ed25519.Verify(public, signed, sig)
			}
			if !valid || len(b.DSSEEnvelope.Signatures) != 1 {
				t.Errorf("the signature does not verify, or is not alone")
			}
			again, err := signer.seal(payload)
			if err != nil || string(again) != string(data) {
				t.Errorf("a second bundle differs: %s, %v", again, err)
			}
		})
	}
}

func TestVerifier(t *testing.T) {
	own, other := ecdsaKey(t), ed25519Key(t)
	data, err := signerOf(t, own).seal([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := openBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*Verifier{nil, {}, verifierOf(t, other)} {
		if _, ok := v.verify(e.signed(), e.signature); ok {
			t.Errorf("%v trusts another's signature", v)
		}
	}
	v := verifierOf(t, other, own)
	if id, ok := v.verify(e.signed(), e.signature); !ok || id != signerOf(t, own).KeyID() {
		t.Errorf("verified %t with %s", ok, id)
	}
	e.payload[0] ^= 1
	if _, ok := v.verify(e.signed(), e.signature); ok {
		t.Error("another payload is verified")
	}
}

func TestLoadSigner(t *testing.T) {
	key := ecdsaKey(t).(*ecdsa.PrivateKey)
	want := signerOf(t, key).KeyID()
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := encrypted.Encrypt(pkcs8, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	openssl := filepath.Join(t.TempDir(), "openssl.pem")
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	body, err := os.ReadFile(writePEM(t, "EC PRIVATE KEY", sec1))
	if err == nil {
		err = os.WriteFile(openssl, append([]byte(parameters), body...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	password := func() ([]byte, error) { return []byte("open sesame"), nil }
	for _, path := range []string{
		writePEM(t, "EC PRIVATE KEY", sec1), openssl, writePEM(t, "PRIVATE KEY", pkcs8),
		writePEM(t, "ENCRYPTED SIGSTORE PRIVATE KEY", secret), writePEM(t, "ENCRYPTED COSIGN PRIVATE KEY", secret),
	} {
		s, err := LoadSigner(path, password)
		if err != nil || s.KeyID() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	for name, test := range map[string]struct {
		password func() ([]byte, error)
		code     fault.Code
	}{
		"none":   {nil, fault.Usage},
		"wrong":  {func() ([]byte, error) { return []byte("sesame"), nil }, fault.Denied},
		"failed": {func() ([]byte, error) { return nil, errors.New("no terminal") }, fault.Usage},
	} {
		_, err := LoadSigner(writePEM(t, "ENCRYPTED SIGSTORE PRIVATE KEY", secret), test.password)
		if fault.CodeOf(err) != test.code || !strings.Contains(fault.HintOf(err), "COSIGN_PASSWORD") {
			t.Errorf("password %s: %v (%s)", name, err, fault.HintOf(err))
		}
	}
}

func TestKeysRefused(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path string
		code fault.Code
	}{
		"missing":        {filepath.Join(t.TempDir(), "missing"), fault.NotFound},
		"a directory":    {t.TempDir(), fault.Invalid},
		"empty":          {empty, fault.Invalid},
		"broken":         {writePEM(t, "PRIVATE KEY", []byte("secret")), fault.Invalid},
		"another block":  {writePEM(t, "CERTIFICATE", nil), fault.Unsupported},
		"another curve":  {privateFile(t, p384), fault.Unsupported},
		"another method": {privateFile(t, rsaKey), fault.Unsupported},
		"long":           {writePEM(t, "PRIVATE KEY", make([]byte, maxKey)), fault.Limit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := LoadSigner(test.path, nil)
			if fault.CodeOf(err) != test.code || fault.HintOf(err) == "" || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v with code %s and hint %q, want %s", err, fault.CodeOf(err), fault.HintOf(err), test.code)
			}
		})
	}
	for _, path := range []string{empty, privateFile(t, ecdsaKey(t)), publicFile(t, p384), writePEM(t, "PUBLIC KEY", nil)} {
		if _, err := LoadVerifier([]string{path}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("public key: %v", err)
		}
	}
}

func TestOpenBundleRefuses(t *testing.T) {
	good, err := signerOf(t, ed25519Key(t)).seal([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s\nholds no %s", good, old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for name, data := range map[string]string{
		"nothing":             "",
		"no JSON":             "<html>",
		"another media type":  change(`"mediaType":"application/vnd.dev.sigstore`, `"mediaType":"application/other`),
		"no envelope":         `{"mediaType":"` + bundleMedia + `"}`,
		"a message signature": `{"mediaType":"` + bundleMedia + `","messageSignature":{"signature":"AAAA"}}`,
		"another payload":     change(statementMedia, "text/plain"),
		"no signature":        change(`"signatures":[{`, `"signatures":[],"x":[{`),
		"two signatures":      change(`"signatures":[{`, `"signatures":[{"sig":"AAAA"},{`),
		"long":                strings.Repeat(" ", maxBundle+1),
		"deep":                `{"x":` + strings.Repeat("[", 100_000),
	} {
		if _, err := openBundle([]byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := openBundle([]byte(change(`{"mediaType"`, `{"fieldOfLaterVersions":1,"mediaType"`))); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func FuzzOpenBundle(f *testing.F) {
	signer := signerOf(f, ed25519Key(f))
	for _, payload := range []string{"{}", "", `{"_type":"` + statementType + `"}`} {
		data, err := signer.seal([]byte(payload))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	verifier := verifierOf(f, ed25519Key(f), ecdsaKey(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := openBundle(data)
		if err != nil {
			return
		}
		if _, ok := verifier.verify(e.signed(), e.signature); ok {
			t.Fatal("a signature by an unknown key is trusted")
		}
		if _, err := parseStatement(e.payload); err != nil {
			return
		}
	})
}

func FuzzKeys(f *testing.F) {
	for _, key := range []crypto.Signer{ecdsaKey(f), ed25519Key(f)} {
		data, err := os.ReadFile(publicFile(f, key))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parsePublic(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}
