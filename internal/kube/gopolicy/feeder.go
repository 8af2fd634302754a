package gopolicy

import (
	"context"
	"errors"
	"log/slog"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Informers gives the informer of a kind, as a cache.Cache does.
type Informers interface {
	GetInformer(ctx context.Context, o client.Object, opts ...cache.InformerGetOption) (cache.Informer, error)
}

// Feeder fills a Set with the policies of a cluster and keeps it up to date. It
// is a Runnable of a manager that runs in every replica, elected or not.
type Feeder struct {
	// Informers give the objects: the manager's cache.
	Informers Informers
	Set       *Set
	// Log is told of every policy that comes into force, and of every one that
	// does not; nil means nobody.
	Log *slog.Logger
}

// NeedLeaderElection says no: each replica judges by a set of its own.
func (*Feeder) NeedLeaderElection() bool { return false }

// Start compiles what there is, makes the set ready, and follows the changes
// until ctx ends. The error has the code fault.Unavailable when the objects
// cannot be watched.
func (f *Feeder) Start(ctx context.Context) error {
	var synced []toolscache.InformerSynced
	for _, o := range []client.Object{&v1alpha1.ClusterGoPolicy{}, &v1alpha1.GoPolicy{}} {
		informer, err := f.Informers.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return watchError(err)
		}
		handler, err := informer.AddEventHandler(f.handler())
		if err != nil {
			return watchError(err)
		}
		defer informer.RemoveEventHandler(handler) //nolint:errcheck // the informer ends with us
		synced = append(synced, handler.HasSynced)
	}
	if toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		f.Set.SetReady()
	}
	<-ctx.Done()
	return nil
}

func watchError(err error) error {
	return &fault.Error{Code: fault.Unavailable, Op: "watch policies", Err: err,
		Hint: "install the custom resource definitions, and allow the service account to list and watch them"}
}

func (f *Feeder) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    f.apply,
		UpdateFunc: func(_, o any) { f.apply(o) },
		DeleteFunc: f.remove,
	}
}

func (f *Feeder) apply(o any) {
	object, ok := o.(Object)
	if !ok {
		return
	}
	before, known := f.Set.Outcome(object)
	after := f.Set.Apply(object)
	if f.Log == nil || known && before.InForce == after.InForce {
		return
	}
	attrs := []any{slog.String("policy", keyOf(object).String()), slog.Int64("generation", after.Generation)}
	if after.InForce != nil {
		attrs = append(attrs, slog.Int64("inForce", after.InForce.Generation))
	}
	if len(after.Problems) > 0 {
		err := errors.New(summary(after.Problems))
		f.Log.Error("policy does not compile", append(attrs, slog.Any("error", err))...)
		return
	}
	f.Log.Info("policy is in force", attrs...)
}

func (f *Feeder) remove(o any) {
	if tombstone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	object, ok := o.(Object)
	if !ok {
		return
	}
	f.Set.Remove(object)
	if f.Log != nil {
		f.Log.Info("policy is removed", slog.String("policy", keyOf(object).String()))
	}
}
