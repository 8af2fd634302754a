package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Action is what a policy does about a workload that it denies.
// +kubebuilder:validation:Enum=enforce;warn;audit
type Action string

// The actions.
const (
	// ActionEnforce refuses the workload.
	ActionEnforce Action = "enforce"
	// ActionWarn admits it, and tells who applied it.
	ActionWarn Action = "warn"
	// ActionAudit admits it; the audit log, the metrics and the reports say so.
	ActionAudit Action = "audit"
)

// OnUnknown is what a policy does when there is no verdict in time, because the
// image could not be measured.
// +kubebuilder:validation:Enum=admit;deny;warn
type OnUnknown string

// The values of OnUnknown.
const (
	// OnUnknownAdmit admits the workload; the scan in the background reports it.
	OnUnknownAdmit OnUnknown = "admit"
	// OnUnknownDeny treats it as denied, as the policy's action says.
	OnUnknownDeny OnUnknown = "deny"
	// OnUnknownWarn admits it, and tells who applied it.
	OnUnknownWarn OnUnknown = "warn"
)

// The values of GoPolicySpec.Extends.
const (
	// ExtendsDefault builds on the built-in policy.
	ExtendsDefault = "default"
	// ExtendsNone builds on nothing: only the policy's own rules hold, and
	// Gopherwood's about the start.
	ExtendsNone = "none"
)

// GoPolicySpec is what a policy demands, of what, and what happens otherwise.
type GoPolicySpec struct {
	// What is done about a workload that the policy denies: enforce refuses it,
	// warn admits it with a warning, audit admits it and reports it.
	// +optional
	// +kubebuilder:default=enforce
	Action Action `json:"action,omitempty"`
	// What is done when an image could not be measured in time: admit, deny (as
	// the action says), or warn.
	// +optional
	// +kubebuilder:default=deny
	OnUnknown OnUnknown `json:"onUnknown,omitempty"`
	// Which workloads the policy is about. Everything that is given must match;
	// nothing given means all.
	// +optional
	Match Match `json:"match,omitempty,omitzero"`

	// What the policy builds on: the built-in policy default, or none.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:Enum=default;none
	Extends string `json:"extends,omitempty"`
	// The policy's own rules. One with the id of an inherited rule takes its place.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Rules []Rule `json:"rules,omitempty"`
	// Other severities for the findings of some rules. Of several that match a
	// rule the last wins.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Severities []Severity `json:"severities,omitempty"`
	// What is excused, by whom, until when.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Exemptions []Exemption `json:"exemptions,omitempty"`

	// The lowest x86-64 level of the CPUs that the workloads run on. Without it
	// the level that the nodes tell counts; where they tell none, it is not checked.
	// +optional
	// +kubebuilder:validation:Enum=v1;v2;v3;v4
	CPULevel string `json:"cpuLevel,omitempty"`
	// What is filled in when a workload is admitted. Without it nothing is ever
	// changed, and what the user has set is never changed.
	// +optional
	Mutate *Mutate `json:"mutate,omitempty"`
}

// Match says which workloads a policy is about.
type Match struct {
	// The namespaces, by their labels. Only a ClusterGoPolicy can have it.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// The objects, by their own labels (not those of their pod template).
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`
	// The kinds. A policy about Pod alone is about all pods, also those that a
	// Deployment makes; but then the pods are judged, not the Deployment.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=Pod;Deployment;StatefulSet;DaemonSet;ReplicaSet;ReplicationController;Job;CronJob
	Kinds []string `json:"kinds,omitempty"`
}

// Rule is one rule: where When holds, Require must hold too. It has the fields
// of api.PolicyRule.
type Rule struct {
	// The rule's name, group/name, of small letters, digits and hyphens.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)+$`
	ID string `json:"id"`
	// What a violation counts.
	// +required
	// +kubebuilder:validation:Enum=deny;warn;info
	Severity string `json:"severity"`
	// file: the rule is asked for each executable (variables file, today).
	// image: it is asked once for each image (variables image, files, today).
	// +optional
	// +kubebuilder:validation:Enum=file;image
	// +kubebuilder:default=file
	Scope string `json:"scope,omitempty"`
	// Why the rule is there.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Description string `json:"description,omitempty"`
	// CEL expression: what the rule is about. Absent means everything.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	When string `json:"when,omitempty"`
	// CEL expression that must be true.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Require string `json:"require"`
	// What is wrong; {expressions} in braces are replaced by values.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message"`
	// What mends it; a template like message.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Hint string `json:"hint,omitempty"`
}

// Severity gives the findings of some rules another severity. It has the fields
// of api.PolicySeverity.
type Severity struct {
	// Pattern of rule ids, for example "start/*".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Rule string `json:"rule"`
	// What the findings count; off drops them.
	// +required
	// +kubebuilder:validation:Enum=deny;warn;info;off
	Severity string `json:"severity"`
}

// Exemption excuses findings for a while. It has the fields of
// api.PolicyExemption.
//
// +kubebuilder:validation:XValidation:rule="has(self.ref) || has(self.digest) || has(self.when)",message="an exemption needs ref, digest or when: use severities to change a rule everywhere"
type Exemption struct {
	// Pattern of rule ids.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Rule string `json:"rule"`
	// Pattern of image references as the containers name them.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Ref string `json:"ref,omitempty"`
	// Digest of the image or of the executable, "sha256:…".
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// CEL expression over finding, file, image and today.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	When string `json:"when,omitempty"`
	// Who answers for the exemption.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner"`
	// Why it is there.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Reason string `json:"reason"`
	// The last day it holds, YYYY-MM-DD, in UTC.
	// +required
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	Expires string `json:"expires"`
}

// Mutate says what is filled in when a workload is admitted. Each is off unless
// it is given.
type Mutate struct {
	// GOMEMLIMIT, from a container's memory limit.
	// +optional
	MemoryLimit *MemoryLimit `json:"memoryLimit,omitempty"`
	// GOMAXPROCS, from a container's CPU request, where Go's own default misses it.
	// +optional
	MaxProcs bool `json:"maxProcs,omitempty"`
	// The digest that was judged is added to images that are named by tag.
	// +optional
	PinDigest bool `json:"pinDigest,omitempty"`
	// The RuntimeClass of pods that have none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	RuntimeClassName string `json:"runtimeClassName,omitempty"`
	// Node affinity for what the images need: architecture and CPU level.
	// +optional
	NodeAffinity bool `json:"nodeAffinity,omitempty"`
}

// MemoryLimit says how GOMEMLIMIT follows from the memory limit.
type MemoryLimit struct {
	// GOMEMLIMIT in percent of the container's memory limit.
	// +optional
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent,omitempty"`
}

// DefaultPercent is what MemoryLimit.Percent is when it is not given.
const DefaultPercent = 90

// SetDefaults fills in what is not given, as the API server does it.
func (s *GoPolicySpec) SetDefaults() {
	if s.Action == "" {
		s.Action = ActionEnforce
	}
	if s.OnUnknown == "" {
		s.OnUnknown = OnUnknownDeny
	}
	if s.Extends == "" {
		s.Extends = ExtendsDefault
	}
	for i := range s.Rules {
		if s.Rules[i].Scope == "" {
			s.Rules[i].Scope = "file"
		}
	}
	if m := s.Mutate; m != nil && m.MemoryLimit != nil && m.MemoryLimit.Percent == 0 {
		m.MemoryLimit.Percent = DefaultPercent
	}
}
