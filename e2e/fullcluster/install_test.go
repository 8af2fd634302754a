//go:build e2e

package fullcluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// The names that the chart gives, and those of its pods.
const (
	release         = "gopherwood"
	systemNamespace = "gopherwood-system"
	webhookName     = "gopherwood-webhook"
	fleetName       = "gopherwood-fleet"
)

// drain is how long a replica of the webhook goes on answering when it is to end.
const drain = 3 * time.Second

// settings are the values of the chart that the tests need.
func settings() []string {
	repository, tag := cutTag(lab.image)
	return []string{
		"image.repository=" + repository, "image.tag=" + tag,
		"registries.plainHTTP=[" + lab.registry.host + "]",
		fmt.Sprintf("webhook.drainSeconds=%d", int(drain.Seconds())),
		// Nodes come and go in a test, and these stay on the first one.
		"webhook.nodeSelector={kubernetes.io/hostname: node-1}",
		"fleet.nodeSelector={kubernetes.io/hostname: node-1}",
	}
}

// logsAfterFailure shows what the release's pods have logged when the test fails.
func logsAfterFailure(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, component := range []string{"webhook", "fleet"} {
			out := lab.run(context.Background(), lab.cluster.Kubectl(), "logs", "-n", systemNamespace, "--tail=30", "--prefix",
				"-l", "app.kubernetes.io/component="+component)
			t.Logf("the log of %s:\n%s%s", component, out.stdout, out.stderr)
		}
	})
}

// withRelease has the release of the tests installed, by `gopherwood install`.
func withRelease(t *testing.T) {
	t.Helper()
	logsAfterFailure(t)
	if lab.installed {
		return
	}
	began := time.Now()
	args := []string{"install", "--timeout", "2m"}
	for _, s := range settings() {
		args = append(args, "--set", s)
	}
	must(t, lab.gopherwood, args...)
	lab.installed = true
	t.Logf("gopherwood install took %s", seconds(time.Since(began)))
}

// withoutRelease has nothing installed.
func withoutRelease(t *testing.T) {
	t.Helper()
	if !lab.installed {
		return
	}
	must(t, lab.gopherwood, "uninstall", "--timeout", "2m")
	lab.installed = false
}
