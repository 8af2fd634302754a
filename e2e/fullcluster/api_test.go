//go:build e2e

package fullcluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// apiClient speaks to the API server as the administrator.
type apiClient struct {
	client.WithWatch
	config *rest.Config
}

func newAPIClient(kubeconfig string) (*apiClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.Timeout = 5000, 5000, time.Minute
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	return &apiClient{c, config}, err
}

// newNamespace creates a namespace that is deleted after the test, and waits until
// pods can be created in it.
func newNamespace(t *testing.T) string {
	t.Helper()
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := lab.api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(lab.api.Delete(context.Background(), o)); err != nil {
			t.Error(err)
		}
	})
	until(t, 20*time.Second, "the default service account", func() error {
		return lab.api.Get(t.Context(), client.ObjectKey{Namespace: o.Name, Name: "default"}, &corev1.ServiceAccount{})
	})
	return o.Name
}

// pod is one of one container, which ends at once when it is deleted.
func pod(namespace, name, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers:                    []corev1.Container{{Name: "app", Image: image, ImagePullPolicy: corev1.PullIfNotPresent}},
		},
	}
}

// manifest is pod as YAML.
func manifest(namespace, name, image string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: app, image: %q, imagePullPolicy: IfNotPresent}
`, namespace, name, image)
}

// goPolicy creates a policy for a namespace and waits until it is in force.
func goPolicy(t *testing.T, namespace string, spec v1alpha1.GoPolicySpec) *v1alpha1.GoPolicy {
	t.Helper()
	p := &v1alpha1.GoPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}, Spec: spec}
	if err := lab.api.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	inForce(t, p)
	return p
}

// inForce waits until every replica of the webhook has the policy, and no other
// policies than there are.
func inForce(t *testing.T, p *v1alpha1.GoPolicy) {
	t.Helper()
	until(t, 20*time.Second, "policy "+p.Name, func() error {
		if err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if p.Status.ObservedGeneration != p.Generation {
			return fmt.Errorf("the status is about generation %d of %d", p.Status.ObservedGeneration, p.Generation)
		}
		var namespaced v1alpha1.GoPolicyList
		var cluster v1alpha1.ClusterGoPolicyList
		if err := errors.Join(lab.api.List(t.Context(), &namespaced), lab.api.List(t.Context(), &cluster)); err != nil {
			return err
		}
		want := float64(len(namespaced.Items) + len(cluster.Items))
		for _, replica := range podsOf(t, "webhook") {
			got, err := sumOf("http://"+replica.Status.PodIP+":8080/metrics", "gopherwood_policies_in_force{")
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("%s has %v policies in force of %v", replica.Name, got, want)
			}
		}
		return nil
	})
}

// sumOf adds up the metrics whose names begin with prefix.
func sumOf(url, prefix string) (float64, error) {
	response, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return sum(string(text), func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// sum adds up metrics by their names with labels.
func sum(text string, wanted func(name string) bool) (float64, error) {
	var all float64
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !wanted(name) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("%q: %w", line, err)
		}
		all += n
	}
	return all, nil
}

// refused is true of an error by which the webhook itself has refused something,
// and false where the API server could not ask it.
func refused(text string) bool {
	return strings.Contains(text, `admission webhook "workloads.gopherwood.dev" denied the request`)
}

// auditLog is the API server's audit log.
type auditLog struct{ policy, log string }

// newAuditLog writes the policy: pods that are created, without bodies.
func newAuditLog(dir string) (auditLog, error) {
	a := auditLog{policy: filepath.Join(dir, "audit.yaml"), log: filepath.Join(dir, "audit.log")}
	return a, os.WriteFile(a.policy, []byte(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create]
  resources: [{resources: [pods]}]
- level: None
`), 0o600)
}

func (a auditLog) flags() map[string]string {
	return map[string]string{"audit-policy-file": a.policy, "audit-log-path": a.log, "audit-log-mode": "batch", "audit-log-batch-max-wait": "200ms"}
}

// about returns the annotations of the request that created a pod.
func (a auditLog) about(t *testing.T, namespace, name string) map[string]string {
	t.Helper()
	var found map[string]string
	until(t, 20*time.Second, "audit log about "+name, func() error {
		var err error
		if found, err = a.find(namespace, name); err == nil && found == nil {
			err = errors.New("there is no entry")
		}
		return err
	})
	return found
}

func (a auditLog) find(namespace, name string) (map[string]string, error) {
	f, err := os.Open(a.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found map[string]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			ObjectRef   struct{ Namespace, Name string }
			Annotations map[string]string
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // the last line may not be whole yet
		}
		if e.ObjectRef.Namespace == namespace && e.ObjectRef.Name == name {
			found = e.Annotations
		}
	}
	return found, lines.Err()
}
