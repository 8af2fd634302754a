package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gopherwood-dev/gopherwood/api"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func TestIdentify(t *testing.T) {
	hexID := strings.Repeat("c", 64)
	for _, test := range []struct {
		name, image, imageID string
		want                 running
	}{
		{"containerd", "nginx:1", "docker.io/library/nginx@" + digestA, running{ref: "nginx@" + digestA, digest: digestA}},
		{"docker", "nginx:1", "docker-pullable://nginx@" + digestA, running{ref: "nginx@" + digestA, digest: digestA}},
		{"port is no tag", "r.example:5000/a/b", "r.example:5000/a/b@" + digestA, running{ref: "r.example:5000/a/b@" + digestA, digest: digestA}},
		{"other repository", "r.example/a:1", "r.example/b@" + digestA,
			running{ref: "r.example/a@" + digestA, other: "r.example/b@" + digestA, digest: digestA}},
		{"pinned", "r.example/a:1@" + digestB, "r.example/a@" + digestA, running{ref: "r.example/a@" + digestA, digest: digestA}},
		{"image named by id", digestB, "r.example/a@" + digestA, running{ref: "r.example/a@" + digestA, digest: digestA}},
		{"image id", "r.example/a:1", digestA, running{ref: "r.example/a:1", note: noteNoDigest}},
		{"cri-o image id", "r.example/a:1", hexID, running{ref: "r.example/a:1", note: noteNoDigest}},
		{"image id of a pinned image", "r.example/a@" + digestB, hexID, running{ref: "r.example/a@" + digestB, digest: digestB, note: noteLocalImage}},
		{"not started", "r.example/a:1", "", running{ref: "r.example/a:1", note: noteNotStarted}},
		{"not started and pinned", "r.example/a@" + digestB, "", running{ref: "r.example/a@" + digestB, digest: digestB}},
		{"hostile", "a:1", "x@sha256:zz", running{ref: "a:1", note: noteNoDigest}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := identify(test.image, test.imageID); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("nginx:1", "docker.io/library/nginx@"+digestA)
	f.Add("@", "://@sha256:")
	f.Fuzz(func(t *testing.T, image, imageID string) {
		r := identify(image, imageID)
		if r.digest != "" && !strings.HasSuffix(r.ref, r.digest) {
			t.Errorf("%q does not end in the digest that runs, %q", r.ref, r.digest)
		}
	})
}

// controlled returns a reference to a controller.
func controlled(kind, name, uid string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: kind, Name: name, UID: types.UID(uid), Controller: &yes}}
}

// testPod is a running pod of one container.
func testPod(name, image, imageID string, owner []metav1.OwnerReference) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: name, UID: types.UID("pod-" + name), OwnerReferences: owner,
			Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main", Image: image}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ImageID: imageID}}},
	}
}

func testNode(name, arch string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelOSStable: "linux", corev1.LabelArchStable: arch,
	}}}
}

func testOwner(uid string, owner []metav1.OwnerReference) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", UID: types.UID(uid), OwnerReferences: owner}}
}

// show returns what an inventory holds, a line a group.
func show(v *Inventory) string {
	var lines []string
	for _, g := range v.Groups() {
		var refs []string
		for _, c := range g.Containers {
			refs = append(refs, c.Kind+" "+c.Ref)
		}
		lines = append(lines, fmt.Sprintf("%s/%s %v %s %v %d", g.Workload.Kind, g.Workload.Name, g.Owners, g.Node.Platform.Arch, refs, g.Pods))
	}
	return strings.Join(sorted(lines), "\n")
}

func sorted(lines []string) []string {
	out := append([]string{}, lines...)
	for i := range out {
		for j := i + 1; j < len(out); j++ {
			if out[j] < out[i] {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

func must(t *testing.T, want string, v *Inventory) {
	t.Helper()
	if diff := cmp.Diff(want, show(v)); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
}

// Whatever the order of the events, a pod ends in the same group.
func TestInventoryOrder(t *testing.T) {
	pod := func(name string) *corev1.Pod {
		return testPod(name, "r.example/a:1", "r.example/a@"+digestA, controlled("ReplicaSet", "web-1", "rs"))
	}
	events := map[string]func(*Inventory) error{
		"node": func(v *Inventory) error { _, err := v.SetNode(testNode("n1", "arm64")); return err },
		"replicaset": func(v *Inventory) error {
			_, err := v.SetOwner(testOwner("rs", controlled("Deployment", "web", "d")))
			return err
		},
		"pod 1": func(v *Inventory) error { _, err := v.SetPod(pod("1")); return err },
		"pod 2": func(v *Inventory) error { _, err := v.SetPod(pod("2")); return err },
	}
	want := "Deployment/web [ReplicaSet/web-1] arm64 [container r.example/a@" + digestA + "] 2"
	for _, order := range permutations([]string{"node", "replicaset", "pod 1", "pod 2"}) {
		v := NewInventory()
		for _, name := range order {
			if err := events[name](v); err != nil {
				t.Fatal(err)
			}
		}
		must(t, want, v)
	}
}

func permutations(all []string) [][]string {
	if len(all) < 2 {
		return [][]string{all}
	}
	var out [][]string
	for i := range all {
		rest := append(append([]string{}, all[:i]...), all[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]string{all[i]}, p...))
		}
	}
	return out
}

func TestInventoryLife(t *testing.T) {
	v := NewInventory()
	set := func(p *corev1.Pod) Change {
		t.Helper()
		c, err := v.SetPod(p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := v.SetNode(testNode("n1", "amd64")); err != nil {
		t.Fatal(err)
	}
	starting := testPod("1", "r.example/a:1", "", nil)
	if c := set(starting); len(c.Added) != 1 || len(c.Removed) != 0 {
		t.Errorf("a new pod: %+v", c)
	}
	must(t, "Pod/1 [] amd64 [container r.example/a:1] 1", v)
	running := testPod("1", "r.example/a:1", "r.example/a@"+digestA, nil)
	if c := set(running); len(c.Added) != 1 || len(c.Removed) != 1 {
		t.Errorf("it has started: %+v", c)
	}
	must(t, "Pod/1 [] amd64 [container r.example/a@"+digestA+"] 1", v)
	if c := set(running.DeepCopy()); len(c.Counted) != 0 {
		t.Errorf("nothing has changed: %+v", c)
	}
	v.DeleteNode("n1") // the pod stays where it is counted until it goes, too
	restarted := running.DeepCopy()
	restarted.Spec.ServiceAccountName = "other"
	set(restarted)
	must(t, "Pod/1 [] amd64 [container r.example/a@"+digestA+"] 1", v)
	done := running.DeepCopy()
	done.Status.Phase = corev1.PodSucceeded
	if c := set(done); len(c.Removed) != 1 {
		t.Errorf("it is done: %+v", c)
	}
	must(t, "", v)
	v.DeletePod("team-a", "1")
	if len(v.pods)+len(v.groups)+len(v.nodes)+len(v.below)+len(v.on)+len(v.goneNodes) != 0 {
		t.Errorf("something is left: %+v", v)
	}
}

func TestContainersOf(t *testing.T) {
	terminated := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			NodeName: "n1", RestartPolicy: corev1.RestartPolicyOnFailure,
			InitContainers: []corev1.Container{{Name: "setup", Image: "s"}, {Name: "sidecar", Image: "c"}},
			Containers:     []corev1.Container{{Name: "main", Image: "m"}, {Name: "once", Image: "o"}},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debug", Image: "d"}}},
		},
		Status: corev1.PodStatus{
			InitContainerStatuses:      []corev1.ContainerStatus{{Name: "setup", State: terminated}, {Name: "sidecar"}},
			ContainerStatuses:          []corev1.ContainerStatus{{Name: "main"}, {Name: "once", State: terminated}},
			EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debug"}},
		},
	}
	names := func(p *corev1.Pod) []string {
		var all []string
		for _, c := range containersOf(StripPod(p)) {
			all = append(all, c.Name)
		}
		return all
	}
	if diff := cmp.Diff([]string{"sidecar", "main", "debug"}, names(pod)); diff != "" {
		t.Error(diff)
	}
	pod.Spec.NodeName = ""
	if got := names(pod); got != nil {
		t.Errorf("a pod without a node runs nothing, not %v", got)
	}
}

// A container that crashes all the time has mostly just ended.
func TestContainersThatStartAgain(t *testing.T) {
	always, never := corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicy("Never")
	for _, test := range []struct {
		name     string
		pod      corev1.RestartPolicy
		own      *corev1.ContainerRestartPolicy
		exitCode int32
		// main and init say whether such a container is still one that is about to run.
		main, init bool
	}{
		{"crash", corev1.RestartPolicyAlways, nil, 1, true, true},
		{"end", corev1.RestartPolicyAlways, nil, 0, true, false},
		{"crash by default", "", nil, 1, true, true},
		{"crash on failure", corev1.RestartPolicyOnFailure, nil, 1, true, true},
		{"end on failure", corev1.RestartPolicyOnFailure, nil, 0, false, false},
		{"crash for ever", corev1.RestartPolicyNever, nil, 1, false, false},
		{"crash, its own way", corev1.RestartPolicyNever, &always, 1, true, true},
		{"end, its own way", corev1.RestartPolicyNever, &always, 0, true, true},
		{"never, its own way", corev1.RestartPolicyAlways, &never, 1, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: test.exitCode}}
			got := containersOf(StripPod(&corev1.Pod{
				Spec: corev1.PodSpec{
					NodeName: "n1", RestartPolicy: test.pod,
					InitContainers: []corev1.Container{{Name: "init", Image: "i", RestartPolicy: test.own}},
					Containers:     []corev1.Container{{Name: "main", Image: "m", RestartPolicy: test.own}},
				},
				Status: corev1.PodStatus{
					InitContainerStatuses: []corev1.ContainerStatus{{Name: "init", State: ended}},
					ContainerStatuses:     []corev1.ContainerStatus{{Name: "main", State: ended}},
				},
			}))
			var names []string
			for _, c := range got {
				names = append(names, c.Name)
			}
			if slices.Contains(names, "main") != test.main || slices.Contains(names, "init") != test.init {
				t.Errorf("%q are about to run; main: want %v, init: want %v", names, test.main, test.init)
			}
		})
	}
}

func TestOwners(t *testing.T) {
	o := owners{}
	o.set("rs", controlled("Rollout", "web", "ro"), nil)
	o.set("job", controlled("CronJob", "nightly", "cj"), nil)
	o.set("x", controlled("X", "y", "y"), nil)
	o.set("y", controlled("X", "x", "x"), nil)
	no := false
	for _, test := range []struct {
		name  string
		owner []metav1.OwnerReference
		want  string
		chain []string
	}{
		{"none", nil, "Pod/p", nil},
		{"ReplicaSet of a custom resource", controlled("ReplicaSet", "web-1", "rs"), "Rollout/web", []string{"ReplicaSet/web-1"}},
		{"Job of a CronJob", controlled("Job", "nightly-1", "job"), "CronJob/nightly", []string{"Job/nightly-1"}},
		{"StatefulSet", controlled("StatefulSet", "db", "ss"), "StatefulSet/db", nil},
		{"ReplicaSet that is not known", controlled("ReplicaSet", "old", "unknown"), "ReplicaSet/old", nil},
		{"mirror of a static pod", controlled("Node", "n1", "n"), "Pod/p", nil},
		{"no controller", []metav1.OwnerReference{{Kind: "Thing", Name: "t", UID: "t", Controller: &no}}, "Pod/p", nil},
		{"a circle", controlled("X", "x", "x"), "X/y", []string{"X/x", "X/y", "X/x", "X/y", "X/x", "X/y", "X/x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", OwnerReferences: test.owner}}
			w, chain, _ := o.workload(pod)
			if got := w.Kind + "/" + w.Name; got != test.want {
				t.Errorf("workload %s, want %s", got, test.want)
			}
			if diff := cmp.Diff(test.chain, chain); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The pods of a StatefulSet differ in their labels and are one group all the same.
func TestStatefulSetIsOneGroup(t *testing.T) {
	v := NewInventory()
	for i := range 3 {
		pod := testPod(fmt.Sprint("db-", i), "r.example/db:1", "r.example/db@"+digestA, controlled("StatefulSet", "db", "ss"))
		pod.Labels["statefulset.kubernetes.io/pod-name"] = pod.Name
		if _, err := v.SetPod(StripPod(pod)); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.Groups(); len(got) != 1 || got[0].Pods != 3 {
		t.Errorf("%d groups", len(got))
	}
}

func TestDiff(t *testing.T) {
	item := func(name, image, goVersion, verdict string, rules ...string) api.FleetItem {
		i := api.FleetItem{Namespace: "a", Kind: "Deployment", Name: name, Container: "main", Image: image, Digest: digestA, Pods: 2,
			Verdict: verdict, Facts: &api.FleetFacts{GoVersion: goVersion}}
		v := api.FleetVerdict{Policy: "default", Verdict: verdict}
		for _, r := range rules {
			v.Findings = append(v.Findings, api.Finding{Rule: r, Severity: api.Warn})
		}
		v.Findings = append(v.Findings, api.Finding{Rule: "info/only", Severity: api.Info})
		i.Verdicts = []api.FleetVerdict{v}
		return i
	}
	from := &api.FleetList{Time: "1", Items: []api.FleetItem{
		item("gone", "g:1", "go1.20", api.Pass), item("same", "s:1", "go1.26.1", api.Warn, "x/y"),
		item("web", "w:1", "go1.25.1", api.Deny, "a/a", "b/b"), item("lost", "l:1", "go1.26.1", api.Warn, "x/y"),
	}}
	more := item("same", "s:1", "go1.26.1", api.Warn, "x/y")
	more.Pods = 9
	lost := item("lost", "l:1", "", api.Unknown)
	lost.Facts = nil
	to := &api.FleetList{Time: "2", Items: []api.FleetItem{
		item("new", "n:1", "go1.26.1", api.Pass), more, lost,
		item("web", "w:2", "go1.26.1", api.Warn, "b/b", "c/c"), item("web", "w:1", "go1.25.1", api.Pass),
	}}
	d := Diff(from, to)
	if d.Summary != (api.FleetDiffSummary{Added: 1, Removed: 1, Changed: 2, NewFindings: 1, FixedFindings: 1}) {
		t.Errorf("%+v", d.Summary)
	}
	want := []api.FleetChange{
		{Namespace: "a", Kind: "Deployment", Name: "lost", Container: "main", Pods: 2,
			GoVersions: &api.FleetValues{From: []string{"go1.26.1"}, To: []string{}}, Verdict: &api.FleetValue{From: api.Warn, To: api.Unknown}},
		{Namespace: "a", Kind: "Deployment", Name: "web", Container: "main", Pods: 4,
			Images:     &api.FleetValues{From: []string{"w:1"}, To: []string{"w:1", "w:2"}},
			GoVersions: &api.FleetValues{From: []string{"go1.25.1"}, To: []string{"go1.25.1", "go1.26.1"}},
			Verdict:    &api.FleetValue{From: api.Deny, To: api.Warn}, NewRules: []string{"c/c"}, FixedRules: []string{"a/a"}},
	}
	if diff := cmp.Diff(want, d.Changed); diff != "" {
		t.Error(diff)
	}
	if same := Diff(from, from); same.Summary != (api.FleetDiffSummary{}) {
		t.Errorf("a list differs from itself: %+v", same)
	}
}
