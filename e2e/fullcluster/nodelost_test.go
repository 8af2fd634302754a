//go:build e2e

package fullcluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// The workloads that are scanned while a node is lost, each with an image of its
// own, and what a slow registry makes of each blob.
const (
	scanned   = 16
	slowBlobs = 400 * time.Millisecond
)

// TestNodeLost loses the second node while the fleet controller scans: there are
// reports on all workloads all the same, and the controller goes on.
func TestNodeLost(t *testing.T) {
	withRelease(t)
	began := time.Now()
	node, err := lab.cluster.AddNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is Ready after %s", node.Name, seconds(time.Since(began)))
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		if err := lab.cluster.StopNode(t.Context(), node.Name); err != nil {
			t.Error(err)
		}
	}
	defer stop()

	scaleFleet(t, 0)
	namespace := newNamespace(t)
	var names []string
	for i := range scanned {
		on := "node-1"
		if i%2 == 1 {
			on = node.Name
		}
		name := fmt.Sprintf("app-%02d", i)
		names = append(names, name)
		image := made{program: oldProgram, mark: name}.push(t, "scan/"+name+":v1")
		if err := lab.api.Create(t.Context(), deploymentOn(namespace, name, image, on)); err != nil {
			t.Fatal(err)
		}
	}
	mustKubectl(t, "wait", "-n", namespace, "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	// The webhook has no policy for them when they are made, so that nothing is known of their images.
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionAudit})

	lab.registry.delay.Store(int64(slowBlobs))
	defer lab.registry.delay.Store(0)
	before := lab.registry.blobs.Load()
	scanBegan := time.Now()
	scaleFleet(t, 1)
	until(t, time.Minute, "the scan has begun", func() error {
		if lab.registry.blobs.Load() < before+10 {
			return errors.New("few blobs were asked for")
		}
		return nil
	})
	known := len(reportsIn(t, namespace))
	if err := lab.cluster.KillNode(node.Name); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is lost %s after the scan's begin, with reports on %d of %d workloads", node.Name, seconds(time.Since(scanBegan)), known, scanned)
	if known == scanned {
		t.Error("the scan was over before the node was lost")
	}
	until(t, 2*time.Minute, "all reports", func() error { return complete(t, namespace, names) })
	t.Logf("reports on all %d workloads %s after the scan's begin", scanned, seconds(time.Since(scanBegan)))

	// Nothing is stuck: a workload that comes now is scanned too.
	lab.registry.delay.Store(0)
	image := made{program: oldProgram, mark: "later"}.push(t, "scan/later:v1")
	if err := lab.api.Create(t.Context(), deploymentOn(namespace, "later", image, "node-1")); err != nil {
		t.Fatal(err)
	}
	later := time.Now()
	until(t, time.Minute, "the report on a later workload", func() error { return complete(t, namespace, []string{"later"}) })
	t.Logf("a report on a workload that came afterwards after %s", seconds(time.Since(later)))
	stop()
	until(t, time.Minute, "all reports", func() error { return complete(t, namespace, names) })
}

// scaleFleet changes how many replicas of the fleet controller there are, and
// waits for that.
func scaleFleet(t *testing.T, n int) {
	t.Helper()
	mustKubectl(t, "scale", "-n", systemNamespace, "deployment/"+fleetName, fmt.Sprintf("--replicas=%d", n))
	until(t, time.Minute, "the fleet controller", func() error {
		var d appsv1.Deployment
		if err := lab.api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: fleetName}, &d); err != nil {
			return err
		}
		if int(d.Status.ReadyReplicas) != n || int(d.Status.Replicas) != n || len(podsOf(t, "fleet")) != n {
			return fmt.Errorf("there are %d replicas", d.Status.ReadyReplicas)
		}
		return nil
	})
}

// deploymentOn is a deployment of one pod on a node.
func deploymentOn(namespace, name, image, node string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	spec := pod(namespace, name, image).Spec
	spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}

// complete says what is missing in the reports on deployments, whose program is
// too old.
func complete(t *testing.T, namespace string, names []string) error {
	t.Helper()
	found := map[string]bool{}
	for _, r := range reportsIn(t, namespace) {
		scope, _ := r.Object["scope"].(map[string]any)
		for _, result := range resultsOf(r) {
			if result["rule"] == "go/supported" && result["result"] == "fail" {
				found[fmt.Sprint(scope["name"])] = true
			}
		}
	}
	var missing []string
	for _, name := range names {
		if !found[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no report of go/supported on %q", missing)
	}
	return nil
}
