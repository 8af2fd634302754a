//go:build e2e

package fullcluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// chartDir is the chart, below the repository.
const chartDir = "deploy/chart"

// chart is the chart's directory.
func chart() string { return lab.root + "/" + chartDir }

// helmSettings are what the tests need of the chart's values as flags of Helm, and
// more of them as KEY=JSON.
func helmSettings(more ...string) []string {
	repository, tag := cutTag(lab.image)
	args := []string{
		"--set-string", "image.repository=" + repository, "--set-string", "image.tag=" + tag,
		"--set-json", fmt.Sprintf("registries.plainHTTP=[%q]", lab.registry.host),
		"--set-json", fmt.Sprintf("webhook.drainSeconds=%d", int(drain.Seconds())),
	}
	for _, s := range more {
		args = append(args, "--set-json", s)
	}
	return args
}

// cutTag cuts the tag off a reference that has one.
func cutTag(ref string) (repository, tag string) {
	i := strings.LastIndexByte(ref, ':')
	return ref[:i], ref[i+1:]
}

// TestChartLint lints the chart with Helm.
func TestChartLint(t *testing.T) {
	t.Log(must(t, lab.helm, "lint", "--strict", chart()))
}

// TestChartRenders renders the chart with Helm and with gopherwood: there come out
// the same objects, of which the API server takes all.
func TestChartRenders(t *testing.T) {
	for name, values := range map[string]string{
		"default": "{}",
		"more":    "{webhook: {replicas: 3, mutating: false}, fleet: {replicas: 2}, networkPolicy: {enabled: true}, crds: {keep: true}}",
		"little":  "{webhook: {replicas: 1}, fleet: {enabled: false}, pullSecrets: {namespaces: [default]}, crds: {reports: false}}",
	} {
		t.Run(name, func(t *testing.T) {
			helm := must(t, lab.helm, "template", release, chart(), "-n", systemNamespace, "--include-crds", "-f", valuesFile(t, values))
			own := mustFeed(t, values, lab.gopherwood, "install", "--dry-run", "-f", "-")
			want, got := objectsOf(t, helm), objectsOf(t, own)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-Helm +gopherwood install --dry-run\n%s", diff)
			}
			if len(got) < 8 {
				t.Errorf("there are only %d objects", len(got))
			}
			t.Logf("%d objects from Helm, %d from gopherwood", len(want), len(got))
		})
	}
}

// TestChartServerDryRun has the API server look at everything that is rendered,
// without keeping it.
func TestChartServerDryRun(t *testing.T) {
	withoutRelease(t)
	before := everything(t)
	text := must(t, lab.helm, append([]string{"template", release, chart(), "-n", "default"}, helmSettings()...)...)
	out := mustFeed(t, text, lab.cluster.Kubectl(), "apply", "--server-side", "--dry-run=server", "-f", "-")
	if lines := strings.Count(out, "(server dry run)"); lines != len(objectsOf(t, text)) {
		t.Errorf("the API server took %d of %d objects:\n%s", lines, len(objectsOf(t, text)), out)
	}
	out = must(t, lab.helm, append([]string{"install", release, chart(), "-n", "default", "--dry-run=server"}, helmSettings()...)...)
	requireWords(t, out, "STATUS: pending-install", "It decides nothing until there is a policy")
	requireSame(t, before, everything(t))
}

// valuesFile writes a file of values.
func valuesFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// objectsOf reads a manifest, by kind, namespace and name. Who manages an object
// is left out: that is Helm or not.
func objectsOf(t *testing.T, text string) map[string]any {
	t.Helper()
	all := map[string]any{}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		var o unstructured.Unstructured
		switch err := documents.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%v in\n%s", err, text)
		case len(o.Object) == 0:
			continue
		}
		labels := o.GetLabels()
		delete(labels, "app.kubernetes.io/managed-by")
		o.SetLabels(labels)
		key := o.GetAPIVersion() + " " + o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
		if all[key] != nil {
			t.Errorf("there are two of %s", key)
		}
		all[key] = o.Object
	}
}

// requireSame fails when objects have come or gone.
func requireSame(t *testing.T, before, after map[string]bool) {
	t.Helper()
	if diff := cmp.Diff(sortedKeys(before), sortedKeys(after)); diff != "" {
		t.Errorf("what is in the cluster has changed (-before +after):\n%s", diff)
	}
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
