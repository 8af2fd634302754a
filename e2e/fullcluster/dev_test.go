//go:build e2e

package fullcluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDevCluster is what a developer does: a cluster, an image without a registry,
// a pod, and away with it all.
func TestDevCluster(t *testing.T) {
	const name = "e2e-dev"
	file := filepath.Join(t.TempDir(), "app.tar")
	out := lab.build(t.Context(), module(t, serving), "-o", "docker-archive:"+file+":app:1")
	if out.code != 0 {
		t.Fatalf("gopherwood build: exit code %d: %s", out.code, out.stderr)
	}
	down := false
	t.Cleanup(func() {
		if !down {
			develop(context.Background(), "down", "--name", name)
		}
	})
	began := time.Now()
	line := mustDevelop(t, "up", "--name", name)
	t.Logf("dev cluster up: %s: %s", seconds(time.Since(began)), strings.TrimSpace(line))
	kubeconfig, ok := strings.CutPrefix(strings.TrimSpace(line), "export KUBECONFIG=")
	if !ok {
		t.Fatalf("dev cluster up does not print how to reach it: %s", line)
	}
	kubeconfig = strings.Trim(kubeconfig, "'")
	status := mustDevelop(t, "status")
	requireWords(t, status, name+" ", "ready", "1/1")

	loaded := time.Now()
	loadedName := strings.TrimSpace(mustDevelop(t, "load", "--name", name, "docker-archive:"+file))
	t.Logf("dev cluster load: %s: %s", seconds(time.Since(loaded)), loadedName)
	if loadedName != "docker.io/library/app:1" {
		t.Errorf("the image is loaded as %q", loadedName)
	}
	own := func(args ...string) string {
		t.Helper()
		return must(t, lab.cluster.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	}
	until(t, 20*time.Second, "the default service account", func() error {
		out := lab.run(t.Context(), lab.cluster.Kubectl(), "--kubeconfig", kubeconfig, "get", "serviceaccount", "default")
		if out.code != 0 {
			return errors.New(out.stderr)
		}
		return nil
	})
	own("run", "app", "--image=app:1", "--image-pull-policy=Never")
	own("wait", "--for=condition=Ready", "pod/app", "--timeout=60s")
	address := own("get", "pod", "app", "-o", "jsonpath={.status.podIP}")
	until(t, 10*time.Second, "an answer", func() error { return ask(address) })
	t.Logf("from nothing to an answer of the pod: %s", seconds(time.Since(began)))

	began = time.Now()
	mustDevelop(t, "down", "--name", name)
	down = true
	t.Logf("dev cluster down: %s", seconds(time.Since(began)))
	if status := mustDevelop(t, "status"); strings.Contains(status, name) {
		t.Errorf("the cluster is there after it went down:\n%s", status)
	}
	if _, err := os.Stat(filepath.Dir(kubeconfig)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", filepath.Dir(kubeconfig), err)
	}
	if mounts := string(mustRead(t, "/proc/self/mounts")); strings.Contains(mounts, "/"+name+"/") {
		t.Error("mounts of the cluster are left")
	}
}

// develop runs `gopherwood dev cluster` with the user's own cache, where
// Kubernetes is built already.
func develop(ctx context.Context, args ...string) output {
	cmd := exec.CommandContext(ctx, lab.gopherwood, append([]string{"dev", "cluster"}, args...)...)
	cmd.Env = os.Environ()
	return lab.finish(cmd, "")
}

// mustDevelop is develop, which must succeed.
func mustDevelop(t *testing.T, args ...string) string {
	t.Helper()
	out := develop(t.Context(), args...)
	if out.code != 0 {
		t.Fatalf("gopherwood dev cluster %s: exit code %d: %s", strings.Join(args, " "), out.code, out.stderr)
	}
	return out.stdout
}
