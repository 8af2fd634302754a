package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/report"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Reports keeps policy reports; report.Client does, in a cluster.
type Reports interface {
	List(ctx context.Context) ([]*report.PolicyReport, error)
	Apply(ctx context.Context, r *report.PolicyReport) error
	Delete(ctx context.Context, namespace, name string) error
}

// Changing is implemented by Policies that change while they are in use.
type Changing interface {
	// Stamp is another one after every change; false means not ready yet. It
	// costs little: it is asked every few seconds.
	Stamp() (string, bool)
}

// Counting is implemented by Policies that want to know how many pods they pass
// and deny.
type Counting interface {
	// Count is told the numbers of every policy by name; a policy that is about
	// no pod is not in counts.
	Count(ctx context.Context, counts map[string]v1alpha1.Counts) error
}

// Options configures a Controller.
type Options struct {
	Kube     kubernetes.Interface
	Metadata metadata.Interface
	// Reports may be nil: none are then written.
	Reports   Reports
	Images    Images
	Keychains Keychains
	// Policies may implement Changing and Counting.
	Policies Policies
	Matrix   *matrix.Matrix
	// Workers is how many images are worked on at once; 0 means 4.
	Workers int
	// Batch is how long changes of a workload are gathered before its report is
	// written; 0 means 5 seconds.
	Batch time.Duration
	// ReportsPerSecond bounds how many reports are written; 0 means 20.
	ReportsPerSecond float64
	// CountInterval is how often numbers of pods are told to the policies, when
	// they have changed; 0 means 30 seconds.
	CountInterval time.Duration
	// Now is the time of day; nil means the system's.
	Now func() time.Time
	Log *slog.Logger
}

// Controller keeps the facts and verdicts of all running containers up to date.
type Controller struct {
	opt       Options
	inventory *Inventory
	assessor  *Assessor
	watch     *watch

	// images is the queue of references to work on, reports that of workloads
	// whose report may have to be written.
	images  workqueue.TypedRateLimitingInterface[string]
	reports *reporter

	mu sync.Mutex
	// uses are the containers by the reference that they run.
	uses map[string]map[use]*Group
	// known is what was found out, by group and container.
	known map[string][]*Assessment
	// of are the groups of each workload.
	of map[Workload]map[string]*Group
	// stamp is the state of the policies that the first verdicts are by.
	stamp string
	// recount is set when numbers of pods may have changed.
	recount bool
}

// use is one container of a group.
type use struct {
	group string
	i     int
}

// How long to wait before an image that could not be read is tried again.
const (
	retryFirst = 5 * time.Second
	retryLast  = 30 * time.Minute
)

// New returns a controller. Nothing happens before Start.
func New(opt Options) *Controller {
	opt.Workers = cmp.Or(opt.Workers, 4)
	opt.Batch = cmp.Or(opt.Batch, 5*time.Second)
	opt.ReportsPerSecond = cmp.Or(opt.ReportsPerSecond, 20)
	opt.CountInterval = cmp.Or(opt.CountInterval, 30*time.Second)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c := &Controller{
		opt: opt, inventory: NewInventory(),
		images: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFirst, retryLast)),
		uses: map[string]map[use]*Group{}, known: map[string][]*Assessment{}, of: map[Workload]map[string]*Group{},
	}
	c.watch = newWatch(opt.Kube, opt.Metadata, c.inventory, c.handle)
	c.assessor = &Assessor{
		Images: opt.Images, Keychains: opt.Keychains, Policies: opt.Policies,
		NamespaceLabels: c.watch.namespaceLabels, Matrix: opt.Matrix, Now: opt.Now,
	}
	c.reports = newReporter(opt, c.compose)
	return c
}

// NeedLeaderElection says yes: one controller writes the reports.
func (c *Controller) NeedLeaderElection() bool { return true }

// Start works until ctx ends. The error says that the cluster could not be
// watched.
func (c *Controller) Start(ctx context.Context) error {
	defer c.images.ShutDown()
	c.watch.onNamespace = c.reassessNamespace
	if err := c.ready(ctx); err != nil {
		return err
	}
	if err := c.watch.start(ctx); err != nil {
		return err
	}
	c.opt.Log.Info("fleet is known", slog.Int("groups", len(c.inventory.Groups())))
	group, ctx := errgroup.WithContext(ctx)
	for range c.opt.Workers {
		group.Go(func() error { return c.work(ctx) })
	}
	group.Go(func() error { <-ctx.Done(); c.images.ShutDown(); return nil })
	group.Go(func() error { return c.reports.run(ctx, c.live) })
	group.Go(func() error { return c.daily(ctx) })
	group.Go(func() error { return c.followPolicies(ctx) })
	group.Go(func() error { return c.count(ctx) })
	return group.Wait()
}

// policyInterval is how often it is looked whether policies have changed, in
// memory.
const policyInterval = 2 * time.Second

// ready waits for the first policies: verdicts by some of them would be wrong.
func (c *Controller) ready(ctx context.Context) error {
	changing, ok := c.opt.Policies.(Changing)
	if !ok {
		return nil
	}
	err := wait.PollUntilContextCancel(ctx, policyInterval/10, true, func(context.Context) (bool, error) {
		stamp, ready := changing.Stamp()
		c.stamp = stamp
		return ready, nil
	})
	if err != nil {
		return &fault.Error{Code: fault.Canceled, Op: "wait for policies", Err: err}
	}
	return nil
}

// handle takes what an event changed. It is called for every event, and does
// work only for groups that come or go.
func (c *Controller) handle(change Change) {
	if len(change.Counted) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recount = true
	for _, g := range change.Added {
		c.known[g.ID] = make([]*Assessment, len(g.Containers))
		if c.of[g.Workload] == nil {
			c.of[g.Workload] = map[string]*Group{}
		}
		c.of[g.Workload][g.ID] = g
		for i, container := range g.Containers {
			if c.uses[container.Ref] == nil {
				c.uses[container.Ref] = map[use]*Group{}
			}
			c.uses[container.Ref][use{g.ID, i}] = g
			c.images.Add(container.Ref)
		}
	}
	for _, g := range change.Removed {
		c.remove(g)
	}
}

// remove forgets a group, and its workload with the last one.
func (c *Controller) remove(g *Group) {
	delete(c.known, g.ID)
	delete(c.of[g.Workload], g.ID)
	if len(c.of[g.Workload]) == 0 {
		delete(c.of, g.Workload)
	}
	for i, container := range g.Containers {
		delete(c.uses[container.Ref], use{g.ID, i})
		if len(c.uses[container.Ref]) == 0 {
			delete(c.uses, container.Ref)
			c.images.Forget(container.Ref)
		}
	}
	c.reports.changed(g.Workload)
}

// work takes references from the queue until it is shut down.
func (c *Controller) work(ctx context.Context) error {
	for {
		ref, shutdown := c.images.Get()
		if shutdown {
			return nil
		}
		c.assess(ctx, ref)
		c.images.Done(ref)
	}
}

// assess finds out about all containers that run ref.
func (c *Controller) assess(ctx context.Context, ref string) {
	c.mu.Lock()
	uses := maps.Clone(c.uses[ref])
	c.mu.Unlock()
	again := false
	for u, g := range uses {
		a := c.assessor.Container(ctx, g, g.Containers[u.i])
		if ctx.Err() != nil {
			return
		}
		if a.Err != nil {
			c.opt.Log.Warn("image is not known", slog.String("image", ref), slog.String("namespace", g.Workload.Namespace),
				slog.String("workload", g.Workload.Kind+"/"+g.Workload.Name), slog.Any("error", a.Err))
			again = again || mayPass(a.Err)
		}
		c.learn(u, g, a)
	}
	if again {
		c.images.AddRateLimited(ref)
		return
	}
	c.images.Forget(ref)
}

// mayPass reports whether trying again may help: what an image holds does not
// change, while registries recover, credentials are corrected and images pushed.
func mayPass(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Limit, fault.Unsupported:
		return false
	}
	return true
}

func (c *Controller) learn(u use, g *Group, a *Assessment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[u.group]
	if known == nil {
		return // it has gone meanwhile
	}
	known[u.i] = a
	c.recount = true
	if !slices.Contains(known, nil) {
		c.reports.changed(g.Workload)
	}
}

// get is the lookup of what is known.
func (c *Controller) get(group string, i int) *Assessment {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.known[group]; known != nil {
		return known[i]
	}
	return nil
}

// compose returns what w's report has to say; false while that is not known
// completely, and nothing when w runs nothing.
func (c *Controller) compose(w Workload) ([]report.Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var groups []*Group
	for _, g := range c.of[w] {
		if slices.Contains(c.known[g.ID], nil) {
			return nil, false
		}
		groups = append(groups, g)
	}
	return results(groups, func(id string, i int) *Assessment { return c.known[id][i] }), true
}

// live reports whether w runs anything.
func (c *Controller) live(w Workload) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.of[w]) > 0
}

// reassess puts everything into the queue: verdicts depend on the day and on the
// policies. The facts are in the cache.
func (c *Controller) reassess() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref := range c.uses {
		c.images.Add(ref)
	}
}

// reassessNamespace does the same for a namespace whose labels have changed.
func (c *Controller) reassessNamespace(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w, groups := range c.of {
		if w.Namespace != namespace {
			continue
		}
		for _, g := range groups {
			for _, container := range g.Containers {
				c.images.Add(container.Ref)
			}
		}
	}
}

// daily assesses everything anew when a day begins (UTC).
func (c *Controller) daily(ctx context.Context) error {
	for {
		now := c.opt.Now().UTC()
		next := now.Truncate(24 * time.Hour).Add(24*time.Hour + time.Minute)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next.Sub(now)):
			c.reassess()
			c.reports.refresh(ctx)
		}
	}
}

func (c *Controller) followPolicies(ctx context.Context) error {
	changing, ok := c.opt.Policies.(Changing)
	if !ok {
		return nil
	}
	last := c.stamp
	wait.UntilWithContext(ctx, func(context.Context) {
		if stamp, ready := changing.Stamp(); ready && stamp != last {
			last = stamp
			c.reassess()
		}
	}, policyInterval)
	return nil
}

// count tells the policies how many pods they pass and deny.
func (c *Controller) count(ctx context.Context) error {
	counting, ok := c.opt.Policies.(Counting)
	if !ok {
		return nil
	}
	var last map[string]v1alpha1.Counts
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		c.mu.Lock()
		due := c.recount
		c.recount = false
		c.mu.Unlock()
		if !due {
			return
		}
		counts := policyCounts(c.inventory.Groups(), c.get, c.assessor.policies)
		if maps.Equal(counts, last) {
			return
		}
		if err := counting.Count(ctx, counts); err != nil && ctx.Err() == nil {
			c.opt.Log.Warn("pods are not counted in the status of policies", slog.Any("error", err))
			return
		}
		last = counts
	}, c.opt.CountInterval)
	return nil
}

// policyCounts counts pods by policy and verdict.
func policyCounts(groups []Counted, get lookup, about func(*Group) []Policy) map[string]v1alpha1.Counts {
	counts := map[string]v1alpha1.Counts{}
	for _, g := range groups {
		verdicts, unread := map[string]string{}, false
		for i := range g.Containers {
			a := get(g.ID, i)
			if a == nil || a.Err != nil {
				unread = true
				continue
			}
			for _, v := range a.Verdicts {
				verdicts[v.Policy] = Graver(verdicts[v.Policy], v.Verdict)
			}
		}
		if unread {
			for _, p := range about(g.Group) {
				verdicts[p.Name()] = Graver(verdicts[p.Name()], api.Unknown)
			}
		}
		for name, verdict := range verdicts {
			n := counts[name]
			countVerdict(&n, verdict, int32(g.Pods)) //nolint:gosec // far fewer pods than 2³¹
			counts[name] = n
		}
	}
	return counts
}

func countVerdict(n *v1alpha1.Counts, verdict string, pods int32) {
	switch verdict {
	case api.Pass:
		n.Passed += pods
	case api.Warn:
		n.Warned += pods
	case api.Deny:
		n.Denied += pods
	case api.Unknown:
		n.Unknown += pods
	}
}

// List returns the fleet as it is known now.
func (c *Controller) List(cluster string) *api.FleetList {
	return newList(cluster, c.opt.Now(), c.inventory.Groups(), c.get)
}
