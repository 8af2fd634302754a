package cli

import (
	"cmp"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/kube"
	"github.com/gopherwood-dev/gopherwood/internal/kube/certs"
)

// webhookName is what the objects of the webhook are called, as in the chart.
const webhookName = "gopherwood-webhook"

// webhookFlags are the flags of webhook that are not a service's.
type webhookFlags struct {
	listen                 string
	service                string
	secret, certDir        string
	validating, mutating   []string
	certNames              []string
	caLife, life           time.Duration
	drainDelay, drainLimit time.Duration
	maxInFlight            int
}

func newWebhook(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Answer a Kubernetes API server whether workloads may run",
		Long: `Webhook serves the admission webhooks of a cluster: /validate says whether a Pod,
or whatever holds a template of Pods, may run by the GoPolicies and
ClusterGoPolicies in force; /mutate fills in what they ask for; /validate-policy
refuses policies that do not compile. 'gopherwood install' and the Helm chart run
it in a cluster; docs/webhook.md has more.

It makes its certificate itself, keeps it in a Secret that all replicas share, and
tells the webhook configurations whom to trust. With --cert-dir somebody else does
that, such as cert-manager.

On SIGTERM /readyz fails at once, requests are answered for --drain-delay, and
those that have begun are answered to their end.

Traces are sent where the environment variables OTEL_EXPORTER_OTLP_ENDPOINT and
the like say, if they are set.`,
		Example: `  gopherwood webhook --cache-dir /var/cache/gopherwood
  gopherwood webhook --kubeconfig admin.conf -n gopherwood-system --log-format text
  gopherwood webhook --cert-dir /var/run/certificate --registry-mirror docker.io=https://mirror.example.org`,
		Args: maxArgs(0),
	}
	s := addService(cmd, webhookName, 2)
	f := &webhookFlags{}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", ":9443", "address for the API server")
	fl.StringVar(&f.service, "service", webhookName, "Service that the API server calls, for the certificate")
	fl.StringVar(&f.secret, "secret", "", "Secret that keeps the certificate (default: the name of --service and \"-tls\")")
	fl.StringVar(&f.certDir, "cert-dir", "", "directory with tls.crt and tls.key that somebody else fills, instead of --secret")
	fl.StringSliceVar(&f.validating, "validating-config", []string{webhookName}, "ValidatingWebhookConfigurations that are told whom to trust; empty for none")
	fl.StringSliceVar(&f.mutating, "mutating-config", []string{webhookName}, "MutatingWebhookConfigurations that are told whom to trust; empty for none")
	fl.StringSliceVar(&f.certNames, "cert-name", nil, "host or address that the certificate is also for, where the API server calls a URL")
	fl.DurationVar(&f.caLife, "ca-validity", certs.DefaultCALife, "how long the webhook's own authority is valid; at least four times --cert-validity unless it is given")
	fl.DurationVar(&f.life, "cert-validity", certs.DefaultLife, "how long its certificate is valid")
	fl.DurationVar(&f.drainDelay, "drain-delay", kube.DefaultDrainDelay, "how long requests are still accepted after SIGTERM")
	fl.DurationVar(&f.drainLimit, "drain-limit", kube.DefaultDrainLimit, "how long requests that have begun may take after that")
	fl.IntVar(&f.maxInFlight, "max-in-flight", kube.DefaultMaxInFlight, "how many requests are answered at once")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		if err := s.check(cmd); err != nil {
			return err
		}
		opt, err := f.options(cmd, a, s)
		if err != nil {
			return err
		}
		return kube.RunWebhook(cmd.Context(), opt)
	}
	return cmd
}

// check finds what is wrong with the flags themselves.
func (f *webhookFlags) check(cmd *cobra.Command) error {
	for _, name := range []string{"secret", "ca-validity", "cert-validity", "cert-name"} {
		if f.certDir != "" && cmd.Flags().Changed(name) {
			return usage(cmd, "--cert-dir and --%s exclude each other", name)
		}
	}
	if !cmd.Flags().Changed("ca-validity") {
		f.caLife = max(f.caLife, 4*f.life)
	}
	switch {
	case f.service == "":
		return usage(cmd, "--service must not be empty")
	case f.drainDelay < 0 || f.drainLimit <= 0:
		return usage(cmd, "--drain-delay must not be below 0, --drain-limit above")
	case f.maxInFlight < 1:
		return usage(cmd, "--max-in-flight must be at least 1")
	case f.life < time.Minute || f.caLife < 3*f.life:
		return usage(cmd, "--cert-validity must be at least 1m, and --ca-validity three times as long")
	}
	return nil
}

// options returns what the flags say.
func (f *webhookFlags) options(cmd *cobra.Command, a *app, s *service) (kube.WebhookOptions, error) {
	var none kube.WebhookOptions
	set, err := s.setting.load(cmd)
	if err != nil {
		return none, err
	}
	images, err := s.images()
	if err != nil {
		return none, err
	}
	cfg, err := kube.Connect(s.kubeconfig, agent())
	if err != nil {
		return none, err
	}
	return kube.WebhookOptions{
		Config: cfg, Namespace: s.namespace, Service: f.service,
		Certificates: f.certificates(),
		Listen:       f.listen, Health: s.health, Metrics: s.metrics,
		Elect: s.elect, Lease: s.lease,
		Images: images, PullSecrets: s.pullSecrets, Matrix: set.Matrix,
		MaxInFlight: f.maxInFlight, DrainDelay: f.drainDelay, DrainLimit: f.drainLimit,
		Build: build(), Getenv: a.getenv, Log: s.log.logger(a),
	}, nil
}

func (f *webhookFlags) certificates() kube.CertificateOptions {
	c := kube.CertificateOptions{
		Dir: f.certDir, Secret: cmp.Or(f.secret, f.service+"-tls"),
		Targets: certs.Targets{Validating: f.validating, Mutating: f.mutating},
		CALife:  f.caLife, Life: f.life,
	}
	for _, name := range f.certNames {
		if ip := net.ParseIP(name); ip != nil {
			c.Extra.IPs = append(c.Extra.IPs, ip)
		} else {
			c.Extra.DNS = append(c.Extra.DNS, name)
		}
	}
	return c
}
