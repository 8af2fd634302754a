//go:build controlplane || e2e

package controlplane

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// sidecarWebhook is somebody else's webhook: it adds a container to pods, after
// Gopherwood's was asked. It counts how often it was.
func sidecarWebhook(t *testing.T, namespace string, sidecar corev1.Container) *atomic.Int32 {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var review admissionv1.AdmissionReview
		var pod corev1.Pod
		err := json.NewDecoder(r.Body).Decode(&review)
		if err == nil {
			err = json.Unmarshal(review.Request.Object.Raw, &pod)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if len(pod.Spec.Containers) == 1 {
			kind := admissionv1.PatchTypeJSONPatch
			response.PatchType = &kind
			response.Patch, err = json.Marshal([]map[string]any{{"op": "add", "path": "/spec/containers/-", "value": sidecar}})
		}
		review.Request, review.Response = nil, response
		if err == nil {
			err = json.NewEncoder(w).Encode(review)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	cert, key, err := lab.cluster.Issue("sidecar", "", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	none := registrationv1.SideEffectClassNone
	apply(t, &registrationv1.MutatingWebhookConfiguration{
		// The API server asks in the order of names.
		ObjectMeta: metav1.ObjectMeta{Name: "sidecar"},
		Webhooks: []registrationv1.MutatingWebhook{{
			Name: "sidecar.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none,
			ClientConfig:      registrationv1.WebhookClientConfig{URL: new(server.URL), CABundle: lab.cluster.CA()},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Rules: []registrationv1.RuleWithOperations{{
				Operations: []registrationv1.OperationType{registrationv1.Create},
				Rule:       registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	})
	return &asked
}

// TestReinvocation has another webhook that adds a container after Gopherwood was
// asked: it is asked again, fills in what is missing in the new container, and fills in nothing
// twice.
func TestReinvocation(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "fill", filling(v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 50}, PinDigest: true})))
	ref, digest := lab.registry.push(t, "sidecar/app:v1", made{program: good})
	side, sideDigest := lab.registry.push(t, "sidecar/side:v1", made{program: good, mark: "sidecar"})
	container := limited(pod(namespace, "sidecar", side), "100Mi", "", "").Spec.Containers[0]
	container.Name = "side"
	asked := sidecarWebhook(t, namespace, container)
	var p *corev1.Pod
	until(t, 10*time.Second, "the other webhook is asked", func() error {
		p = limited(pod(namespace, "", ref), "100Mi", "", "")
		p.GenerateName = "app-"
		p = created(t, p)
		if len(p.Spec.Containers) != 2 {
			return errors.New("the pod has no sidecar")
		}
		return nil
	})
	t.Logf("the other webhook was asked %d times", asked.Load())
	for i, image := range []string{ref + "@" + digest, side + "@" + sideDigest} {
		c := p.Spec.Containers[i]
		if c.Image != image || len(c.Env) != 1 || c.Env[0].Name != "GOMEMLIMIT" || c.Env[0].Value != "52428800B" {
			t.Errorf("container %s has the image %s and the environment %v", c.Name, c.Image, c.Env)
		}
	}
}
