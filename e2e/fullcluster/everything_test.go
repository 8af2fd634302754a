//go:build e2e

package fullcluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// passing are kinds whose objects come and go by themselves.
var passing = map[string]bool{"events": true, "componentstatuses": true}

// everything returns all objects of all kinds in the cluster, as "KIND
// NAMESPACE/NAME".
func everything(t *testing.T) map[string]bool {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(lab.api.config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	c, err := metadata.NewForConfig(lab.api.config)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	kinds := 0
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if passing[r.Name] || strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
				continue
			}
			kinds++
			found, err := c.Resource(gv.WithResource(r.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatalf("list %s: %v", r.Name, err)
			}
			for _, o := range found.Items {
				if o.Namespace == "kube-node-lease" {
					continue // a node makes its lease when it gets to it
				}
				all[r.Kind+"."+gv.Group+" "+o.Namespace+"/"+o.Name] = true
			}
		}
	}
	t.Logf("%d objects of %d kinds are in the cluster", len(all), kinds)
	return all
}

// requireGone waits until nothing but what was there before is in the cluster:
// garbage collection and endings of pods take a moment.
func requireGone(t *testing.T, before map[string]bool) {
	t.Helper()
	until(t, 60*time.Second, "everything is gone", func() error {
		if left := added(before, everything(t)); len(left) > 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
	requireSame(t, before, everything(t))
}

// added returns what is in after only.
func added(before, after map[string]bool) []string {
	var all []string
	for _, key := range sortedKeys(after) {
		if !before[key] {
			all = append(all, key)
		}
	}
	return all
}
