package workload_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Image: "a:1"}},
		Containers:     []corev1.Container{{Name: "app", Image: "b:2", Command: []string{"/app"}, Args: []string{"-v"}, WorkingDir: "/w"}, {Name: "side", Image: "c:3"}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug", Image: "d:4"}}},
	}
}

// objects is one object of each kind, with the template of podSpec.
func objects() map[string]runtime.Object {
	m := metav1.ObjectMeta{Namespace: "team", Name: "x", Labels: map[string]string{"own": "yes"}}
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"tpl": "yes"}}, Spec: podSpec()}
	return map[string]runtime.Object{
		"Pod":                   &corev1.Pod{ObjectMeta: m, Spec: podSpec()},
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: m, Spec: corev1.ReplicationControllerSpec{Template: &t}},
		"DaemonSet":             &appsv1.DaemonSet{ObjectMeta: m, Spec: appsv1.DaemonSetSpec{Template: t}},
		"Deployment":            &appsv1.Deployment{ObjectMeta: m, Spec: appsv1.DeploymentSpec{Template: t}},
		"ReplicaSet":            &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Template: t}},
		"StatefulSet":           &appsv1.StatefulSet{ObjectMeta: m, Spec: appsv1.StatefulSetSpec{Template: t}},
		"Job":                   &batchv1.Job{ObjectMeta: m, Spec: batchv1.JobSpec{Template: t}},
		"CronJob": &batchv1.CronJob{ObjectMeta: m, Spec: batchv1.CronJobSpec{
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: t}}}},
	}
}

func encode(t testing.TB, o any) []byte {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func gvk(k workload.Kind) metav1.GroupVersionKind {
	return metav1.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

func TestDecodeEveryKind(t *testing.T) {
	all := objects()
	if len(all) != len(workload.Kinds) {
		t.Errorf("%d objects for %d kinds", len(all), len(workload.Kinds))
	}
	for _, k := range workload.Kinds {
		t.Run(k.Kind, func(t *testing.T) {
			raw := encode(t, all[k.Kind])
			w, err := workload.Decode(gvk(k), raw)
			if err != nil {
				t.Fatal(err)
			}
			if w.Namespace != "team" || w.Name != "x" || w.Labels["own"] != "yes" || w.APIVersion != k.APIVersion() || w.IsPod() != (k.Kind == "Pod") {
				t.Errorf("%+v", w)
			}
			if !w.IsPod() && w.Template.Labels["tpl"] != "yes" {
				t.Errorf("the template's labels are %v", w.Template.Labels)
			}
			var got []string
			for _, c := range w.Containers() {
				got = append(got, c.Kind+" "+c.Name+" "+c.Image)
				if at := lookup(t, raw, c.Path); at["name"] != c.Name || at["image"] != c.Image {
					t.Errorf("%s points at %v", c.Path, at)
				}
			}
			want := []string{"initContainer init a:1", "container app b:2", "container side c:3", "ephemeralContainer debug d:4"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// lookup follows a JSON pointer without escapes.
func lookup(t *testing.T, raw []byte, pointer string) map[string]any {
	t.Helper()
	var at any
	if err := json.Unmarshal(raw, &at); err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(pointer, "/")[1:] {
		switch v := at.(type) {
		case map[string]any:
			at = v[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(v) {
				t.Fatalf("%s: no element %s", pointer, part)
			}
			at = v[i]
		default:
			t.Fatalf("%s: nothing at %s", pointer, part)
		}
	}
	m, _ := at.(map[string]any)
	return m
}

func TestDecodeErrors(t *testing.T) {
	pod := gvk(workload.Kinds[0])
	deep := strings.Repeat(`{"a":`, 200_000)
	for name, test := range map[string]struct {
		kind metav1.GroupVersionKind
		raw  string
		want fault.Code
	}{
		"another kind":    {metav1.GroupVersionKind{Version: "v1", Kind: "Service"}, "{}", fault.Unsupported},
		"another group":   {metav1.GroupVersionKind{Group: "serving.example", Version: "v1", Kind: "Deployment"}, "{}", fault.Unsupported},
		"nothing":         {pod, "", fault.Invalid},
		"no JSON":         {pod, "{", fault.Invalid},
		"a list":          {pod, "[]", fault.Invalid},
		"wrong type":      {pod, `{"spec":{"containers":"x"}}`, fault.Invalid},
		"endlessly deep":  {pod, deep, fault.Invalid},
		"endlessly large": {pod, strings.Repeat(" ", workload.MaxBytes+1), fault.Limit},
	} {
		if _, err := workload.Decode(test.kind, []byte(test.raw)); fault.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want code %s", name, err, test.want)
		}
	}
}

// A key in another case is no key: what the API server does not read must not
// be read here either.
func TestDecodeIsCaseSensitive(t *testing.T) {
	w, err := workload.Decode(gvk(workload.Kinds[0]), []byte(`{"spec":{"containers":[{"name":"a","image":"real"}]},"Spec":{"containers":[{"name":"a","image":"decoy"}]}}`))
	if err != nil || w.Containers()[0].Image != "real" {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestDeletingAndGenerateName(t *testing.T) {
	w, err := workload.Decode(gvk(workload.Kinds[0]), []byte(`{"metadata":{"generateName":"x-","deletionTimestamp":"2026-11-27T10:00:00Z"}}`))
	if err != nil || !w.Deleting || w.Name != "x-" {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestUser(t *testing.T) {
	id := func(n int64) *int64 { return &n }
	for _, test := range []struct {
		pod  *corev1.PodSecurityContext
		own  *corev1.SecurityContext
		want string
	}{
		{nil, nil, ""},
		{&corev1.PodSecurityContext{RunAsUser: id(1)}, nil, "1"},
		{&corev1.PodSecurityContext{RunAsUser: id(1), RunAsGroup: id(2)}, &corev1.SecurityContext{RunAsUser: id(0)}, "0:2"},
		{nil, &corev1.SecurityContext{RunAsGroup: id(3)}, ":3"},
	} {
		w := &workload.Workload{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{SecurityContext: test.pod}}}
		if got := w.User(&workload.Container{SecurityContext: test.own}); got != test.want {
			t.Errorf("user %q, want %q", got, test.want)
		}
	}
}

func TestChanged(t *testing.T) {
	uid := int64(7)
	tests := map[string]struct {
		change    func(*corev1.PodSpec)
		pod, tmpl string // the names that are asked about
	}{
		"nothing":    {func(*corev1.PodSpec) {}, "", ""},
		"tolerances": {func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{{Key: "x"}} }, "", ""},
		"resources":  {func(s *corev1.PodSpec) { s.Containers[0].Resources.Limits = corev1.ResourceList{} }, "", ""},
		"empty args": {func(s *corev1.PodSpec) { s.Containers[1].Args = []string{} }, "", ""},
		"image":      {func(s *corev1.PodSpec) { s.Containers[1].Image = "c:4" }, "side", "init app side debug"},
		"command":    {func(s *corev1.PodSpec) { s.Containers[0].Command = []string{"/x"} }, "app", "init app side debug"},
		"env":        {func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "PATH"}} }, "app", "init app side debug"},
		"user":       {func(s *corev1.PodSpec) { s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &uid} }, "init app side debug", "init app side debug"},
		"where":      {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"a": "b"} }, "init app side debug", "init app side debug"},
		"ephemeral": {func(s *corev1.PodSpec) {
			s.EphemeralContainers = append(s.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "d2", Image: "e:5"}})
		}, "d2", "init app side debug d2"},
	}
	for name, test := range tests {
		for kind, want := range map[string]string{"Pod": test.pod, "Deployment": test.tmpl} {
			before := &workload.Workload{Kind: kind, Template: corev1.PodTemplateSpec{Spec: podSpec()}}
			after := &workload.Workload{Kind: kind, Template: corev1.PodTemplateSpec{Spec: podSpec()}}
			test.change(&after.Template.Spec)
			var got []string
			for _, c := range after.Changed(before) {
				got = append(got, c.Name)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s of a %s: asked about %q, want %q", name, kind, got, want)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for kind, o := range objects() {
		for i, k := range workload.Kinds {
			if k.Kind == kind {
				f.Add(i, encode(f, o))
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind int, raw []byte) {
		k := workload.Kinds[uint(kind)%uint(len(workload.Kinds))]
		w, err := workload.Decode(gvk(k), raw)
		if err != nil {
			return
		}
		for _, c := range w.Containers() {
			w.User(&c)
		}
		if changed := w.Changed(w); len(changed) != 0 && !repeated(w) {
			t.Errorf("%d containers differ from themselves", len(changed))
		}
	})
}

// repeated reports whether two containers share a name, which the API server
// does not allow.
func repeated(w *workload.Workload) bool {
	seen := map[string]bool{}
	for _, c := range w.Containers() {
		if seen[c.Kind+"/"+c.Name] {
			return true
		}
		seen[c.Kind+"/"+c.Name] = true
	}
	return false
}

func BenchmarkDecode(b *testing.B) {
	raw := encode(b, objects()["Deployment"])
	k := workload.Kinds[3]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := workload.Decode(gvk(k), raw); err != nil {
			b.Fatal(err)
		}
	}
}
