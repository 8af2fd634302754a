//go:build e2e

package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const helmVersion = "v4.3.1"

// helm returns Helm's command, which is built from its module once.
func helm(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "gopherwood-e2e", "bin", helmVersion)
	file := filepath.Join(dir, "helm")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "install", "helm.sh/helm/v4/cmd/helm@"+helmVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// Without Helm there come out the same objects.
func TestSameAsHelm(t *testing.T) {
	command, c := helm(t), load(t)
	dir := "../../../deploy/chart"
	for name, settings := range map[string][]string{
		"default": nil, "everything": everything,
		"little": {"webhook.replicas=1", "webhook.mutating=false", "fleet.enabled=false", "pullSecrets.enabled=false", "crds.install=false", "crds.reports=false", "fullnameOverride=gw"},
		"mixed":  {"nameOverride=wood", "webhook.exemptNamespaces=[]", "certificates.certManager={enabled: true, issuerRef: {name: ca, kind: ClusterIssuer}}", "webhook.priorityClassName=", "fleet.reports=false"},
		"null":   {"webhook.nodeSelector=null"},
	} {
		for _, release := range []Release{{"gopherwood", DefaultNamespace, "Helm"}, {"other", "team", "Helm"}} {
			t.Run(name+"/"+release.Name, func(t *testing.T) {
				values, err := c.Values(nil, settings)
				if err != nil {
					t.Fatal(err)
				}
				own, err := c.Render(release, values)
				if err != nil {
					t.Fatal(err)
				}
				args := []string{"template", release.Name, dir, "-n", release.Namespace, "-f", valuesFile(t, settings)}
				theirs, err := split(run(t, command, args...))
				if err != nil {
					t.Fatal(err)
				}
				slices.SortStableFunc(theirs, compareInstall)
				if diff := cmp.Diff(contents(theirs), contents(own)); diff != "" {
					t.Errorf("-Helm +own\n%s", diff)
				}
				if len(own) < 8 {
					t.Errorf("only %d objects", len(own))
				}
			})
		}
	}
}

// valuesFile writes settings as a file of values.
func valuesFile(t *testing.T, settings []string) string {
	t.Helper()
	values := map[string]any{}
	for _, s := range settings {
		if err := set(values, s); err != nil {
			t.Fatal(err)
		}
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func contents(objects []*unstructured.Unstructured) (all []map[string]any) {
	for _, o := range objects {
		all = append(all, o.Object)
	}
	return all
}

func TestHelmLint(t *testing.T) {
	out := run(t, helm(t), "lint", "--strict", "../../../deploy/chart")
	if !strings.Contains(out, "0 chart(s) failed") {
		t.Error(out)
	}
}
