package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GoPolicy is a policy for the workloads of its own namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=gopol,categories=gopherwood
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`,description="What happens on a denial"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the policy as it is written is in force"
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`,description="Rules in force, with the inherited ones"
// +kubebuilder:printcolumn:name="Denied",type=integer,JSONPath=`.status.pods.denied`,description="Running pods that the policy denies"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.match) || !has(self.spec.match.namespaceSelector)",fieldPath=".spec.match.namespaceSelector",message="a GoPolicy is about its own namespace only; use a ClusterGoPolicy"
type GoPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the policy demands, of what, and what happens otherwise.
	// +required
	Spec GoPolicySpec `json:"spec"`
	// What has become of the policy; written by Gopherwood.
	// +optional
	Status GoPolicyStatus `json:"status,omitempty"`
}

// GoPolicyList is a list of GoPolicy.
//
// +kubebuilder:object:root=true
type GoPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GoPolicy `json:"items"`
}

// ClusterGoPolicy is a policy for the workloads of all namespaces, or of those
// that its match selects.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cgopol,categories=gopherwood
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`,description="What happens on a denial"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the policy as it is written is in force"
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`,description="Rules in force, with the inherited ones"
// +kubebuilder:printcolumn:name="Denied",type=integer,JSONPath=`.status.pods.denied`,description="Running pods that the policy denies"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterGoPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the policy demands, of what, and what happens otherwise.
	// +required
	Spec GoPolicySpec `json:"spec"`
	// What has become of the policy; written by Gopherwood.
	// +optional
	Status GoPolicyStatus `json:"status,omitempty"`
}

// ClusterGoPolicyList is a list of ClusterGoPolicy.
//
// +kubebuilder:object:root=true
type ClusterGoPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterGoPolicy `json:"items"`
}

// PolicySpec returns the spec.
func (p *GoPolicy) PolicySpec() *GoPolicySpec { return &p.Spec }

// PolicyStatus returns the status.
func (p *GoPolicy) PolicyStatus() *GoPolicyStatus { return &p.Status }

// PolicySpec returns the spec.
func (p *ClusterGoPolicy) PolicySpec() *GoPolicySpec { return &p.Spec }

// PolicyStatus returns the status.
func (p *ClusterGoPolicy) PolicyStatus() *GoPolicyStatus { return &p.Status }
