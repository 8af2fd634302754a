//go:build e2e

package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// start starts a cluster that ends with the test.
func start(t *testing.T, config cluster.Config) *cluster.Cluster {
	t.Helper()
	began := time.Now()
	config.Progress = func(e cluster.Event) {
		if e.Done {
			t.Logf("%6d ms: %s %s took %d ms", time.Since(began).Milliseconds(), e.What, e.Name, e.Took.Milliseconds())
		}
	}
	c, err := cluster.Start(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%6d ms: ready", time.Since(began).Milliseconds())
	t.Cleanup(func() {
		began := time.Now()
		if err := c.Down(); err != nil {
			t.Error(err)
		}
		t.Logf("down in %d ms", time.Since(began).Milliseconds())
	})
	return c
}

func TestControlPlane(t *testing.T) {
	for _, full := range []bool{false, true} {
		c := start(t, cluster.Config{FullControlPlane: full, Kubectl: true})
		began := time.Now()
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("API server restarted in %d ms", time.Since(began).Milliseconds())
		t.Log(kubectl(t, c, "get", "ns,sa"))
	}
}
