package cli

import (
	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/base/codepages"
	"github.com/gopherwood-dev/gopherwood/internal/kube"
)

// fleetName is what the objects of the controller are called, as in the chart.
const fleetName = "gopherwood-fleet"

func newFleetController(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Keep the verdicts on everything that a cluster runs up to date",
		Long: `Controller watches the pods of a cluster, measures the images that run, and writes
what the policies say into PolicyReports and the policies' status. 'gopherwood
install' and the Helm chart run it in a cluster; docs/webhook.md says which rights
it needs.

Traces are sent where the environment variables OTEL_EXPORTER_OTLP_ENDPOINT and
the like say, if they are set.`,
		Example: `  gopherwood fleet controller --cache-dir /var/cache/gopherwood
  gopherwood fleet controller --kubeconfig admin.conf -n gopherwood-system --log-format text`,
		Args: maxArgs(0),
	}
	s := addService(cmd, fleetName, 3)
	fl := cmd.Flags()
	reports := fl.Bool("reports", true, "write PolicyReports")
	rate := fl.Float64("reports-per-second", 20, "how many reports are written a second")
	workers := fl.Int("workers", 4, "how many images are worked on at once")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *rate <= 0 || *workers < 1 {
			return usage(cmd, "--reports-per-second must be above 0, --workers at least 1")
		}
		if err := s.check(cmd); err != nil {
			return err
		}
		set, err := s.setting.load(cmd)
		if err != nil {
			return err
		}
		images, err := s.images()
		if err != nil {
			return err
		}
		cfg, err := kube.Connect(s.kubeconfig, agent())
		if err != nil {
			return err
		}
		return kube.RunController(cmd.Context(), kube.ControllerOptions{
			Config: cfg, Namespace: s.namespace, Lease: s.lease, Elect: s.elect,
			Health: s.health, Metrics: s.metrics,
			Images: images, PullSecrets: s.pullSecrets, Matrix: set.Matrix,
			Reports: *reports, ReportsPerSecond: *rate, Workers: *workers,
			Build: build(), Getenv: a.getenv, Log: s.log.logger(a),
			Started: func(kube.ControllerAddresses) {
				_, _ = codepages.Release() // what stays in memory does no harm
			},
		})
	}
	return cmd
}
