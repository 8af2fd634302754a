package nodes

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Watch is a Lister that an informer of nodes fills: it is the informer's event
// handler. The zero value is ready, knows no nodes and is safe for concurrent
// use.
type Watch struct {
	mu     sync.RWMutex
	byName map[string]Node
	// sorted is nil when byName has changed since it was made.
	sorted []Node
}

var _ cache.ResourceEventHandler = (*Watch)(nil)

// Nodes implements Lister, in the order of names.
func (w *Watch) Nodes() []Node {
	w.mu.RLock()
	sorted := w.sorted
	w.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sorted == nil {
		w.sorted = slices.SortedFunc(maps.Values(w.byName), func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	}
	return w.sorted
}

// OnAdd implements cache.ResourceEventHandler.
func (w *Watch) OnAdd(obj any, _ bool) {
	if n, ok := obj.(*corev1.Node); ok {
		w.set(Of(n))
	}
}

// OnUpdate implements cache.ResourceEventHandler.
func (w *Watch) OnUpdate(_, obj any) { w.OnAdd(obj, false) }

// OnDelete implements cache.ResourceEventHandler.
func (w *Watch) OnDelete(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	n, ok := obj.(*corev1.Node)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byName, n.Name)
	w.sorted = nil
}

// set keeps n. A kubelet reports its node every few minutes: what says nothing
// new leaves the list as it is.
func (w *Watch) set(n Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if have, ok := w.byName[n.Name]; ok && reflect.DeepEqual(have, n) {
		return
	}
	if w.byName == nil {
		w.byName = map[string]Node{}
	}
	w.byName[n.Name] = n
	w.sorted = nil
}
