package chart

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What happened to an object.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Removed   = "removed"
	// Kept is what is not of this installation, or is to outlive it.
	Kept = "kept"
	// Waiting is what is not ready yet; Detail says why.
	Waiting = "waiting"
)

// Event is a step of an installation or of its removal.
type Event struct {
	// What is one of the constants above.
	What string
	// Object names the object, as in "Service gopherwood-system/gopherwood-webhook".
	Object string
	Detail string
}

// Options says how an installation goes.
type Options struct {
	// Wait says whether to wait until everything works.
	Wait bool
	// Timeout is how long to wait at most.
	Timeout time.Duration
	// Report is told every step; it may not be nil.
	Report func(Event)
}

// installation is one run of Install.
type installation struct {
	*Cluster
	release Release
	options Options
	// before is what was there, applied is what has been found or made since.
	before  map[identity]*unstructured.Unstructured
	applied []*unstructured.Unstructured
}

// Install applies the objects of [Chart.Render] and removes what an earlier
// installation had and this one has not. A run that ended early is continued by
// the next.
//
// Webhook configurations are applied last, and with Wait only when the Deployments
// answer: an installation that fails blocks nobody. Objects that something else
// has made are an error with the code fault.Invalid, before anything is changed;
// CRDs of others are used as they are.
func (c *Cluster) Install(ctx context.Context, r Release, version string, objects []*unstructured.Unstructured, opt Options) error {
	i := &installation{Cluster: c, release: r, options: opt, before: map[identity]*unstructured.Unstructured{}}
	old, _, err := c.readInventory(ctx, r)
	if err != nil {
		return err
	}
	objects, err = i.claim(ctx, objects)
	if err != nil {
		return err
	}
	var ids []identity
	for _, o := range objects {
		ids = append(ids, identityOf(o))
	}
	namespace, err := i.namespace(ctx, old)
	if err != nil {
		return err
	}
	ids = append(ids, namespace...)
	// What may come to be is written down before it does.
	if err := c.writeInventory(ctx, r, old.with(ids)); err != nil {
		return err
	}
	if err := i.applyAll(ctx, objects); err != nil {
		return err
	}
	if err := c.removeAll(ctx, old.without(ids), opt.Report); err != nil {
		return err
	}
	return c.writeInventory(ctx, r, inventory{Chart: version, Objects: ids})
}

// claim marks the objects as this installation's, and leaves out what is somebody
// else's and may be used as it is.
func (i *installation) claim(ctx context.Context, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var ours []*unstructured.Unstructured
	for _, o := range objects {
		id := identityOf(o)
		existing, err := i.get(ctx, id)
		if err != nil {
			return nil, err
		}
		foreign, err := i.foreign(existing)
		if err != nil {
			return nil, err
		}
		if foreign {
			i.options.Report(Event{Kept, id.String(), "something else has made it"})
			continue
		}
		i.before[id] = existing
		o = o.DeepCopy()
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[ownerAnnotation] = i.release.owner()
		o.SetAnnotations(annotations)
		ours = append(ours, o)
	}
	return ours, nil
}

// foreign says whether an object is somebody else's. It is an error where it must
// not be.
func (i *installation) foreign(o *unstructured.Unstructured) (bool, error) {
	if o == nil || o.GetAnnotations()[ownerAnnotation] == i.release.owner() {
		return false, nil
	}
	err := invalid("install", identityOf(o).String(), nil)
	owner, helm := o.GetAnnotations()[ownerAnnotation], o.GetAnnotations()[helmAnnotation]
	namespace, name, _ := strings.Cut(owner, "/")
	own := strings.HasSuffix(o.GetName(), ".gopherwood.dev")
	switch {
	case o.GetKind() == kindCRD && !own:
		return true, nil
	case o.GetKind() == kindCRD && owner == "" && helm == "", o.GetKind() == kindCRD && o.GetAnnotations()[keepAnnotation] == keepValue:
		return false, nil // policies' own CRDs outlived an installation, or were applied by hand
	case owner != "":
		err.Err = fmt.Errorf("belongs to the installation %s in the namespace %s", name, namespace)
		err.Hint = fmt.Sprintf("'gopherwood uninstall -n %s' removes that one: a cluster has one installation", namespace)
	case helm != "":
		err.Err = fmt.Errorf("belongs to the Helm release %s", helm)
		err.Hint = "use 'helm upgrade', or remove that release first"
	default:
		err.Err = errors.New("exists, and no installation has made it")
		err.Hint = "remove it, or choose other names with --set fullnameOverride=NAME"
	}
	return false, err
}

// namespace makes the release's namespace where there is none, and returns it when
// it belongs to the installation.
func (i *installation) namespace(ctx context.Context, old inventory) ([]identity, error) {
	id := i.release.namespaceID()
	existing, err := i.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		switch {
		case existing.GetDeletionTimestamp() != nil:
			return nil, &fault.Error{
				Code: fault.Unavailable, Op: "install", Input: id.String(), Err: errors.New("is being removed"),
				Hint: "try again when it is gone",
			}
		case existing.GetAnnotations()[ownerAnnotation] == i.release.owner():
			return []identity{id}, nil
		}
		return nil, nil
	}
	_, err = i.apply(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": id.Version, "kind": id.Kind,
		"metadata": map[string]any{
			"name": id.Name,
			"labels": map[string]any{
				managedBy:                            manager,
				"pod-security.kubernetes.io/enforce": "restricted",
			},
			"annotations": map[string]any{ownerAnnotation: i.release.owner()},
		},
	}})
	if err != nil {
		return nil, err
	}
	i.options.Report(Event{Created, id.String(), ""})
	return []identity{id}, nil
}

// applyAll applies the objects in their order and waits where the next ones need
// what the last ones are.
func (i *installation) applyAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.options.Timeout, errTimeout)
	defer cancel()
	asked := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return isWebhook(o.GetKind()) })
	if asked < 0 {
		asked = len(objects)
	}
	for n, o := range objects {
		if n == asked {
			if err := i.settle(ctx, kindDeployment); err != nil {
				return err
			}
		}
		if err := i.applyOne(ctx, o); err != nil {
			return err
		}
		if o.GetKind() == kindCRD && (n+1 == len(objects) || objects[n+1].GetKind() != kindCRD) {
			if err := i.settle(ctx, kindCRD); err != nil {
				return err
			}
		}
	}
	if asked == len(objects) {
		return i.settle(ctx, kindDeployment)
	}
	return i.settle(ctx, kindMutating, kindValidating)
}

func (i *installation) applyOne(ctx context.Context, o *unstructured.Unstructured) error {
	applied, err := i.apply(ctx, o)
	if err != nil {
		return err
	}
	i.applied = append(i.applied, applied)
	id := identityOf(o)
	what := Changed
	switch before := i.before[id]; {
	case before == nil:
		what = Created
	case before.GetResourceVersion() == applied.GetResourceVersion():
		what = Unchanged
	}
	i.options.Report(Event{what, id.String(), ""})
	return nil
}

// errTimeout is why a wait ended.
var errTimeout = errors.New("did not come in time")

// settle waits until the applied objects of the kinds are ready. CRDs are always
// waited for: what comes next would fail without them.
func (i *installation) settle(ctx context.Context, kinds ...string) error {
	if !i.options.Wait && !slices.Contains(kinds, kindCRD) {
		return nil
	}
	open := map[identity]string{}
	for _, o := range i.applied {
		if slices.Contains(kinds, o.GetKind()) {
			open[identityOf(o)] = ""
		}
	}
	for {
		for id, last := range open {
			why, err := i.notReady(ctx, id)
			if err != nil && ctx.Err() == nil {
				return err
			}
			switch {
			case ctx.Err() != nil:
			case why == "":
				delete(open, id)
			case why != last:
				i.options.Report(Event{Waiting, id.String(), why})
				open[id] = why
			}
		}
		if len(open) == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return unsettled(ctx, open)
		}
	}
}

// unsettled is the error of a wait that has ended.
func unsettled(ctx context.Context, open map[identity]string) error {
	ids := slices.SortedFunc(maps.Keys(open), compareRemove)
	cause := context.Cause(ctx)
	err := &fault.Error{Code: fault.Unavailable, Op: "wait for", Input: ids[0].String(), Err: cause}
	if errors.Is(ctx.Err(), context.Canceled) {
		err.Code = fault.Canceled
		return err
	}
	if why := open[ids[0]]; why != "" {
		err.Err = fmt.Errorf("%w: %s", cause, why)
	}
	err.Hint = "'gopherwood install' again goes on, 'gopherwood uninstall' takes back what there is"
	return err
}

// interval is how often what is waited for is looked at.
const interval = 500 * time.Millisecond

func pause(ctx context.Context) error {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
