package admission_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// base is a policy that only looks at the Go version.
func base(action v1alpha1.Action, unknown v1alpha1.OnUnknown) v1alpha1.GoPolicySpec {
	return v1alpha1.GoPolicySpec{Action: action, OnUnknown: unknown}
}

const (
	goodImage  = "registry.example/team/good:v1"
	oldImage   = "registry.example/team/old:v1"
	armImage   = "registry.example/team/arm:v1"
	noneImage  = "registry.example/team/none:v1"
	slowImage  = "registry.example/team/slow:v1"
	downImage  = "registry.example/team/down:v1"
	keptImage  = "registry.example/team/private:v1"
	largeImage = "registry.example/team/large:v1"
)

// filled is a cluster with one image of each kind.
func filled(t testing.TB) *cluster {
	c := newCluster(t)
	c.image(goodImage, subject(t, nil))
	c.image(oldImage, subject(t, version("go1.24.6")))
	c.image(armImage, subject(t, forPlatform("arm64")))
	c.image(largeImage, subject(t, nil))
	c.images[largeImage].Problems = []error{&fault.Error{Code: fault.Limit, Op: "measure", Input: "/huge", Err: errors.New("it is longer than 512 MiB")}}
	c.slow[slowImage] = true
	c.errs[downImage] = &fault.Error{Code: fault.Unavailable, Op: "read manifest", Input: downImage, Err: errors.New("connection refused\x1b[31m")}
	c.errs[keptImage] = &fault.Error{Code: fault.Denied, Op: "read manifest", Input: keptImage, Err: errors.New("401 Unauthorized")}
	return c
}

// shown is an answer as text, for golden files.
func shown(r *admissionv1.AdmissionResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "allowed: %v\n", r.Allowed)
	if r.Result != nil {
		fmt.Fprintf(&b, "status: %d %s\n%s\n", r.Result.Code, r.Result.Reason, r.Result.Message)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, key := range slices.Sorted(maps.Keys(r.AuditAnnotations)) {
		fmt.Fprintf(&b, "audit %s: %s\n", key, r.AuditAnnotations[key])
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestValidate(t *testing.T) {
	const enforce, warn, audit = v1alpha1.ActionEnforce, v1alpha1.ActionWarn, v1alpha1.ActionAudit
	const admit, deny, tell = v1alpha1.OnUnknownAdmit, v1alpha1.OnUnknownDeny, v1alpha1.OnUnknownWarn
	trim := []v1alpha1.Rule{{ID: "team/user", Severity: "warn", Scope: "image", Require: "image.user == '1'", Message: "runs as {image.user}", Hint: "use 1"}}
	withRule := base(enforce, deny)
	withRule.Rules = trim
	tests := []struct {
		name    string
		policy  v1alpha1.GoPolicySpec
		object  *corev1.Pod
		allowed bool
		outcome string
	}{
		{"good", base(enforce, deny), pod(goodImage), true, admission.OutcomeAdmitted},
		{"old-enforce", base(enforce, deny), pod(goodImage, oldImage), false, admission.OutcomeDenied},
		{"old-warn", base(warn, deny), pod(oldImage), true, admission.OutcomeWarned},
		{"old-audit", base(audit, deny), pod(oldImage), true, admission.OutcomeAudited},
		{"warning-enforce", withRule, pod(goodImage), true, admission.OutcomeWarned},
		{"wrong-arch", base(enforce, deny), pod(armImage), false, admission.OutcomeDenied},
		{"slow-deny", base(enforce, deny), pod(slowImage), false, admission.OutcomeUnknown},
		{"slow-warn", base(enforce, tell), pod(slowImage), true, admission.OutcomeWarned},
		{"slow-admit", base(enforce, admit), pod(slowImage), true, admission.OutcomeAudited},
		{"slow-action-warn", base(warn, deny), pod(slowImage), true, admission.OutcomeWarned},
		{"slow-action-audit", base(audit, tell), pod(slowImage), true, admission.OutcomeAudited},
		{"down", base(enforce, deny), pod(downImage), false, admission.OutcomeUnknown},
		{"denied", base(enforce, deny), pod(keptImage), false, admission.OutcomeUnknown},
		{"absent", base(enforce, deny), pod(noneImage), false, admission.OutcomeUnknown},
		{"not-looked-at", base(enforce, deny), pod(largeImage), false, admission.OutcomeUnknown},
		{"old-and-down", base(enforce, deny), pod(oldImage, downImage), false, admission.OutcomeDenied},
		{"old-beside-admitted-unknown", base(enforce, admit), pod(downImage, oldImage), false, admission.OutcomeDenied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			subject(t, nil) // built outside of the bubble
			synctest.Test(t, func(t *testing.T) {
				c := filled(t)
				c.policy("base", test.policy)
				got := ask(t, c.handler().Validate(), "/validate?timeout=10s", request(t, test.object, nil))
				if got.Allowed != test.allowed || len(got.Patch) > 0 {
					t.Errorf("allowed = %v, want %v", got.Allowed, test.allowed)
				}
				if diff := cmp.Diff([]string{"validate " + test.outcome}, c.heard); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				golden(t, "validate-"+test.name, shown(got))
			})
		})
	}
}

// The answer comes before the API server gives up.
func TestDeadline(t *testing.T) {
	for query, want := range map[string]time.Duration{"": 9 * time.Second, "?timeout=10s": 9 * time.Second, "?timeout=2s": 1500 * time.Millisecond,
		"?timeout=1s": 750 * time.Millisecond, "?timeout=30s": 29 * time.Second, "?timeout=-1s": 9 * time.Second, "?timeout=x": 9 * time.Second, "?timeout=10h": 9 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.slow[slowImage] = true
			c.policy("base", base("", ""))
			begin := time.Now()
			ask(t, c.handler().Validate(), "/validate"+query, request(t, pod(slowImage, slowImage, slowImage), nil))
			if took := time.Since(begin); took != want {
				t.Errorf("%q: answered after %v, want %v", query, took, want)
			}
		})
	}
}

func TestSeveralPolicies(t *testing.T) {
	c := filled(t)
	c.policy("a-enforce", base(v1alpha1.ActionEnforce, ""))
	c.policy("b-warn", base(v1alpha1.ActionWarn, ""))
	strict := base(v1alpha1.ActionEnforce, "")
	strict.Rules = []v1alpha1.Rule{{ID: "team/never", Severity: "deny", Require: "false", Message: "no {file.go.main} here"}}
	c.policy("c-strict", strict)
	got := ask(t, c.handler().Validate(), "/validate", request(t, pod(oldImage, goodImage), nil))
	golden(t, "several-policies", shown(got))
}

// A long refusal is cut to what a person reads, and says so.
func TestLongMessages(t *testing.T) {
	c := filled(t)
	spec := base(v1alpha1.ActionEnforce, "")
	for i := range 60 {
		spec.Rules = append(spec.Rules, v1alpha1.Rule{ID: fmt.Sprintf("team/r%02d", i), Severity: "deny", Scope: "file", Require: "false", Message: strings.Repeat("wörd ", 90), Hint: strings.Repeat("x", 200)})
	}
	c.policy("long", spec)
	got := ask(t, c.handler().Validate(), "/validate", request(t, pod(goodImage, goodImage), nil))
	if n := len(got.Result.Message); got.Allowed || n > 4096 || n < 3000 || !strings.Contains(got.Result.Message, "more findings; gopherwood check shows all") {
		t.Errorf("%d bytes: %s", n, got.Result.Message)
	}
	for key, value := range got.AuditAnnotations {
		if len(value) > 512 || strings.Contains(key, "/") {
			t.Errorf("annotation %s has %d bytes", key, len(value))
		}
	}
	for i := range spec.Rules {
		spec.Rules[i].Severity = "warn"
	}
	c = filled(t)
	c.policy("long", spec)
	got = ask(t, c.handler().Validate(), "/validate", request(t, pod(goodImage, goodImage), nil))
	total := 0
	for _, w := range got.Warnings {
		if total += len(w); len(w) > 256 {
			t.Errorf("a warning of %d bytes", len(w))
		}
	}
	if !got.Allowed || total > 4096 || len(got.Warnings) < 10 {
		t.Errorf("%d warnings of %d bytes", len(got.Warnings), total)
	}
}

func TestNothingIsAsked(t *testing.T) {
	deleting := pod(oldImage)
	deleting.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	relabelled := pod(oldImage)
	relabelled.Labels["more"] = "yes"
	relabelled.Finalizers = []string{"x/y"}
	other := request(t, pod(oldImage), nil)
	other.Kind = metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
	deletion := request(t, pod(oldImage), nil)
	deletion.Operation = admissionv1.Delete
	for name, req := range map[string]*admissionv1.AdmissionRequest{
		"no containers":  request(t, pod(), nil),
		"being deleted":  request(t, deleting, pod(goodImage)),
		"labels changed": request(t, relabelled, pod(oldImage)),
		"another kind":   other,
		"a deletion":     deletion,
	} {
		c := filled(t)
		c.policy("base", base("", ""))
		if got := ask(t, c.handler().Validate(), "/validate", req); !got.Allowed || len(c.asked) > 0 {
			t.Errorf("%s: %+v, images asked for: %v", name, got, c.asked)
		}
	}
	c := filled(t)
	elsewhere := base("", "")
	elsewhere.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "other"}}
	c.policy("elsewhere", elsewhere)
	if got := ask(t, c.handler().Validate(), "/validate", request(t, pod(oldImage), nil)); !got.Allowed || len(c.asked) > 0 {
		t.Errorf("no policy matches: %+v, images asked for: %v", got, c.asked)
	}
	c.nsLabels = map[string]string{"team": "other"}
	if got := ask(t, c.handler().Validate(), "/validate", request(t, pod(oldImage), nil)); got.Allowed {
		t.Error("the policy matches and the pod was admitted")
	}
}

// An ephemeral container is judged; what runs already is not judged again.
func TestEphemeralContainer(t *testing.T) {
	with := func(image string) *corev1.Pod {
		p := pod(oldImage)
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: image}}}
		return p
	}
	for image, allowed := range map[string]bool{goodImage: true, oldImage: false} {
		c := filled(t)
		c.policy("base", base("", ""))
		req := request(t, with(image), pod(oldImage))
		req.SubResource = "ephemeralcontainers"
		if got := ask(t, c.handler().Validate(), "/validate", req); got.Allowed != allowed || len(c.asked) != 1 {
			t.Errorf("%s: %+v, images asked for: %v", image, got, c.asked)
		}
	}
}

func TestTemplates(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod(oldImage).Spec}}}
	req := request(t, d, nil)
	req.Kind = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	got := ask(t, c.handler().Validate(), "/validate", req)
	if got.Allowed || !strings.HasPrefix(got.Result.Message, "Deployment web is refused by ClusterGoPolicy base\ncontainer a, image "+oldImage+":\n  go/supported: ") {
		t.Errorf("%+v", got)
	}
	scaled := d.DeepCopy()
	n := int32(5)
	scaled.Spec.Replicas = &n
	req = request(t, scaled, d)
	req.Kind = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	if got := ask(t, c.handler().Validate(), "/validate", req); !got.Allowed {
		t.Errorf("scaling was refused: %+v", got)
	}
}

func TestNoNode(t *testing.T) {
	level := func(s *facts.Subject) { s.Files[0].Platform.Level = "v3" }
	needs3 := "registry.example/team/v3:v1"
	for name, test := range map[string]struct {
		nodes   func(*cluster)
		pod     *corev1.Pod
		allowed bool
		want    string
	}{
		"no nodes known": {func(*cluster) {}, pod(goodImage), true, ""},
		"fits":           {func(c *cluster) { c.node("a", "amd64", nil); c.node("b", "arm64", nil) }, pod(goodImage), true, ""},
		"another processor": {func(c *cluster) { c.node("a", "arm64", nil); c.node("b", "arm64", nil) }, pod(goodImage), false,
			"the image registry.example/team/good:v1 of container a is for linux/amd64; the nodes that it may run on are linux/arm64 (2 nodes)"},
		"no node at all that the selector takes": {func(c *cluster) { c.node("a", "amd64", nil) }, selecting(pod(goodImage), "zone", "x"), true, ""},
		"the selector takes another processor": {func(c *cluster) { c.node("a", "amd64", nil); c.node("b", "arm64", map[string]string{"zone": "x"}) },
			selecting(pod(goodImage), "zone", "x"), false, "linux/arm64 (1 node)"},
		"levels too low": {func(c *cluster) {
			c.node("a", "amd64", map[string]string{nodes.LevelLabel: "2"})
			c.node("b", "amd64", map[string]string{nodes.LevelLabel: "1"})
		}, pod(needs3), false, "is for linux/amd64 and needs x86-64-v3; the nodes that it may run on are linux/amd64/v1 (1 node), linux/amd64/v2 (1 node)"},
		"kernels too old": {func(c *cluster) { c.kernelNode("a", "2.6.32-754.el6"); c.kernelNode("b", "3.1.10") }, pod(goodImage), false,
			"the program in the image registry.example/team/good:v1 of container a needs Linux 3.2; the newest kernel of the nodes that it may run on is 3.1"},
		"one kernel is new enough": {func(c *cluster) { c.kernelNode("a", "2.6.32"); c.kernelNode("b", "6.12.1-cloud") }, pod(goodImage), true, ""},
		"a level is unknown":       {func(c *cluster) { c.node("a", "amd64", nil) }, pod(needs3), true, ""},
		"containers that exclude one another": {func(c *cluster) { c.node("a", "amd64", nil); c.node("b", "arm64", nil) }, pod(goodImage, armImage), false,
			"container a is for linux/amd64; the image registry.example/team/arm:v1 of container b is for linux/arm64; the nodes"},
	} {
		c := filled(t)
		c.image(needs3, subject(t, level))
		test.nodes(c)
		// Only the start on another processor is of no interest here.
		spec := base("", "")
		spec.Severities = []v1alpha1.Severity{{Rule: "start/arch", Severity: "off"}}
		c.policy("base", spec)
		got := ask(t, c.handler().Validate(), "/validate", request(t, test.pod, nil))
		if got.Allowed != test.allowed {
			t.Errorf("%s: %s", name, shown(got))
		}
		if !test.allowed && (!strings.Contains(got.Result.Message, "schedule/no-node: ") || !strings.Contains(strings.ReplaceAll(got.Result.Message, "\n", " "), test.want)) {
			t.Errorf("%s: %s\nwant %s", name, got.Result.Message, test.want)
		}
	}
}

func selecting(p *corev1.Pod, key, value string) *corev1.Pod {
	p.Spec.NodeSelector = map[string]string{key: value}
	return p
}

// Images are asked for the platforms of the nodes that the pod may run on.
func TestWantedPlatforms(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	c.node("a", "amd64", map[string]string{"kubernetes.io/arch": "amd64"})
	c.node("b", "arm64", map[string]string{"kubernetes.io/arch": "arm64"})
	c.node("c", "arm64", map[string]string{"kubernetes.io/arch": "arm64"})
	for _, test := range []struct {
		pod  *corev1.Pod
		want []api.Platform
	}{
		{pod(goodImage), []api.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}},
		{selecting(pod(goodImage), "kubernetes.io/arch", "amd64"), []api.Platform{{OS: "linux", Arch: "amd64"}}},
		{selecting(pod(goodImage), "kubernetes.io/arch", "riscv64"), []api.Platform{{OS: "linux", Arch: "riscv64"}}},
	} {
		c.asked = nil
		ask(t, c.handler().Validate(), "/validate", request(t, test.pod, nil))
		if diff := cmp.Diff(test.want, c.asked[0].Platforms); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// Without policies there is no answer, so that the failurePolicy decides.
func TestUnready(t *testing.T) {
	for name, broken := range map[string]func(*cluster){
		"policies":   func(c *cluster) { c.unready = true },
		"namespaces": func(c *cluster) { c.nsError = errors.New("the cache has not synced") },
	} {
		for _, path := range []string{admission.PathValidate, admission.PathMutate} {
			c := filled(t)
			spec := base("", "")
			spec.Mutate = &v1alpha1.Mutate{PinDigest: true}
			c.policy("base", spec)
			broken(c)
			mux := http.NewServeMux()
			c.handler().Register(mux)
			if rec := post(t, mux, path, request(t, pod(goodImage), nil)); rec.Code != http.StatusServiceUnavailable {
				t.Errorf("%s, %s: HTTP %d %s", name, path, rec.Code, rec.Body)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	c.secrets = &fault.Error{Code: fault.Unavailable, Op: "read secret", Input: "team/pull", Err: errors.New("forbidden")}
	got := ask(t, c.handler().Validate(), "/validate", request(t, pod(goodImage), nil))
	if got.Allowed || len(c.asked) > 0 || !strings.Contains(got.Result.Message, "read secret team/pull: forbidden") {
		t.Errorf("%+v, images asked for: %v", got, c.asked)
	}
}

// panicking is an image store with a defect.
type panicking struct{ *cluster }

func (panicking) Keychain(context.Context, string, string, []corev1.LocalObjectReference) (facts.Keychain, error) {
	panic("defect")
}

func TestPanicIsARefusal(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	h := c.handler()
	h.Keychains = panicking{c}
	got := ask(t, h.Validate(), "/validate", request(t, pod(goodImage, goodImage), nil))
	if got.Allowed || got.Result.Code != http.StatusInternalServerError || c.heard[0] != "validate panic" {
		t.Errorf("%+v, heard %v", got, c.heard)
	}
	// One of several goroutines.
	h = c.handler()
	c.images[goodImage].Subjects = append(c.images[goodImage].Subjects, nil)
	got = ask(t, h.Validate(), "/validate", request(t, pod(goodImage, goodImage, oldImage), nil))
	if got.Allowed || got.Result.Code != http.StatusInternalServerError {
		t.Errorf("%+v", got)
	}
}

func TestHTTP(t *testing.T) {
	h := newCluster(t).handler().Validate()
	for name, test := range map[string]struct {
		kind, body string
		want       int
	}{
		"another type": {"text/plain", "{}", http.StatusUnsupportedMediaType},
		"no type":      {"", "{}", http.StatusUnsupportedMediaType},
		"no JSON":      {"application/json", "{", http.StatusBadRequest},
		"no review":    {"application/json", "{}", http.StatusBadRequest},
		"no request":   {"application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, http.StatusBadRequest},
		"old version":  {"application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}`, http.StatusBadRequest},
		"too long":     {"application/json; charset=utf-8", strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge},
	} {
		r := httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(test.body))
		r.Header.Set("Content-Type", test.kind)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != test.want {
			t.Errorf("%s: HTTP %d, want %d: %s", name, rec.Code, test.want, rec.Body)
		}
	}
	bad := request(t, pod(goodImage), nil)
	bad.Object.Raw = []byte(`{"spec":{"containers":7}}`)
	if got := ask(t, h, "/validate", bad); got.Allowed || got.Result.Code != http.StatusBadRequest {
		t.Errorf("an object that is none: %+v", got)
	}
}

func FuzzHandlers(f *testing.F) {
	review := func(req *admissionv1.AdmissionRequest) []byte {
		return encode(f, admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: req})
	}
	f.Add(review(request(f, pod(goodImage, oldImage), nil)))
	f.Add(review(request(f, pod(goodImage), pod(oldImage))))
	f.Add([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"operation":"CREATE","object":{"spec":{"rules":[{"id":"a/b","require":"1"}]}}}}`))
	c := filled(f)
	clear(c.slow)
	spec := base("", "")
	spec.Mutate = &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{}, MaxProcs: true, PinDigest: true, RuntimeClassName: "gvisor", NodeAffinity: true}
	c.policy("base", spec)
	c.node("a", "arm64", nil)
	mux := http.NewServeMux()
	c.handler().Register(mux)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{admission.PathValidate, admission.PathMutate, admission.PathValidatePolicy} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
			r.Header.Set("Content-Type", "application/json")
			mux.ServeHTTP(httptest.NewRecorder(), r)
		}
		for _, heard := range c.heard {
			if strings.HasSuffix(heard, admission.OutcomePanic) {
				t.Fatal(heard)
			}
		}
		c.heard, c.asked = nil, nil
	})
}

func BenchmarkWarm(b *testing.B) {
	c := filled(b)
	c.policy("base", base("", ""))
	for i := range 100 {
		c.node(fmt.Sprintf("n%d", i), "amd64", map[string]string{"kubernetes.io/arch": "amd64"})
	}
	h := c.handler().Validate()
	req := request(b, pod(goodImage, goodImage), nil)
	b.ReportAllocs()
	for b.Loop() {
		if rec := post(b, h, "/validate?timeout=10s", req); rec.Code != http.StatusOK {
			b.Fatal(rec.Body)
		}
		c.asked, c.heard = c.asked[:0], c.heard[:0]
	}
}

// What is not for the nodes of today is judged all the same when the pod waits
// for another node.
func TestUnseenNodes(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	c.node("a", "amd64", nil)
	got := ask(t, c.handler().Validate(), "/validate", request(t, selecting(pod(armImage), "zone", "x"), nil))
	if got.Allowed || !strings.Contains(got.Result.Message, "start/arch") {
		t.Errorf("%s", shown(got))
	}
	c.image("empty")
	if got := ask(t, c.handler().Validate(), "/validate", request(t, pod("empty"), nil)); got.Allowed {
		t.Errorf("an image that holds nothing: %s", shown(got))
	}
}

// A mirror pod is what the kubelet shows of one that runs already.
func TestMirrorPods(t *testing.T) {
	c := filled(t)
	c.policy("base", everything())
	p := pod(oldImage)
	p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	if got := ask(t, c.handler().Validate(), "/validate", request(t, p, nil)); !got.Allowed {
		t.Errorf("%s", shown(got))
	}
	if got := ask(t, c.handler().Mutate(), "/mutate", request(t, p, nil)); len(got.Patch) > 0 {
		t.Errorf("%s", got.Patch)
	}
}

// Nobody can pass by with a new object that claims to be deleted.
func TestCreatedAsDeleted(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	p := pod(oldImage)
	p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	if got := ask(t, c.handler().Validate(), "/validate", request(t, p, nil)); got.Allowed {
		t.Error("admitted")
	}
}

// What was known at the last moment is still judged.
func TestFactsAtTheLastMoment(t *testing.T) {
	subject(t, nil)
	synctest.Test(t, func(t *testing.T) {
		c := filled(t)
		c.policy("base", base("", ""))
		c.delay = 9*time.Second - time.Millisecond
		if got := ask(t, c.handler().Validate(), "/validate", request(t, pod(goodImage), nil)); !got.Allowed {
			t.Errorf("%s", shown(got))
		}
	})
}
