//go:build e2e

package cluster_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// kubectl runs kubectl and returns what it printed.
func kubectl(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	return kubectlWith(t, c, "", args...)
}

// kubectlWith runs kubectl with input.
func kubectlWith(t *testing.T, c *cluster.Cluster, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Kubectl(), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}
