package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newDev(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Run what is needed to develop for Kubernetes",
		Example: "  sudo -E gopherwood dev cluster up",
		Args:    subcommandOnly,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newCluster(a))
	return cmd
}

func newCluster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run a local Kubernetes, without Docker",
		Long: `A cluster is a real Kubernetes ` + cluster.Version + ` on this machine, built from Go modules the
first time. Its nodes are namespaces: they need Linux and root. A control plane
without nodes needs neither; nothing runs there, but everything can be applied.`,
		Example: `  sudo -E gopherwood dev cluster up
  gopherwood dev cluster up --control-plane-only`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newClusterUp(a), newClusterDown(a), newClusterLoad(a), newClusterStatus(a), newClusterKubeconfig(a))
	return cmd
}

// addClusterName gives cmd the flag that names a cluster.
func addClusterName(cmd *cobra.Command) *string {
	return cmd.Flags().String("name", "dev", "the cluster's name")
}

func newClusterUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster, and print how to reach it",
		Long: `Up starts a cluster, which stays until "down" or the end of this system, and
prints the line that makes kubectl use it. The first time it builds Kubernetes,
containerd and runc with the go command, which takes minutes and several
gigabytes in Go's caches; from then on a cluster takes seconds.

A cluster that is up already is left as it is.`,
		Example: `  sudo -E gopherwood dev cluster up --nodes 2
  gopherwood dev cluster up --control-plane-only`,
		Args: cobra.NoArgs,
	}
	name := addClusterName(cmd)
	nodes := cmd.Flags().Int("nodes", 1, "how many nodes; they need Linux and root")
	only := cmd.Flags().Bool("control-plane-only", false, "no nodes: pods are not run")
	simulated := cmd.Flags().Int("simulated-nodes", 0, "how many nodes are simulated by kwok besides; pods on them seem to run")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config := cluster.Config{Name: *name, Nodes: *nodes, SimulatedNodes: *simulated, FullControlPlane: true}
		if *only {
			if cmd.Flags().Changed("nodes") && *nodes > 0 {
				return usage(cmd, "--control-plane-only is a cluster without --nodes")
			}
			config.Nodes = 0
		}
		return a.clusterUp(cmd.Context(), config)
	}
	return cmd
}

func (a *app) clusterUp(ctx context.Context, config cluster.Config) error {
	if up, err := cluster.Find(config.Name); err == nil && up.Alive && up.Ready {
		fmt.Fprintf(a.stderr, "cluster %s is up already\n", config.Name)
		return a.printExport(up)
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		config.Kubectl = true // There is none: the cluster's own is built.
	}
	began := time.Now()
	config.Progress = a.clusterProgress()
	up, err := cluster.Launch(ctx, config)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "cluster %s is ready after %.1f s: %s, Kubernetes %s at %s\n",
		up.Name, time.Since(began).Seconds(), countNodes(len(up.Nodes)), cluster.Version, up.Server)
	if config.Kubectl {
		fmt.Fprintf(a.stderr, "kubectl was not in PATH: use %s\n", up.Kubectl())
	}
	return a.printExport(up)
}

func countNodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// printExport prints the line that a shell evaluates.
func (a *app) printExport(up cluster.Info) error {
	if runtime.GOOS == "windows" {
		_, err := fmt.Fprintf(a.stdout, "$env:KUBECONFIG = '%s'\n", strings.ReplaceAll(up.Kubeconfig, "'", "''"))
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "export KUBECONFIG='%s'\n", strings.ReplaceAll(up.Kubeconfig, "'", `'\''`))
	return err
}

// clusterProgress says on a terminal what takes its time.
func (a *app) clusterProgress() cluster.Progress {
	if !isTerminal(a.stderr) {
		return nil
	}
	return func(e cluster.Event) {
		switch {
		case e.Done && e.Took >= 100*time.Millisecond:
			fmt.Fprintf(a.stderr, "%s %s: %.1f s\n", e.What, e.Name, e.Took.Seconds())
		case !e.Done && e.What == "build":
			fmt.Fprintf(a.stderr, "%s %s ...\n", e.What, e.Name)
		}
	}
}

func newClusterDown(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "End a cluster and remove everything of it",
		Example: "  sudo -E gopherwood dev cluster down",
		Args:    cobra.NoArgs,
	}
	name := addClusterName(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cluster.Stop(cmd.Context(), *name); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "cluster %s is gone\n", *name)
		return nil
	}
	return cmd
}

func newClusterLoad(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "load REF...",
		Short: "Give images to the nodes of a cluster",
		Long: `Load gives images to every node, so that pods can use them without a registry,
and prints the names by which they do. Pods need imagePullPolicy IfNotPresent or
Never. A REF is what build writes:
  oci:DIR[:TAG]                    an OCI image layout; the image becomes DIR:TAG
  docker-archive:FILE[:NAME:TAG]   what "docker save" writes`,
		Example: "  sudo -E gopherwood dev cluster load docker-archive:app.tar",
		Args:    needArgs(1, "at least one REF"),
	}
	name := addClusterName(cmd)
	as := cmd.Flags().String("as", "", "what pods call the image")
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		if *as != "" && len(refs) > 1 {
			return usage(cmd, "--as gives one image a name, not %d", len(refs))
		}
		return a.clusterLoad(cmd.Context(), *name, *as, refs)
	}
	return cmd
}

func (a *app) clusterLoad(ctx context.Context, name, as string, refs []string) error {
	var sources []cluster.ImageSource
	for _, ref := range refs {
		source, err := imageSource(ref)
		if err != nil {
			return err
		}
		if as != "" {
			source.Name = as
		}
		sources = append(sources, source)
	}
	up, err := runningCluster(name)
	if err != nil {
		return err
	}
	for _, source := range sources {
		names, err := up.LoadImage(ctx, source)
		if err != nil {
			return err
		}
		for _, n := range names {
			fmt.Fprintln(a.stdout, n)
		}
	}
	return nil
}

// imageSource reads a REF of load.
func imageSource(ref string) (cluster.ImageSource, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	path, selector := splitPath(rest)
	switch {
	case rest != "" && scheme == "oci":
		return cluster.ImageSource{Path: path, Tag: selector}, nil
	case rest != "" && scheme == "docker-archive":
		return cluster.ImageSource{Path: path, Name: selector}, nil
	}
	return cluster.ImageSource{}, &fault.Error{
		Code: fault.Usage, Op: "dev cluster load", Input: ref, Err: errors.New("it is no image on this disk"),
		Hint: "write oci:DIR[:TAG] or docker-archive:FILE; an image of a registry is pulled by the nodes",
	}
}

// splitPath splits a path from a selector after it. The path is the longest that
// exists, else all before the first colon after the last separator.
func splitPath(s string) (path, selector string) {
	for i := len(s); i > 0; i = strings.LastIndexByte(s[:i], ':') {
		if _, err := os.Stat(s[:i]); err == nil {
			return s[:i], strings.TrimPrefix(s[i:], ":")
		}
	}
	start := strings.LastIndexAny(s, `/\`) + 1
	if i := strings.IndexByte(s[start:], ':'); i >= 0 {
		return s[:start+i], s[start+i+1:]
	}
	return s, ""
}

// runningCluster finds a cluster that is up.
func runningCluster(name string) (cluster.Info, error) {
	up, err := cluster.Find(name)
	if err == nil && !up.Alive {
		err = errors.New("its process has ended")
	}
	if err != nil {
		return up, &fault.Error{
			Code: fault.NotFound, Op: "find cluster", Input: name, Err: errors.New("it is not up"),
			Hint: "start it with 'gopherwood dev cluster up'; with sudo, all its commands need it",
		}
	}
	return up, nil
}

func newClusterStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "List the clusters of this user",
		Example: "  gopherwood dev cluster status",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := cluster.List()
			if err != nil {
				return err
			}
			return clusterTable(a.stdout, all)
		},
	}
}

// clusterTable writes a line for each cluster.
func clusterTable(w io.Writer, all []cluster.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tNODES\tSERVER\tPID")
	for _, i := range all {
		state := "starting"
		switch {
		case !i.Alive:
			state = "killed"
		case i.Ready:
			state = "ready"
		}
		alive := 0
		for _, n := range i.Nodes {
			if n.Alive {
				alive++
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%d/%d\t%s\t%d\n", i.ID, state, alive, len(i.Nodes), i.Server, i.Owner)
	}
	return t.Flush()
}

func newClusterKubeconfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "kubeconfig",
		Short:   "Print the kubeconfig of a cluster",
		Example: "  gopherwood dev cluster kubeconfig > ~/.kube/config",
		Args:    cobra.NoArgs,
	}
	name := addClusterName(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		up, err := runningCluster(*name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(up.Kubeconfig)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(data)
		return err
	}
	return cmd
}
