//go:build controlplane || e2e

package controlplane

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pullSecret is a Secret with the credentials for a registry.
func pullSecret(namespace, name, host, user, password string) *corev1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth)},
	}
}

// withSecret is a pod that pulls with a secret.
func withSecret(namespace, name, image, secret string) *corev1.Pod {
	p := pod(namespace, name, image)
	p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: secret}}
	return p
}

// TestTenants has two tenants of one private registry, each with what the other
// must not see.
func TestTenants(t *testing.T) {
	registry := newRegistry(t)
	registry.private(map[string]user{"anna": {"secret-a", "team-a"}, "bert": {"secret-b", "team-b"}, "both": {"secret-c", ""}})
	startWebhooks(t, 1, "--plain-http-registry", registry.host)
	a, b := newNamespace(t), newNamespace(t)
	inForce(t, goPolicy(a, "strict"))
	inForce(t, goPolicy(b, "strict"))
	apply(t, pullSecret(a, "pull", registry.host, "anna", "secret-a"))
	apply(t, pullSecret(b, "pull", registry.host, "bert", "secret-b"))
	image := made{program: good, mark: "tenants"}.image(t)
	ref, digest := registry.pushImage(t, "team-a/app:v1", image)
	pinned := registry.host + "/team-a/app@" + digest
	fetches := func() int { return registry.seen("GET blobs ") }

	requireRefused(t, lab.api.Create(t.Context(), pod(a, "nobody", ref)), "the registry does not give it to this workload", "fix: check the imagePullSecrets")
	registry.forget()
	requireNoError(t, lab.api.Create(t.Context(), withSecret(a, "own", ref, "pull")), "pod of who may pull")
	if fetches() == 0 {
		t.Fatal("nothing was read")
	}

	// The digest is known now. It is no evidence for who may not pull it.
	registry.forget()
	for _, image := range []string{ref, pinned} {
		err := lab.api.Create(t.Context(), withSecret(b, "foreign", image, "pull"))
		requireRefused(t, err, "the registry does not give it to this workload")
		if image == ref && err != nil && strings.Contains(err.Error(), digest) {
			t.Errorf("the refusal tells a digest to who may not pull: %v", err)
		}
	}
	if registry.seen("HEAD manifests", "GET manifests") == 0 {
		t.Error("the registry was not asked whether the other tenant may pull")
	}

	// With rights a question is enough.
	apply(t, pullSecret(b, "given", registry.host, "anna", "secret-a"))
	registry.forget()
	requireNoError(t, lab.api.Create(t.Context(), withSecret(b, "given", pinned, "given")), "pod of who may pull now")
	t.Logf("what is known, for a tenant with rights: %v", registry.counted())
	if got := registry.counted(); fetches() != 0 || registry.seen("HEAD manifests") == 0 || registry.seen("GET manifests") != 0 {
		t.Errorf("want a HEAD of the manifest and nothing else, got %v", got)
	}

	// Another copy of the same content: the rights are those of its repository.
	copied, _ := registry.pushImage(t, "team-b/app:v1", image)
	registry.forget()
	requireNoError(t, lab.api.Create(t.Context(), withSecret(b, "copy", copied, "pull")), "pod with the tenant's own copy")
	if fetches() != 0 {
		t.Errorf("content that is known was read again: %v", registry.counted())
	}
}

// TestServiceAccounts reads images with the secrets of service accounts, also for
// templates, into which the API server puts none.
func TestServiceAccounts(t *testing.T) {
	registry := newRegistry(t)
	registry.private(map[string]user{"anna": {"secret-a", "team-a"}})
	startWebhooks(t, 1, "--plain-http-registry", registry.host)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	apply(t, pullSecret(namespace, "pull", registry.host, "anna", "secret-a"))
	apply(t, &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: namespace, Name: "puller"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}, {Name: "missing"}},
	})
	ref, _ := registry.push(t, "team-a/accounts:v1", made{program: good, mark: "accounts"})
	for _, o := range workloadsOf(namespace, "default", ref) {
		requireRefused(t, lab.api.Create(t.Context(), o), "the registry does not give it to this workload")
	}
	p := pod(namespace, "pod", ref)
	p.Spec.ServiceAccountName = "puller"
	requireNoError(t, lab.api.Create(t.Context(), p), "pod of a service account with a secret")
	d := deployment(namespace, "deployment", ref)
	d.Spec.Template.Spec.ServiceAccountName = "puller"
	requireNoError(t, lab.api.Create(t.Context(), d), "deployment of a service account with a secret")

	// A namespace whose own service account has the secret.
	other := newNamespace(t)
	inForce(t, goPolicy(other, "strict"))
	apply(t, pullSecret(other, "pull", registry.host, "anna", "secret-a"))
	account := &corev1.ServiceAccount{}
	if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: other, Name: "default"}, account); err != nil {
		t.Fatal(err)
	}
	account.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
	requireNoError(t, lab.api.Update(t.Context(), account), "service account")
	for _, o := range workloadsOf(other, "by-default", ref) {
		requireNoError(t, lab.api.Create(t.Context(), o), gvkOf(t, o).Kind+" in a namespace with the secret")
	}
}
