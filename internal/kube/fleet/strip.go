package fleet

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StripPod returns what the fleet needs of a pod. It is what informers keep, so
// that memory grows with little of each pod.
func StripPod(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: stableLabels(pod.Labels), OwnerReferences: pod.OwnerReferences,
		},
		Spec: corev1.PodSpec{
			NodeName: pod.Spec.NodeName, ServiceAccountName: pod.Spec.ServiceAccountName,
			RestartPolicy:    pod.Spec.RestartPolicy,
			ImagePullSecrets: pod.Spec.ImagePullSecrets,
			SecurityContext:  stripSecurity(pod.Spec.SecurityContext),
			Containers:       stripContainers(pod.Spec.Containers), InitContainers: stripContainers(pod.Spec.InitContainers),
			EphemeralContainers: stripEphemeral(pod.Spec.EphemeralContainers),
		},
		Status: corev1.PodStatus{
			Phase:                      pod.Status.Phase,
			ContainerStatuses:          stripStatuses(pod.Status.ContainerStatuses),
			InitContainerStatuses:      stripStatuses(pod.Status.InitContainerStatuses),
			EphemeralContainerStatuses: stripStatuses(pod.Status.EphemeralContainerStatuses),
		},
	}
}

// stableLabels leaves out the labels that differ between the pods of one
// workload: they would make each pod a group of its own.
func stableLabels(labels map[string]string) map[string]string {
	kept := make(map[string]string, len(labels))
	for name, value := range labels {
		switch name {
		case "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
			"batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid", "controller-uid",
			"batch.kubernetes.io/job-name", "job-name", "pod-template-generation":
		default:
			kept[name] = value
		}
	}
	return kept
}

func stripSecurity(s *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	if s == nil {
		return nil
	}
	return &corev1.PodSecurityContext{RunAsUser: s.RunAsUser, RunAsGroup: s.RunAsGroup, RunAsNonRoot: s.RunAsNonRoot}
}

func stripContainers(all []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for i := range all {
		kept = append(kept, stripContainer(&all[i]))
	}
	return kept
}

func stripContainer(c *corev1.Container) corev1.Container {
	s := corev1.Container{
		Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir,
		Env: c.Env, RestartPolicy: c.RestartPolicy, Resources: corev1.ResourceRequirements{Limits: c.Resources.Limits, Requests: c.Resources.Requests},
	}
	if sc := c.SecurityContext; sc != nil {
		s.SecurityContext = &corev1.SecurityContext{
			RunAsUser: sc.RunAsUser, RunAsGroup: sc.RunAsGroup, RunAsNonRoot: sc.RunAsNonRoot, Privileged: sc.Privileged,
		}
	}
	return s
}

func stripEphemeral(all []corev1.EphemeralContainer) []corev1.EphemeralContainer {
	var kept []corev1.EphemeralContainer
	for i := range all {
		c := corev1.Container(all[i].EphemeralContainerCommon)
		kept = append(kept, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(stripContainer(&c))})
	}
	return kept
}

// stripStatuses keeps the image and whether it runs, or how it has ended; restarts and times change
// without anything else running.
func stripStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for _, s := range all {
		k := corev1.ContainerStatus{Name: s.Name, ImageID: s.ImageID}
		if s.State.Terminated != nil {
			k.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: s.State.Terminated.ExitCode}
		}
		kept = append(kept, k)
	}
	return kept
}

// StripNode returns what the fleet needs of a node.
func StripNode(node *corev1.Node) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: node.Labels},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: node.Status.NodeInfo.OperatingSystem, Architecture: node.Status.NodeInfo.Architecture,
		}},
	}
}

// StripMetadata returns what the fleet needs of the objects that own pods, and
// of namespaces.
func StripMetadata(m *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: m.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
			OwnerReferences: m.OwnerReferences, Labels: m.Labels,
		},
	}
}
