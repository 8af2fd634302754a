//go:build controlplane || e2e

package controlplane

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// answered is what became of one request.
type answered struct {
	name string
	err  error
	took time.Duration
	at   time.Time
}

// createAll creates a pod for each image at once, and returns how each ended.
func createAll(t *testing.T, namespace string, images map[string]string) []answered {
	t.Helper()
	var mu sync.Mutex
	var all []answered
	var group sync.WaitGroup
	for name, image := range images {
		group.Go(func() {
			begin := time.Now()
			err := lab.api.Create(t.Context(), pod(namespace, name, image))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, answered{name, err, time.Since(begin), begin})
		})
	}
	group.Wait()
	return all
}

func tookOf(all []answered) []time.Duration {
	var out []time.Duration
	for _, a := range all {
		out = append(out, a.took)
	}
	return out
}

// TestFlood creates 500 pods at once, of 50 images that nobody knows yet, a tenth
// of which must be refused.
func TestFlood(t *testing.T) {
	const pods, distinct = 500, 50
	replicas := startWebhooks(t, 2)
	namespace := newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	images, layers := map[string]string{}, map[string]bool{}
	var refs []string
	for i := range distinct {
		m := made{program: good, mark: fmt.Sprint("flood ", i)}
		if i%10 == 3 {
			m.program = forLoader
		}
		image := m.image(t)
		ref, _ := lab.registry.pushImage(t, fmt.Sprintf("flood/app-%d:v1", i), image)
		refs = append(refs, ref)
		for _, digest := range blobs(t, image) {
			layers[digest] = true
		}
	}
	for i := range pods {
		name := fmt.Sprintf("pod-%d", i)
		if i%distinct%10 == 3 {
			name = fmt.Sprintf("bad-%d", i)
		}
		images[name] = refs[i%distinct]
	}
	lab.registry.forget()
	begin := time.Now()
	all := createAll(t, namespace, images)
	took := time.Since(begin)
	admitted, denied := requireFlood(t, namespace, images, all)
	t.Logf("%d pods of %d images in %v: %d admitted, %d refused; %s", pods, distinct, took.Round(time.Millisecond), admitted, denied, percentiles(tookOf(all)))
	replicas[0].requireRSS(t, "replica 0")
	replicas[1].requireRSS(t, "replica 1")
	requireOneFetch(t, layers, len(replicas))

	// The API server speaks to one replica as long as that answers. The other one
	// has to read everything, too, and once.
	for _, r := range replicas {
		if r.metric(t, "gopherwood_images_fetch_duration_seconds_count") > 0 {
			lab.webhooks.remove(r.serving)
			r.kill()
		}
	}
	time.Sleep(500 * time.Millisecond)
	clear(images)
	for i, ref := range refs {
		images[map[bool]string{true: "again-bad-", false: "again-"}[i%10 == 3]+fmt.Sprint(i)] = ref
	}
	all = createAll(t, namespace, images)
	requireFlood(t, namespace, images, all)
	t.Logf("%d pods for the other replica: %s", len(images), percentiles(tookOf(all)))
	requireOneFetch(t, layers, len(replicas))
}

// requireFlood wants every pod to have been answered in time, and as its name says.
// On a machine that is too slow for that many images at once some are not known in
// time, and are refused; they must be admitted later.
func requireFlood(t *testing.T, namespace string, images map[string]string, all []answered) (admitted, denied int) {
	t.Helper()
	limit := timeout(t) + 2*time.Second // the client, too, has 500 requests to send
	for _, a := range all {
		if a.took > limit {
			t.Errorf("%s took %v, longer than the API server waits: %v", a.name, a.took, limit)
		}
		bad := strings.Contains(a.name, "bad-")
		late := refused(a.err) && strings.Contains(a.err.Error(), "is being measured now")
		switch {
		case a.err == nil && bad:
			t.Errorf("%s was admitted", a.name)
		case a.err == nil:
			admitted++
		case !refused(a.err):
			t.Errorf("%s: the webhook did not answer: %v", a.name, a.err)
		case late && !bad:
			t.Logf("%s was not known in time", a.name)
			until(t, time.Minute, a.name+" is admitted later", func() error {
				return lab.api.Create(t.Context(), pod(namespace, a.name, images[a.name]))
			})
		case bad:
			if !late {
				requireRefused(t, a.err, "start/interpreter-missing")
			}
			denied++
		default:
			t.Errorf("%s was refused: %v", a.name, a.err)
		}
	}
	return admitted, denied
}

// requireOneFetch wants every layer and configuration to have been read once by
// each replica that has read it at all.
func requireOneFetch(t *testing.T, digests map[string]bool, replicas int) {
	t.Helper()
	total, manifests := 0, 0
	for key, n := range lab.registry.counted() {
		if method, rest, _ := strings.Cut(key, " "); method == http.MethodGet && strings.HasPrefix(rest, "manifests ") {
			manifests += n
		}
		digest, ok := strings.CutPrefix(key, "GET blobs ")
		if !ok {
			continue
		}
		total += n
		if !digests[digest] {
			t.Errorf("%s was read, which no image has", digest)
		}
		if n > replicas {
			t.Errorf("%s was read %d times by %d replicas", digest, n, replicas)
		}
	}
	t.Logf("the registry was asked for %d blobs (%d distinct, %d replicas), %d manifests", total, len(digests), replicas, manifests)
	if total < len(digests) {
		t.Errorf("only %d of %d blobs were read: what was judged?", total, len(digests))
	}
}

// TestUnknown lets the registry be slower than the API server waits, and holds the
// answers to what the policies say of what is not known. What is known later is
// admitted without being read again.
func TestUnknown(t *testing.T) {
	startWebhooks(t, 1)
	tests := []struct {
		name     string
		policy   func(*v1alpha1.GoPolicySpec)
		admitted bool
		warning  string
	}{
		{"deny", unknown(v1alpha1.OnUnknownDeny), false, ""},
		{"admit", unknown(v1alpha1.OnUnknownAdmit), true, ""},
		{"warn", unknown(v1alpha1.OnUnknownWarn), true, "container app: facts/unknown: the image is not known: it was not measured in time, and is being measured now"},
		{"audit", acting(v1alpha1.ActionAudit), true, ""},
	}
	release := make(chan struct{})
	lab.registry.fail(heldUntil(release))
	t.Cleanup(func() { lab.registry.fail(nil) })
	namespaces, images, digests := map[string]string{}, map[string]string{}, map[string]bool{}
	for _, test := range tests {
		namespaces[test.name] = newNamespace(t)
		inForce(t, goPolicy(namespaces[test.name], "p", test.policy))
		image := made{program: good, mark: "unknown " + test.name}.image(t)
		images[test.name], _ = lab.registry.pushImage(t, "unknown/"+test.name+":v1", image)
		for _, d := range blobs(t, image) {
			digests[d] = true
		}
	}
	lab.registry.forget()
	lab.api.warnings.take()
	limit := timeout(t)
	var group sync.WaitGroup
	for _, test := range tests {
		group.Go(func() {
			begin := time.Now()
			err := lab.api.Create(t.Context(), pod(namespaces[test.name], "app", images[test.name]))
			took := time.Since(begin)
			t.Logf("onUnknown %s: answered after %v: %v", test.name, took.Round(time.Millisecond), err)
			if took > limit || took < limit/2 {
				t.Errorf("%s: the answer took %v; the API server waits %v", test.name, took, limit)
			}
			if test.admitted {
				requireNoError(t, err, test.name)
				return
			}
			requireRefused(t, err, "container app, image "+images[test.name], "facts/unknown: the image is not known", "is being measured now", "fix: try again")
			if code := status(err).Code; code != http.StatusServiceUnavailable {
				t.Errorf("%s: the status is %d: who asks cannot tell that it may try again", test.name, code)
			}
		})
	}
	group.Wait()
	said := strings.Join(lab.api.warnings.take(), "\n")
	for _, test := range tests {
		if !strings.Contains(said, test.warning) {
			t.Errorf("the warnings are %q, want %q", said, test.warning)
		}
	}
	if got := lab.audit.about(t, "pods", namespaces["admit"], "app")["workloads.gopherwood.dev/verdict"]; got != "unknown" {
		t.Errorf("the audit log has the verdict %q of what is not known", got)
	}
	close(release)
	for _, test := range tests {
		requireNoError(t, lab.api.Create(t.Context(), pod(namespaces[test.name], "later", images[test.name])), test.name+", later")
	}
	requireOneFetch(t, digests, 1)
}
