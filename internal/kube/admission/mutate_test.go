package admission_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
)

// apply applies a patch of add and replace (RFC 6902) to a document.
func apply(doc, patch []byte) ([]byte, error) {
	var root any
	var ops []struct {
		Op, Path string
		Value    any
	}
	if err := errors.Join(json.Unmarshal(doc, &root), json.Unmarshal(patch, &ops)); err != nil {
		return nil, err
	}
	for _, op := range ops {
		steps := strings.Split(op.Path, "/")[1:]
		var err error
		if root, err = put(root, steps, op.Value, op.Op == "add"); err != nil {
			return nil, fmt.Errorf("%s %s: %w", op.Op, op.Path, err)
		}
	}
	return json.Marshal(root)
}

// put returns at with value at the end of steps.
func put(at any, steps []string, value any, add bool) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	step := strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[0])
	switch v := at.(type) {
	case map[string]any:
		child, ok := v[step]
		if !ok && (len(steps) > 1 || !add) {
			return nil, fmt.Errorf("there is no %q", step)
		}
		changed, err := put(child, steps[1:], value, add)
		v[step] = changed
		return v, err
	case []any:
		if step == "-" && len(steps) == 1 && add {
			return append(v, value), nil
		}
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(v) {
			return nil, fmt.Errorf("there is no element %q", step)
		}
		v[i], err = put(v[i], steps[1:], value, add)
		return v, err
	}
	return nil, fmt.Errorf("%q of what is neither object nor list", step)
}

// mutated asks the handler and returns the Pod as it then is.
func mutated(t testing.TB, h *admission.Handler, p *corev1.Pod) (*corev1.Pod, *admissionv1.AdmissionResponse) {
	t.Helper()
	req := request(t, p, nil)
	response := ask(t, h.Mutate(), "/mutate?timeout=5s", req)
	if !response.Allowed {
		t.Fatalf("refused: %s", shown(response))
	}
	if len(response.Patch) == 0 {
		return p, response
	}
	if response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("patch type %v", response.PatchType)
	}
	raw, err := apply(req.Object.Raw, response.Patch)
	if err != nil {
		t.Fatalf("%v\n%s", err, response.Patch)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out, response
}

// everything wants all there is.
func everything() v1alpha1.GoPolicySpec {
	spec := base("", "")
	spec.Mutate = &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 90}, MaxProcs: true, PinDigest: true, RuntimeClassName: "gvisor", NodeAffinity: true}
	return spec
}

func limited(p *corev1.Pod, memory, cpu, request string) *corev1.Pod {
	r := &p.Spec.Containers[0].Resources
	r.Limits, r.Requests = corev1.ResourceList{}, corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceMemory: memory, corev1.ResourceCPU: cpu} {
		if text != "" {
			r.Limits[name] = resource.MustParse(text)
		}
	}
	if request != "" {
		r.Requests[corev1.ResourceCPU] = resource.MustParse(request)
	}
	return p
}

func TestMutateEverything(t *testing.T) {
	c := filled(t)
	c.policy("base", everything())
	c.node("a", "amd64", map[string]string{nodes.LevelLabel: "3"})
	c.node("b", "arm64", nil)
	c.image(goodImage, subject(t, func(s *facts.Subject) { s.Files[0].Platform.Level, s.Files[0].Go.Version = "v2", "go1.24.1" }))
	got, response := mutated(t, c.handler(), limited(pod(goodImage), "100Mi", "2500m", ""))
	want := limited(pod(goodImage+"@sha256:"+strings.Repeat("a", 64)), "100Mi", "2500m", "")
	class := "gvisor"
	want.Spec.RuntimeClassName = &class
	want.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "94371840B"}, {Name: "GOMAXPROCS", Value: "3"}}
	want.Annotations = map[string]string{admission.AnnotationArch: "amd64", admission.AnnotationOS: "linux", admission.AnnotationLevel: "2", admission.AnnotationKernel: "3.2"}
	want.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: "kubernetes.io/arch", Operator: "In", Values: []string{"amd64"}},
			{Key: nodes.LevelLabel, Operator: "Gt", Values: []string{"1"}},
		}}}}}}
	if diff := cmp.Diff(string(encode(t, want)), string(encode(t, got))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(response.Warnings) > 0 || c.heard[0] != "mutate patched" {
		t.Errorf("%v %v", response.Warnings, c.heard)
	}
}

// env is what a container is given, as one line.
func env(p *corev1.Pod) string {
	var out []string
	for _, v := range p.Spec.Containers[0].Env {
		out = append(out, v.Name+"="+v.Value)
	}
	return strings.Join(out, " ")
}

func TestRuntimeSettings(t *testing.T) {
	withEnv := func(p *corev1.Pod, name, value string) *corev1.Pod {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: name, Value: value}}
		return p
	}
	from := func(p *corev1.Pod, prefix string) *corev1.Pod {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{Prefix: prefix}}
		return p
	}
	command := func(p *corev1.Pod, words ...string) *corev1.Pod {
		p.Spec.Containers[0].Command = words
		return p
	}
	godebug := func(value string) func(*facts.Subject) {
		return func(s *facts.Subject) { s.Files[0].Go.Settings = map[string]string{"DefaultGODEBUG": value} }
	}
	for name, test := range map[string]struct {
		image func(*facts.Subject)
		pod   *corev1.Pod
		want  string
	}{
		"no limits":                 {nil, pod(goodImage), ""},
		"memory":                    {nil, limited(pod(goodImage), "1Gi", "", ""), "GOMEMLIMIT=966367641B"},
		"memory, set":               {nil, withEnv(limited(pod(goodImage), "1Gi", "", ""), "GOMEMLIMIT", "1MiB"), "GOMEMLIMIT=1MiB"},
		"memory, other variable":    {nil, withEnv(limited(pod(goodImage), "1000", "", ""), "A", "b"), "A=b GOMEMLIMIT=900B"},
		"memory, perhaps set":       {nil, from(limited(pod(goodImage), "1Gi", "", ""), ""), ""},
		"memory, prefix that could": {nil, from(limited(pod(goodImage), "1Gi", "", ""), "GO"), ""},
		"memory, prefix of others":  {nil, from(limited(pod(goodImage), "1000", "", ""), "APP_"), "GOMEMLIMIT=900B"},
		"memory, set by the image":  {func(s *facts.Subject) { s.Image.Env = []string{"GOMEMLIMIT=1GiB"} }, limited(pod(goodImage), "1Gi", "", ""), ""},
		"memory, before Go 1.19":    {version("go1.18.1"), limited(pod(goodImage), "1Gi", "", ""), ""},
		"memory, not Go":            {func(s *facts.Subject) { s.Files[0].Go = nil }, limited(pod(goodImage), "1Gi", "1", ""), ""},
		"memory, another program":   {nil, command(limited(pod(goodImage), "1Gi", "1", ""), "/main.go"), ""},
		"cpu, Go 1.26 looks itself": {version("go1.26.8"), limited(pod(goodImage), "", "3", "1"), ""},
		"cpu, Go 1.24":              {version("go1.24.1"), limited(pod(goodImage), "", "3", "1"), "GOMAXPROCS=3"},
		"cpu, Go 1.24, part of one": {version("go1.24.1"), limited(pod(goodImage), "", "500m", ""), "GOMAXPROCS=2"},
		"cpu, Go 1.24, rounded up":  {version("go1.24.1"), limited(pod(goodImage), "", "2100m", ""), "GOMAXPROCS=3"},
		"cpu, more than a node has": {version("go1.24.1"), limited(pod(goodImage), "", "64", ""), "GOMAXPROCS=16"},
		"cpu, old go line":          {godebug("asynctimerchan=1,containermaxprocs=0"), limited(pod(goodImage), "", "3", ""), "GOMAXPROCS=3"},
		"cpu, old go line, switched on": {func(s *facts.Subject) {
			godebug("containermaxprocs=0")(s)
			s.Image.Env = []string{"GODEBUG=x=1,containermaxprocs=1"}
		}, limited(pod(goodImage), "", "3", ""), ""},
		"cpu, switched off by the user": {version("go1.26.8"), withEnv(limited(pod(goodImage), "", "3", ""), "GODEBUG", "containermaxprocs=0"), "GODEBUG=containermaxprocs=0"},
		"cpu, set":                      {version("go1.24.1"), withEnv(limited(pod(goodImage), "", "3", ""), "GOMAXPROCS", "9"), "GOMAXPROCS=9"},
		"request, any Go":               {version("go1.26.8"), limited(pod(goodImage), "", "", "3500m"), "GOMAXPROCS=4"},
		"request, small":                {version("go1.26.8"), limited(pod(goodImage), "", "", "10m"), "GOMAXPROCS=2"},
	} {
		c := filled(t)
		spec := base("", "")
		spec.Mutate = &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{}, MaxProcs: true}
		c.policy("base", spec)
		n := &corev1.Node{}
		n.Name, n.Status.NodeInfo.OperatingSystem, n.Status.NodeInfo.Architecture = "big", "linux", "amd64"
		n.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("16")}
		c.nodes.OnAdd(n, false)
		c.image(goodImage, subject(t, func(s *facts.Subject) {
			s.Files[0].Go.Version, s.Files[0].Go.Settings = "go1.26.8", nil
			if test.image != nil {
				test.image(s)
			}
		}))
		got, _ := mutated(t, c.handler(), test.pod)
		if env(got) != test.want {
			t.Errorf("%s: %q, want %q", name, env(got), test.want)
		}
	}
}

func TestMergedMutations(t *testing.T) {
	c := filled(t)
	a, b := base("", ""), base("", "")
	a.Mutate = &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 80}, RuntimeClassName: "first"}
	b.Mutate = &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 50}, RuntimeClassName: "second"}
	c.policy("a", a)
	c.policy("b", b)
	got, _ := mutated(t, c.handler(), limited(pod(goodImage), "1000", "", ""))
	if env(got) != "GOMEMLIMIT=500B" || *got.Spec.RuntimeClassName != "first" {
		t.Errorf("%s, %s", env(got), *got.Spec.RuntimeClassName)
	}
}

// Missing facts never block a pod: what needs them is left out, with a warning.
func TestMutateWithoutFacts(t *testing.T) {
	c := filled(t)
	c.policy("base", everything())
	got, response := mutated(t, c.handler(), limited(pod(downImage, goodImage), "1Gi", "1", ""))
	if *got.Spec.RuntimeClassName != "gvisor" || env(got) != "" || got.Spec.Containers[0].Image != downImage || !strings.Contains(got.Spec.Containers[1].Image, "@sha256:") ||
		len(response.Warnings) != 1 || strings.Contains(response.Warnings[0], "\x1b") || got.Annotations != nil || c.heard[0] != "mutate incomplete" {
		t.Errorf("%s\n%s\n%v", encode(t, got), shown(response), c.heard)
	}
}

func TestMutateAsksNothing(t *testing.T) {
	c := filled(t)
	c.policy("base", base("", ""))
	if _, r := mutated(t, c.handler(), pod(goodImage)); len(r.Patch) > 0 || len(c.asked) > 0 {
		t.Errorf("without mutate: %s, images asked for: %v", r.Patch, c.asked)
	}
	c = filled(t)
	spec := base("", "")
	spec.Mutate = &v1alpha1.Mutate{RuntimeClassName: "gvisor"}
	c.policy("base", spec)
	if _, r := mutated(t, c.handler(), pod(goodImage)); len(r.Patch) == 0 || len(c.asked) > 0 {
		t.Errorf("RuntimeClass alone: %s, images asked for: %v", r.Patch, c.asked)
	}
	req := request(t, pod(goodImage), pod(oldImage))
	if r := ask(t, c.handler().Mutate(), "/mutate", req); len(r.Patch) > 0 {
		t.Errorf("an update was changed: %s", r.Patch)
	}
	req = request(t, struct{}{}, nil)
	req.Kind.Group, req.Kind.Kind = "apps", "Deployment"
	if r := ask(t, c.handler().Mutate(), "/mutate", req); len(r.Patch) > 0 {
		t.Errorf("a template was changed: %s", r.Patch)
	}
}

// drawPod makes a Pod in which the user has set some of what could be filled in.
func drawPod(t *rapid.T) *corev1.Pod {
	p := &corev1.Pod{}
	p.Name = "web"
	images := []string{goodImage, oldImage, armImage, downImage, goodImage + "@sha256:" + strings.Repeat("b", 64), "plain"}
	for i := range rapid.IntRange(1, 3).Draw(t, "containers") {
		c := corev1.Container{Name: "c" + strconv.Itoa(i), Image: rapid.SampledFrom(images).Draw(t, "image")}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"A", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"}), rapid.ID).Draw(t, "env") {
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: "1"})
		}
		limits := corev1.ResourceList{}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}), rapid.ID).Draw(t, "limits") {
			limits[name] = resource.MustParse("3000m")
		}
		c.Resources.Limits = limits
		if rapid.Bool().Draw(t, "init") {
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		} else {
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
	}
	for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{admission.AnnotationArch, "other/~x"}), rapid.ID).Draw(t, "annotations") {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[key] = "mine"
	}
	if rapid.Bool().Draw(t, "class") {
		mine := "mine"
		p.Spec.RuntimeClassName = &mine
	}
	if rapid.Bool().Draw(t, "selector") {
		p.Spec.NodeSelector = map[string]string{"kubernetes.io/arch": "amd64"}
	}
	p.Spec.Affinity = drawAffinity(t)
	return p
}

func drawAffinity(t *rapid.T) *corev1.Affinity {
	depth := rapid.IntRange(0, 3).Draw(t, "affinity")
	if depth == 0 {
		return nil
	}
	a := &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}
	if depth > 1 {
		a.NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 1}}}
	}
	if depth > 2 {
		s := &corev1.NodeSelector{}
		for range rapid.IntRange(1, 3).Draw(t, "terms") {
			term := corev1.NodeSelectorTerm{}
			for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"zone", "kubernetes.io/arch"}), rapid.ID).Draw(t, "keys") {
				term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: key, Operator: "In", Values: []string{"mine"}})
			}
			if rapid.Bool().Draw(t, "fields") {
				term.MatchFields = []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{"n"}}}
			}
			s.NodeSelectorTerms = append(s.NodeSelectorTerms, term)
		}
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = s
	}
	return a
}

// A second run changes nothing, and nothing that the user has set is lost.
func TestMutateIsIdempotentAndKeepsTheUsers(t *testing.T) {
	c := filled(t)
	c.policy("base", everything())
	c.node("a", "amd64", map[string]string{nodes.LevelLabel: "2"})
	c.node("b", "arm64", nil)
	c.image(goodImage, subject(t, func(s *facts.Subject) { s.Files[0].Go.Version, s.Files[0].Platform.Level = "go1.24.1", "v2" }))
	pinned := goodImage + "@sha256:" + strings.Repeat("a", 64)
	c.image(pinned, c.images[goodImage].Subjects...)
	c.image(oldImage+"@sha256:"+strings.Repeat("a", 64), c.images[oldImage].Subjects...)
	c.image(armImage+"@sha256:"+strings.Repeat("a", 64), c.images[armImage].Subjects...)
	h := c.handler()
	patched := 0
	rapid.Check(t, func(rt *rapid.T) {
		before := drawPod(rt)
		once, first := mutated(t, h, before)
		if len(first.Patch) > 0 {
			patched++
		}
		if _, again := mutated(t, h, once); len(again.Patch) > 0 {
			rt.Fatalf("a second run changes more: %s\nof %s", again.Patch, encode(t, once))
		}
		var was, is any
		if err := errors.Join(json.Unmarshal(encode(t, before), &was), json.Unmarshal(encode(t, once), &is)); err != nil {
			rt.Fatal(err)
		}
		if at := lost(was, is, ""); at != "" {
			rt.Fatalf("%s was changed\nof %s\nto %s", at, encode(t, before), encode(t, once))
		}
	})
	if patched == 0 {
		t.Error("nothing was ever patched")
	}
}

// lost returns where something of was is not in is; an image may get a digest.
func lost(was, is any, at string) string {
	switch v := was.(type) {
	case map[string]any:
		w, _ := is.(map[string]any)
		for key, value := range v {
			if l := lost(value, w[key], at+"/"+key); l != "" {
				return l
			}
		}
		return ""
	case []any:
		w, _ := is.([]any)
		for i, value := range v {
			if i >= len(w) {
				return at
			}
			if l := lost(value, w[i], at+"/"+strconv.Itoa(i)); l != "" {
				return l
			}
		}
		return ""
	case string:
		w, _ := is.(string)
		if strings.HasSuffix(at, "/image") && strings.HasPrefix(w, v+"@sha256:") {
			return ""
		}
	}
	if slices.Contains([]any{is}, was) {
		return ""
	}
	return at
}

// The API server asks several times, one after the other: filling in does not
// wait for as long as the verdict.
func TestMutateWaitsLess(t *testing.T) {
	for query, want := range map[string]time.Duration{"?timeout=10s": 3 * time.Second, "?timeout=2s": 1500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.slow[slowImage] = true
			c.policy("base", everything())
			begin := time.Now()
			r := ask(t, c.handler().Mutate(), "/mutate"+query, request(t, pod(slowImage, slowImage), nil))
			if took := time.Since(begin); took != want || !r.Allowed || len(r.Warnings) != 2 {
				t.Errorf("%q: answered after %v, want %v: %s", query, took, want, shown(r))
			}
		})
	}
}
