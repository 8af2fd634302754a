package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which build of Gopherwood this is",
		Example: "  gopherwood version -o json",
		Args:    maxArgs(0),
	}
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := buildVersion()
		if format.value != render.Table {
			return render.Document(a.stdout, format.value, v)
		}
		_, err := fmt.Fprintf(a.stdout, "gopherwood %s (%s, %s)\n", v.Version, v.Go, v.Platform)
		return err
	}
	return cmd
}

// buildVersion returns what the toolchain recorded in the running program.
func buildVersion() api.Version {
	build := goversion.Info()
	v := api.Version{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindVersion,
		Version:       cmp.Or(build.ModuleVersion, "(devel)"),
		Go:            build.Version,
		Platform:      api.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH},
	}
	if vcs := build.VCS; vcs != (goversion.VCS{}) {
		v.VCS = &api.VCS{System: vcs.System, Revision: vcs.Revision, Modified: vcs.Modified}
		if !vcs.Time.IsZero() {
			v.VCS.Time = vcs.Time.Format(time.RFC3339)
		}
	}
	return v
}
