//go:build e2e && linux

package cluster_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// appImage builds the program of the tests and returns the archive of its image.
func appImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "app"), ".")
	cmd.Dir = filepath.Join("testdata", "app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := cluster.ImageArchive(filepath.Join(dir, "app"), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "app.tar")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// took logs what was done since began.
func took(t *testing.T, began time.Time, what string) {
	t.Helper()
	t.Logf("%s: %d ms", what, time.Since(began).Milliseconds())
}

const helloPod = `
apiVersion: v1
kind: Pod
metadata: {name: hello, labels: {app: hello}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: %s
    imagePullPolicy: %s
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
    resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
`

func TestNode(t *testing.T) {
	before := sysctls(t)
	c := start(t, cluster.Config{Nodes: 1, Kubectl: true})
	t.Log(kubectl(t, c, "get", "nodes", "-o", "wide"))

	began := time.Now()
	names, err := c.LoadImage(t.Context(), cluster.ImageSource{Path: appImage(t)})
	if err != nil {
		t.Fatal(err)
	}
	took(t, began, "built and loaded "+strings.Join(names, " "))

	began = time.Now()
	kubectlWith(t, c, fmt.Sprintf(helloPod, "app:1", "Never"), "apply", "-f", "-")
	kubectl(t, c, "wait", "--for=condition=Ready", "pod/hello", "--timeout=30s")
	took(t, began, "pod Ready")
	if got := kubectl(t, c, "exec", "hello", "--", "/app", "get", "http://127.0.0.1:8080"); got != "hello\n" {
		t.Errorf("exec: %q", got)
	}
	if got := kubectl(t, c, "logs", "hello"); got != "serving\n" {
		t.Errorf("logs: %q", got)
	}

	t.Run("webhook", func(t *testing.T) { testWebhook(t, c) })
	t.Run("restart", func(t *testing.T) {
		began := time.Now()
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		took(t, began, "API server restarted")
		kubectl(t, c, "get", "pod", "hello")
	})
	if after := sysctls(t); after != before {
		t.Errorf("the machine's settings were %s and are %s", before, after)
	}
	t.Run("two", func(t *testing.T) { testSecondCluster(t, c) })
	t.Run("nodes", func(t *testing.T) { testNodeLife(t, c) })

	left := holds(t, c)
	began = time.Now()
	if err := c.Down(); err != nil {
		t.Fatal(err)
	}
	took(t, began, "down")
	left.gone(t)
	if after := sysctls(t); after != before {
		t.Errorf("the machine's settings were %s and are %s", before, after)
	}
}

// testWebhook proves that the API server reaches a webhook behind a Service.
func testWebhook(t *testing.T, c *cluster.Cluster) {
	cert, key, err := c.Issue("hook", "", "hook.default.svc")
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	began := time.Now()
	kubectlWith(t, c, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: hook}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: Service
metadata: {name: hook}
spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Pod
metadata: {name: hook, labels: {app: hook}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: app:1
    args: [webhook]
    imagePullPolicy: Never
    readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
    volumeMounts: [{name: tls, mountPath: /tls}]
  volumes: [{name: tls, secret: {secretName: hook}}]
`, encode(cert), encode(key)), "apply", "-f", "-")
	kubectl(t, c, "wait", "--for=condition=Ready", "pod/hook", "--timeout=30s")
	kubectlWith(t, c, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 5
  clientConfig: {service: {namespace: default, name: hook}, caBundle: %s}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], scope: Namespaced}]
`, encode(c.CA())), "apply", "-f", "-")
	took(t, began, "webhook Ready")
	// The API server learns of the webhook and of its endpoints a moment later.
	deadline := time.Now().Add(20 * time.Second)
	for {
		cmd := exec.Command(c.Kubectl(), "--kubeconfig", c.Kubeconfig(), "create", "configmap", "refused")
		out, err := cmd.CombinedOutput()
		if err != nil && bytes.Contains(out, []byte("the name says it")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not refused by the webhook: %v: %s", err, out)
		}
		if err == nil {
			kubectl(t, c, "delete", "configmap", "refused")
		}
		time.Sleep(100 * time.Millisecond)
	}
	kubectl(t, c, "create", "configmap", "admitted")
	took(t, began, "webhook refused one and admitted one")
	kubectl(t, c, "delete", "validatingwebhookconfiguration", "hook")
}

// testSecondCluster proves that clusters run side by side.
func testSecondCluster(t *testing.T, first *cluster.Cluster) {
	second := start(t, cluster.Config{Nodes: 1, Kubectl: true})
	if first.HostAddress() == second.HostAddress() {
		t.Errorf("both are at %s", first.HostAddress())
	}
	for _, c := range []*cluster.Cluster{first, second} {
		if got := kubectl(t, c, "get", "nodes", "-o", "name"); got != "node/node-1\n" {
			t.Errorf("nodes of %s: %q", c.ID(), got)
		}
	}
}

// testNodeLife adds a node, kills it and removes it.
func testNodeLife(t *testing.T, c *cluster.Cluster) {
	began := time.Now()
	added, err := c.AddNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	took(t, began, "added "+added.Name)
	if err := c.KillNode(added.Name); err != nil {
		t.Fatal(err)
	}
	if nodes := c.Nodes(); len(nodes) != 2 || nodes[1].Alive {
		t.Errorf("nodes: %+v", nodes)
	}
	kubectl(t, c, "get", "node", added.Name)
	if err := c.StopNode(t.Context(), added.Name); err != nil {
		t.Fatal(err)
	}
	if nodes := c.Nodes(); len(nodes) != 1 {
		t.Errorf("nodes: %+v", nodes)
	}
	if got := kubectl(t, c, "get", "nodes", "-o", "name"); got != "node/node-1\n" {
		t.Errorf("nodes: %q", got)
	}
}

// sysctls returns the settings of the machine that a kubelet changes.
func sysctls(t *testing.T) string {
	t.Helper()
	var all []string
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward"} {
		data, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name+"="+strings.TrimSpace(string(data)))
	}
	return strings.Join(all, " ")
}
