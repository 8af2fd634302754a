package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	metafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func testCluster(t *testing.T) (*Cluster, *fake.Clientset, *metafake.FakeMetadataClient) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kubeObjects, owners := testFleet()
	kube, meta := fake.NewClientset(kubeObjects...), metafake.NewSimpleMetadataClient(scheme, owners...)
	return &Cluster{Name: "test", Kube: kube, Metadata: meta}, kube, meta
}

func testAssessor() *Assessor {
	return &Assessor{
		Images:   &memoryImages{versions: map[string]string{"r.example/a": "go1.26.1", "r.example/b": "go1.20.3"}},
		Policies: &oldGo{deny: "go1.20.3"}, Matrix: matrix.Embedded(false),
		Now: func() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) },
	}
}

func lines(list *api.FleetList) []string {
	var all []string
	for _, i := range list.Items {
		where := "?"
		if i.Platform != nil {
			where = i.Platform.String()
		}
		all = append(all, fmt.Sprintf("%s/%s %s %s %d %s", i.Kind, i.Name, where, i.Facts.GoVersion, i.Pods, i.Verdict))
	}
	return all
}

func TestScan(t *testing.T) {
	cluster, _, _ := testCluster(t)
	list, errs, err := Scan(t.Context(), cluster, testAssessor(), ScanOptions{Jobs: 2})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	want := []string{"Deployment/web linux/amd64 go1.26.1 2 pass", "StatefulSet/db linux/amd64 go1.20.3 1 deny"}
	if diff := cmp.Diff(want, lines(list)); diff != "" {
		t.Error(diff)
	}
	if list.Time != "2026-11-27T12:00:00Z" || list.Summary.Pods != 3 || list.Summary.Verdicts[api.Deny] != 1 {
		t.Errorf("%+v", list)
	}
}

func forbid(r string) clienttesting.ReactionFunc {
	return func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: r}, "", errors.New("no"))
	}
}

// What the user may not list is named with what grants it; the rest goes on.
func TestScanForbidden(t *testing.T) {
	cluster, kube, meta := testCluster(t)
	kube.PrependReactor("list", "nodes", forbid("nodes"))
	meta.PrependReactor("list", "replicasets", forbid("replicasets"))
	list, errs, err := Scan(t.Context(), cluster, testAssessor(), ScanOptions{Namespaces: []string{"team-a"}, Jobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ReplicaSet/web-1 ? go1.26.1 2 pass", "StatefulSet/db ? go1.20.3 1 deny"}, lines(list)); diff != "" {
		t.Error(diff)
	}
	if len(errs) != 2 {
		t.Fatal(errs)
	}
	for i, want := range []string{"kubectl create clusterrole gopherwood-fleet --verb=list --resource=nodes",
		"kubectl create role gopherwood-fleet --verb=list --resource=replicasets.apps -n team-a"} {
		if fault.CodeOf(errs[i]) != fault.Denied || !strings.Contains(fault.HintOf(errs[i]), want) {
			t.Errorf("%v: %s", errs[i], fault.HintOf(errs[i]))
		}
	}
	kube.PrependReactor("list", "pods", forbid("pods"))
	if _, _, err := Scan(t.Context(), cluster, testAssessor(), ScanOptions{Jobs: 1}); fault.CodeOf(err) != fault.Denied {
		t.Errorf("without pods: %v", err)
	}
}

// Pods come in pages; a list that has expired is begun again.
func TestScanPages(t *testing.T) {
	cluster, kube, _ := testCluster(t)
	var asked []string
	expired := false
	kube.PrependReactor("list", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		opt := a.(clienttesting.ListActionImpl).ListOptions
		asked = append(asked, fmt.Sprint(opt.Limit, " ", opt.Continue))
		pod := *testPod("p"+opt.Continue, "r.example/a:1", "r.example/a@"+digestA, controlled("StatefulSet", "s", "s"))
		list := &corev1.PodList{Items: []corev1.Pod{pod}}
		switch opt.Continue {
		case "":
			list.Continue = "2"
		case "2":
			if !expired {
				expired = true
				return true, nil, apierrors.NewResourceExpired("too old")
			}
			list.Continue = "3"
		}
		return true, list, nil
	})
	list, errs, err := Scan(t.Context(), cluster, testAssessor(), ScanOptions{Jobs: 1})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if diff := cmp.Diff([]string{"500 ", "500 2", "500 ", "500 2", "500 3"}, asked); diff != "" {
		t.Error(diff)
	}
	if list.Summary.Pods != 3 {
		t.Errorf("%d pods", list.Summary.Pods)
	}
}

func TestScanCanceled(t *testing.T) {
	cluster, _, _ := testCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Scan(ctx, cluster, testAssessor(), ScanOptions{Jobs: 1}); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("%v", err)
	}
}

func TestRunsAs(t *testing.T) {
	for _, test := range []struct {
		pod, image, want string
		root             bool
	}{
		{"", "", "", true}, {"", "0:0", "0:0", true}, {"", "root", "root", true}, {"", "65532:65532", "65532:65532", false},
		{"0", "65532:65532", "0", true}, {"1000:1", "", "1000:1", false}, {":7", "app:3", "app:7", false},
	} {
		got := runsAs(test.pod, test.image)
		if got != test.want || isRoot(got) != test.root {
			t.Errorf("runsAs(%q, %q) = %q, root %v", test.pod, test.image, got, isRoot(got))
		}
	}
}
