//go:build controlplane || e2e

package controlplane

import (
	"context"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// newNode creates a node that is an object only. It is cordoned, so that nothing
// is scheduled to it.
func newNode(t *testing.T, name, arch string, cpus int64, labels map[string]string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelArchStable: arch, corev1.LabelOSStable: "linux"}}}
	maps.Copy(n.Labels, labels)
	n.Spec.Unschedulable = true
	apply(t, n)
	before := n.DeepCopy()
	n.Status.NodeInfo.Architecture, n.Status.NodeInfo.OperatingSystem, n.Status.NodeInfo.KernelVersion = arch, "linux", "6.12.0"
	n.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(cpus, resource.DecimalSI)}
	if err := lab.api.Status().Patch(t.Context(), n, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// filling makes a policy fill in.
func filling(m v1alpha1.Mutate) func(*v1alpha1.GoPolicySpec) {
	return func(s *v1alpha1.GoPolicySpec) { s.Mutate = &m }
}

// limited is a container with limits and requests.
func limited(p *corev1.Pod, memory, cpuLimit, cpuRequest string) *corev1.Pod {
	r := corev1.ResourceRequirements{Limits: corev1.ResourceList{}, Requests: corev1.ResourceList{}}
	for _, set := range []struct {
		list corev1.ResourceList
		name corev1.ResourceName
		text string
	}{{r.Limits, corev1.ResourceMemory, memory}, {r.Limits, corev1.ResourceCPU, cpuLimit}, {r.Requests, corev1.ResourceCPU, cpuRequest}} {
		if set.text != "" {
			set.list[set.name] = resource.MustParse(set.text)
		}
	}
	p.Spec.Containers[0].Resources = r
	return p
}

// created creates a pod and reads it back.
func created(t *testing.T, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	if err := lab.api.Create(t.Context(), p); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	got := &corev1.Pod{}
	if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), got); err != nil {
		t.Fatal(err)
	}
	return got
}

// env returns a variable of the first container.
func env(p *corev1.Pod, name string) string {
	value := ""
	for _, v := range p.Spec.Containers[0].Env {
		if v.Name == name {
			value += v.Value
		}
	}
	return value
}

// TestMutation fills in what a policy wants filled in, and leaves what the user
// has set.
func TestMutation(t *testing.T) {
	newNode(t, "e2e-amd64", "amd64", 8, nil)
	newNode(t, "e2e-arm64", "arm64", 8, nil)
	apply(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-sandboxed"}, Handler: "runc"})
	apply(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-own"}, Handler: "runc"})
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	ref, digest := lab.registry.push(t, "mutation/app:v1", made{program: good})
	plain := created(t, limited(pod(namespace, "untouched", ref), "512Mi", "3", ""))
	if len(plain.Spec.Containers[0].Env) != 0 || plain.Spec.Containers[0].Image != ref || plain.Spec.Affinity != nil {
		t.Errorf("something was filled in without a policy: %+v", plain.Spec)
	}
	inForce(t, goPolicy(namespace, "fill", filling(v1alpha1.Mutate{
		MemoryLimit: &v1alpha1.MemoryLimit{Percent: 90}, MaxProcs: true, PinDigest: true, RuntimeClassName: "e2e-sandboxed", NodeAffinity: true,
	})))

	all := created(t, limited(pod(namespace, "all", ref), "512Mi", "2500m", ""))
	requireEnv(t, all, "GOMEMLIMIT", "483183820B")
	requireEnv(t, all, "GOMAXPROCS", "3")
	if got := all.Spec.Containers[0].Image; got != ref+"@"+digest {
		t.Errorf("the image is %s, want %s@%s", got, ref, digest)
	}
	if all.Spec.RuntimeClassName == nil || *all.Spec.RuntimeClassName != "e2e-sandboxed" {
		t.Errorf("the runtime class is %v", all.Spec.RuntimeClassName)
	}
	requireArch(t, all, "amd64")

	byRequest := created(t, limited(pod(namespace, "request", ref), "", "", "2"))
	requireEnv(t, byRequest, "GOMAXPROCS", "2")
	requireEnv(t, byRequest, "GOMEMLIMIT", "")

	big := created(t, limited(pod(namespace, "big", ref), "", "64", ""))
	requireEnv(t, big, "GOMAXPROCS", "8") // no node has more

	own := limited(pod(namespace, "own", ref), "512Mi", "3", "")
	own.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "100MiB"}, {Name: "GOMAXPROCS", Value: "1"}}
	own.Spec.Containers[0].Image = ref + "@" + digest
	own.Spec.RuntimeClassName = new("e2e-own")
	own.Spec.NodeSelector = map[string]string{corev1.LabelArchStable: "amd64"}
	kept := created(t, own.DeepCopy())
	requireEnv(t, kept, "GOMEMLIMIT", "100MiB")
	requireEnv(t, kept, "GOMAXPROCS", "1")
	if kept.Spec.Containers[0].Image != own.Spec.Containers[0].Image || *kept.Spec.RuntimeClassName != "e2e-own" || kept.Spec.Affinity != nil {
		t.Errorf("what the user has set was changed: %+v", kept.Spec)
	}

	// What was filled in once is left alone: a copy of the pod stays as it is.
	again := all.DeepCopy()
	again.ObjectMeta = metaOf(namespace, "again")
	again.Annotations = all.Annotations
	twice := created(t, again)
	if len(twice.Spec.Containers[0].Env) != len(all.Spec.Containers[0].Env) || twice.Spec.Containers[0].Image != all.Spec.Containers[0].Image {
		t.Errorf("filled in twice: %+v", twice.Spec.Containers[0])
	}
	requireArch(t, twice, "amd64")

	// A template stays as it was written.
	d := deployment(namespace, "template", ref)
	requireNoError(t, lab.api.Create(t.Context(), d), "deployment")
	if got := d.Spec.Template.Spec; got.Containers[0].Image != ref || got.RuntimeClassName != nil {
		t.Errorf("a template was changed: %+v", got)
	}
}

func requireEnv(t *testing.T, p *corev1.Pod, name, want string) {
	t.Helper()
	if got := env(p, name); got != want {
		t.Errorf("pod %s has %s=%q, want %q", p.Name, name, got, want)
	}
}

// requireArch wants the pod to be bound to nodes of the architecture, once.
func requireArch(t *testing.T, p *corev1.Pod, arch string) {
	t.Helper()
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		t.Errorf("pod %s has no node affinity", p.Name)
		return
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 || len(terms[0].MatchExpressions) != 1 || terms[0].MatchExpressions[0].Key != corev1.LabelArchStable ||
		len(terms[0].MatchExpressions[0].Values) != 1 || terms[0].MatchExpressions[0].Values[0] != arch {
		t.Errorf("pod %s has the node affinity %+v", p.Name, terms)
	}
}

// TestNoNode refuses what none of the nodes can run, says why, and admits what one
// of them can.
func TestNoNode(t *testing.T) {
	newNode(t, "e2e-arm64", "arm64", 4, nil)
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	intel, _ := lab.registry.push(t, "nonode/amd64:v1", made{program: good})
	arm, _ := lab.registry.push(t, "nonode/arm64:v1", made{program: forARM, arch: "arm64"})
	v4, _ := lab.registry.push(t, "nonode/v4:v1", made{program: demanding})
	err := lab.api.Create(t.Context(), pod(namespace, "amd64", intel))
	t.Logf("an image for amd64, nodes for arm64: %v", err)
	requireRefused(t, err, "schedule/no-node: the image "+intel+" of container app is for linux/amd64", "the nodes that it may run on are linux/arm64 (1 node)", "fix: ")
	requireNoError(t, lab.api.Create(t.Context(), pod(namespace, "arm64", arm)), "pod for the nodes")

	newNode(t, "e2e-v2", "amd64", 4, map[string]string{"gopherwood.dev/amd64-level": "2"})
	until(t, 10*time.Second, "the new node is known", func() error {
		return lab.api.Create(t.Context(), pod(namespace, "amd64", intel))
	})
	err = lab.api.Create(t.Context(), pod(namespace, "v4", v4))
	t.Logf("an image for x86-64-v4, nodes of v2: %v", err)
	requireRefused(t, err, "schedule/no-node", "needs x86-64-v4", "linux/amd64/v2 (1 node)")
	selective := pod(namespace, "selective", arm)
	selective.Spec.NodeSelector = map[string]string{corev1.LabelArchStable: "amd64"}
	requireRefused(t, lab.api.Create(t.Context(), selective), "schedule/no-node", "is for linux/arm64")
	// A node that comes later is no reason to refuse today when none is known.
	for _, name := range []string{"e2e-arm64", "e2e-v2"} {
		requireNoError(t, lab.api.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}), "delete the node")
	}
	until(t, 10*time.Second, "without nodes it is not asked", func() error {
		return lab.api.Create(t.Context(), pod(namespace, "v4", v4))
	})
}
