package fleet

import (
	"reflect"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Inventory is what runs in a cluster. It is safe for concurrent use.
//
// It is fed with stripped objects in any order: a pod whose owner or node is not
// known yet moves to its right group when that comes.
type Inventory struct {
	mu     sync.RWMutex
	pods   map[types.NamespacedName]*member
	groups map[string]*group
	owners owners
	nodes  map[string]Node
	// below and on are the pods below an owner and on a node.
	below map[types.UID]map[types.NamespacedName]struct{}
	on    map[string]map[types.NamespacedName]struct{}
	// goneOwners and goneNodes are deleted; what is known of them holds until the
	// last of their pods is gone, too.
	goneOwners map[types.UID]struct{}
	goneNodes  map[string]struct{}
}

// member is a pod and where it is counted.
type member struct {
	pod   *corev1.Pod
	group string
	// chain are the owners that the group depends on.
	chain []types.UID
}

type group struct {
	*Group
	pods int
}

// Change is what one event did to the groups. A pod that comes to or leaves a
// group that others are in too changes only the group's number of pods.
type Change struct {
	Added, Removed []*Group
	// Counted are the workloads whose number of pods changed.
	Counted []Workload
}

func (c *Change) join(o Change) {
	c.Added = append(c.Added, o.Added...)
	c.Removed = append(c.Removed, o.Removed...)
	c.Counted = append(c.Counted, o.Counted...)
}

// NewInventory returns an inventory of nothing.
func NewInventory() *Inventory {
	return &Inventory{
		pods: map[types.NamespacedName]*member{}, groups: map[string]*group{}, owners: owners{}, nodes: map[string]Node{},
		below: map[types.UID]map[types.NamespacedName]struct{}{}, on: map[string]map[types.NamespacedName]struct{}{},
		goneOwners: map[types.UID]struct{}{}, goneNodes: map[string]struct{}{},
	}
}

// SetPod takes a pod that is new or has changed. The pod is kept and must not
// change afterwards.
func (v *Inventory) SetPod(pod *corev1.Pod) (Change, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	if m := v.pods[key]; m != nil && m.pod.UID == pod.UID && unchanged(m.pod, pod) {
		return Change{}, nil
	}
	return v.place(key, pod)
}

// unchanged reports whether b runs what a does.
func unchanged(a, b *corev1.Pod) bool {
	return reflect.DeepEqual(&a.Status, &b.Status) && reflect.DeepEqual(&a.Spec, &b.Spec) &&
		reflect.DeepEqual(a.Labels, b.Labels) && reflect.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// place puts the pod into its group, out of the one it was in.
func (v *Inventory) place(key types.NamespacedName, pod *corev1.Pod) (Change, error) {
	w, between, labels := v.owners.workload(pod)
	g, err := newGroup(pod, w, between, labels, v.nodes[pod.Spec.NodeName])
	if err != nil {
		return Change{}, err
	}
	m := &member{pod: pod}
	for _, ref := range v.owners.chain(pod) {
		m.chain = append(m.chain, ref.UID)
	}
	var change Change
	old := v.pods[key]
	if g != nil {
		m.group = g.ID
	}
	if old == nil || old.group != m.group {
		change = v.leave(old)
		if g != nil {
			change.join(v.enter(g))
		}
	}
	v.pods[key] = m
	v.index(key, m)
	v.unindex(key, old, m)
	return change, nil
}

// enter counts one more pod in g.
func (v *Inventory) enter(g *Group) Change {
	if have := v.groups[g.ID]; have != nil {
		have.pods++
		return Change{Counted: []Workload{g.Workload}}
	}
	v.groups[g.ID] = &group{Group: g, pods: 1}
	return Change{Added: []*Group{g}, Counted: []Workload{g.Workload}}
}

// DeletePod takes a pod away.
func (v *Inventory) DeletePod(namespace, name string) Change {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.remove(types.NamespacedName{Namespace: namespace, Name: name})
}

func (v *Inventory) remove(key types.NamespacedName) Change {
	m := v.pods[key]
	if m == nil {
		return Change{}
	}
	delete(v.pods, key)
	v.unindex(key, m, &member{})
	return v.leave(m)
}

// leave counts one pod less in the group of m, which may be nil.
func (v *Inventory) leave(m *member) Change {
	if m == nil {
		return Change{}
	}
	g := v.groups[m.group]
	if g == nil {
		return Change{}
	}
	g.pods--
	change := Change{Counted: []Workload{g.Workload}}
	if g.pods == 0 {
		delete(v.groups, m.group)
		change.Removed = []*Group{g.Group}
	}
	return change
}

func (v *Inventory) index(key types.NamespacedName, m *member) {
	for _, uid := range m.chain {
		add(v.below, uid, key)
	}
	add(v.on, m.pod.Spec.NodeName, key)
}

// unindex takes key out of the indexes of m, which may be nil, but for those that
// kept is in, too.
func (v *Inventory) unindex(key types.NamespacedName, m, kept *member) {
	if m == nil {
		return
	}
	for _, uid := range m.chain {
		if !slices.Contains(kept.chain, uid) {
			drop(v.below, uid, key)
			v.forgetOwner(uid)
		}
	}
	if name := m.pod.Spec.NodeName; kept.pod == nil || kept.pod.Spec.NodeName != name {
		drop(v.on, name, key)
		v.forgetNode(name)
	}
}

// forgetOwner and forgetNode drop what is deleted and has no pods left.
func (v *Inventory) forgetOwner(uid types.UID) {
	if _, gone := v.goneOwners[uid]; gone && len(v.below[uid]) == 0 {
		delete(v.goneOwners, uid)
		delete(v.owners, uid)
	}
}

func (v *Inventory) forgetNode(name string) {
	if _, gone := v.goneNodes[name]; gone && len(v.on[name]) == 0 {
		delete(v.goneNodes, name)
		delete(v.nodes, name)
	}
}

func add[K comparable](sets map[K]map[types.NamespacedName]struct{}, k K, key types.NamespacedName) {
	if sets[k] == nil {
		sets[k] = map[types.NamespacedName]struct{}{}
	}
	sets[k][key] = struct{}{}
}

func drop[K comparable](sets map[K]map[types.NamespacedName]struct{}, k K, key types.NamespacedName) {
	delete(sets[k], key)
	if len(sets[k]) == 0 {
		delete(sets, k)
	}
}

// SetOwner takes an object that may own pods, or what owns pods.
func (v *Inventory) SetOwner(m *metav1.PartialObjectMetadata) (Change, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.goneOwners, m.UID)
	if !v.owners.set(m.UID, m.OwnerReferences, m.Labels) {
		return Change{}, nil
	}
	return v.replace(v.below[m.UID])
}

// DeleteOwner forgets an object. Its pods, which are about to go too, stay where
// they are counted.
func (v *Inventory) DeleteOwner(uid types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.goneOwners[uid] = struct{}{}
	v.forgetOwner(uid)
}

// SetNode takes a node that is new or has changed.
func (v *Inventory) SetNode(n *corev1.Node) (Change, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.goneNodes, n.Name)
	node := nodeOf(n)
	if have, known := v.nodes[n.Name]; known && have == node {
		return Change{}, nil
	}
	v.nodes[n.Name] = node
	return v.replace(v.on[n.Name])
}

// DeleteNode forgets a node. Its pods are counted until they are deleted, too.
func (v *Inventory) DeleteNode(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.goneNodes[name] = struct{}{}
	v.forgetNode(name)
}

// replace finds the groups of pods anew.
func (v *Inventory) replace(keys map[types.NamespacedName]struct{}) (Change, error) {
	all := make([]types.NamespacedName, 0, len(keys)) // place changes the index
	for key := range keys {
		all = append(all, key)
	}
	var change Change
	for _, key := range all {
		c, err := v.place(key, v.pods[key].pod)
		if err != nil {
			return change, err
		}
		change.join(c)
	}
	return change, nil
}

// Counted is a group and how many pods are in it.
type Counted struct {
	*Group
	Pods int
}

// Groups returns all groups, in no order.
func (v *Inventory) Groups() []Counted {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]Counted, 0, len(v.groups))
	for _, g := range v.groups {
		all = append(all, Counted{g.Group, g.pods})
	}
	return all
}

// Pods returns how many pods are in the group.
func (v *Inventory) Pods(id string) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if g := v.groups[id]; g != nil {
		return g.pods
	}
	return 0
}
