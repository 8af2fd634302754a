package cli

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gopherwood-dev/gopherwood/deploy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/chart"
)

// The commands have the flags that the chart calls them with.
func TestChartArguments(t *testing.T) {
	c, err := chart.Load(deploy.Chart())
	if err != nil {
		t.Fatal(err)
	}
	for _, settings := range [][]string{nil, {
		"certificates.certManager.enabled=true", "webhook.mutating=false",
		"registries.mirrors={registry.example.org: [https://mirror.example.org]}", "registries.plainHTTP=['registry:5000']",
	}} {
		values, err := c.Values(nil, settings)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := c.Render(chart.Release{Name: chart.DefaultRelease, Namespace: chart.DefaultNamespace}, values)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, o := range objects {
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			for _, of := range containers {
				args, _, _ := unstructured.NestedStringSlice(of.(map[string]any), "args")
				cmd, rest, err := NewCommand().Find(args)
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err != nil || !cmd.Runnable() || cmd.Flags().NArg() > 0 {
					t.Errorf("%s %q: %v, arguments %q", o.GetName(), args, err, cmd.Flags().Args())
				}
				found++
			}
		}
		if found != 2 {
			t.Errorf("%d containers", found)
		}
	}
}
