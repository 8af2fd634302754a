package cli

import (
	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

func newModproxyStats(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Say what is in a store, where it came from and when it was used",
		Long: `Stats counts the modules, versions and bytes in a store, by where they came from;
-v, JSON and YAML have every module, with the time of its last use to the hour.

The exit code is 4 when something could not be read.`,
		Example: "  gopherwood modproxy stats --store /var/lib/gopherwood/modules -v\n  gopherwood modproxy stats --store oci://registry.corp.example.com/modules -o json",
		Args:    maxArgs(0),
	}
	s := addModuleStore(cmd)
	work := addModuleWork(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print every module")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(cmd, a.getenv); err != nil {
			return err
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		look := a.look
		look.Verbose = *verbose
		return a.moduleStats(cmd, s, work, format.value, look)
	}
	return cmd
}

func (a *app) moduleStats(cmd *cobra.Command, s *moduleStore, work *moduleWork, f render.Format, look render.Layout) error {
	return readModules(a, s, work, func(st store.Store, w keep.Work) (*api.ModuleStats, []error, error) {
		return keep.Stats(cmd.Context(), st, w)
	}, func(stats *api.ModuleStats, failed []api.Error) error {
		stats.Errors = failed
		return render.ModuleStats(a.stdout, f, stats, look)
	})
}
