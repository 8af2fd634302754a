package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/deploy"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/kube/chart"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// target is the flags that say which cluster, and where in it.
type target struct {
	kubeconfig, context string
	namespace           string
	wait                bool
	timeout             time.Duration
}

func addTarget(cmd *cobra.Command) *target {
	t := &target{}
	fl := cmd.Flags()
	fl.StringVar(&t.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config, or the cluster this runs in)")
	fl.StringVar(&t.context, "context", "", "context of the kubeconfig (default: the current one)")
	fl.StringVarP(&t.namespace, "namespace", "n", chart.DefaultNamespace, "namespace of the installation")
	fl.BoolVar(&t.wait, "wait", true, "wait until it is done")
	fl.DurationVar(&t.timeout, "timeout", 5*time.Minute, "how long to wait at most")
	return t
}

func (t *target) release() chart.Release {
	return chart.Release{Name: chart.DefaultRelease, Namespace: t.namespace}
}

func (t *target) options(a *app) chart.Options {
	return chart.Options{Wait: t.wait, Timeout: t.timeout, Report: a.reportStep}
}

// reportStep prints a step: what has been done is the answer, what is waited for
// is not.
func (a *app) reportStep(e chart.Event) {
	w := a.stdout
	if e.What == chart.Waiting {
		w = a.stderr
	}
	line := fmt.Sprintf("%-9s  %s", e.What, e.Object)
	if e.Detail != "" {
		line += ": " + e.Detail
	}
	// That this may fail is told at the end.
	_, _ = fmt.Fprintln(w, render.Clean(line))
	if buffered, ok := w.(interface{ Flush() error }); ok {
		_ = buffered.Flush()
	}
}

func newInstall(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install Gopherwood into a Kubernetes cluster, or bring it up to date",
		Long: `Install applies what the Helm chart deploy/chart renders, without Helm: the CRDs
of policies, the webhook and the fleet controller. The values are the chart's;
--show-values prints them all, -f and --set change them. --dry-run prints the
objects, the same as 'helm template' does, and needs no cluster.

With --wait (the default) the webhook is registered at the API server only when
its replicas answer, so that an installation that fails blocks nobody. Install
again upgrades: what is no longer part of it is removed. docs/install.md has more.`,
		Example: `  gopherwood install --dry-run --set webhook.replicas=3
  gopherwood install --image registry.example.org/team/gopherwood:1.4
  gopherwood install -n security -f values.yaml --timeout 2m
  gopherwood install --show-values > values.yaml`,
		Args: maxArgs(0),
	}
	t := addTarget(cmd)
	fl := cmd.Flags()
	files := fl.StringArrayP("values", "f", nil, "YAML file of values, or - for standard input; may be repeated")
	settings := fl.StringArray("set", nil, "value as KEY=VALUE, where VALUE is YAML; may be repeated")
	image := fl.String("image", "", "image to run, REPOSITORY[:TAG][@DIGEST] (default: that of the values)")
	dryRun := fl.Bool("dry-run", false, "print the objects instead of applying them")
	show := fl.Bool("show-values", false, "print the default values and what they mean")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := chart.Load(deploy.Chart())
		if err != nil {
			return err
		}
		if *show {
			_, err := a.stdout.Write(c.DefaultValues())
			return err
		}
		of, err := a.readValues(*files)
		if err != nil {
			return err
		}
		values, err := c.Values(of, append(imageSettings(*image), *settings...))
		if err != nil {
			return err
		}
		objects, err := c.Render(t.release(), values)
		if err != nil {
			return err
		}
		if *dryRun {
			text, err := chart.Write(objects)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		}
		cluster, err := chart.Connect(t.kubeconfig, t.context)
		if err != nil {
			return err
		}
		if err := cluster.Install(cmd.Context(), t.release(), c.Version(), objects, t.options(a)); err != nil {
			return err
		}
		return a.printNotes(c, t.release(), values)
	}
	return cmd
}

// printNotes tells what a user is to know after the installation.
func (a *app) printNotes(c *chart.Chart, r chart.Release, values map[string]any) error {
	text, err := c.Notes(r, values)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "\n%s", text)
	return err
}

// readValues reads files of values, and little more of each than may be.
func (a *app) readValues(names []string) ([]chart.ValuesFile, error) {
	var all []chart.ValuesFile
	for _, name := range names {
		data, err := a.readLimited(name, chart.MaxValues+1)
		if err != nil {
			return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read values", Err: err}
		}
		all = append(all, chart.ValuesFile{Name: name, Data: data})
	}
	return all, nil
}

// readLimited reads at most limit bytes of a file, or of standard input.
func (a *app) readLimited(name string, limit int64) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, limit))
}

// imageSettings returns the settings of the image's values. What is no image is
// refused by their schema.
func imageSettings(ref string) []string {
	if ref == "" {
		return nil
	}
	name, digest, _ := strings.Cut(ref, "@")
	tag := ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return []string{
		fmt.Sprintf("image.repository=%q", name),
		fmt.Sprintf("image.tag=%q", tag),
		fmt.Sprintf("image.digest=%q", digest),
	}
}

func newUninstall(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove Gopherwood from a Kubernetes cluster",
		Long: `Uninstall removes everything that 'gopherwood install' has made, and nothing else:
first the webhook's registration, last the namespace when the installation made
it. Policies and reports go with their CRDs; --keep-crds keeps them.`,
		Example: `  gopherwood uninstall
  gopherwood uninstall -n security --keep-crds`,
		Args: maxArgs(0),
	}
	t := addTarget(cmd)
	keep := cmd.Flags().Bool("keep-crds", false, "keep the CRDs and with them all policies and reports")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cluster, err := chart.Connect(t.kubeconfig, t.context)
		if err != nil {
			return err
		}
		return cluster.Uninstall(cmd.Context(), t.release(), *keep, t.options(a))
	}
	return cmd
}
