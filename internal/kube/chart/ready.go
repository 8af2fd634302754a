package chart

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// notReady says why an object does not do its work yet, "" when it does.
func (c *Cluster) notReady(ctx context.Context, id identity) (string, error) {
	o, err := c.get(ctx, id)
	if err != nil {
		return "", err
	}
	if o == nil {
		return "is gone", nil
	}
	switch id.Kind {
	case kindCRD:
		return crdNotReady(o), nil
	case kindDeployment:
		why := deploymentNotReady(o)
		if why == "" {
			return "", nil
		}
		return why + c.podTrouble(ctx, o), nil
	case kindMutating, kindValidating:
		return webhookNotReady(o), nil
	}
	return "", nil
}

// crdNotReady wants a definition that the API server serves.
func crdNotReady(o *unstructured.Unstructured) string {
	for _, c := range objectsAt(o.Object, "status", "conditions") {
		if c["type"] == "Established" && c["status"] == "True" {
			return ""
		}
		if c["type"] == "NamesAccepted" && c["status"] == "False" {
			return fmt.Sprintf("its names are refused: %v", c["message"])
		}
	}
	return "is not served yet"
}

// deploymentNotReady wants every replica to be of the newest template and
// available.
func deploymentNotReady(o *unstructured.Unstructured) string {
	number := func(path ...string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, path...)
		return n
	}
	want := number("spec", "replicas")
	switch updated, available := number("status", "updatedReplicas"), number("status", "availableReplicas"); {
	case number("status", "observedGeneration") < o.GetGeneration():
		return "has not been looked at by its controller"
	case updated < want:
		return fmt.Sprintf("%d of %d replicas are new", updated, want)
	case available < want:
		return fmt.Sprintf("%d of %d replicas are available", available, want)
	case number("status", "replicas") > updated:
		return "old replicas are ending"
	}
	return ""
}

// webhookNotReady wants every webhook to have the authority of its certificate.
func webhookNotReady(o *unstructured.Unstructured) string {
	for _, w := range objectsAt(o.Object, "webhooks") {
		if bundle, _, _ := unstructured.NestedString(w, "clientConfig", "caBundle"); bundle == "" {
			return "has no authority (caBundle) yet"
		}
	}
	return ""
}

// podTrouble returns what keeps a Deployment's pods from running, as far as they
// say.
func (c *Cluster) podTrouble(ctx context.Context, deployment *unstructured.Unstructured) string {
	selector, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "selector", "matchLabels")
	resource, err := c.resource(identity{Version: "v1", Kind: "Pod", Namespace: deployment.GetNamespace()})
	if err != nil || len(selector) == 0 {
		return ""
	}
	pods, err := resource.List(ctx, metav1.ListOptions{LabelSelector: labels.Set(selector).String(), Limit: 100})
	if err != nil {
		return ""
	}
	var said []string
	for _, pod := range pods.Items {
		for _, why := range podWaits(pod.Object) {
			if !slices.Contains(said, why) {
				said = append(said, why)
			}
		}
	}
	if len(said) == 0 {
		return ""
	}
	slices.Sort(said)
	return ": " + join(said)
}

// podWaits returns why a pod's containers do not run or it has no node.
func podWaits(pod map[string]any) []string {
	var why []string
	for _, c := range objectsAt(pod, "status", "conditions") {
		if c["type"] == "PodScheduled" && c["status"] == "False" {
			why = append(why, fmt.Sprintf("%v: %v", c["reason"], c["message"]))
		}
	}
	for _, c := range objectsAt(pod, "status", "containerStatuses") {
		reason, _, _ := unstructured.NestedString(c, "state", "waiting", "reason")
		message, _, _ := unstructured.NestedString(c, "state", "waiting", "message")
		if reason == "" || reason == "ContainerCreating" {
			continue
		}
		if message != "" {
			reason += ": " + message
		}
		why = append(why, reason)
	}
	return why
}

// objectsAt returns the objects of the list at path.
func objectsAt(o map[string]any, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedSlice(o, path...)
	var objects []map[string]any
	for _, item := range list {
		if object, ok := item.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}
