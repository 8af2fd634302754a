//go:build e2e

package fullcluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// proof is an image that is made to fail, with what is foretold of it and what
// really happens.
type proof struct {
	name string
	ref  func(*testing.T) string
	// cpuLevel is the policy's, and runtime the RuntimeClass, if any, whose processor
	// has that level.
	cpuLevel, runtime string
	// rule is the one that refuses it, and says what its message holds.
	rule, says string
	// happens is what the node says of the container, or the container itself;
	// empty when it starts.
	happens string
	// why explains what starts all the same.
	why string
}

// proofs are the images.
var proofs = []proof{
	{
		name: "glibc-on-static", ref: handmade(made{program: cgoProgram}),
		rule: start.InterpreterMissing, says: "/lib64/ld-linux-x86-64.so.2", happens: "exec /app: no such file or directory",
	},
	{
		name: "glibc-on-musl", ref: onRoot("bookworm", cgoProgram, "musl"),
		rule: start.InterpreterMissing, says: "/lib64/ld-linux-x86-64.so.2", happens: "exec /app: no such file or directory",
	},
	{
		name: "glibc-floor", ref: onRoot("bullseye", cgoProgram, "libc6", "libgcc-s1"),
		rule: start.SymbolVersion, says: "GLIBC_2.36", happens: "version `GLIBC_2.36' not found (required by /app)",
	},
	{
		name: "arm64-program", ref: handmade(made{program: armProgram}),
		rule: start.Arch, says: "arm64", happens: "exec /app: exec format error",
	},
	{
		name: "arm64-image", ref: handmade(made{program: armProgram, arch: "arm64"}),
		rule: "schedule/no-node", says: "linux/arm64", happens: "exec /app: exec format error",
	},
	{
		name: "cpu-level", ref: handmade(made{program: levelProgram}), cpuLevel: "v2", runtime: oldCPUHandler,
		rule: start.CPULevel, says: "v3", happens: "This program can only be run on AMD64 processors with v3 microarchitecture support.",
	},
	{
		name: "end-of-support", ref: handmade(made{program: oldProgram}),
		rule: "go/supported", says: "go1.24.13, whose support ended on",
		why: "it is refused for its age",
	},
}

// handmade pushes an image that is put together by hand.
func handmade(m made) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		_, name, _ := strings.Cut(t.Name(), "/")
		return m.push(t, "proof/"+name+":v1")
	}
}

// onRoot pushes a program upon packages of Debian.
func onRoot(suite string, program recipe, packages ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return handmade(made{program: program, root: rootOf(t, suite, packages...)})(t)
	}
}

// TestProof applies images that are made to fail with the real kubectl. Those that
// are refused, admitted where the policy only notes, fail on the real node for the
// reason that was foretold.
func TestProof(t *testing.T) {
	withRelease(t)
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: oldCPUHandler}, Handler: oldCPUHandler}
	if err := lab.api.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	for _, p := range proofs {
		t.Run(p.name, func(t *testing.T) {
			ref := p.ref(t)
			p.refused(t, ref)
			p.happened(t, ref)
		})
	}
}

// manifest is a pod of the image.
func (p *proof) manifest(namespace, ref string) string {
	pod := manifest(namespace, "app", ref)
	if p.runtime != "" {
		pod += "  runtimeClassName: " + p.runtime + "\n"
	}
	return pod
}

// refused applies the image under enforce.
func (p *proof) refused(t *testing.T, ref string) {
	t.Helper()
	namespace := newNamespace(t)
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionEnforce, CPULevel: p.cpuLevel})
	out := applyText(t, p.manifest(namespace, ref))
	t.Logf("enforce: %s", out.stderr)
	if out.code == 0 || !refused(out.stderr) {
		t.Errorf("kubectl apply: exit code %d, want a refusal", out.code)
	}
	requireWords(t, out.stderr, "Pod app is refused by GoPolicy "+namespace+"/p", p.rule+":", p.says, "fix: ")
	var left corev1.PodList
	if err := lab.api.List(t.Context(), &left, client.InNamespace(namespace)); err != nil || len(left.Items) > 0 {
		t.Errorf("a refused pod is there: %v", err)
	}
}

// happened applies the image under audit and looks at what becomes of it.
func (p *proof) happened(t *testing.T, ref string) {
	t.Helper()
	namespace := newNamespace(t)
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionAudit, CPULevel: p.cpuLevel})
	out := applyText(t, p.manifest(namespace, ref))
	if out.code != 0 || strings.Contains(out.stderr, "Warning") {
		t.Fatalf("audit: kubectl apply: exit code %d: %s", out.code, out.stderr)
	}
	annotations := lab.audit.about(t, namespace, "app")
	if got := annotations["workloads.gopherwood.dev/verdict"]; got != "deny" {
		t.Errorf("the audit log has the verdict %q", got)
	}
	requireWords(t, annotations["workloads.gopherwood.dev/container-0"]+annotations["workloads.gopherwood.dev/workload"], p.rule)
	if p.happens == "" {
		p.starts(t, namespace)
	} else {
		p.fails(t, namespace)
	}
	if p.rule != "schedule/no-node" { // that is about a pod which has no node yet
		p.reported(t, namespace)
	}
}

// fails waits until the container has failed.
func (p *proof) fails(t *testing.T, namespace string) {
	t.Helper()
	var said string
	until(t, 60*time.Second, "the container fails", func() error {
		said = fate(t, namespace, "app")
		for _, words := range []string{p.happens, "Error with exit code "} {
			if !strings.Contains(said, words) {
				return fmt.Errorf("%q is missing in: %s", words, said)
			}
		}
		return nil
	})
	t.Logf("audit: admitted, and on the node: %s", said)
}

// starts waits until the container runs.
func (p *proof) starts(t *testing.T, namespace string) {
	t.Helper()
	var said string
	until(t, 60*time.Second, "the container starts", func() error {
		said = fate(t, namespace, "app")
		if !strings.Contains(said, "started") {
			return errors.New(said)
		}
		return nil
	})
	t.Logf("audit: admitted, and on the node: %s (%s)", said, p.why)
}

// fate is all that a node says of a pod's container, and the container itself.
func fate(t *testing.T, namespace, name string) string {
	t.Helper()
	var p corev1.Pod
	if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &p); err != nil {
		return err.Error()
	}
	said := []string{string(p.Status.Phase)}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Type == corev1.PodScheduled {
			said = append(said, c.Reason, c.Message)
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
			if w := state.Waiting; w != nil {
				said = append(said, w.Reason, w.Message)
			}
			if e := state.Terminated; e != nil {
				said = append(said, fmt.Sprintf("%s with exit code %d", e.Reason, e.ExitCode), e.Message)
			}
		}
	}
	if out := kubectl(t, "logs", "-n", namespace, name); out.code == 0 {
		said = append(said, "log: "+strings.TrimSpace(out.stdout))
	}
	return strings.Join(strings.Fields(strings.Join(said, " ")), " ")
}

// reported waits until the fleet's report about the pod has the rule.
func (p *proof) reported(t *testing.T, namespace string) {
	t.Helper()
	until(t, 30*time.Second, "a PolicyReport", func() error {
		var rules []string
		for _, r := range reportsIn(t, namespace) {
			for _, result := range resultsOf(r) {
				if result["rule"] == p.rule && result["result"] == "fail" {
					t.Logf("PolicyReport %s: %v: %v", r.GetName(), result["rule"], result["message"])
					return nil
				}
				rules = append(rules, fmt.Sprint(result["rule"], " ", result["result"], ": ", result["message"]))
			}
		}
		return fmt.Errorf("no result of %s: %q; the pod: %s", p.rule, rules, fate(t, namespace, "app"))
	})
}

// reportsIn returns the PolicyReports of a namespace.
func reportsIn(t *testing.T, namespace string) []unstructured.Unstructured {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReportList"})
	if err := lab.api.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// resultsOf returns the results of a report.
func resultsOf(r unstructured.Unstructured) []map[string]any {
	found, _, _ := unstructured.NestedSlice(r.Object, "results")
	var all []map[string]any
	for _, f := range found {
		if m, ok := f.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// TestBuilt runs what `gopherwood build` has made on the node: without C on the
// built-in base, and with C on one that has glibc.
func TestBuilt(t *testing.T) {
	withRelease(t)
	namespace := newNamespace(t)
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionEnforce})
	base := pushBase(t, "base/glibc:v1", rootOf(t, hostSuite(t), "libc6", "libgcc-s1"))
	for name, ref := range map[string]string{
		"static": buildApp(t, "built/static:v1", serving),
		"cgo":    buildApp(t, "built/cgo:v1", withC, "--base", base, "--cgo", "on", "--pie"),
	} {
		t.Run(name, func(t *testing.T) {
			out := applyText(t, manifest(namespace, name, ref))
			if out.code != 0 {
				t.Fatalf("kubectl apply: exit code %d: %s", out.code, out.stderr)
			}
			mustKubectl(t, "wait", "-n", namespace, "--for=condition=Ready", "pod/"+name, "--timeout=60s")
			var p corev1.Pod
			if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &p); err != nil {
				t.Fatal(err)
			}
			until(t, 10*time.Second, "an answer", func() error { return ask(p.Status.PodIP) })
			t.Logf("%s: %s %s", name, fate(t, namespace, name), out.stderr)
		})
	}
	until(t, 30*time.Second, "reports without a failure", func() error {
		passed := 0
		for _, r := range reportsIn(t, namespace) {
			for _, result := range resultsOf(r) {
				if result["result"] != "pass" && result["result"] != "warn" {
					return fmt.Errorf("%v", result)
				}
				passed++
			}
		}
		if passed < 2 {
			return fmt.Errorf("%d results", passed)
		}
		return nil
	})
}

// hostSuite is the suite of Debian that this machine runs, whose C library the C
// compiler links with.
func hostSuite(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(string(mustRead(t, filepath.Join("/etc", "os-release")))) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	t.Fatal("/etc/os-release does not name a suite: use a Debian machine")
	return ""
}
