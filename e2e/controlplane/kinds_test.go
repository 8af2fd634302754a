//go:build controlplane || e2e

package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// gvkOf returns the kind of an object.
func gvkOf(t *testing.T, o client.Object) schema.GroupVersionKind {
	t.Helper()
	gvk, err := apiutil.GVKForObject(o, lab.api.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	return gvk
}

// TestKinds creates every kind that holds a Pod template, with an image that
// starts and with one that does not.
func TestKinds(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	fine, _ := lab.registry.push(t, "kinds/fine:v1", made{program: good})
	broken, digest := lab.registry.push(t, "kinds/broken:v1", made{program: forLoader})
	for _, o := range workloadsOf(namespace, "fine", fine) {
		requireNoError(t, lab.api.Create(t.Context(), o), gvkOf(t, o).Kind+" with an image that starts")
	}
	for _, o := range workloadsOf(namespace, "broken", broken) {
		kind := gvkOf(t, o).Kind
		err := lab.api.Create(t.Context(), o)
		requireRefused(t, err, kind+" broken is refused by GoPolicy "+namespace+"/strict", "container app, image "+broken,
			"start/interpreter-missing", "/lib64/ld-linux-x86-64.so.2", "fix: ")
		resource, _ := meta.UnsafeGuessKindToResource(gvkOf(t, o))
		annotations := lab.audit.about(t, resource.Resource, namespace, "broken")
		if got := annotations["workloads.gopherwood.dev/verdict"]; got != "deny" {
			t.Errorf("%s: the audit log has the verdict %q: %v", kind, got, annotations)
		}
		requireWords(t, annotations["workloads.gopherwood.dev/container-0"], "app", "digest="+digest, "start/interpreter-missing:deny")
	}
}

// TestContainers denies for each of a pod's containers, and names the one.
func TestContainers(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	fine, _ := lab.registry.push(t, "containers/fine:v1", made{program: good})
	broken, _ := lab.registry.push(t, "containers/broken:v1", made{program: forLoader})
	other, _ := lab.registry.push(t, "containers/arm:v1", made{program: forARM})

	p := pod(namespace, "init", fine)
	p.Spec.InitContainers = []corev1.Container{{Name: "prepare", Image: broken}}
	requireRefused(t, lab.api.Create(t.Context(), p), "container prepare, image "+broken, "start/interpreter-missing")

	p = pod(namespace, "two", fine)
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "loader", Image: broken}, corev1.Container{Name: "arm", Image: other})
	err := lab.api.Create(t.Context(), p)
	requireRefused(t, err, "container loader, image "+broken, "start/interpreter-missing", "container arm, image "+other, "start/arch")
	if err != nil && strings.Contains(err.Error(), "container app,") {
		t.Errorf("the container that starts is named: %v", err)
	}

	p = pod(namespace, "debugged", fine)
	requireNoError(t, lab.api.Create(t.Context(), p), "pod")
	debug := func(name, image string) error {
		patch := fmt.Appendf(nil, `{"spec":{"ephemeralContainers":[{"name":%q,"image":%q}]}}`, name, image)
		return lab.api.SubResource("ephemeralcontainers").Patch(t.Context(), p, client.RawPatch(types.StrategicMergePatchType, patch))
	}
	requireRefused(t, debug("look", broken), "container look, image "+broken, "start/interpreter-missing")
	requireNoError(t, debug("see", fine), "ephemeral container with an image that starts")
}

// TestUpdates asks about what an update changes, and about nothing else.
func TestUpdates(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	fine, _ := lab.registry.push(t, "updates/fine:v1", made{program: good})
	broken, _ := lab.registry.push(t, "updates/broken:v1", made{program: forLoader})
	d := deployment(namespace, "app", broken)
	requireNoError(t, lab.api.Create(t.Context(), d), "deployment before there is a policy")
	inForce(t, goPolicy(namespace, "strict"))

	lab.registry.fail(hangUp)
	t.Cleanup(func() { lab.registry.fail(nil) })
	lab.registry.forget()
	change := func(what string, f func(*appsv1.Deployment)) error {
		before := d.DeepCopy()
		f(d)
		err := lab.api.Patch(t.Context(), d, client.MergeFrom(before))
		if err != nil {
			d = before
		}
		return err
	}
	requireNoError(t, change("scale", func(d *appsv1.Deployment) { *d.Spec.Replicas = 0; d.Spec.RevisionHistoryLimit = new(int32) }), "scale")
	requireNoError(t, change("label", func(d *appsv1.Deployment) { d.Labels["a"] = "b" }), "label")
	requireNoError(t, change("finalizer", func(d *appsv1.Deployment) { d.Finalizers = []string{"example.com/hold"} }), "finalizer")
	if out := kubectl(t, "--namespace", namespace, "scale", "deployment/app", "--replicas=0"); out.code != 0 {
		t.Errorf("kubectl scale: %s", out.stderr)
	}
	requireNoError(t, lab.api.Delete(t.Context(), d), "delete with a finalizer")
	requireNoError(t, lab.api.Get(t.Context(), client.ObjectKeyFromObject(d), d), "read what is being deleted")
	requireNoError(t, change("no finalizer", func(d *appsv1.Deployment) { d.Finalizers = nil }), "take the finalizer away")
	if counts := lab.registry.counted(); len(counts) != 0 {
		t.Errorf("updates that change no image asked the registry: %v", counts)
	}

	lab.registry.fail(nil)
	d = deployment(namespace, "changed", fine)
	requireNoError(t, lab.api.Create(t.Context(), d), "deployment with an image that starts")
	err := change("image", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = broken })
	requireRefused(t, err, "Deployment changed is refused", "start/interpreter-missing")
}

// TestActions holds the three actions of a policy to what a client, the audit log
// and kubectl see.
func TestActions(t *testing.T) {
	startWebhooks(t, 1)
	broken, digest := lab.registry.push(t, "actions/broken:v1", made{program: forLoader})
	old, _ := lab.registry.push(t, "actions/old:v1", made{program: unsupported})
	root, _ := lab.registry.push(t, "actions/root:v1", made{program: good, user: "0"})
	for _, test := range []struct {
		action   v1alpha1.Action
		image    string
		admitted bool
		// warning and verdict are what is said; empty is nothing.
		warning, verdict, rule string
	}{
		{v1alpha1.ActionEnforce, broken, false, "", "deny", "start/interpreter-missing"},
		{v1alpha1.ActionWarn, broken, true, "container app: start/interpreter-missing: ", "deny", "start/interpreter-missing"},
		{v1alpha1.ActionAudit, broken, true, "", "deny", "start/interpreter-missing"},
		{v1alpha1.ActionEnforce, old, false, "", "deny", "go/supported"},
		{v1alpha1.ActionEnforce, root, true, "container app: image/root-user: runs as root", "warn", "image/root-user"},
		{v1alpha1.ActionAudit, root, true, "", "warn", "image/root-user"},
	} {
		t.Run(string(test.action)+" "+filepath.Base(test.image), func(t *testing.T) {
			namespace := newNamespace(t)
			inForce(t, goPolicy(namespace, "p", acting(test.action)))
			lab.api.warnings.take()
			err := lab.api.Create(t.Context(), pod(namespace, "app", test.image))
			if test.admitted {
				requireNoError(t, err, "pod")
			} else {
				requireRefused(t, err, test.rule)
			}
			said := strings.Join(lab.api.warnings.take(), "\n")
			if test.warning == "" && said != "" || !strings.Contains(said, test.warning) {
				t.Errorf("the warnings are %q, want %q", said, test.warning)
			}
			annotations := lab.audit.about(t, "pods", namespace, "app")
			if got := annotations["workloads.gopherwood.dev/verdict"]; got != test.verdict {
				t.Errorf("the audit log has the verdict %q, want %q", got, test.verdict)
			}
			requireWords(t, annotations["workloads.gopherwood.dev/container-0"], test.rule)
			if test.image == broken {
				requireWords(t, annotations["workloads.gopherwood.dev/container-0"], digest)
			}
		})
	}
}

// TestKubectl shows what kubectl prints of a refusal and of a warning.
func TestKubectl(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	old, _ := lab.registry.push(t, "kubectl/old:v1", made{program: unsupported, user: "0"})
	refusal := kubectl(t, "apply", "-f", manifestOf(t, deployment(namespace, "web", old)))
	t.Logf("kubectl apply:\n%s", refusal.stderr)
	if refusal.code == 0 {
		t.Error("kubectl says that it was applied")
	}
	requireWords(t, refusal.stderr, "Error from server (Forbidden)", `admission webhook "workloads.gopherwood.dev" denied the request`,
		"Deployment web is refused by GoPolicy "+namespace+"/strict", "container app, image "+old,
		"go/supported: /app built with go1.24.13, whose support ended on ", "fix: rebuild with Go 1.")
	root, _ := lab.registry.push(t, "kubectl/root:v1", made{program: good, user: "0"})
	warning := kubectl(t, "apply", "-f", manifestOf(t, deployment(namespace, "web", root)))
	t.Logf("kubectl apply:\n%s", warning.stderr)
	if warning.code != 0 {
		t.Error("kubectl says that it was not applied")
	}
	requireWords(t, warning.stderr, "Warning: container app: image/root-user: runs as root (user 0); fix: set a numeric user")
}

// manifestOf writes an object as YAML.
func manifestOf(t *testing.T, o client.Object) string {
	t.Helper()
	o.GetObjectKind().SetGroupVersionKind(gvkOf(t, o))
	data, err := json.Marshal(o)
	if err == nil {
		data, err = yaml.JSONToYAML(data)
	}
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestBuilt asks about an image that `gopherwood build` has made and pushed.
func TestBuilt(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":  "module example.com/served\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"net/http\"\n\nfunc main() { _ = http.ListenAndServe(\":8080\", nil) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ref := lab.registry.host + "/built/served:v1"
	out := command(t, dir, lab.gopherwood, "build", "--plain-http", "--push", ref, ".")
	if out.code != 0 {
		t.Fatalf("gopherwood build: %s", out.stderr)
	}
	lab.api.warnings.take()
	for _, o := range workloadsOf(namespace, "served", ref) {
		requireNoError(t, lab.api.Create(t.Context(), o), gvkOf(t, o).Kind)
	}
	if said := lab.api.warnings.take(); len(said) > 0 {
		t.Errorf("there are warnings about an image that gopherwood has built: %q", said)
	}
}

// TestExempt asks nothing about kube-system and the webhook's own namespace, so
// that they can be repaired while the webhook does not answer.
func TestExempt(t *testing.T) {
	for _, namespace := range []string{"kube-system", systemNamespace} {
		p := pod(namespace, "without-webhook", "example.com/nothing:v1")
		until(t, 20*time.Second, "service account", func() error {
			return lab.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
		})
		requireNoError(t, lab.api.Create(t.Context(), p), "pod in "+namespace)
		requireNoError(t, lab.api.Delete(context.Background(), p), "delete")
	}
	namespace := newNamespace(t)
	err := lab.api.Create(t.Context(), pod(namespace, "without-webhook", "example.com/nothing:v1"))
	if err == nil || refused(err) {
		t.Errorf("a pod was admitted, or refused by nobody, without a webhook: %v", err)
	}
	var all []string
	for _, w := range configured(t) {
		all = append(all, w.Name+"="+string(*w.FailurePolicy))
	}
	slices.Sort(all)
	if got := strings.Join(all, " "); got != "policies.gopherwood.dev=Ignore workloads.gopherwood.dev=Fail" {
		t.Errorf("the failure policies are %s", got)
	}
}
