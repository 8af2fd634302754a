//go:build controlplane || e2e

package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// fleetNode is the node on which the fleet's pods are said to run.
const fleetNode = "e2e-fleet"

// fleet is a namespace with workloads that are said to run.
type fleet struct {
	namespace, fine, old string
	// digests are by reference.
	digests map[string]string
}

// newFleet makes a Deployment of two pods whose Go is supported, one of one pod
// whose Go is not, and a lone pod that runs as root; and lets them run, as far as
// anybody can see.
func newFleet(t *testing.T, name string) *fleet {
	t.Helper()
	newNode(t, fleetNode, "amd64", 8, nil)
	f := &fleet{namespace: newNamespace(t), digests: map[string]string{}}
	push := func(what string, m made) string {
		ref, digest := lab.registry.push(t, name+"/"+what+":v1", m)
		f.digests[ref] = digest
		return ref
	}
	f.fine, f.old = push("fine", made{program: good}), push("old", made{program: unsupported})
	root := push("root", made{program: good, user: "0"})
	inForce(t, goPolicy(f.namespace, "watched", acting(v1alpha1.ActionAudit)))
	web, legacy := deployment(f.namespace, "web", f.fine), deployment(f.namespace, "legacy", f.old)
	*web.Spec.Replicas, *legacy.Spec.Replicas = 2, 1
	for _, o := range []client.Object{web, legacy, pod(f.namespace, "alone", root)} {
		if err := lab.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	f.run(t, "web", f.fine, 2)
	f.run(t, "legacy", f.old, 1)
	f.run(t, "alone", root, 1)
	return f
}

// run waits for the n pods of a workload with the image and lets them run.
func (f *fleet) run(t *testing.T, app, image string, n int) {
	t.Helper()
	pods := &corev1.PodList{}
	until(t, 20*time.Second, "pods of "+app, func() error {
		err := lab.api.List(t.Context(), pods, client.InNamespace(f.namespace), client.MatchingLabels{"app": app})
		pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Spec.Containers[0].Image != image })
		if err == nil && len(pods.Items) != n {
			err = fmt.Errorf("there are %d", len(pods.Items))
		}
		return err
	})
	for i := range pods.Items {
		f.bind(t, &pods.Items[i], fleetNode)
	}
}

// bind puts a pod on a node, and says what the kubelet there would when it runs.
func (f *fleet) bind(t *testing.T, p *corev1.Pod, node string) {
	t.Helper()
	target := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	if err := lab.api.SubResource("binding").Create(t.Context(), p, target); err != nil {
		t.Fatal(err)
	}
	image := p.Spec.Containers[0].Image
	status := corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", Image: image, ImageID: strings.TrimSuffix(image, ":v1") + "@" + f.digests[image], Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}}
	data, err := json.Marshal(map[string]any{"status": status})
	if err == nil {
		err = lab.api.Status().Patch(t.Context(), p, client.RawPatch(types.MergePatchType, data))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command runs `gopherwood fleet` on the namespace.
func (f *fleet) command(t *testing.T, args ...string) output {
	t.Helper()
	all := append([]string{"fleet"}, args...)
	return gopherwood(t, append(all, "--namespace", f.namespace, "--plain-http-registry", lab.registry.host)...)
}

// list runs `gopherwood fleet inspect`, holds what it prints to its schema and
// keeps it in a file.
func (f *fleet) list(t *testing.T) (list *api.FleetList, file string) {
	t.Helper()
	out := f.command(t, "inspect", "-o", "json")
	if out.code != 0 {
		t.Fatalf("fleet inspect: %d: %s", out.code, out.stderr)
	}
	requireSchema(t, "fleet", out.stdout)
	list = &api.FleetList{}
	if err := json.Unmarshal([]byte(out.stdout), list); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "fleet.json")
	if err := os.WriteFile(file, []byte(out.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	return list, file
}

// requireSchema validates a document.
func requireSchema(t *testing.T, name, document string) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/formats/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err == nil {
		err = schema.Validate(doc)
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// outside finds what a page would load from elsewhere.
var outside = regexp.MustCompile(`(?i)(src|href|action|data)\s*=\s*["']?\s*(https?:)?//|url\(\s*["']?\s*(https?:)?//|@import|<link[^>]+stylesheet|<script[^>]+src`)

// TestFleetCommands looks at what runs from a kubeconfig alone.
func TestFleetCommands(t *testing.T) {
	startWebhooks(t, 1)
	f := newFleet(t, "fleet")
	list, before := f.list(t)
	s := list.Summary
	if s.Workloads != 3 || s.Pods != 4 || s.PastSupport != 1 || s.Root != 1 || s.Verdicts[api.Deny] != 1 || s.Verdicts[api.Warn] != 1 || s.Verdicts[api.Pass] != 2 {
		t.Errorf("the summary is %+v", s)
	}
	for _, item := range list.Items {
		if item.Name == "web" && (item.Kind != "Deployment" || item.Pods != 2 || item.Digest != f.digests[f.fine] || item.Verdict != api.Pass || len(item.Owners) != 1) {
			t.Errorf("the deployment web is %+v", item)
		}
	}
	table := f.command(t, "inspect")
	t.Logf("fleet inspect:\n%s", table.stdout)
	requireWords(t, table.stdout, "web", "legacy", "alone", "go1.24.13")
	check := f.command(t, "check")
	t.Logf("fleet check:\n%s", check.stdout)
	if check.code != 3 {
		t.Errorf("fleet check ends with %d: %s", check.code, check.stderr)
	}
	requireWords(t, check.stdout, "legacy", "go/supported", "image/root-user")
	page := f.command(t, "report")
	requireWords(t, page.stdout, "<html", "legacy", "go1.24.13")
	if found := outside.FindString(page.stdout); found != "" {
		t.Errorf("the page loads from elsewhere: %q", found)
	}
	sarif := f.command(t, "check", "-o", "sarif")
	if !json.Valid([]byte(sarif.stdout)) || !strings.Contains(sarif.stdout, "go/supported") {
		t.Errorf("SARIF: %.300s", sarif.stdout)
	}
	f.replaceLegacy(t)
	diff := f.command(t, "diff", before)
	t.Logf("fleet diff:\n%s", diff.stdout)
	requireWords(t, diff.stdout, "legacy", "go1.24.13", "go/supported")
	diff = f.command(t, "diff", before, "-o", "json")
	requireSchema(t, "fleet-diff", diff.stdout)
}

// replaceLegacy gives the deployment whose Go is not supported another image.
func (f *fleet) replaceLegacy(t *testing.T) {
	t.Helper()
	legacy := deployment(f.namespace, "legacy", f.fine)
	patch := fmt.Appendf(nil, `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null},"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, f.fine)
	old := &corev1.PodList{}
	err := lab.api.List(t.Context(), old, client.InNamespace(f.namespace), client.MatchingLabels{"app": "legacy"})
	if err == nil {
		err = lab.api.Patch(t.Context(), legacy, client.RawPatch(types.StrategicMergePatchType, patch))
	}
	if err != nil {
		t.Fatal(err)
	}
	// There is no kubelet that would end the old pod once that is asked to end.
	until(t, 20*time.Second, "the old pod is to end", func() error {
		for i := range old.Items {
			p := &old.Items[i]
			if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
				return client.IgnoreNotFound(err)
			}
			if p.DeletionTimestamp == nil {
				return errors.New("it is not")
			}
			if err := lab.api.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
				return err
			}
		}
		return nil
	})
	f.run(t, "legacy", f.fine, 1)
}

// reportOf returns the policy report on a workload.
func (f *fleet) reportOf(t *testing.T, kind, name string) (*unstructured.Unstructured, error) {
	reports := &unstructured.UnstructuredList{}
	reports.SetAPIVersion("wgpolicyk8s.io/v1alpha2")
	reports.SetKind("PolicyReportList")
	if err := lab.api.List(t.Context(), reports, client.InNamespace(f.namespace)); err != nil {
		return nil, err
	}
	for i := range reports.Items {
		for _, owner := range reports.Items[i].GetOwnerReferences() {
			if owner.Kind == kind && owner.Name == name && owner.UID != "" {
				return &reports.Items[i], nil
			}
		}
	}
	return nil, fmt.Errorf("of %d reports none is owned by %s %s", len(reports.Items), kind, name)
}

// requireResult waits until the report on a workload has a result.
func (f *fleet) requireResult(t *testing.T, kind, name, rule, result string) {
	t.Helper()
	begin := time.Now()
	until(t, 30*time.Second, "report on "+name, func() error {
		report, err := f.reportOf(t, kind, name)
		if err != nil {
			return err
		}
		results, _, err := unstructured.NestedSlice(report.Object, "results")
		for _, r := range results {
			if r, ok := r.(map[string]any); ok && r["result"] == result && (rule == "" || r["rule"] == rule) {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("the results are %v", results))
	})
	t.Logf("report on %s %s: %s %s after %v", kind, name, result, rule, time.Since(begin).Round(time.Millisecond))
}

// loseNode takes a node and its pod away while the pod's image is being read. What
// runs elsewhere is reported as before.
func (f *fleet) loseNode(t *testing.T) {
	t.Helper()
	newNode(t, "e2e-lost", "amd64", 8, nil)
	ref, digest := lab.registry.push(t, "controlled/lost:v1", made{program: good, mark: "lost"})
	f.digests[ref] = digest
	lost := pod(f.namespace, "lost", ref)
	requireNoError(t, lab.api.Create(t.Context(), lost), "pod")
	release := make(chan struct{})
	lab.registry.fail(heldUntil(release))
	defer lab.registry.fail(nil)
	lab.registry.forget()
	f.bind(t, lost, "e2e-lost")
	until(t, 20*time.Second, "its image is being read", func() error {
		if lab.registry.seen("GET blobs ") == 0 {
			return errors.New("nobody has asked for it")
		}
		return nil
	})
	requireNoError(t, lab.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "e2e-lost"}}), "delete the node")
	requireNoError(t, client.IgnoreNotFound(lab.api.Delete(t.Context(), lost, client.GracePeriodSeconds(0))), "delete its pod")
	close(release)
	p := goPolicy(f.namespace, "watched")
	if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
		t.Fatal(err)
	}
	p.Spec.Severities = nil
	requireNoError(t, lab.api.Update(t.Context(), p), "policy")
	f.requireResult(t, "Deployment", "legacy", "go/supported", "fail")
	if r, err := f.reportOf(t, "Pod", "lost"); err == nil {
		t.Errorf("there is a report on a pod that is gone: %s", r.GetName())
	}
}

// TestFleetController keeps policy reports and the numbers of policies.
func TestFleetController(t *testing.T) {
	startWebhooks(t, 1)
	f := newFleet(t, "controlled")
	controller := startProcess(t, fleetName, func(*process) []string { return []string{"fleet", "controller"} })
	until(t, 30*time.Second, "fleet controller is ready", controller.ready)
	f.requireResult(t, "Deployment", "legacy", "go/supported", "fail")
	f.requireResult(t, "Deployment", "web", "", "pass")
	f.requireResult(t, "Pod", "alone", "image/root-user", "warn")
	p := goPolicy(f.namespace, "watched")
	counted := func(passed, warned, denied int32) {
		t.Helper()
		until(t, 45*time.Second, "pods are counted", func() error {
			if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
				return err
			}
			if n := p.Status.Pods; n.Passed != passed || n.Warned != warned || n.Denied != denied {
				return fmt.Errorf("they are %+v", n)
			}
			return nil
		})
	}
	counted(2, 1, 1)
	// Another policy, other reports.
	p.Spec.Severities = []v1alpha1.Severity{{Rule: "go/supported", Severity: "warn"}}
	requireNoError(t, lab.api.Update(t.Context(), p), "policy")
	f.requireResult(t, "Deployment", "legacy", "go/supported", "warn")
	// The report goes with what it is about.
	requireNoError(t, lab.api.Delete(t.Context(), pod(f.namespace, "alone", ""), client.GracePeriodSeconds(0)), "delete the pod")
	until(t, 30*time.Second, "the report goes with its pod", func() error {
		if r, err := f.reportOf(t, "Pod", "alone"); err == nil {
			return fmt.Errorf("there still is %s", r.GetName())
		}
		return nil
	})
	f.loseNode(t)
	if got := controller.metric(t, "gopherwood_fleet_pods"); got == 0 {
		t.Error("the metrics count no pods")
	}
	controller.requireRSS(t, "the fleet controller")
}
