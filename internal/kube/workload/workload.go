// Package workload reads Kubernetes objects that hold a Pod template, of every
// kind, as one: what they run and with which settings.
package workload

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// MaxBytes is the longest object that Decode reads. The API server keeps none
// that is longer than 3 MiB.
const MaxBytes = 4 << 20

// Workload is an object with its Pod template, which for a Pod is the Pod itself.
type Workload struct {
	Kind, APIVersion string
	Namespace, Name  string
	// Labels are the object's own, not the template's.
	Labels map[string]string
	// Deleting is true once the object's deletion has been asked for.
	Deleting bool
	// Template is what the Pods are like.
	Template corev1.PodTemplateSpec
	// TemplatePath is the JSON pointer of the PodSpec within the object.
	TemplatePath string
}

// IsPod reports whether the object is a Pod and no template of Pods.
func (w *Workload) IsPod() bool { return w.Kind == podKind }

const podKind = "Pod"

// Kind is one kind of workload.
type Kind struct {
	Group, Version, Kind string
	// Resource is its plural name in the API's paths.
	Resource string
	// Path is the JSON pointer of the PodSpec.
	Path string
}

// APIVersion returns group/version, as objects say it.
func (k Kind) APIVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

const templatePath = "/spec/template/spec"

// Kinds are the kinds that Decode reads, Pods first.
var Kinds = []Kind{
	{"", "v1", podKind, "pods", "/spec"},
	{"", "v1", "ReplicationController", "replicationcontrollers", templatePath},
	{"apps", "v1", "DaemonSet", "daemonsets", templatePath},
	{"apps", "v1", "Deployment", "deployments", templatePath},
	{"apps", "v1", "ReplicaSet", "replicasets", templatePath},
	{"apps", "v1", "StatefulSet", "statefulsets", templatePath},
	{"batch", "v1", "CronJob", "cronjobs", "/spec/jobTemplate/spec/template/spec"},
	{"batch", "v1", "Job", "jobs", templatePath},
}

// EphemeralResource is the subresource of Pods through which ephemeral
// containers are added.
const EphemeralResource = "pods/ephemeralcontainers"

// find returns the kind of Kinds that gvk names. Versions of one group share the
// form of their templates; the API server converts to the one that was asked for.
func find(gvk metav1.GroupVersionKind) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool {
		return k.Group == gvk.Group && k.Version == gvk.Version && k.Kind == gvk.Kind
	})
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// meta is what is read of an object's metadata.
type meta struct {
	Name              string            `json:"name"`
	GenerateName      string            `json:"generateName"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
}

// The three forms of an object.
type (
	podForm struct {
		Metadata meta           `json:"metadata"`
		Spec     corev1.PodSpec `json:"spec"`
	}
	template struct {
		Metadata meta           `json:"metadata"`
		Spec     corev1.PodSpec `json:"spec"`
	}
	templateForm struct {
		Metadata meta `json:"metadata"`
		Spec     struct {
			Template template `json:"template"`
		} `json:"spec"`
	}
	cronForm struct {
		Metadata meta `json:"metadata"`
		Spec     struct {
			JobTemplate struct {
				Spec struct {
					Template template `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
)

// Decode reads an object of the given kind from its JSON. The error is a
// *fault.Error: Unsupported for a kind that is not in Kinds, Limit for one over
// MaxBytes, Invalid for what is no such object.
func Decode(gvk metav1.GroupVersionKind, raw []byte) (*Workload, error) {
	kind, ok := find(gvk)
	if !ok {
		return nil, decodeError(fault.Unsupported, gvk.Kind, fmt.Errorf("%s/%s is no kind of workload", gvk.Group, gvk.Kind))
	}
	if len(raw) > MaxBytes {
		return nil, decodeError(fault.Limit, gvk.Kind, fmt.Errorf("it is longer than %d bytes", MaxBytes))
	}
	if len(raw) == 0 {
		return nil, decodeError(fault.Invalid, gvk.Kind, errors.New("there is no object"))
	}
	w := &Workload{Kind: kind.Kind, APIVersion: kind.APIVersion(), TemplatePath: kind.Path}
	if err := w.read(raw); err != nil {
		return nil, decodeError(fault.Invalid, gvk.Kind, err)
	}
	return w, nil
}

func decodeError(code fault.Code, kind string, err error) error {
	return &fault.Error{Code: code, Op: "read workload", Input: kind, Err: err}
}

// read fills w from an object of its kind.
func (w *Workload) read(raw []byte) error {
	switch w.TemplatePath {
	case "/spec":
		var o podForm
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		w.set(o.Metadata, template(o))
	case templatePath:
		var o templateForm
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		w.set(o.Metadata, o.Spec.Template)
	default:
		var o cronForm
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		w.set(o.Metadata, o.Spec.JobTemplate.Spec.Template)
	}
	return nil
}

func (w *Workload) set(m meta, t template) {
	w.Namespace, w.Name, w.Labels = m.Namespace, m.Name, m.Labels
	if w.Name == "" {
		w.Name = m.GenerateName
	}
	w.Deleting = m.DeletionTimestamp != nil
	w.Template.Labels, w.Template.Annotations = t.Metadata.Labels, t.Metadata.Annotations
	w.Template.Spec = t.Spec
}
