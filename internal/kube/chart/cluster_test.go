package chart

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// fakeAPI is an API server as far as an installation sees one: objects by path,
// discovery, server-side apply that replaces. The end-to-end tests use a real one.
type fakeAPI struct {
	mu       sync.Mutex
	objects  map[string]map[string]any
	versions int
	// writes are the changes in their order, as in "PATCH deployments/x".
	writes []string
	// available says whether Deployments become available and webhooks get their
	// authority.
	available bool
	// deny refuses every write.
	deny bool
}

// kinds are the resources there are, by group and version.
var kinds = map[string][]metav1.APIResource{
	"v1": {
		{Name: "namespaces", Kind: "Namespace"}, {Name: "configmaps", Kind: "ConfigMap", Namespaced: true}, {Name: "secrets", Kind: "Secret", Namespaced: true},
		{Name: "services", Kind: "Service", Namespaced: true}, {Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true}, {Name: "pods", Kind: "Pod", Namespaced: true},
	},
	"apps/v1":                {{Name: "deployments", Kind: "Deployment", Namespaced: true}},
	"policy/v1":              {{Name: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true}},
	"coordination.k8s.io/v1": {{Name: "leases", Kind: "Lease", Namespaced: true}},
	"rbac.authorization.k8s.io/v1": {
		{Name: "clusterroles", Kind: "ClusterRole"}, {Name: "clusterrolebindings", Kind: "ClusterRoleBinding"},
		{Name: "roles", Kind: "Role", Namespaced: true}, {Name: "rolebindings", Kind: "RoleBinding", Namespaced: true},
	},
	"apiextensions.k8s.io/v1": {{Name: "customresourcedefinitions", Kind: kindCRD}},
	"admissionregistration.k8s.io/v1": {
		{Name: "validatingwebhookconfigurations", Kind: kindValidating}, {Name: "mutatingwebhookconfigurations", Kind: kindMutating},
	},
	"wgpolicyk8s.io/v1alpha2": {{Name: "policyreports", Kind: "PolicyReport", Namespaced: true}},
}

func newFakeAPI(t *testing.T) (*fakeAPI, *Cluster) {
	t.Helper()
	f := &fakeAPI{objects: map[string]map[string]any{}, available: true}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := connect(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "api" && len(parts) == 1 || parts[0] == "apis" && len(parts) == 1 {
		f.answer(w, 200, groups(parts[0]))
		return
	}
	version, rest := parts[1], parts[2:]
	if parts[0] == "apis" {
		version, rest = parts[1]+"/"+parts[2], parts[3:]
	}
	if len(rest) == 0 {
		f.answer(w, 200, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version, APIResources: kinds[version]})
		return
	}
	if rest[0] == "namespaces" && len(rest) > 2 {
		rest = rest[2:]
	}
	f.object(w, r, rest)
}

// object answers a request about the resource rest[0], and rest[1] of it.
func (f *fakeAPI) object(w http.ResponseWriter, r *http.Request, rest []string) {
	existing := f.objects[r.URL.Path]
	switch {
	case len(rest) == 1:
		f.list(w, r)
		return
	case f.deny && r.Method != http.MethodGet:
		f.fail(w, 403, metav1.StatusReasonForbidden)
		return
	case existing == nil && r.Method != http.MethodPatch:
		f.fail(w, 404, metav1.StatusReasonNotFound)
		return
	}
	if r.Method != http.MethodGet {
		f.writes = append(f.writes, r.Method+" "+rest[0]+"/"+rest[1])
	}
	switch r.Method {
	case http.MethodDelete:
		delete(f.objects, r.URL.Path)
		f.answer(w, 200, metav1.Status{Status: "Success"})
	case http.MethodPatch:
		f.patch(w, r, existing)
	default:
		f.answer(w, 200, existing)
	}
}

// list answers with what lies in or below the path and has the label.
func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	items := []any{}
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):] + "/"
	for at, o := range f.objects {
		key, value, _ := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
		label, has, _ := unstructured.NestedString(o, "metadata", "labels", key)
		if strings.Contains(at, resource) && has && (value == "" || label == value) {
			items = append(items, o)
		}
	}
	f.answer(w, 200, map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{}, "items": items})
}

func (f *fakeAPI) patch(w http.ResponseWriter, r *http.Request, existing map[string]any) {
	data, err := io.ReadAll(r.Body)
	var o map[string]any
	if err == nil {
		err = yaml.Unmarshal(data, &o)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/apply-patch+yaml" || r.URL.Query().Get("fieldManager") != manager {
		f.fail(w, 400, metav1.StatusReasonBadRequest)
		return
	}
	f.status(o)
	meta := o["metadata"].(map[string]any)
	meta["resourceVersion"] = ""
	if existing != nil {
		last := existing["metadata"].(map[string]any)["resourceVersion"]
		meta["resourceVersion"] = last
		if equalJSON(existing, o) {
			f.answer(w, 200, existing)
			return
		}
	}
	f.versions++
	meta["resourceVersion"] = strconv.Itoa(f.versions)
	f.objects[r.URL.Path] = o
	f.answer(w, 200, o)
}

// status is what controllers would write.
func (f *fakeAPI) status(o map[string]any) {
	switch o["kind"] {
	case kindCRD:
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
	case kindDeployment:
		replicas, _, _ := unstructured.NestedFieldNoCopy(o, "spec", "replicas")
		if o["status"] = map[string]any{"replicas": 1}; f.available {
			o["status"] = map[string]any{"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
		}
	case kindMutating, kindValidating:
		for _, hook := range o["webhooks"].([]any) {
			if f.available {
				hook.(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = "eA=="
			}
		}
	}
}

func equalJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, other := json.Marshal(b)
	return err == nil && other == nil && string(x) == string(y)
}

func groups(root string) any {
	if root == "api" {
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	}
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for version := range kinds {
		if group, short, ok := strings.Cut(version, "/"); ok {
			v := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: short}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
	}
	return list
}

func (f *fakeAPI) answer(w http.ResponseWriter, code int, v any) {
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (f *fakeAPI) fail(w http.ResponseWriter, code int32, reason metav1.StatusReason) {
	f.answer(w, int(code), metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: code, Reason: reason, Message: "no"})
}

// add puts an object of somebody else.
func (f *fakeAPI) add(path, kind, name string, annotations map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[path] = map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{
		"name": name, "annotations": annotations, "resourceVersion": "0", "labels": map[string]any{managedBy: annotations["managed"]},
	}}
}

func (f *fakeAPI) paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for path := range f.objects {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

// wrote returns the place of the first write that begins with prefix, -1 for none.
func (f *fakeAPI) wrote(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.IndexFunc(f.writes, func(w string) bool { return strings.HasPrefix(w, prefix) })
}

var release = Release{Name: DefaultRelease, Namespace: DefaultNamespace}

// steps counts what was reported.
type steps map[string]int

func (s steps) options(wait bool) Options {
	return Options{Wait: wait, Timeout: 5 * time.Second, Report: func(e Event) { s[e.What]++ }}
}

func TestInstallAndUninstall(t *testing.T) {
	f, c := newFakeAPI(t)
	objects := render(t)
	did := steps{}
	if err := c.Install(t.Context(), release, "1", objects, did.options(true)); err != nil {
		t.Fatal(err)
	}
	if did[Created] != len(objects)+1 { // and the namespace
		t.Errorf("%v for %d objects", did, len(objects))
	}
	if got := f.wrote("PATCH configmaps/gopherwood-inventory"); got != 1 { // after the namespace
		t.Errorf("the inventory was written as number %d: what ends early leaves something behind", got)
	}
	if f.wrote("PATCH deployments") > f.wrote("PATCH mutatingwebhookconfigurations") {
		t.Error("the API server asks before anybody answers")
	}

	did = steps{}
	if err := c.Install(t.Context(), release, "1", objects, did.options(true)); err != nil {
		t.Fatal(err)
	}
	if did[Unchanged] != len(objects) || len(did) != 1 {
		t.Errorf("the same again: %v", did)
	}

	did = steps{}
	fewer := render(t, "fleet.enabled=false")
	if err := c.Install(t.Context(), release, "1", fewer, did.options(true)); err != nil {
		t.Fatal(err)
	}
	if did[Removed] != len(objects)-len(fewer) || did[Removed] == 0 {
		t.Errorf("without the fleet: %v", did)
	}

	f.writes = nil
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	if left := f.paths(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if f.wrote("DELETE validatingwebhookconfigurations") != 0 {
		t.Errorf("removed before the webhook's registration: %q", f.writes)
	}
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("once more: %v", err)
	}
}

// An installation that does not come up registers no webhook, and the next one
// goes on from there.
func TestFailedInstallBlocksNobody(t *testing.T) {
	f, c := newFakeAPI(t)
	f.available = false
	opt := steps{}.options(true)
	opt.Timeout = 300 * time.Millisecond
	err := c.Install(t.Context(), release, "1", render(t), opt)
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "Deployment") || !strings.Contains(err.Error(), "0 of") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if f.wrote("PATCH mutatingwebhook") >= 0 || f.wrote("PATCH validatingwebhook") >= 0 {
		t.Errorf("a webhook is registered: %q", f.writes)
	}
	f.available = true
	if err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true)); err != nil {
		t.Error(err)
	}
}

func TestUninstallAfterFailedInstall(t *testing.T) {
	f, c := newFakeAPI(t)
	f.available = false
	opt := steps{}.options(true)
	opt.Timeout = 100 * time.Millisecond
	if err := c.Install(t.Context(), release, "1", render(t), opt); err == nil {
		t.Fatal("came up")
	}
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	if left := f.paths(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestInstallCancelled(t *testing.T) {
	f, c := newFakeAPI(t)
	f.available = false
	ctx, cancel := context.WithCancel(t.Context())
	opt := steps{}.options(true)
	opt.Report = func(e Event) {
		if e.What == Waiting {
			cancel()
		}
	}
	err := c.Install(ctx, release, "1", render(t), opt)
	if !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Canceled {
		t.Errorf("got %v", err)
	}
}

// What others have made is not taken, and what is shared is used.
func TestForeignObjects(t *testing.T) {
	role := "/apis/rbac.authorization.k8s.io/v1/clusterroles/gopherwood-webhook"
	for name, tc := range map[string]struct {
		annotations map[string]any
		want        string
	}{
		"nobody's":  {nil, "exists, and no installation has made it"},
		"Helm's":    {map[string]any{helmAnnotation: "mine"}, "belongs to the Helm release mine"},
		"another's": {map[string]any{ownerAnnotation: "team/gopherwood"}, "belongs to the installation gopherwood in the namespace team"},
	} {
		f, c := newFakeAPI(t)
		f.add(role, "ClusterRole", "gopherwood-webhook", tc.annotations)
		err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true))
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if len(f.writes) > 0 {
			t.Errorf("%s: something was changed: %q", name, f.writes)
		}
	}
}

func TestSharedCRD(t *testing.T) {
	f, c := newFakeAPI(t)
	path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/policyreports.wgpolicyk8s.io"
	f.add(path, kindCRD, "policyreports.wgpolicyk8s.io", map[string]any{helmAnnotation: "other"})
	f.add("/apis/wgpolicyk8s.io/v1alpha2/namespaces/a/policyreports/ours", "PolicyReport", "ours", map[string]any{"managed": manager})
	f.add("/apis/wgpolicyk8s.io/v1alpha2/namespaces/a/policyreports/theirs", "PolicyReport", "theirs", map[string]any{"managed": "other"})
	for _, name := range []string{"ours", "theirs"} {
		o := f.objects["/apis/wgpolicyk8s.io/v1alpha2/namespaces/a/policyreports/"+name]
		o["apiVersion"] = "wgpolicyk8s.io/v1alpha2"
		o["metadata"].(map[string]any)["namespace"] = "a"
	}
	did := steps{}
	if err := c.Install(t.Context(), release, "1", withReportCRD(render(t)), did.options(true)); err != nil {
		t.Fatal(err)
	}
	if did[Kept] != 1 {
		t.Errorf("%v", did)
	}
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	want := []string{path, "/apis/wgpolicyk8s.io/v1alpha2/namespaces/a/policyreports/theirs"}
	if left := f.paths(); !slices.Equal(left, want) {
		t.Errorf("left behind: %q", left)
	}
}

// withReportCRD returns objects that have the CRD of reports.
func withReportCRD(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetName() == "policyreports.wgpolicyk8s.io" })
	return slices.Insert(objects, 0, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": kindCRD, "metadata": map[string]any{"name": "policyreports.wgpolicyk8s.io"},
	}})
}

func TestKeepCRDs(t *testing.T) {
	f, c := newFakeAPI(t)
	if err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	did := steps{}
	if err := c.Uninstall(t.Context(), release, true, did.options(true)); err != nil {
		t.Fatal(err)
	}
	for _, path := range f.paths() {
		if !strings.Contains(path, "/customresourcedefinitions/") {
			t.Errorf("left behind: %s", path)
		}
	}
	if did[Kept] < 2 {
		t.Errorf("%v", did)
	}
	// They are taken again.
	if err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true)); err != nil {
		t.Error(err)
	}
}

// A namespace of somebody else is used, and stays.
func TestForeignNamespace(t *testing.T) {
	f, c := newFakeAPI(t)
	path := "/api/v1/namespaces/" + DefaultNamespace
	f.add(path, "Namespace", DefaultNamespace, nil)
	if err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); err != nil {
		t.Fatal(err)
	}
	if left := f.paths(); !slices.Equal(left, []string{path}) {
		t.Errorf("left behind: %q", left)
	}
}

func TestDenied(t *testing.T) {
	f, c := newFakeAPI(t)
	f.deny = true
	err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true))
	if fault.CodeOf(err) != fault.Denied || !strings.Contains(fault.HintOf(err), "administrator") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := connect(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Install(t.Context(), release, "1", render(t), steps{}.options(true)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("install: %s: %v", fault.CodeOf(err), err)
	}
	if err := c.Uninstall(t.Context(), release, false, steps{}.options(true)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("uninstall: %s: %v", fault.CodeOf(err), err)
	}
}

// A kind that the cluster does not know is named, with the way out.
func TestUnknownKind(t *testing.T) {
	_, c := newFakeAPI(t)
	err := c.Install(t.Context(), release, "1", render(t, "serviceMonitor.enabled=true"), steps{}.options(true))
	if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "ServiceMonitor") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestPodWaits(t *testing.T) {
	pod := map[string]any{"status": map[string]any{
		"conditions":        []any{map[string]any{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes"}},
		"containerStatuses": []any{map[string]any{"state": map[string]any{"waiting": map[string]any{"reason": "ErrImagePull", "message": "not found"}}}},
	}}
	if got := podWaits(pod); !slices.Equal(got, []string{"Unschedulable: no nodes", "ErrImagePull: not found"}) {
		t.Errorf("got %q", got)
	}
}
