//go:build controlplane || e2e

package controlplane

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestRegistryFails lets registries fail in every way that they have. Nothing is
// admitted, the message says what is the matter, and all is well at once when the
// registry is.
func TestRegistryFails(t *testing.T) {
	tests := []struct {
		name  string
		how   func(*registryServer) upset
		words []string
	}{
		{"down", always(hangUp), []string{"its facts could not be had", "fix: "}},
		{"error", always(answers(http.StatusInternalServerError)), []string{"its facts could not be had", "500", "fix: "}},
		{"overloaded", always(answers(http.StatusTooManyRequests)), []string{"its facts could not be had", "429", "fix: "}},
		{"unauthorized", always(unauthorized), []string{"the registry does not give it to this workload", "401", "fix: check the imagePullSecrets"}},
		{"forbidden", always(answers(http.StatusForbidden)), []string{"the registry does not give it to this workload", "403", "fix: check the imagePullSecrets"}},
		{"lying", (*registryServer).lying, []string{"its facts could not be had", "digest", "fix: "}},
		{"cutting", (*registryServer).cutting, []string{"its facts could not be had", "fix: "}},
	}
	registries := map[string]*registryServer{}
	var flags []string
	for _, test := range tests {
		r := newRegistry(t)
		registries[test.name] = r
		flags = append(flags, "--plain-http-registry", r.host)
	}
	replicas := startWebhooks(t, 1, flags...)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	var group sync.WaitGroup // most of it is waiting
	for _, test := range tests {
		group.Go(func() {
			t.Run(test.name, func(t *testing.T) {
				registry := registries[test.name]
				ref, _ := registry.push(t, "fails/app:v1", made{program: good, mark: "fails " + test.name})
				registry.fail(test.how(registry))
				begin := time.Now()
				err := lab.api.Create(t.Context(), pod(namespace, test.name, ref))
				t.Logf("after %v: %v", time.Since(begin).Round(time.Millisecond), err)
				requireRefused(t, err, append([]string{"container app, image " + ref, "facts/unknown: the image is not known: "}, test.words...)...)
				registry.fail(nil)
				requireNoError(t, lab.api.Create(t.Context(), pod(namespace, test.name, ref)), "pod when the registry answers again")
			})
		})
	}
	group.Wait()
	replicas[0].requireRSS(t, "the webhook")
}

// always is an upset of no registry in particular.
func always(how upset) func(*registryServer) upset {
	return func(*registryServer) upset { return how }
}

// unauthorized is a registry that wants credentials, and takes none.
func unauthorized(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("WWW-Authenticate", `Basic realm="e2e"`)
	http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
	return true
}

// TestRegistryAbsent asks for an image that there is not, again and again: the
// registry is asked once in a while only, and the image is found soon after it was
// pushed.
func TestRegistryAbsent(t *testing.T) {
	startWebhooks(t, 1)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	ref := lab.registry.host + "/absent/app:v1"
	lab.registry.forget()
	for range 20 {
		err := lab.api.Create(t.Context(), pod(namespace, "absent", ref))
		requireRefused(t, err, "the registry does not have it", "fix: check the ")
		if code := status(err).Code; code != http.StatusForbidden {
			t.Fatalf("the status is %d: %v", code, err)
		}
	}
	asked := lab.registry.seen("HEAD manifests v1", "GET manifests v1")
	t.Logf("20 pods of an image that there is not: the registry was asked %d times", asked)
	if asked > 4 {
		t.Errorf("the registry was asked %d times for what it does not have", asked)
	}
	lab.registry.push(t, "absent/app:v1", made{program: good, mark: "absent"})
	begin := time.Now()
	until(t, 10*time.Second, "the image is found", func() error {
		return lab.api.Create(t.Context(), pod(namespace, "absent", ref))
	})
	t.Logf("found %v after it was pushed", time.Since(begin).Round(time.Millisecond))
}

// TestRegistryGone has a registry of which nothing but the address is left, and
// then starts it there.
func TestRegistryGone(t *testing.T) {
	address := freePort(t)
	startWebhooks(t, 1, "--plain-http-registry", address)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	ref := address + "/gone/app:v1"
	begin := time.Now()
	err := lab.api.Create(t.Context(), pod(namespace, "app", ref))
	t.Logf("after %v: %v", time.Since(begin).Round(time.Millisecond), err)
	requireRefused(t, err, "its facts could not be had", "connection refused", "fix: ")
	r, err := listenRegistry(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	r.push(t, "gone/app:v1", made{program: good, mark: "gone"})
	requireNoError(t, lab.api.Create(t.Context(), pod(namespace, "app", ref)), "pod when the registry is there")
}
