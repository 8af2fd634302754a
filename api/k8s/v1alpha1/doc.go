// Package v1alpha1 holds the objects that Gopherwood adds to Kubernetes: the
// policies GoPolicy and ClusterGoPolicy. They are described in
// docs/formats/gopolicy.md. The custom resource definitions in deploy/chart/files/crds and
// the deep copies are generated from the types here.
//
// +kubebuilder:object:generate=true
// +groupName=gopherwood.dev
// +versionName=v1alpha1
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version are where the objects are found in the API.
const (
	Group   = "gopherwood.dev"
	Version = "v1alpha1"
)

// The kinds of this package.
const (
	KindGoPolicy        = "GoPolicy"
	KindClusterGoPolicy = "ClusterGoPolicy"
)

// GroupVersion returns the group and the version of the kinds here.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: Version}
}

// AddToScheme makes the kinds known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &GoPolicy{}, &GoPolicyList{}, &ClusterGoPolicy{}, &ClusterGoPolicyList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
