package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionReady is the type of the condition that says whether the policy as it
// is written is in force.
const ConditionReady = "Ready"

// The reasons of the condition Ready.
const (
	// ReasonCompiled: the policy is in force as it is written.
	ReasonCompiled = "Compiled"
	// ReasonCompileFailed: it is not; what last compiled is still in force.
	ReasonCompileFailed = "CompileFailed"
)

// GoPolicyStatus is what has become of a policy.
type GoPolicyStatus struct {
	// The generation of the spec that the rest of the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Ready says whether the policy as it is written is in force.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// What keeps the policy from compiling.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Problems []Problem `json:"problems,omitempty"`
	// What is in force: the spec, or an older one when the spec does not compile.
	// +optional
	InForce *InForce `json:"inForce,omitempty"`
	// How many rules are in force, with the inherited ones.
	// +optional
	Rules int32 `json:"rules"`
	// How many exemptions are in force.
	// +optional
	Exemptions int32 `json:"exemptions"`
	// How many exemptions have run out and excuse nothing any more.
	// +optional
	ExpiredExemptions int32 `json:"expiredExemptions"`
	// How many of the running pods the policy passes and denies; written by the
	// fleet controller.
	// +optional
	Pods *Counts `json:"pods,omitempty"`
}

// Problem is a reason why a policy does not compile.
type Problem struct {
	// Where it is in the spec, for example "rules[2].require".
	// +required
	Path string `json:"path"`
	// The line within the value there, from 1; absent when the problem is about
	// the whole value.
	// +optional
	Line int32 `json:"line,omitempty"`
	// The column in that line, in characters from 1.
	// +optional
	Column int32 `json:"column,omitempty"`
	// What is wrong.
	// +required
	Message string `json:"message"`
}

// InForce is what is in force of a policy.
type InForce struct {
	// The generation that the spec was.
	// +required
	Generation int64 `json:"generation"`
	// The spec that is in force. It is kept as it was, whatever later versions of
	// the definition say of its fields.
	// +required
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec GoPolicySpec `json:"spec"`
}

// Counts are numbers of pods by their verdict.
type Counts struct {
	// Pods that pass.
	// +optional
	Passed int32 `json:"passed"`
	// Pods that pass with warnings.
	// +optional
	Warned int32 `json:"warned"`
	// Pods that are denied.
	// +optional
	Denied int32 `json:"denied"`
	// Pods with an image that could not be measured.
	// +optional
	Unknown int32 `json:"unknown"`
}
