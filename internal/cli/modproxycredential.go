package cli

import (
	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/credential"
)

// newModproxyCredential is what git and the go command run for the proxy when they
// need the credentials of a host; nobody types it.
func newModproxyCredential(a *app) *cobra.Command {
	return &cobra.Command{
		Use:                "credential",
		Short:              "Answer git and the go command when they ask for the credentials of a host",
		Example:            "  gopherwood modproxy credential get",
		Hidden:             true,
		DisableFlagParsing: true, // the go command adds URLs and headers
		RunE: func(_ *cobra.Command, args []string) error {
			return credential.Answer(a.environ, args, a.stdin, a.stdout)
		},
	}
}
