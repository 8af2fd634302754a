package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"

	"github.com/gopherwood-dev/gopherwood/internal/kube/report"
)

// reporter writes the reports of workloads that have changed.
type reporter struct {
	opt     Options
	compose func(Workload) ([]report.Result, bool)
	queue   workqueue.TypedRateLimitingInterface[Workload]
	limit   *rate.Limiter

	mu sync.Mutex
	// written are the reports in the cluster.
	written map[string]*report.PolicyReport
	// idle is since when workloads with a report run nothing.
	idle map[Workload]time.Time
	// missing is true while the cluster does not know policy reports.
	missing bool
}

// How long to wait: after an error, and before it is looked again whether the
// cluster knows policy reports.
const (
	reportRetryFirst = time.Second
	reportRetryLast  = 5 * time.Minute
	missingInterval  = 10 * time.Minute
	// staleAfter keeps the report of a workload that runs nothing: a CronJob's
	// would otherwise come and go with every job.
	staleAfter = 10 * time.Minute
)

func newReporter(opt Options, compose func(Workload) ([]report.Result, bool)) *reporter {
	return &reporter{
		opt: opt, compose: compose,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[Workload](reportRetryFirst, reportRetryLast)),
		limit:   rate.NewLimiter(rate.Limit(opt.ReportsPerSecond), max(1, int(opt.ReportsPerSecond))),
		written: map[string]*report.PolicyReport{}, idle: map[Workload]time.Time{},
	}
}

// changed says that w's report may have to be written. Changes that follow soon
// are gathered.
func (r *reporter) changed(w Workload) {
	if r.opt.Reports != nil {
		r.queue.AddAfter(w, r.opt.Batch)
	}
}

// run writes reports until ctx ends. Reports of an earlier run, about workloads
// that run nothing any more, are deleted.
func (r *reporter) run(ctx context.Context, live func(Workload) bool) error {
	defer r.queue.ShutDown()
	if r.opt.Reports == nil {
		return nil
	}
	for !r.load(ctx, live) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(missingInterval):
		}
	}
	go func() { <-ctx.Done(); r.queue.ShutDown() }()
	for {
		w, shutdown := r.queue.Get()
		if shutdown {
			return nil
		}
		r.one(ctx, w)
		r.queue.Done(w)
	}
}

// load reads the reports that are there; false when the cluster knows none.
func (r *reporter) load(ctx context.Context, live func(Workload) bool) bool {
	var found []*report.PolicyReport
	err := wait.ExponentialBackoffWithContext(ctx, wait.Backoff{Duration: reportRetryFirst, Factor: 2, Jitter: 0.2, Steps: 8},
		func(ctx context.Context) (bool, error) {
			var err error
			if found, err = r.opt.Reports.List(ctx); err == nil || report.Missing(err) {
				return true, err
			}
			r.opt.Log.Warn("policy reports cannot be listed", slog.Any("error", err))
			return false, nil
		})
	if err != nil {
		if report.Missing(err) {
			r.sayMissing(err)
		}
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missing {
		r.opt.Log.Info("policy reports are written from now on")
	}
	r.missing = false
	for _, old := range found {
		r.written[old.Namespace+"/"+old.Name] = old
		if w, ok := workloadOf(old); ok && !live(w) {
			r.queue.AddAfter(w, r.opt.Batch)
		}
	}
	return true
}

// sayMissing logs once that there are no policy reports in this cluster.
func (r *reporter) sayMissing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.missing {
		r.opt.Log.Warn("the cluster knows no PolicyReports: none are written, all else goes on",
			slog.Any("error", err), slog.String("crd", report.Resource.GroupResource().String()))
	}
	r.missing = true
}

// isMissing is true while the cluster does not know policy reports.
func (r *reporter) isMissing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missing
}

func workloadOf(p *report.PolicyReport) (Workload, bool) {
	if p.Scope == nil {
		return Workload{}, false
	}
	s := p.Scope
	return Workload{Namespace: p.Namespace, APIVersion: s.APIVersion, Kind: s.Kind, Name: s.Name, UID: s.UID}, true
}

// one brings the report of w up to date.
func (r *reporter) one(ctx context.Context, w Workload) {
	results, complete := r.compose(w)
	if !complete {
		return // the last container to become known puts it in again
	}
	owner := report.Owner(w)
	now := r.opt.Now()
	key := w.Namespace + "/" + owner.ReportName()
	r.mu.Lock()
	before := r.written[key]
	r.mu.Unlock()
	var err error
	switch {
	case len(results) > 0:
		r.busy(w)
		next := report.New(owner, results, before, now)
		if next.Equal(before) {
			r.queue.Forget(w)
			return
		}
		err = r.write(ctx, key, next)
	case before == nil:
		r.busy(w)
		return
	default:
		if wait := staleAfter - r.idleFor(w, now); wait > 0 {
			r.queue.AddAfter(w, wait)
			return
		}
		err = r.remove(ctx, key, before)
	}
	switch {
	case err == nil:
		r.queue.Forget(w)
	case ctx.Err() != nil:
	case report.Missing(err):
		r.sayMissing(err)
		r.queue.AddAfter(w, missingInterval)
	case report.Gone(err): // the namespace is being deleted, and the report with it
		r.queue.Forget(w)
	default:
		r.opt.Log.Warn("policy report is not written", slog.String("report", key), slog.Any("error", err))
		r.queue.AddRateLimited(w)
	}
}

// idleFor returns for how long w is known to run nothing.
func (r *reporter) idleFor(w Workload, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, ok := r.idle[w]
	if !ok {
		r.idle[w] = now
		return 0
	}
	return now.Sub(since)
}

func (r *reporter) busy(w Workload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.idle, w)
}

// refresh looks once whether reports that were written are still there: somebody
// may have deleted them.
func (r *reporter) refresh(ctx context.Context) {
	if r.opt.Reports == nil || r.isMissing() {
		return
	}
	found, err := r.opt.Reports.List(ctx)
	if err != nil {
		r.opt.Log.Warn("policy reports cannot be listed", slog.Any("error", err))
		return
	}
	there := map[string]bool{}
	for _, p := range found {
		there[p.Namespace+"/"+p.Name] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, p := range r.written {
		if w, ok := workloadOf(p); ok && !there[key] {
			delete(r.written, key)
			r.queue.Add(w)
		}
	}
}

func (r *reporter) write(ctx context.Context, key string, next *report.PolicyReport) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	if err := r.opt.Reports.Apply(ctx, next); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing = false
	r.written[key] = next
	return nil
}

func (r *reporter) remove(ctx context.Context, key string, old *report.PolicyReport) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	if err := r.opt.Reports.Delete(ctx, old.Namespace, old.Name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, key)
	if w, ok := workloadOf(old); ok {
		delete(r.idle, w)
	}
	return nil
}
