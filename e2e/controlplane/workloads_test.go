//go:build controlplane || e2e

package controlplane

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// labelsOf select the pods of a workload.
func labelsOf(name string) map[string]string { return map[string]string{"app": name} }

// podSpec is a pod of one container.
func podSpec(image string) corev1.PodSpec {
	return corev1.PodSpec{
		Containers:    []corev1.Container{{Name: "app", Image: image}},
		RestartPolicy: corev1.RestartPolicyAlways,
	}
}

func metaOf(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labelsOf(name)}
}

func pod(namespace, name, image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metaOf(namespace, name), Spec: podSpec(image)}
}

func template(name, image string, restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	spec := podSpec(image)
	spec.RestartPolicy = restart
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(name)}, Spec: spec}
}

func selectorOf(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: labelsOf(name)}
}

func deployment(namespace, name, image string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metaOf(namespace, name), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32), // no pods: they are not what is asked about
		Selector: selectorOf(name), Template: template(name, image, corev1.RestartPolicyAlways),
	}}
}

// workloadsOf returns one workload of each kind with the image.
func workloadsOf(namespace, name, image string) []client.Object {
	always := template(name, image, corev1.RestartPolicyAlways)
	never := template(name, image, corev1.RestartPolicyNever)
	suspended := true
	job := batchv1.JobSpec{Template: never, Suspend: &suspended}
	return []client.Object{
		pod(namespace, name, image),
		deployment(namespace, name, image),
		&appsv1.StatefulSet{ObjectMeta: metaOf(namespace, name), Spec: appsv1.StatefulSetSpec{Replicas: new(int32), Selector: selectorOf(name), Template: always}},
		&appsv1.DaemonSet{ObjectMeta: metaOf(namespace, name), Spec: appsv1.DaemonSetSpec{Selector: selectorOf(name), Template: always}},
		&appsv1.ReplicaSet{ObjectMeta: metaOf(namespace, name), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32), Selector: selectorOf(name), Template: always}},
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: job},
		&batchv1.CronJob{ObjectMeta: metaOf(namespace, name), Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: never}},
		}},
	}
}

// goPolicy is a policy of a namespace with the defaults.
func goPolicy(namespace, name string, change ...func(*v1alpha1.GoPolicySpec)) *v1alpha1.GoPolicy {
	p := &v1alpha1.GoPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func acting(a v1alpha1.Action) func(*v1alpha1.GoPolicySpec) {
	return func(s *v1alpha1.GoPolicySpec) { s.Action = a }
}

func unknown(u v1alpha1.OnUnknown) func(*v1alpha1.GoPolicySpec) {
	return func(s *v1alpha1.GoPolicySpec) { s.OnUnknown = u }
}

// exempting excuses unsupported Go versions of images until the end of a day.
func exempting(ref string, expires time.Time) func(*v1alpha1.GoPolicySpec) {
	return func(s *v1alpha1.GoPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{Rule: "go/supported", Ref: ref, Owner: "team-x", Reason: "being rebuilt", Expires: expires.UTC().Format(time.DateOnly)}}
	}
}

// inForce applies a policy and waits until the webhook says that it is in force.
func inForce(t *testing.T, p *v1alpha1.GoPolicy) {
	t.Helper()
	apply(t, p)
	settled(t, p)
}

// settled waits until a policy's status is about the policy as it is, and returns
// what the condition Ready says. The replicas learn of it at the same time as the
// one that writes the status; a moment more is for the slowest.
func settled(t *testing.T, p *v1alpha1.GoPolicy) metav1.Condition {
	t.Helper()
	var ready metav1.Condition
	until(t, 20*time.Second, "status of GoPolicy "+p.Name, func() error {
		if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if p.Status.ObservedGeneration != p.Generation || len(p.Status.Conditions) == 0 {
			return fmt.Errorf("it is about generation %d of %d", p.Status.ObservedGeneration, p.Generation)
		}
		ready = p.Status.Conditions[0]
		return nil
	})
	time.Sleep(200 * time.Millisecond)
	return ready
}
