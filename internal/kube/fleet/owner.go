package fleet

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Workload is what a person deployed: the last of a pod's owners, or the pod.
type Workload struct {
	Namespace  string
	APIVersion string
	Kind       string
	Name       string
	UID        types.UID
}

// maxOwners ends a chain of owners that goes in a circle.
const maxOwners = 8

// owner is what is known of an object that owns pods or their owners.
type owner struct {
	// controller is who controls it; zero for nobody.
	controller metav1.OwnerReference
	labels     map[string]string
}

// owners knows the objects above pods: those between pods and workloads,
// ReplicaSets and Jobs, and where they are fed in the workloads.
type owners map[types.UID]owner

// set remembers an object, and reports whether anything of it is news.
func (o owners) set(uid types.UID, refs []metav1.OwnerReference, labels map[string]string) bool {
	ref, _ := controllerOf(refs)
	if have, known := o[uid]; known && same(have.controller, ref) && maps.Equal(have.labels, labels) {
		return false
	}
	o[uid] = owner{ref, labels}
	return true
}

func same(a, b metav1.OwnerReference) bool {
	return a.UID == b.UID && a.Kind == b.Kind && a.Name == b.Name && a.APIVersion == b.APIVersion
}

// chain returns who controls the pod, the nearest first. A node is no owner in
// this sense: it is that of a static pod's mirror.
func (o owners) chain(pod metav1.Object) []metav1.OwnerReference {
	var chain []metav1.OwnerReference
	ref, ok := controllerOf(pod.GetOwnerReferences())
	for ok && len(chain) < maxOwners && ref.Kind != "Node" {
		chain = append(chain, ref)
		ref = o[ref.UID].controller
		ok = ref.UID != ""
	}
	return chain
}

func controllerOf(refs []metav1.OwnerReference) (metav1.OwnerReference, bool) {
	for _, r := range refs {
		if r.Controller != nil && *r.Controller {
			return r, true
		}
	}
	return metav1.OwnerReference{}, false
}

// workload returns the pod's workload, the owners before it as "Kind/name", and
// the workload's labels where they are known.
func (o owners) workload(pod metav1.Object) (Workload, []string, map[string]string) {
	chain := o.chain(pod)
	if len(chain) == 0 {
		return Workload{Namespace: pod.GetNamespace(), APIVersion: "v1", Kind: "Pod", Name: pod.GetName(), UID: pod.GetUID()}, nil, pod.GetLabels()
	}
	var between []string
	for _, r := range chain[:len(chain)-1] {
		between = append(between, r.Kind+"/"+r.Name)
	}
	last := chain[len(chain)-1]
	return Workload{
		Namespace: pod.GetNamespace(), APIVersion: last.APIVersion, Kind: last.Kind, Name: last.Name, UID: last.UID,
	}, between, o[last.UID].labels
}
