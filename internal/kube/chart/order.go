package chart

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// installOrder is the order in which kinds are applied. What a Deployment needs
// comes before it. Webhook configurations come last: they make the API server ask,
// and only when everything is there that can answer.
var installOrder = []string{
	"Namespace",
	kindCRD,
	"NetworkPolicy",
	"PodDisruptionBudget",
	"ServiceAccount",
	"Secret",
	"ConfigMap",
	"Lease",
	"ClusterRole",
	"ClusterRoleBinding",
	"Role",
	"RoleBinding",
	"Issuer",
	"Certificate",
	"Service",
	kindDeployment,
	"ServiceMonitor",
	kindMutating,
	kindValidating,
}

// The kinds that are treated in their own way.
const (
	kindCRD        = "CustomResourceDefinition"
	kindDeployment = "Deployment"
	kindMutating   = "MutatingWebhookConfiguration"
	kindValidating = "ValidatingWebhookConfiguration"
)

// rank returns the place of kind; an unknown one stands before Deployments.
func rank(kind string) int {
	if i := slices.Index(installOrder, kind); i >= 0 {
		return i
	}
	return slices.Index(installOrder, kindDeployment) - 1
}

func compareInstall(a, b *unstructured.Unstructured) int {
	return cmp.Or(
		cmp.Compare(rank(a.GetKind()), rank(b.GetKind())),
		cmp.Compare(a.GetKind(), b.GetKind()),
		cmp.Compare(a.GetNamespace(), b.GetNamespace()),
		cmp.Compare(a.GetName(), b.GetName()),
	)
}

// isWebhook says whether o makes the API server ask a webhook.
func isWebhook(kind string) bool { return kind == kindMutating || kind == kindValidating }
