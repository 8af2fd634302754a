//go:build e2e

package cluster_test

import (
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// Pods run on simulated nodes as far as the API server can tell.
func TestSimulatedNodes(t *testing.T) {
	const nodes = 50
	c := start(t, cluster.Config{SimulatedNodes: nodes, Kubectl: true})
	if got := strings.Count(kubectl(t, c, "get", "nodes", "-o", "name"), "node/fake-"); got != nodes {
		t.Errorf("%d nodes, want %d", got, nodes)
	}
	kubectl(t, c, "create", "deployment", "app", "--image=app:1", "--replicas=100")
	kubectl(t, c, "rollout", "status", "deployment/app", "--timeout=60s")
	if got := strings.Count(kubectl(t, c, "get", "pods", "--field-selector=status.phase=Running", "-o", "name"), "pod/"); got != 100 {
		t.Errorf("%d pods run, want 100", got)
	}
}
