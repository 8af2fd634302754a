package fleet

import (
	"crypto/sha256"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
)

// Node is where pods run.
type Node struct {
	// Platform is zero when the node is not known.
	Platform api.Platform
	// CPULevel is the x86-64 level, 1 to 4; 0 when nothing says it.
	CPULevel int
}

// nodeOf reads a node: its labels, and where it has none its system's own word.
func nodeOf(n *corev1.Node) Node {
	of := nodes.Of(n)
	p := api.Platform{OS: of.Platform.OS, Arch: of.Platform.Arch}
	if p.OS == "" {
		p.OS = n.Status.NodeInfo.OperatingSystem
	}
	if p.Arch == "" {
		p.Arch = n.Status.NodeInfo.Architecture
	}
	if p.OS == "" || p.Arch == "" {
		p = api.Platform{}
	}
	return Node{Platform: p, CPULevel: of.CPULevel}
}

// Container is a container that runs or is about to.
type Container struct {
	Kind   string
	Name   string
	Image  string
	Ref    string
	Other  string
	Digest string
	Note   string
}

// Group is pods of one workload that run the same: the same images with the same
// commands on the same platform. Nothing of it changes but the number of pods.
type Group struct {
	ID       string
	Workload Workload
	// Owners are those between the pods and the workload, as "Kind/name".
	Owners []string
	// Labels are the workload's own, where they are known.
	Labels     map[string]string
	Node       Node
	Containers []Container
	// Pod stands for all pods of the group; read-only.
	Pod *corev1.Pod
}

// identity is what makes two pods' groups one.
type identity struct {
	Workload   Workload
	Owners     []string
	Node       Node
	Containers []Container
	Labels     map[string]string
	PodLabels  map[string]string
	Spec       corev1.PodSpec
}

// newGroup returns the group of a stripped pod; nil when nothing of the pod runs.
func newGroup(pod *corev1.Pod, w Workload, between []string, labels map[string]string, node Node) (*Group, error) {
	containers := containersOf(pod)
	if len(containers) == 0 {
		return nil, nil
	}
	spec := pod.Spec
	spec.NodeName = ""
	data, err := json.Marshal(identity{w, between, node, containers, labels, pod.Labels, spec})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return &Group{ID: string(sum[:]), Workload: w, Owners: between, Labels: labels, Node: node, Containers: containers, Pod: pod}, nil
}

// containersOf returns the containers of pod that run or are about to. Of a pod
// without a node, or one that is done, there are none.
func containersOf(pod *corev1.Pod) []Container {
	if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	var all []Container
	add := func(kind string, c *corev1.Container, statuses []corev1.ContainerStatus) {
		imageID := ""
		for j := range statuses {
			if statuses[j].Name != c.Name {
				continue
			}
			if end := statuses[j].State.Terminated; end != nil && !startsAgain(pod, kind, c, end.ExitCode) {
				return
			}
			imageID = statuses[j].ImageID
		}
		r := identify(c.Image, imageID)
		all = append(all, Container{Kind: kind, Name: c.Name, Image: c.Image,
			Ref: r.ref, Other: r.other, Digest: r.digest, Note: r.note})
	}
	for i := range pod.Spec.InitContainers {
		add(workload.KindInit, &pod.Spec.InitContainers[i], pod.Status.InitContainerStatuses)
	}
	for i := range pod.Spec.Containers {
		add(workload.KindContainer, &pod.Spec.Containers[i], pod.Status.ContainerStatuses)
	}
	for i := range pod.Spec.EphemeralContainers {
		c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		add(workload.KindEphemeral, &c, pod.Status.EphemeralContainerStatuses)
	}
	return all
}

// startsAgain reports whether the kubelet starts a container again that has ended:
// one that crashes all the time has mostly just ended.
func startsAgain(pod *corev1.Pod, kind string, c *corev1.Container, exitCode int32) bool {
	if kind == workload.KindEphemeral {
		return false
	}
	if c.RestartPolicy != nil { // such as a sidecar's
		return *c.RestartPolicy == corev1.ContainerRestartPolicyAlways ||
			*c.RestartPolicy == corev1.ContainerRestartPolicyOnFailure && exitCode != 0
	}
	switch pod.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return exitCode != 0
	}
	return kind == workload.KindContainer || exitCode != 0 // init containers need to end well once
}

// workload returns the group's pods as package workload has them.
func (g *Group) workload() *workload.Workload {
	return &workload.Workload{
		Kind: "Pod", APIVersion: "v1", Namespace: g.Pod.Namespace, Name: g.Pod.Name, Labels: g.Pod.Labels,
		Template:     corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: g.Pod.Labels}, Spec: g.Pod.Spec},
		TemplatePath: "/spec",
	}
}

// of returns what w says of the container c; false for none.
func (c Container) of(w *workload.Workload) (workload.Container, bool) {
	for _, wc := range w.Containers() {
		if wc.Kind == c.Kind && wc.Name == c.Name {
			return wc, true
		}
	}
	return workload.Container{}, false
}
