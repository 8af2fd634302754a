package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
)

// passwordVariable holds the password of an encrypted private key, as for
// cosign; an empty password is one, too.
const passwordVariable = "COSIGN_PASSWORD"

// signer reads the private key in file; nil for no file.
func (a *app) signer(file string) (*attach.Signer, error) {
	if file == "" {
		return nil, nil
	}
	return attach.LoadSigner(file, a.password)
}

func (a *app) password() ([]byte, error) {
	for _, v := range slices.Backward(a.environ) {
		if value, ok := strings.CutPrefix(v, passwordVariable+"="); ok {
			return []byte(value), nil
		}
	}
	return nil, errors.New("the key is encrypted and " + passwordVariable + " is not set")
}

// addTrust gives cmd the flag of trusted public keys.
func addTrust(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArray("key", nil, "file with trusted public keys (default: trust.keys of .gopherwood.yaml); may be repeated")
}

// trusted returns the verifier of the keys in files, or else of those that the
// project trusts; nil when there are none.
func trusted(p *project, files []string) (*attach.Verifier, error) {
	if len(files) == 0 {
		for _, key := range p.Trust.Keys {
			files = append(files, p.file(key))
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	return attach.LoadVerifier(files)
}
