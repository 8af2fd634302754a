//go:build controlplane || e2e

package controlplane

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// rules makes a policy of rules only.
func rules(all ...v1alpha1.Rule) func(*v1alpha1.GoPolicySpec) {
	return func(s *v1alpha1.GoPolicySpec) { s.Extends, s.Rules = v1alpha1.ExtendsNone, all }
}

func rule(id, require string) v1alpha1.Rule {
	return v1alpha1.Rule{ID: id, Severity: "deny", Require: require, Message: "it is not so"}
}

// TestPolicyRefused has the API server, or the webhook, refuse policies that can
// never be in force, and say where they are wrong.
func TestPolicyRefused(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	exempt := func(e v1alpha1.Exemption) func(*v1alpha1.GoPolicySpec) {
		return func(s *v1alpha1.GoPolicySpec) { s.Exemptions = []v1alpha1.Exemption{e} }
	}
	const hook = `admission webhook "policies.gopherwood.dev" denied the request`
	for _, test := range []struct {
		name   string
		policy *v1alpha1.GoPolicy
		words  []string
	}{
		{"action", goPolicy(namespace, "p", acting("destroy")), []string{"spec.action", `"destroy"`}},
		{"id", goPolicy(namespace, "p", rules(rule("Upper", "true"))), []string{"spec.rules[0].id"}},
		{"no-expiry", goPolicy(namespace, "p", exempt(v1alpha1.Exemption{Rule: "go/*", Ref: "*", Owner: "me", Reason: "so"})), []string{"spec.exemptions[0].expires"}},
		{"exempts-all", goPolicy(namespace, "p", exempt(v1alpha1.Exemption{Rule: "go/*", Owner: "me", Reason: "so", Expires: "2030-01-01"})), []string{"an exemption needs ref, digest or when"}},
		{"namespaces", goPolicy(namespace, "p", func(s *v1alpha1.GoPolicySpec) { s.Match.NamespaceSelector = &metav1.LabelSelector{} }), []string{"a GoPolicy is about its own namespace only"}},
		{"syntax", goPolicy(namespace, "p", rules(rule("a/fine", "true"), rule("a/syntax", "file.go.version =="))), []string{hook, "spec.rules[1].require:1:", "Syntax error"}},
		{"field", goPolicy(namespace, "p", rules(rule("a/field", "true &&\n  file.go.nothing == 'x'"))), []string{hook, "spec.rules[0].require:2:", "nothing"}},
		{"type", goPolicy(namespace, "p", rules(rule("a/type", "file.go.version"))), []string{hook, "spec.rules[0].require", "bool"}},
		{"day", goPolicy(namespace, "p", exempt(v1alpha1.Exemption{Rule: "go/*", Ref: "*", Owner: "me", Reason: "so", Expires: "2030-02-31"})), []string{hook, "spec.exemptions[0].expires"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := lab.api.Create(t.Context(), test.policy)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("want it to be refused as invalid, got: %v", err)
			}
			requireWords(t, err.Error(), test.words...)
		})
	}
}

// TestLastGood brings a policy that does not compile past the webhook. What was in
// force stays so, also in a webhook that has never seen it.
func TestLastGood(t *testing.T) {
	first := startReplica(t)
	namespace := newNamespace(t)
	p := goPolicy(namespace, "p", rules(rule("a/static", "file.link.mode == 'static'")))
	inForce(t, p)
	good1, _ := lab.registry.push(t, "last/good:v1", made{program: good})
	broken, _ := lab.registry.push(t, "last/broken:v1", made{program: forLoader})

	// Nobody answers for policies, so the API server takes everything.
	p.Spec.Rules[0].Require = "file.link.mode == 'static' && nonsense(file)"
	requireNoError(t, lab.api.Update(t.Context(), p), "policy that does not compile, without a webhook")
	ready := settled(t, p)
	if ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonCompileFailed {
		t.Errorf("the condition is %+v", ready)
	}
	t.Logf("status: %s: %s", ready.Reason, ready.Message)
	if len(p.Status.Problems) == 0 || p.Status.Problems[0].Path != "rules[0].require" || p.Status.Problems[0].Line != 1 || p.Status.Problems[0].Column < 31 {
		t.Errorf("the problems are %+v", p.Status.Problems)
	}
	if p.Status.InForce == nil || p.Status.InForce.Generation != p.Generation-1 {
		t.Errorf("in force is %+v", p.Status.InForce)
	}
	out := kubectl(t, "--namespace", namespace, "get", "gopolicy", "p")
	t.Logf("kubectl get gopolicy:\n%s", out.stdout)

	judged := func(what string) {
		t.Helper()
		requireNoError(t, lab.api.Create(t.Context(), pod(namespace, "fine-"+what, good1)), "pod that the last good policy passes")
		requireRefused(t, lab.api.Create(t.Context(), pod(namespace, "bad-"+what, broken)), "a/static: ")
	}
	first.join(t)
	trusted(t)
	judged("first")
	lab.webhooks.remove(first.serving)
	first.crash(t)
	startWebhooks(t, 1)
	judged("second")

	// Mended, it is in force at once.
	p.Spec.Rules[0].Require = "file.link.mode != 'static'"
	requireNoError(t, lab.api.Update(t.Context(), p), "policy that compiles")
	if ready := settled(t, p); ready.Status != metav1.ConditionTrue || len(p.Status.Problems) != 0 {
		t.Errorf("the condition is %+v, the problems %+v", ready, p.Status.Problems)
	}
	requireRefused(t, lab.api.Create(t.Context(), pod(namespace, "turned", good1)), "a/static: ")
}

// TestPolicyScopes has policies of a namespace, of the cluster and of kinds.
func TestPolicyScopes(t *testing.T) {
	startWebhooks(t, 1)
	one, two := newNamespace(t), newNamespace(t)
	inForce(t, goPolicy(one, "own"))
	broken, _ := lab.registry.push(t, "scopes/broken:v1", made{program: forLoader})
	requireRefused(t, lab.api.Create(t.Context(), pod(one, "app", broken)), "is refused by GoPolicy "+one+"/own")
	requireNoError(t, lab.api.Create(t.Context(), pod(two, "app", broken)), "pod of a namespace without a policy")
	cluster := &v1alpha1.ClusterGoPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	cluster.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": two}}
	cluster.Spec.Match.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "excused", Operator: metav1.LabelSelectorOpDoesNotExist}}}
	cluster.Spec.Match.Kinds = []string{"Deployment"}
	apply(t, cluster)
	until(t, 10*time.Second, "the cluster's policy is in force", func() error {
		err := lab.api.Create(t.Context(), deployment(two, "refused", broken), client.DryRunAll)
		if !refused(err) {
			return fmt.Errorf("deployment: %w", err)
		}
		return nil
	})
	requireRefused(t, lab.api.Create(t.Context(), deployment(two, "app", broken)), "is refused by ClusterGoPolicy "+cluster.Name)
	requireNoError(t, lab.api.Create(t.Context(), pod(two, "other-kind", broken)), "pod, when the policy is about deployments")
	excused := deployment(two, "excused", broken)
	excused.Labels["excused"] = "yes"
	requireNoError(t, lab.api.Create(t.Context(), excused), "deployment that the policy does not select")
}

// TestExemptions excuses until a day, which ends in UTC wherever the webhook runs:
// in one of two places it is another day there.
func TestExemptions(t *testing.T) {
	old, _ := lab.registry.push(t, "exempt/old:v1", made{program: unsupported})
	today := time.Now().UTC()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ZONEINFO", filepath.Join(strings.TrimSpace(string(goroot)), "lib", "time", "zoneinfo.zip"))
	for _, zone := range []string{"Pacific/Kiritimati", "Pacific/Pago_Pago"} {
		t.Run(zone, func(t *testing.T) {
			t.Setenv("TZ", zone)
			startWebhooks(t, 1)
			for _, test := range []struct {
				name, ref string
				expires   time.Time
				excused   bool
			}{
				{"today", "**/exempt/old:*", today, true},
				{"yesterday", "**/exempt/old:*", today.AddDate(0, 0, -1), false},
				{"other", "**/exempt/new:*", today.AddDate(0, 0, 1), false},
			} {
				t.Run(test.name, func(t *testing.T) {
					namespace := newNamespace(t)
					p := goPolicy(namespace, "p", exempting(test.ref, test.expires))
					inForce(t, p)
					err := lab.api.Create(t.Context(), pod(namespace, "app", old))
					if test.excused {
						requireNoError(t, err, "pod with an exemption")
					} else {
						requireRefused(t, err, "go/supported")
					}
					past := int32(0)
					if test.name == "yesterday" {
						past = 1
					}
					if p.Status.ExpiredExemptions != past || p.Status.Exemptions != 1-past {
						t.Errorf("the status counts %d exemptions and %d that have expired", p.Status.Exemptions, p.Status.ExpiredExemptions)
					}
				})
			}
		})
	}
}

// TestBomb has a tenant whose policy counts for ever. What it costs is bounded, its
// own pods are refused, and those of others are not kept waiting.
func TestBomb(t *testing.T) {
	replicas := startWebhooks(t, 1)
	bombed, calm := newNamespace(t), newNamespace(t)
	numbers := "[" + strings.TrimSuffix(strings.Repeat("1,", 100), ",") + "]"
	bomb := "true"
	for i := range 5 {
		bomb = fmt.Sprintf("%s.all(x%d, %s)", numbers, i, bomb)
	}
	var all []v1alpha1.Rule
	for i := range 20 {
		all = append(all, rule(fmt.Sprintf("bomb/number-%d", i), bomb))
	}
	inForce(t, goPolicy(bombed, "bomb", rules(all...)))
	inForce(t, goPolicy(calm, "strict"))
	fine, _ := lab.registry.push(t, "bomb/fine:v1", made{program: good})
	requireNoError(t, lab.api.Create(t.Context(), pod(calm, "before", fine)), "pod")

	victims := map[string]string{}
	for i := range 10 {
		victims[fmt.Sprintf("victim-%d", i)] = fine
	}
	done := make(chan []answered)
	go func() { done <- createAll(t, bombed, victims) }()
	var calmly []answered
	var bombs []answered
	for i := 0; bombs == nil; i++ {
		begin := time.Now()
		err := lab.api.Create(t.Context(), pod(calm, fmt.Sprintf("pod-%d", i), fine))
		calmly = append(calmly, answered{"", err, time.Since(begin), begin})
		select {
		case bombs = <-done:
		case <-time.After(20 * time.Millisecond):
		}
	}
	limit, late := timeout(t)+time.Second, 0
	for _, a := range bombs {
		switch {
		case a.err == nil:
			t.Errorf("a pod was admitted by a policy that counts for ever")
		case !refused(a.err): // the API server has waited for no longer than it does
			late++
		}
		if a.took > limit {
			t.Errorf("a bomb took %v, longer than the API server waits", a.took)
		}
	}
	if len(bombs) > 0 && bombs[0].err != nil {
		t.Logf("the bomb: %.300s", bombs[0].err)
	}
	for _, a := range calmly {
		requireNoError(t, a.err, "pod beside the bomb")
	}
	requireNoError(t, lab.api.Create(t.Context(), pod(calm, "after", fine)), "pod after the bomb")
	t.Logf("%d pods with %d bombs each, %d not answered in time: %s", len(bombs), len(all), late, percentiles(tookOf(bombs)))
	t.Logf("pods of others meanwhile: %s", percentiles(tookOf(calmly)))
	replicas[0].requireRSS(t, "the webhook")
}
