package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metafake "k8s.io/client-go/metadata/fake"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/report"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// memoryImages holds images in memory: a Go program each, by repository.
type memoryImages struct {
	mu       sync.Mutex
	versions map[string]string
	asked    map[string]int
}

func (m *memoryImages) Get(_ context.Context, r images.Request) (*images.Image, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked == nil {
		m.asked = map[string]int{}
	}
	m.asked[r.Image]++
	version, ok := m.versions[repository(r.Image)]
	if !ok {
		return nil, &fault.Error{Code: fault.NotFound, Op: "read image", Input: r.Image}
	}
	_, digest, _ := strings.Cut(r.Image, "@")
	f := api.Facts{Path: "/app", Entrypoint: true, Go: &api.Go{Version: version}, Link: api.Link{Mode: api.LinkStatic, Libc: api.LibcNone}}
	return &images.Image{Ref: r.Image, Digest: digest, Available: r.Platforms, Subjects: []*facts.Subject{{
		Ref: r.Image, Image: &api.Image{User: "65532"}, Files: []api.Facts{f},
	}}}, nil
}

// oldGo denies programs of a version.
type oldGo struct {
	mu    sync.Mutex
	deny  string
	stamp int
	count map[string]v1alpha1.Counts
}

func (p *oldGo) Name() string   { return "ClusterGoPolicy base" }
func (p *oldGo) Action() string { return "audit" }

func (p *oldGo) Match(string, map[string]string, map[string]string, string) []Policy {
	return []Policy{p}
}

func (p *oldGo) Judge(_ context.Context, img *images.Image, _ *workload.Workload, _ workload.Container, _ int) ([]api.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := api.Verdict{Verdict: api.Pass}
	if got := img.Subjects[0].Files[0].Go.Version; got == p.deny {
		v.Verdict = api.Deny
		v.Findings = []api.Finding{{Rule: "go/old", Severity: api.Deny, Message: got + " is too old", Hint: "build anew"}}
	}
	return []api.Verdict{v}, nil
}

func (p *oldGo) Stamp() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.stamp), true
}

func (p *oldGo) Count(_ context.Context, counts map[string]v1alpha1.Counts) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count = counts
	return nil
}

func (p *oldGo) set(deny string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deny = deny
	p.stamp++
}

// memoryReports keeps reports in memory.
type memoryReports struct {
	mu      sync.Mutex
	missing bool
	applied int
	all     map[string]*report.PolicyReport
}

func (m *memoryReports) List(context.Context) ([]*report.PolicyReport, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missing {
		return nil, apierrors.NewGenericServerResponse(404, "get", report.Resource.GroupResource(), "", "404 page not found", 0, true)
	}
	var all []*report.PolicyReport
	for _, r := range m.all {
		all = append(all, r)
	}
	return all, nil
}

func (m *memoryReports) Apply(_ context.Context, r *report.PolicyReport) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missing {
		return errors.New("applied although missing")
	}
	m.applied++
	m.all[r.Namespace+"/"+r.Name] = r
	return nil
}

func (m *memoryReports) Delete(_ context.Context, namespace, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, namespace+"/"+name)
	return nil
}

func (m *memoryReports) get(name string) *report.PolicyReport {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[name]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not in 10 seconds: %s", what)
}

// testController starts a controller over fakes of the API server's clients.
func testController(t *testing.T, reports *memoryReports, policies *oldGo, kubeObjects []runtime.Object, owners []runtime.Object) (*Controller, *fake.Clientset, *memoryImages) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kube := fake.NewClientset(kubeObjects...)
	store := &memoryImages{versions: map[string]string{"r.example/a": "go1.26.1", "r.example/b": "go1.20.3"}}
	c := New(Options{
		Kube: kube, Metadata: metafake.NewSimpleMetadataClient(scheme, owners...), Reports: reports, Images: store,
		Policies: policies, Matrix: matrix.Embedded(false), Batch: 10 * time.Millisecond, CountInterval: 50 * time.Millisecond,
		Now: func() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, kube, store
}

func testFleet() (kube, owners []runtime.Object) {
	rs := testOwner("rs", controlled("Deployment", "web", "11111111-2222"))
	rs.Name = "web-1"
	rs.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}
	kube = []runtime.Object{testNode("n1", "amd64"),
		testPod("web-1", "r.example/a:1", "r.example/a@"+digestA, controlled("ReplicaSet", "web-1", "rs")),
		testPod("web-2", "r.example/a:1", "r.example/a@"+digestA, controlled("ReplicaSet", "web-1", "rs")),
		testPod("db-0", "r.example/b:1", "r.example/b@"+digestB, controlled("StatefulSet", "db", "33333333-4444")),
	}
	return kube, []runtime.Object{rs}
}

func TestController(t *testing.T) {
	reports := &memoryReports{all: map[string]*report.PolicyReport{}}
	policies := &oldGo{deny: "go1.20.3"}
	kubeObjects, owners := testFleet()
	c, kube, store := testController(t, reports, policies, kubeObjects, owners)
	const web, db = "team-a/deployment-web-11111111", "team-a/statefulset-db-33333333"
	eventually(t, "both reports", func() bool { return reports.get(web) != nil && reports.get(db) != nil })
	if s := reports.get(db).Summary; s != (report.Summary{Fail: 1}) {
		t.Errorf("db: %+v", s)
	}
	if s := reports.get(web).Summary; s != (report.Summary{Pass: 1}) {
		t.Errorf("web: %+v", s)
	}
	s := c.List("test").Summary
	if s.Pods != 3 || s.Workloads != 2 || s.PastSupport != 1 || s.GoVersions["1.26"] != 2 || s.Verdicts[api.Deny] != 1 || s.Root != 0 {
		t.Errorf("%+v", s)
	}
	if store.asked["r.example/a@"+digestA] != 1 {
		t.Errorf("two pods of one image: asked %d times", store.asked["r.example/a@"+digestA])
	}
	eventually(t, "pods counted", func() bool {
		policies.mu.Lock()
		defer policies.mu.Unlock()
		return policies.count["ClusterGoPolicy base"] == v1alpha1.Counts{Passed: 2, Denied: 1}
	})

	before := reports.applied
	pod := testPod("web-3", "r.example/a:1", "r.example/a@"+digestA, controlled("ReplicaSet", "web-1", "rs"))
	if _, err := kube.CoreV1().Pods("team-a").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one more pod", func() bool { return c.List("test").Summary.Pods == 4 })
	time.Sleep(100 * time.Millisecond)
	if reports.applied != before {
		t.Error("one more pod of the same is no reason to write a report")
	}

	policies.set("go1.26.1")
	eventually(t, "verdicts by the new policy", func() bool {
		return reports.get(web).Summary.Fail == 1 && reports.get(db).Summary.Pass == 1
	})
	if got := reports.get(web).OwnerReferences[0]; got.Kind != "Deployment" || got.UID != "11111111-2222" {
		t.Errorf("owner %+v", got)
	}
}

// Without the API of reports everything else goes on, and it is said.
func TestControllerWithoutReports(t *testing.T) {
	kubeObjects, owners := testFleet()
	c, _, _ := testController(t, &memoryReports{missing: true}, &oldGo{}, kubeObjects, owners)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c.Collector())
	value := func(name, label string) float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == name && (label == "" || m.Label[0].GetValue() == label) {
					return m.Gauge.GetValue()
				}
			}
		}
		return -1
	}
	eventually(t, "metrics", func() bool {
		return value("gopherwood_fleet_pods", "1.26") == 2 && value("gopherwood_fleet_pods_past_support", "") == 1 &&
			value("gopherwood_fleet_pods_verdict", "pass") == 3 && value("gopherwood_fleet_reports_unsupported", "") == 1
	})
}

// An image that cannot be read is unknown, and denied no one.
func TestControllerUnknown(t *testing.T) {
	reports := &memoryReports{all: map[string]*report.PolicyReport{}}
	c, _, _ := testController(t, reports, &oldGo{}, []runtime.Object{
		testNode("n1", "amd64"), testPod("x", "r.example/none:1", "r.example/none@"+digestA, controlled("DaemonSet", "x", "55555555-6666")),
	}, nil)
	eventually(t, "a report", func() bool { return reports.get("team-a/daemonset-x-55555555") != nil })
	if s := reports.get("team-a/daemonset-x-55555555").Summary; s != (report.Summary{Error: 1}) {
		t.Errorf("%+v", s)
	}
	item := c.List("test").Items[0]
	if item.Verdict != api.Unknown || item.Error == nil || item.Error.Code != string(fault.NotFound) {
		t.Errorf("%+v", item)
	}
}

func TestBoundedVersions(t *testing.T) {
	got := bounded(map[string]int{"1.26": 1, "1.2": 1, "1.999": 1, "other": 1, "x": 2})
	if len(got) != 3 || got["other"] != 4 {
		t.Errorf("%v", got)
	}
}

// fleetOf returns the pods of a large cluster: 5,000 on 2,000 nodes, 500
// workloads and 300 images.
func fleetOf(pods int) []*corev1.Pod {
	all := make([]*corev1.Pod, pods)
	for i := range all {
		w := i % 500
		digest := fmt.Sprintf("sha256:%064d", w%300)
		pod := testPod(fmt.Sprint("p-", i), fmt.Sprintf("r.example/app-%d:1", w%300), fmt.Sprintf("r.example/app-%d@%s", w%300, digest),
			controlled("StatefulSet", fmt.Sprint("w-", w), fmt.Sprint("uid-", w)))
		pod.UID = types.UID(fmt.Sprint("pod-uid-", i))
		pod.Spec.NodeName = fmt.Sprint("n-", i%2000)
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}
		all[i] = pod
	}
	return all
}

// BenchmarkPodEvent is what an update of a pod costs in a fleet of 5,000 pods
// with 300 images: one that says nothing new, as most do, and one that does.
func BenchmarkPodEvent(b *testing.B) {
	fill := func(b *testing.B) (*Inventory, []*corev1.Pod) {
		v := NewInventory()
		pods := fleetOf(5000)
		for i := range 2000 {
			if _, err := v.SetNode(testNode(fmt.Sprint("n-", i), "amd64")); err != nil {
				b.Fatal(err)
			}
		}
		for _, p := range pods {
			if _, err := v.SetPod(StripPod(p)); err != nil {
				b.Fatal(err)
			}
		}
		if n := len(v.Groups()); n != 500 {
			b.Fatalf("%d groups", n)
		}
		return v, pods
	}
	b.Run("unchanged", func(b *testing.B) {
		v, pods := fill(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if c, err := v.SetPod(StripPod(pods[i%len(pods)])); err != nil || len(c.Counted) != 0 {
				b.Fatal(c, err)
			}
		}
	})
	b.Run("come and go", func(b *testing.B) {
		v, pods := fill(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			p := pods[i%len(pods)]
			v.DeletePod(p.Namespace, p.Name)
			if _, err := v.SetPod(StripPod(p)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scrape", func(b *testing.B) {
		v, _ := fill(b)
		known := func(string, int) *Assessment {
			return &Assessment{Verdict: api.Pass, GoMinors: []string{"1.26"}, Digest: digestA}
		}
		b.ReportAllocs()
		for b.Loop() {
			if s := summary(v.Groups(), known); s.Pods != 5000 {
				b.Fatal(s.Pods)
			}
		}
	})
}
