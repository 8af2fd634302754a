package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/kube/fleet"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newFleet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Say what Go programs a cluster runs, and what speaks against them",
		Long: `Fleet lists the running containers of a cluster, opens their images by the digest
that runs, and says what Go programs they are and what the policies say of them.
A kubeconfig is enough: nothing is installed in the cluster, and nothing changed.

'gopherwood install' has the same done all the time within the cluster.`,
		Example: "  gopherwood fleet inspect\n  gopherwood fleet check -n team-a",
		Args:    subcommandOnly,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFleetInspect(a), newFleetCheck(a), newFleetReport(a), newFleetDiff(a), newFleetController(a))
	return cmd
}

// fleetFlags are the flags of commands that look at a cluster.
type fleetFlags struct {
	kubeconfig, context string
	namespaces          []string
	all                 bool
	selector            string
	policy              *string
	setting             *setting
	plainHTTP           []string
	noCache             bool
	jobs                int
	full                bool
}

// fleetHelp explains what all of these commands do.
const fleetHelp = `

Only containers that run, or are about to, are looked at. Images are read with the
pods' pull secrets where the user may read these, and otherwise with the
credentials of 'docker login'. The policies are the cluster's GoPolicies and
ClusterGoPolicies; where there are none, the policy "default"; or the file that
--policy names.

JSON and YAML are a FleetList, described in docs/formats/fleet.md.`

// addFleet gives cmd the flags that say which cluster, what of it, and by which
// policy.
func addFleet(cmd *cobra.Command) *fleetFlags {
	f := &fleetFlags{policy: addPolicy(cmd), setting: addSetting(cmd)}
	fl := cmd.Flags()
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config, or the cluster this runs in)")
	fl.StringVar(&f.context, "context", "", "context of the kubeconfig (default: the current one)")
	fl.StringSliceVarP(&f.namespaces, "namespace", "n", nil, "only this namespace; may be repeated")
	fl.BoolVarP(&f.all, "all-namespaces", "A", false, "all namespaces: the default")
	fl.StringVarP(&f.selector, "selector", "l", "", "only pods with these labels, for example app=web,tier!=test")
	fl.StringArrayVar(&f.plainHTTP, "plain-http-registry", nil, "registry, HOST[:PORT], that is talked to in HTTP; may be repeated")
	fl.BoolVar(&f.noCache, "no-cache", false, "neither read nor write the facts cache")
	fl.BoolVar(&f.full, "full", false, "all facts of all programs in JSON and YAML, not only the short form")
	fl.IntVar(&f.jobs, "jobs", 2*runtime.GOMAXPROCS(0), "how many images are read at once (default: two a processor)")
	// The number of processors is the machine's: it has no place in the documentation.
	fl.Lookup("jobs").DefValue = "0"
	return f
}

// check finds what is wrong with the flags themselves.
func (f *fleetFlags) check(cmd *cobra.Command) error {
	if f.all && len(f.namespaces) > 0 {
		return usage(cmd, "--all-namespaces and --namespace exclude each other")
	}
	if slices.Contains(f.namespaces, "") {
		return usage(cmd, "--namespace must not be empty")
	}
	if f.jobs < 1 {
		return usage(cmd, "--jobs must be at least 1")
	}
	if err := fleet.CheckSelector(f.selector); err != nil {
		return usage(cmd, "--selector: %w", err)
	}
	return nil
}

func newFleetInspect(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Say what Go programs a cluster runs: a table by workload",
		Long: `Inspect prints one line for each container of each workload: the Go version, how
the program is linked, with which C library, and the verdict; -v adds the image
and the digest that runs. Notes are eos (the Go version is past its end of
support), root (it runs as root), init and debug (init and ephemeral containers).` + fleetHelp + `

The exit code is 4 when something could not be listed or read, 1 when no pods
could be listed.`,
		Example: `  gopherwood fleet inspect
  gopherwood fleet inspect -n team-a -l app=web -v
  gopherwood fleet inspect -o json > monday.json`,
		Args: maxArgs(0),
	}
	f := addFleet(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML, render.SARIF, render.HTML, render.Markdown)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print everything of each container")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := f.show(cmd, a, format.value, *verbose, render.FleetFacts)
		if err != nil {
			return err
		}
		return partial(1, len(list.Errors))
	}
	return cmd
}

func newFleetCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say which of a cluster's containers the policies warn about or deny",
		Long: `Check prints each container that is not passed, with what speaks against it and
what mends that; -v prints all of them.` + fleetHelp + `

The exit code is 3 when a container is denied, whatever else happened; 4 when
something could not be listed or read; 1 when no pods could be listed.`,
		Example: `  gopherwood fleet check
  gopherwood fleet check --policy policy.yaml -n team-a -n team-b
  gopherwood fleet check -o sarif > fleet.sarif`,
		Args: maxArgs(0),
	}
	f := addFleet(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML, render.SARIF, render.HTML, render.Markdown)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "also print what is passed, for information or exempted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := f.show(cmd, a, format.value, *verbose, render.FleetVerdicts)
		if err != nil {
			return err
		}
		if list.Summary.Verdicts[api.Deny] > 0 {
			return outcome(exitDenied)
		}
		return partial(1, len(list.Errors))
	}
	return cmd
}

// show scans a cluster and prints what it finds.
func (f *fleetFlags) show(cmd *cobra.Command, a *app, format render.Format, verbose bool,
	print func(io.Writer, render.Format, *api.FleetList, render.Layout, string) error) (*api.FleetList, error) {
	list, err := f.scan(cmd, a)
	if err != nil {
		return nil, err
	}
	look := a.look
	look.Verbose = verbose
	return list, print(a.stdout, format, list, look, buildVersion().Version)
}

func newFleetReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write a page about what a cluster runs",
		Long: `Report writes one HTML file that needs nothing else: a table that can be sorted
and filtered, with the verdicts and their reasons. It loads nothing from anywhere.` + fleetHelp + `

The exit code is 4 when something could not be listed or read, 1 when no pods
could be listed.`,
		Example: "  gopherwood fleet report -O fleet.html\n  gopherwood fleet report -o markdown -n team-a",
		Args:    maxArgs(0),
	}
	f := addFleet(cmd)
	format := addFormat(cmd, render.HTML, render.Markdown, render.SARIF, render.JSON, render.YAML)
	file := cmd.Flags().StringP("file", "O", "", "file to write to instead of standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := f.scan(cmd, a)
		if err != nil {
			return err
		}
		write := func(w io.Writer) error {
			return render.FleetFacts(w, format.value, list, a.look, buildVersion().Version)
		}
		if err := a.writeTo(*file, write); err != nil {
			return err
		}
		return partial(1, len(list.Errors))
	}
	return cmd
}

// writeTo writes to a file, or to standard output without one.
func (a *app) writeTo(file string, write func(io.Writer) error) error {
	if file == "" {
		return write(a.stdout)
	}
	return replaceFile(file, write)
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, write func(io.Writer) error) error {
	failed := func(err error) error {
		return &fault.Error{Code: fault.CodeOf(err), Op: "write report", Input: name, Err: err, Hint: "check that the directory exists and can be written"}
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".gopherwood-*")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it has its name when all went well
	err = write(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644) // a report is for others to read
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// scan looks at the cluster that the flags name, and says on standard error what
// could not be read.
func (f *fleetFlags) scan(cmd *cobra.Command, a *app) (*api.FleetList, error) {
	if err := f.check(cmd); err != nil {
		return nil, err
	}
	set, err := f.setting.load(cmd)
	if err != nil {
		return nil, err
	}
	file, err := loadPolicy(*f.policy)
	if err != nil {
		return nil, err
	}
	cluster, err := fleet.Connect(f.kubeconfig, f.context, "gopherwood/"+buildVersion().Version)
	if err != nil {
		return nil, err
	}
	now := func() time.Time { return set.Today }
	if f.setting.today.IsZero() {
		now = time.Now
	}
	judge := &verdict.Judge{Matrix: set.Matrix, Now: now}
	ctx := cmd.Context()
	var denied []error
	policies := fleet.OnePolicy(file.Name(), file, judge)
	fromCluster := false
	if *f.policy == "" {
		own, err := fleet.ReadPolicies(ctx, cluster, judge)
		if err != nil {
			denied = append(denied, err)
		}
		if fromCluster = !own.Empty(); fromCluster {
			policies = own
		}
	}
	store := images.New(f.images(a))
	defer store.Close()
	counter := &imageCounter{}
	bar := &bar{w: a.stderr, above: counter.lines}
	bar.start()
	list, errs, err := fleet.Scan(ctx, cluster, &fleet.Assessor{
		Images: store, Keychains: cluster.Keychains(), OwnLogin: true, Policies: policies, Matrix: set.Matrix, Now: now, Full: f.full,
	}, fleet.ScanOptions{Namespaces: f.namespaces, Selector: f.selector, WorkloadLabels: fromCluster, Jobs: f.jobs, Progress: counter})
	bar.stop()
	if err != nil {
		return nil, err
	}
	list.Errors = a.tell(slices.Concat(denied, errs))
	return list, nil
}

// fetchTimeout is how long one image may take: a person waits, and may end it.
const fetchTimeout = 15 * time.Minute

func (f *fleetFlags) images(a *app) images.Options {
	opt := images.Options{
		Fetches: f.jobs, FetchTimeout: fetchTimeout, PlainHTTPHosts: f.plainHTTP,
		// Nothing is asked for twice within one scan.
		TagTTL: time.Hour, AccessTTL: time.Hour, AbsentTTL: time.Hour,
	}
	if !f.noCache {
		opt.CacheDir = cacheDir(a.getenv)
	}
	return opt
}

// imageCounter is a progress.Sink that counts images.
type imageCounter struct{ expected, done atomic.Int64 }

// Expect implements progress.Sink.
func (c *imageCounter) Expect(n int64) { c.expected.Add(n) }

// Done implements progress.Sink.
func (c *imageCounter) Done(n int64) { c.done.Add(n) }

func (c *imageCounter) lines() []string {
	if c.expected.Load() == 0 {
		return []string{"listing pods"}
	}
	return []string{fmt.Sprintf("reading images: %d of %d", c.done.Load(), c.expected.Load())}
}
