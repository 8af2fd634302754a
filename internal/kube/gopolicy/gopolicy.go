// Package gopolicy keeps the policies of a cluster in force.
//
// A Feeder watches the GoPolicies and ClusterGoPolicies, compiles them and puts
// them into a Set, which admission and the fleet ask by Match; every replica has
// its own. A StatusWriter, of which one is elected, writes what has become of
// each policy into its status. A policy that does not compile never takes
// anything down: what last compiled of it stays in force, in memory, and over a
// restart in status.inForce.
package gopolicy

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// Object is what GoPolicy and ClusterGoPolicy have in common.
type Object interface {
	metav1.Object
	runtime.Object
	// PolicySpec and PolicyStatus return the object's own, not copies.
	PolicySpec() *v1alpha1.GoPolicySpec
	PolicyStatus() *v1alpha1.GoPolicyStatus
}

// Policy is a policy that is in force. It is read-only.
type Policy struct {
	// Name is how messages name it: "GoPolicy team-a/strict", "ClusterGoPolicy base".
	Name string
	// Kind is GoPolicy or ClusterGoPolicy.
	Kind string
	// Namespace is empty for a ClusterGoPolicy.
	Namespace string
	// ObjectName is the object's name.
	ObjectName string
	// Spec is what is in force, with all defaults.
	Spec     v1alpha1.GoPolicySpec
	Compiled *policy.Policy
	// Generation is the one that Spec was of the object.
	Generation int64

	namespaces, objects labels.Selector // nil selects everything
	sum                 [32]byte        // of what Compiled was compiled from
}

// CPULevel returns the lowest x86-64 level of the CPUs, 1 to 4, or 0 when the
// policy says nothing of it.
func (p *Policy) CPULevel() int {
	if len(p.Spec.CPULevel) != 2 {
		return 0
	}
	return int(p.Spec.CPULevel[1] - '0')
}

// key is what tells policies apart.
type key struct {
	kind string
	types.NamespacedName
}

func keyOf(o Object) key {
	kind := v1alpha1.KindGoPolicy
	if _, ok := o.(*v1alpha1.ClusterGoPolicy); ok {
		kind = v1alpha1.KindClusterGoPolicy
	}
	return key{kind, types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}}
}

// String is Policy.Name.
func (k key) String() string {
	if k.Namespace == "" {
		return k.kind + " " + k.Name
	}
	return k.kind + " " + k.Namespace + "/" + k.Name
}
