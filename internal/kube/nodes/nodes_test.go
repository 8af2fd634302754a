package nodes_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
)

func object(name, arch string, labels map[string]string, taints ...corev1.Taint) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: arch, KernelVersion: "6.12.1"}
	n.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}
	return n
}

func TestOf(t *testing.T) {
	n := object("a", "amd64", map[string]string{nodes.LevelLabel: "3"})
	n.Spec.Unschedulable = true
	want := nodes.Node{Name: "a", Labels: n.Labels, Platform: api.Platform{OS: "linux", Arch: "amd64"},
		CPULevel: 3, CPUs: 4, Kernel: "6.12.1", Unschedulable: true}
	if diff := cmp.Diff(want, nodes.Of(n)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	early := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "arm64"}}}
	if got := nodes.Of(early).Platform; got != (api.Platform{OS: "linux", Arch: "arm64"}) {
		t.Errorf("a node that has not reported: %v", got)
	}
}

func TestLevel(t *testing.T) {
	cpuid := func(features ...string) map[string]string {
		m := map[string]string{}
		for _, f := range features {
			m["feature.node.kubernetes.io/cpu-cpuid."+f] = "true"
		}
		return m
	}
	own := cpuid("AVX2", "FMA3")
	own[nodes.LevelLabel] = "2"
	for name, test := range map[string]struct {
		labels map[string]string
		want   int
	}{
		"nothing":             {nil, 0},
		"own label":           {map[string]string{nodes.LevelLabel: "2"}, 2},
		"with v":              {map[string]string{nodes.LevelLabel: "v4"}, 4},
		"nonsense":            {map[string]string{nodes.LevelLabel: "9"}, 0},
		"own before NFD's":    {own, 2},
		"NFD v3":              {cpuid("AVX2", "FMA3"), 3},
		"NFD v4":              {cpuid("AVX2", "FMA3", "AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL"), 4},
		"NFD, not telling":    {cpuid("AVX"), 0},
		"NFD, part of AVX512": {cpuid("AVX2", "FMA3", "AVX512F"), 3},
	} {
		if got := nodes.Of(object("a", "amd64", test.labels)).CPULevel; got != test.want {
			t.Errorf("%s: level %d, want %d", name, got, test.want)
		}
	}
}

// cluster is four nodes: two plain, one for GPUs, one that is not ready.
func cluster() []nodes.Node {
	return []nodes.Node{
		nodes.Of(object("amd", "amd64", map[string]string{"disk": "ssd", "size": "8"})),
		nodes.Of(object("arm", "arm64", map[string]string{"disk": "hdd", "size": "16"})),
		nodes.Of(object("gpu", "amd64", map[string]string{"gpu": "yes"}, corev1.Taint{Key: "gpu", Value: "a100", Effect: corev1.TaintEffectNoSchedule})),
		nodes.Of(object("ill", "amd64", nil, corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoExecute},
			corev1.Taint{Key: "soft", Effect: corev1.TaintEffectPreferNoSchedule})),
	}
}

func affinity(terms ...corev1.NodeSelectorTerm) *corev1.PodSpec {
	return &corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}}
}

func term(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

func field(op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: op, Values: values}}}
}

func TestCandidates(t *testing.T) {
	tolerate := func(o corev1.Toleration) *corev1.PodSpec {
		return &corev1.PodSpec{Tolerations: []corev1.Toleration{o}}
	}
	both := term("disk", corev1.NodeSelectorOpExists)
	both.MatchFields = field(corev1.NodeSelectorOpIn, "amd").MatchFields
	for name, test := range map[string]struct {
		spec *corev1.PodSpec
		want []string
	}{
		"nothing asked":           {&corev1.PodSpec{}, []string{"amd", "arm", "ill"}},
		"named":                   {&corev1.PodSpec{NodeName: "gpu"}, []string{"gpu"}},
		"named, unknown":          {&corev1.PodSpec{NodeName: "gone"}, nil},
		"selector":                {&corev1.PodSpec{NodeSelector: map[string]string{"disk": "ssd"}}, []string{"amd"}},
		"selector, empty value":   {&corev1.PodSpec{NodeSelector: map[string]string{"disk": ""}}, nil},
		"In":                      {affinity(term("disk", corev1.NodeSelectorOpIn, "hdd", "x")), []string{"arm"}},
		"NotIn takes the absent":  {affinity(term("disk", corev1.NodeSelectorOpNotIn, "ssd")), []string{"arm", "ill"}},
		"Exists":                  {affinity(term("disk", corev1.NodeSelectorOpExists)), []string{"amd", "arm"}},
		"DoesNotExist":            {affinity(term("disk", corev1.NodeSelectorOpDoesNotExist)), []string{"ill"}},
		"Gt":                      {affinity(term("size", corev1.NodeSelectorOpGt, "8")), []string{"arm"}},
		"Lt":                      {affinity(term("size", corev1.NodeSelectorOpLt, "16")), []string{"amd"}},
		"Gt of text":              {affinity(term("disk", corev1.NodeSelectorOpGt, "1")), nil},
		"Gt of nothing":           {affinity(term("size", corev1.NodeSelectorOpGt)), nil},
		"Gt of a bad bound":       {affinity(term("size", corev1.NodeSelectorOpGt, "x")), nil},
		"unknown operator":        {affinity(term("disk", "Like", "ssd")), nil},
		"terms are alternatives":  {affinity(term("disk", corev1.NodeSelectorOpIn, "ssd"), term("disk", corev1.NodeSelectorOpIn, "hdd")), []string{"amd", "arm"}},
		"an empty term":           {affinity(corev1.NodeSelectorTerm{}), nil},
		"no terms":                {affinity(), nil},
		"fields":                  {affinity(field(corev1.NodeSelectorOpIn, "arm")), []string{"arm"}},
		"fields, NotIn":           {affinity(field(corev1.NodeSelectorOpNotIn, "arm")), []string{"amd", "ill"}},
		"another field":           {affinity(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "spec.x", Operator: corev1.NodeSelectorOpIn, Values: []string{"arm"}}}}), nil},
		"expressions and fields":  {affinity(both), []string{"amd"}},
		"tolerated by value":      {tolerate(corev1.Toleration{Key: "gpu", Value: "a100"}), []string{"amd", "arm", "gpu", "ill"}},
		"another value":           {tolerate(corev1.Toleration{Key: "gpu", Value: "h100"}), []string{"amd", "arm", "ill"}},
		"another effect":          {tolerate(corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}), []string{"amd", "arm", "ill"}},
		"everything tolerated":    {tolerate(corev1.Toleration{Operator: corev1.TolerationOpExists}), []string{"amd", "arm", "gpu", "ill"}},
		"preferred affinity only": {&corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}}, []string{"amd", "arm", "ill"}},
	} {
		var got []string
		for _, n := range nodes.Candidates(test.spec, cluster()) {
			got = append(got, n.Name)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTolerationsOfNumbers(t *testing.T) {
	all := []nodes.Node{nodes.Of(object("a", "amd64", nil, corev1.Taint{Key: "cost", Value: "5", Effect: corev1.TaintEffectNoSchedule}))}
	for _, test := range []struct {
		op    corev1.TolerationOperator
		value string
		want  bool
	}{
		{corev1.TolerationOpLt, "6", true}, {corev1.TolerationOpLt, "5", false}, {corev1.TolerationOpLt, "x", false},
		{corev1.TolerationOpGt, "4", true}, {corev1.TolerationOpGt, "5", false}, {corev1.TolerationOpGt, "x", false},
	} {
		spec := &corev1.PodSpec{Tolerations: []corev1.Toleration{{Key: "cost", Operator: test.op, Value: test.value}}}
		if got := len(nodes.Candidates(spec, all)) == 1; got != test.want {
			t.Errorf("%s %s: %v, want %v", test.op, test.value, got, test.want)
		}
	}
}

func names(w *nodes.Watch) (out []string) {
	for _, n := range w.Nodes() {
		out = append(out, n.Name+" "+strconv.Itoa(n.CPULevel))
	}
	return out
}

func TestWatch(t *testing.T) {
	var w nodes.Watch
	if got := w.Nodes(); len(got) != 0 {
		t.Fatalf("a new list has %v", got)
	}
	w.OnAdd(object("b", "amd64", nil), true)
	w.OnAdd(object("a", "amd64", nil), true)
	before := w.Nodes()
	beat := object("b", "amd64", nil)
	beat.ResourceVersion = "2"
	w.OnUpdate(nil, beat)
	if after := w.Nodes(); &before[0] != &after[0] {
		t.Error("a heartbeat made a new list")
	}
	w.OnUpdate(nil, object("b", "amd64", map[string]string{nodes.LevelLabel: "3"}))
	if got, want := names(&w), []string{"a 0", "b 3"}; !slices.Equal(got, want) {
		t.Errorf("after an update: %v, want %v", got, want)
	}
	w.OnDelete(cache.DeletedFinalStateUnknown{Key: "a", Obj: object("a", "amd64", nil)})
	w.OnDelete("nonsense")
	if got, want := names(&w), []string{"b 3"}; !slices.Equal(got, want) {
		t.Errorf("after a deletion: %v, want %v", got, want)
	}
	if len(before) != 2 || before[1].CPULevel != 0 {
		t.Error("a list that was given out has changed")
	}
}

func BenchmarkCandidates(b *testing.B) {
	var all []nodes.Node
	for i := range 2000 {
		all = append(all, nodes.Of(object("node-"+strconv.Itoa(i), "amd64", map[string]string{"zone": "a", corev1.LabelArchStable: "amd64"})))
	}
	spec := affinity(term("zone", corev1.NodeSelectorOpIn, "a"))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range nodes.Each(spec, all) {
			n++
		}
		if n != 2000 {
			b.Fatal(n)
		}
	}
}
