//go:build e2e

package fullcluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// TestHelm installs the chart with Helm, upgrades it and removes it.
func TestHelm(t *testing.T) {
	withoutRelease(t)
	before := everything(t)
	t.Cleanup(func() { // after a failure only
		lab.run(context.Background(), lab.helm, "uninstall", release, "-n", systemNamespace, "--ignore-not-found")
		lab.run(context.Background(), lab.cluster.Kubectl(), "delete", "namespace", systemNamespace, "--ignore-not-found")
	})
	helm := func(command, chart string, more ...string) {
		t.Helper()
		began := time.Now()
		args := append([]string{command, release, chart, "-n", systemNamespace, "--wait", "--timeout", "2m"}, helmSettings(more...)...)
		if command == "install" {
			args = append(args, "--create-namespace")
		}
		must(t, lab.helm, args...)
		t.Logf("helm %s --wait %s: %s", command, strings.Join(more, " "), seconds(time.Since(began)))
	}
	previous, what := previousChart(t)
	t.Logf("the upgrade is from %s", what)
	helm("install", previous)
	requireWorking(t)
	first := authority(t)

	helm("upgrade", chart())
	requireWorking(t)
	requireAuthority(t, first)
	helm("upgrade", chart(), "webhook.replicas=1", "webhook.timeoutSeconds=7", `commonLabels={"team":"e2e"}`, "fleet.enabled=false")
	requireWorking(t)
	requireAuthority(t, first)
	if pods := podsOf(t, "webhook"); len(pods) != 1 || pods[0].Labels["team"] != "e2e" {
		t.Errorf("the upgrade to one replica with a label gives %d replicas", len(pods))
	}
	if got := *validating(t).Webhooks[0].TimeoutSeconds; got != 7 {
		t.Errorf("the webhook's timeout is %d s after the upgrade to 7", got)
	}

	began := time.Now()
	must(t, lab.helm, "uninstall", release, "-n", systemNamespace, "--wait", "--timeout", "2m")
	t.Logf("helm uninstall --wait: %s", seconds(time.Since(began)))
	// Helm leaves the namespace that it has made, with what every namespace has.
	mustKubectl(t, "delete", "namespace", systemNamespace)
	requireGone(t, before)
}

// TestInstall does the same without Helm.
func TestInstall(t *testing.T) {
	withoutRelease(t)
	before := everything(t)
	withRelease(t)
	requireWorking(t)
	first := authority(t)
	args := []string{"install", "--timeout", "2m"}
	for _, s := range append(settings(), "webhook.timeoutSeconds=7", "webhook.podAnnotations={example.org/again: now}") {
		args = append(args, "--set", s)
	}
	began := time.Now()
	must(t, lab.gopherwood, args...)
	t.Logf("gopherwood install, again: %s", seconds(time.Since(began)))
	requireWorking(t)
	requireAuthority(t, first)
	if got := *validating(t).Webhooks[0].TimeoutSeconds; got != 7 {
		t.Errorf("the webhook's timeout is %d s after the upgrade to 7", got)
	}
	began = time.Now()
	withoutRelease(t)
	t.Logf("gopherwood uninstall: %s", seconds(time.Since(began)))
	requireGone(t, before)
}

// requireWorking asks the webhook, through its Service: one pod is refused, and
// another one admitted.
func requireWorking(t *testing.T) {
	t.Helper()
	var d appsv1.Deployment
	if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: webhookName}, &d); err != nil {
		t.Fatal(err)
	}
	if d.Status.ReadyReplicas != *d.Spec.Replicas || d.Status.UpdatedReplicas != *d.Spec.Replicas {
		t.Errorf("%d of %d replicas of the webhook are ready, %d are new", d.Status.ReadyReplicas, *d.Spec.Replicas, d.Status.UpdatedReplicas)
	}
	for _, component := range []string{"webhook", "fleet"} {
		for _, p := range podsOf(t, component) {
			requireHarmless(t, &p)
		}
	}
	namespace := newNamespace(t)
	p := goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionEnforce, OnUnknown: v1alpha1.OnUnknownDeny})
	good := buildApp(t, "team/served:v1", serving)
	bad := made{program: armProgram}.push(t, "team/arm:v1")
	if out := applyText(t, manifest(namespace, "good", good)); out.code != 0 {
		t.Errorf("a good pod is not admitted: %s", out.stderr)
	}
	if out := applyText(t, manifest(namespace, "bad", bad)); out.code == 0 || !refused(out.stderr) {
		t.Errorf("a bad pod: exit code %d: %s", out.code, out.stderr)
	}
	// While the policy is there its CRD cannot go without it.
	if err := lab.api.Delete(t.Context(), p); err != nil {
		t.Error(err)
	}
	if err := lab.api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Error(err)
	}
}

func validating(t *testing.T) *admissionv1.ValidatingWebhookConfiguration {
	t.Helper()
	o := &admissionv1.ValidatingWebhookConfiguration{}
	if err := lab.api.Get(t.Context(), client.ObjectKey{Name: webhookName}, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// trust is whom the API server trusts, and what the webhook's Secret keeps.
type trust struct{ bundles, secret string }

// authority waits until the API server has been told whom to trust.
func authority(t *testing.T) trust {
	t.Helper()
	var now trust
	until(t, 20*time.Second, "the webhook's authority is known", func() error {
		now.bundles = ""
		for _, w := range validating(t).Webhooks {
			if len(w.ClientConfig.CABundle) == 0 {
				return fmt.Errorf("webhook %s has no caBundle", w.Name)
			}
			now.bundles += string(w.ClientConfig.CABundle)
		}
		return nil
	})
	var s corev1.Secret
	if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: webhookName + "-tls"}, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Data) == 0 {
		t.Error("the webhook's Secret is empty")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Data)) {
		now.secret += fmt.Sprintf("%s %x\n", name, sha256.Sum256(s.Data[name]))
	}
	return now
}

// requireAuthority fails when an upgrade has taken the authority away.
func requireAuthority(t *testing.T, first trust) {
	t.Helper()
	now := authority(t)
	if now.bundles != first.bundles {
		t.Error("the API server trusted another authority before the upgrade")
	}
	if now.secret != first.secret {
		t.Errorf("the webhook's Secret had before the upgrade\n%sand has\n%s", first.secret, now.secret)
	}
}

// previousChart returns a chart to upgrade from: the last one with another version
// that has landed in this repository, or else this one with another version.
func previousChart(t *testing.T) (dir, what string) {
	t.Helper()
	dir = t.TempDir()
	current := chartVersion(t, mustRead(t, filepath.Join(chart(), "Chart.yaml")))
	git := func(args ...string) string {
		return must(t, "git", append([]string{"-C", lab.root}, args...)...)
	}
	for _, commit := range strings.Fields(git("log", "--format=%H", "--", chartDir+"/Chart.yaml")) {
		out := lab.run(t.Context(), "git", "-C", lab.root, "show", commit+":"+chartDir+"/Chart.yaml")
		if out.code != 0 {
			continue // it was removed there
		}
		if version := chartVersion(t, []byte(out.stdout)); version != current {
			archive := filepath.Join(t.TempDir(), "chart.tar")
			git("archive", "-o", archive, commit, chartDir)
			must(t, "tar", "-xf", archive, "-C", dir)
			return filepath.Join(dir, chartDir), "the chart's version " + version + " of commit " + commit
		}
	}
	if err := os.CopyFS(dir, os.DirFS(chart())); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Chart.yaml")
	text := strings.Replace(string(mustRead(t, file)), "version: "+current, "version: 0.0.1", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := chartVersion(t, []byte(text)); got != "0.0.1" {
		t.Fatalf("the version of the changed chart is %s", got)
	}
	return dir, "this chart as version 0.0.1: no other version has landed yet"
}

func chartVersion(t *testing.T, data []byte) string {
	t.Helper()
	var meta struct {
		Version string `json:"version"`
	}
	if err := yaml.Unmarshal(data, &meta); err != nil || meta.Version == "" {
		t.Fatalf("no version of a chart: %v: %s", err, data)
	}
	return meta.Version
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
