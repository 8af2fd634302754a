package fleet

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// between are the kinds that stand between pods and workloads; workloads are
// those whose labels policies may ask for.
var (
	between = [...]schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "replicasets"},
		{Group: "batch", Version: "v1", Resource: "jobs"},
	}
	workloads = [...]schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "statefulsets"},
		{Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "batch", Version: "v1", Resource: "cronjobs"},
		{Group: "", Version: "v1", Resource: "replicationcontrollers"},
	}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// syncTime is how long the first lists may take.
const syncTime = 5 * time.Minute

// watch feeds an inventory from a cluster's watches.
type watch struct {
	inventory *Inventory
	handle    func(Change)
	// onNamespace is told of namespaces whose labels have changed.
	onNamespace func(name string)
	typed       informers.SharedInformerFactory
	untyped     metadatainformer.SharedInformerFactory

	mu     sync.RWMutex
	labels map[string]map[string]string
}

func newWatch(kube kubernetes.Interface, meta metadata.Interface, v *Inventory, handle func(Change)) *watch {
	return &watch{
		inventory: v, handle: handle, onNamespace: func(string) {}, labels: map[string]map[string]string{},
		typed: informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(transform)),
		untyped: metadatainformer.NewSharedInformerFactoryWithOptions(meta, 0,
			metadatainformer.WithTransform(transform)),
	}
}

// transform strips what informers keep.
func transform(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.Pod:
		return StripPod(o), nil
	case *corev1.Node:
		return StripNode(o), nil
	case *metav1.PartialObjectMetadata:
		return StripMetadata(o), nil
	}
	return o, nil
}

// start lists and watches until ctx ends, and returns when the inventory is
// complete. Owners and nodes come before pods, so that pods find their groups at
// once.
func (w *watch) start(ctx context.Context) error {
	var first []cache.InformerSynced
	listen := func(i cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
		registration, err := i.AddEventHandler(h)
		if err != nil {
			return err
		}
		first = append(first, registration.HasSynced)
		return nil
	}
	err := errors.Join(
		listen(w.typed.Core().V1().Nodes().Informer(), handler(w.setNode, w.deleteNode)),
		listen(w.untyped.ForResource(namespaces).Informer(), handler(w.setNamespace, w.deleteNamespace)))
	for _, list := range [][]schema.GroupVersionResource{between[:], workloads[:]} {
		for _, r := range list {
			err = errors.Join(err, listen(w.untyped.ForResource(r).Informer(), handler(w.setOwner, w.deleteOwner)))
		}
	}
	if err != nil {
		return watchError(err)
	}
	w.typed.Start(ctx.Done())
	w.untyped.Start(ctx.Done())
	if err := waitFor(ctx, first); err != nil {
		return err
	}
	first = nil
	if err := listen(w.typed.Core().V1().Pods().Informer(), handler(w.setPod, w.deletePod)); err != nil {
		return watchError(err)
	}
	w.typed.Start(ctx.Done())
	return waitFor(ctx, first)
}

func waitFor(ctx context.Context, synced []cache.InformerSynced) error {
	limited, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	if !cache.WaitForCacheSync(limited.Done(), synced...) {
		return watchError(context.Cause(limited))
	}
	return nil
}

func watchError(err error) error {
	return &fault.Error{Code: fault.Unavailable, Op: "watch the cluster", Err: err,
		Hint: "the service account needs list and watch on pods, nodes, namespaces, replicasets, jobs and the workloads that own them"}
}

// handler calls set for objects that are new or changed.
func handler[T any](set, gone func(T)) cache.ResourceEventHandler {
	call := func(f func(T), o any) {
		if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = tombstone.Obj
		}
		if t, ok := o.(T); ok {
			f(t)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { call(set, o) },
		UpdateFunc: func(_, o any) { call(set, o) },
		DeleteFunc: func(o any) { call(gone, o) },
	}
}

// The errors of the inventory say that an object cannot be encoded, which one
// that came from the API server always can.

func (w *watch) setPod(p *corev1.Pod) {
	change, _ := w.inventory.SetPod(p)
	w.handle(change)
}

func (w *watch) deletePod(p *corev1.Pod) { w.handle(w.inventory.DeletePod(p.Namespace, p.Name)) }

func (w *watch) setNode(n *corev1.Node) {
	change, _ := w.inventory.SetNode(n)
	w.handle(change)
}

func (w *watch) deleteNode(n *corev1.Node) { w.inventory.DeleteNode(n.Name) }

func (w *watch) setOwner(m *metav1.PartialObjectMetadata) {
	change, _ := w.inventory.SetOwner(m)
	w.handle(change)
}

func (w *watch) deleteOwner(m *metav1.PartialObjectMetadata) { w.inventory.DeleteOwner(m.UID) }

func (w *watch) setNamespace(m *metav1.PartialObjectMetadata) {
	w.mu.Lock()
	had, known := w.labels[m.Name]
	w.labels[m.Name] = m.Labels
	w.mu.Unlock()
	if known && !maps.Equal(had, m.Labels) {
		w.onNamespace(m.Name)
	}
}

func (w *watch) deleteNamespace(m *metav1.PartialObjectMetadata) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.labels, m.Name)
}

func (w *watch) namespaceLabels(name string) map[string]string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.labels[name]
}
