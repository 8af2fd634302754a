package cli

import (
	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

func newVersions(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "versions",
		Short: "Print the Go versions, until when they are supported and what they brought",
		Long: `Versions prints the version matrix as it stands on one day. Upstream supports the
two newest minors; --vendor adds a vendor's longer support, and --matrix reads
other matrices, whose format is described in docs/formats/matrix.md.`,
		Example: `  gopherwood versions
  gopherwood versions --vendor --today 2026-01-01 -o json`,
		Args: maxArgs(0),
	}
	set := addSetting(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print everything of each version")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := set.load(cmd)
		if err != nil {
			return err
		}
		list := s.Matrix.Releases(s.Today)
		look := a.look
		look.Verbose = *verbose
		return render.Versions(a.stdout, format.value, &list, look)
	}
	return cmd
}
