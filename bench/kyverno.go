//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kyverno is the policy engine that admission is compared with. Its module
// replaces others, which `go install` does not do: it is built in a copy.
var kyverno = peer{"kyverno", "github.com/kyverno/kyverno", "v1.19.1"}

// kyvernoPaths are where its program and the definitions of its kinds are.
type kyvernoPaths struct{ program, crds string }

// buildKyverno builds it below cache when it is not there.
func buildKyverno(ctx context.Context, cache string) (kyvernoPaths, error) {
	dir := filepath.Join(cache, "bin", "kyverno-"+kyverno.version)
	paths := kyvernoPaths{program: filepath.Join(dir, "kyverno"), crds: filepath.Join(dir, "crds")}
	if _, err := os.Stat(paths.program); err == nil {
		return paths, nil
	}
	fmt.Fprintln(os.Stderr, "bench: building", kyverno)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", kyverno.String())
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := capture(cmd)
	if err != nil {
		return paths, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return paths, err
	}
	source, err := os.MkdirTemp("", "gopherwood-bench-kyverno-")
	if err != nil {
		return paths, err
	}
	defer os.RemoveAll(source)
	if _, err := capture(exec.CommandContext(ctx, "cp", "--recursive", "--no-preserve=mode", module.Dir+"/.", source)); err != nil {
		return paths, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return paths, err
	}
	if _, err := capture(exec.CommandContext(ctx, "cp", "--recursive", "--no-target-directory", filepath.Join(source, "config", "crds"), paths.crds)); err != nil {
		return paths, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", paths.program+".new", "./cmd/kyverno")
	build.Dir = source
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if _, err := capture(build); err != nil {
		return paths, err
	}
	return paths, os.Rename(paths.program+".new", paths.program)
}

// kyvernoSpace is the namespace of Kyverno's own objects.
const kyvernoSpace = "kyverno"

// startKyverno runs Kyverno's admission controller outside of the cluster. It is
// asked about the namespaces with the label bench=kyverno only, and is spared what
// has nothing to do with the answer: reports and events.
func (k *kube) startKyverno(ctx context.Context, paths kyvernoPaths) (*process, error) {
	files, err := filepath.Glob(filepath.Join(paths.crds, "*", "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := k.object(ctx, string(text)); err != nil {
			return nil, err
		}
	}
	if err := k.namespace(ctx, kyvernoSpace, nil); err != nil {
		return nil, err
	}
	if err := k.object(ctx, kyvernoObjects); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, k.dir, "kyverno", []string{
		"KYVERNO_NAMESPACE=" + kyvernoSpace, "KYVERNO_SVC=kyverno-svc", "KYVERNO_SERVICEACCOUNT_NAME=kyverno",
		"KYVERNO_ROLE_NAME=kyverno:admission-controller", "KYVERNO_DEPLOYMENT=kyverno", "INIT_CONFIG=kyverno",
		"METRICS_CONFIG=kyverno-metrics", "KYVERNO_POD_NAME=kyverno-0", "POD_NAME=kyverno-0", "DOCKER_CONFIG=" + k.dir,
	}, paths.program,
		"--kubeconfig="+k.cluster.Kubeconfig(), "--serverIP="+address, "--servicePort="+port, "--webhookServerPort="+port,
		"--webhookServerHost=127.0.0.1", "--caSecretName=kyverno-ca", "--tlsSecretName=kyverno-tls",
		"--backgroundServiceAccountName=system:serviceaccount:kyverno:background",
		"--reportsServiceAccountName=system:serviceaccount:kyverno:reports",
		"--allowInsecureRegistry=true", "--disableMetrics=true", "--controllerRuntimeMetricsAddress=0", "--enableTuf=false",
		"--admissionReports=false", "--omitEvents=PolicyApplied,PolicyViolation,PolicyError,PolicySkipped")
	if err != nil {
		return nil, err
	}
	return p, p.waitFor(ctx, 2*time.Minute, func() error { return k.hasWebhooks(ctx, "kyverno-policy-validating-webhook-cfg") })
}

// hasWebhooks is nil when a configuration of webhooks that validate has any.
func (k *kube) hasWebhooks(ctx context.Context, name string) error {
	o := &admissionv1.ValidatingWebhookConfiguration{}
	if err := k.api.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return err
	}
	if len(o.Webhooks) == 0 {
		return errors.New(name + " has no webhooks")
	}
	return nil
}

// kyvernoObjects are what Kyverno wants to find.
const kyvernoObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: kyverno, namespace: kyverno}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kyverno, namespace: kyverno}
data:
  webhooks: '{"namespaceSelector": {"matchLabels": {"bench": "kyverno"}}}'
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kyverno-metrics, namespace: kyverno}
`

// kyvernoPolicy is a way to write the same demand for Kyverno: that the images'
// user is not root.
type kyvernoPolicy struct{ name, kind, text string }

// kyvernoPolicies are its two kinds of policies that know images' configurations.
var kyvernoPolicies = []kyvernoPolicy{
	{"kyverno-classic", "ClusterPolicy", `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: image-user
  annotations: {pod-policies.kyverno.io/autogen-controllers: none}
spec:
  background: false
  rules:
  - name: not-root
    match:
      any:
      - resources: {kinds: [Pod], operations: [CREATE]}
    validate:
      failureAction: Enforce
      message: the image runs as root
      foreach:
      - list: request.object.spec.containers
        context:
        - name: imageData
          imageRegistry: {reference: "{{ element.image }}"}
        deny:
          conditions:
            any:
            - key: "{{ imageData.configData.config.User || '' }}"
              operator: AnyIn
              value: ["", "0", "root"]
`},
	{"kyverno-cel", "ValidatingPolicy", `
apiVersion: policies.kyverno.io/v1beta1
kind: ValidatingPolicy
metadata: {name: image-user}
spec:
  validationActions: [Deny]
  evaluation: {background: {enabled: false}}
  autogen: {podControllers: {controllers: []}}
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - message: the image runs as root
    expression: >-
      object.spec.containers.all(c, !(image.GetMetadata(c.image).config.?config.?User.orValue("") in ["", "0", "root"]))
`},
}
