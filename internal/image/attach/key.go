package attach

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxKey is the most bytes that a file with keys may have.
const maxKey = 64 << 10

// Signer signs with a local private key.
type Signer struct {
	private crypto.Signer
	public  publicKey
}

// publicKey is a key that signatures are verified with.
type publicKey struct {
	crypto.PublicKey // *ecdsa.PublicKey on P-256, or ed25519.PublicKey
	// sum is the SHA-256 of the key's PKIX form in DER.
	sum [sha256.Size]byte
}

// id is how api.Attachment names the key, hint how Sigstore bundles do.
func (k publicKey) id() string   { return hex.EncodeToString(k.sum[:]) }
func (k publicKey) hint() string { return base64.StdEncoding.EncodeToString(k.sum[:]) }

func newPublicKey(key crypto.PublicKey) (publicKey, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return publicKey{}, fmt.Errorf("the ECDSA key is on the curve %s", key.Params().Name)
		}
	default:
		return publicKey{}, fmt.Errorf("it is a key of the type %T", key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	return publicKey{key, sha256.Sum256(der)}, err
}

// keyHint says which keys there can be.
const keyHint = "use an ECDSA key on the curve P-256, as cosign generate-key-pair makes it, or an Ed25519 key, in PEM"

func keyError(path string, code fault.Code, err error, hint string) error {
	return &fault.Error{Code: code, Op: "read key", Input: path, Err: err, Hint: hint}
}

// LoadSigner reads a private key from a PEM file: PKCS #8, SEC 1, or encrypted
// as cosign does it. password is asked for an encrypted key's password only; nil
// means that there is none. The errors never hold any of the key.
func LoadSigner(path string, password func() ([]byte, error)) (*Signer, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	block := findBlock(data, func(b *pem.Block) bool { return b.Type != "EC PARAMETERS" })
	if block == nil {
		return nil, keyError(path, fault.Invalid, errors.New("no PEM block in it"), keyHint)
	}
	private, err := parsePrivate(path, block, password)
	if err != nil {
		return nil, err
	}
	public, err := newPublicKey(private.Public())
	if err != nil {
		return nil, keyError(path, fault.Unsupported, err, keyHint)
	}
	return &Signer{private, public}, nil
}

func parsePrivate(path string, block *pem.Block, password func() ([]byte, error)) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		var der []byte
		if der, err = decrypt(path, block.Bytes, password); err != nil {
			return nil, err
		}
		key, err = x509.ParsePKCS8PrivateKey(der)
	default:
		return nil, keyError(path, fault.Unsupported, fmt.Errorf("a PEM block %q is no private key that is known here", block.Type), keyHint)
	}
	if err != nil {
		return nil, keyError(path, fault.Invalid, errors.New("the private key cannot be parsed"), keyHint)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, keyError(path, fault.Unsupported, fmt.Errorf("a key of the type %T does not sign", key), keyHint)
	}
	return signer, nil
}

// decrypt opens what cosign encrypts: scrypt and NaCl's secretbox.
func decrypt(path string, data []byte, password func() ([]byte, error)) ([]byte, error) {
	const hint = "set COSIGN_PASSWORD to the key's password"
	if password == nil {
		return nil, keyError(path, fault.Usage, errors.New("the key is encrypted and there is no password"), hint)
	}
	secret, err := password()
	if err != nil {
		return nil, keyError(path, fault.Usage, err, hint)
	}
	der, err := encrypted.Decrypt(data, secret)
	if err != nil {
		return nil, keyError(path, fault.Denied, errors.New("it cannot be decrypted with the password"), hint)
	}
	return der, nil
}

// KeyID is how api.Attachment names the signer's key.
func (s *Signer) KeyID() string { return s.public.id() }

// Verifier returns a verifier that trusts the signer's key alone.
func (s *Signer) Verifier() *Verifier { return &Verifier{[]publicKey{s.public}} }

// sign signs message. The same message gets the same signature: ECDSA is used
// as RFC 6979 has it.
func (s *Signer) sign(message []byte) ([]byte, error) {
	if _, plain := s.public.PublicKey.(ed25519.PublicKey); plain {
		return s.private.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return s.private.Sign(nil, sum[:], crypto.SHA256)
}

// Verifier holds the public keys that are trusted. A nil Verifier trusts none.
type Verifier struct{ keys []publicKey }

// LoadVerifier reads public keys from PEM files; one may hold several.
func LoadVerifier(files []string) (*Verifier, error) {
	v := &Verifier{}
	for _, path := range files {
		data, err := readKeyFile(path)
		if err != nil {
			return nil, err
		}
		keys, err := parsePublic(data)
		if err != nil {
			return nil, keyError(path, fault.Invalid, err, keyHint)
		}
		v.keys = append(v.keys, keys...)
	}
	return v, nil
}

func parsePublic(data []byte) (keys []publicKey, err error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("a PEM block %q is no public key", block.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the public key cannot be parsed")
		}
		key, err := newPublicKey(parsed)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block in it")
	}
	return keys, nil
}

// verify returns the id of the trusted key that signed message.
func (v *Verifier) verify(message, signature []byte) (id string, ok bool) {
	if v == nil {
		return "", false
	}
	sum := sha256.Sum256(message)
	for _, key := range v.keys {
		switch public := key.PublicKey.(type) {
		case ed25519.PublicKey:
			ok = ed25519.Verify(public, message, signature)
		case *ecdsa.PublicKey:
			ok = ecdsa.VerifyASN1(public, sum[:], signature)
		}
		if ok {
			return key.id(), true
		}
	}
	return "", false
}

// findBlock returns the first PEM block in data that is wanted, or nil.
func findBlock(data []byte, wanted func(*pem.Block) bool) *pem.Block {
	for {
		block, rest := pem.Decode(data)
		if block == nil || wanted(block) {
			return block
		}
		data = rest
	}
}

func readKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, keyError(path, fault.CodeOf(err), errors.Unwrap(err), "name the file of the key")
	}
	defer file.Close()
	var data bytes.Buffer
	n, err := data.ReadFrom(io.LimitReader(file, maxKey+1))
	switch {
	case err != nil:
		return nil, keyError(path, fault.Invalid, errors.Unwrap(err), keyHint)
	case n > maxKey:
		return nil, keyError(path, fault.Limit, fmt.Errorf("it has more than %d bytes", maxKey), keyHint)
	}
	return data.Bytes(), nil
}
