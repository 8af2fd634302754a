package gopolicy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		spec v1alpha1.GoPolicySpec
		want []string
	}{
		"nothing is the built-in policy": {spec: v1alpha1.GoPolicySpec{}},
		"an own rule":                    {spec: rule("x/y", fine)},
		"a type error":                   {rule("x/y", "file.size"), []string{"rules[0].require:1:1: the expression is of type int, want bool"}},
		"an unknown field":               {rule("x/y", broken), []string{"rules[0].require:2:7: undefined field 'nonsense'"}},
		"enums": {v1alpha1.GoPolicySpec{Action: "block", OnUnknown: "allow", Extends: "other", CPULevel: "v5", Match: v1alpha1.Match{Kinds: []string{"Pod", "pods"}}}, []string{
			`action: "block" is not one of enforce, warn, audit`, `onUnknown: "allow" is not one of admit, deny, warn`,
			`extends: "other" is not one of default, none`, `cpuLevel: "v5" is not one of v1, v2, v3, v4`,
			`match.kinds[1]: "pods" is not one of Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob`}},
		"selectors": {v1alpha1.GoPolicySpec{Match: v1alpha1.Match{
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{"no key!": "x"}}}}, []string{
			`match.namespaceSelector: "Near" is not a valid label selector operator`,
			`match.objectSelector: key: Invalid value: "no key!": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`}},
		"percent": {v1alpha1.GoPolicySpec{Mutate: &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 101}}}, []string{
			"mutate.memoryLimit.percent: 101 is not between 10 and 100"}},
		"percent by default": {spec: v1alpha1.GoPolicySpec{Mutate: &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{}}}},
		"an exemption for ever": {v1alpha1.GoPolicySpec{Exemptions: []v1alpha1.Exemption{{Rule: "build/**", Ref: "x", Owner: "a", Reason: "b"}}}, []string{
			"exemptions[0]: expires is missing"}},
		"an exemption of everything": {v1alpha1.GoPolicySpec{Exemptions: []v1alpha1.Exemption{{Rule: "build/**", Owner: "a", Reason: "b", Expires: "2027-01-01"}}}, []string{
			"exemptions[0]: an exemption needs ref, digest or when: use severities to change a rule everywhere"}},
		"a severity of no rule": {v1alpha1.GoPolicySpec{Severities: []v1alpha1.Severity{{Rule: "nobody/*", Severity: "off"}}}, []string{
			`severities[0].rule:1:1: no rule has the id "nobody/*"`}},
		"what is inherited, without inheritance": {v1alpha1.GoPolicySpec{Extends: v1alpha1.ExtendsNone,
			Severities: []v1alpha1.Severity{{Rule: "build/trimpath", Severity: "off"}}}, []string{`severities[0].rule:1:1: no rule has the id "build/trimpath"`}},
		"too large": {rule("x/y", strings.Repeat(" ", maxSpec)+fine), []string{"the policy has 65690 bytes, the limit is 65536: make two of it"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.spec.DeepCopy()
			var got []string
			for _, p := range Validate(&tc.spec) {
				got = append(got, strings.TrimPrefix(p.String(), ": "))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !reflect.DeepEqual(before, &tc.spec) {
				t.Error("the spec was changed")
			}
		})
	}
}

func TestNamespaceSelectorOfNamespaced(t *testing.T) {
	spec := v1alpha1.GoPolicySpec{Match: v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{}}}
	var s Set
	out := s.Apply(namespaced("team-a", "p", 1, spec))
	if len(out.Problems) != 1 || out.Problems[0].Path != "match.namespaceSelector" || len(s.All()) != 0 {
		t.Errorf("outcome %+v", out)
	}
	if out := s.Apply(cluster("p", 1, spec)); len(out.Problems) > 0 {
		t.Errorf("problems %v", out.Problems)
	}
}

// The fields of a policy file are those of a spec: what is written for one can
// be taken over to the other.
func TestSpecSaysWhatAFileSays(t *testing.T) {
	spec := v1alpha1.GoPolicySpec{
		Extends:    v1alpha1.ExtendsDefault,
		Rules:      []v1alpha1.Rule{{ID: "a/b", Severity: "warn", Scope: "image", Description: "d", When: "true", Require: "true", Message: "m", Hint: "h"}},
		Severities: []v1alpha1.Severity{{Rule: "start/*", Severity: "off"}},
		Exemptions: []v1alpha1.Exemption{{Rule: "a/b", Ref: "r", Digest: "sha256:1", When: "true", Owner: "o", Reason: "r", Expires: "2027-01-01"}},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var want api.Policy
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	want.SchemaVersion, want.Kind = api.SchemaVersion, api.KindPolicy
	if diff := cmp.Diff(want, document(&spec)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzValidate: no spec, whoever wrote it, makes the compiler panic or hang, and
// what is valid comes into force.
func FuzzValidate(f *testing.F) {
	for _, spec := range []v1alpha1.GoPolicySpec{
		{}, rule("x/y", fine), rule("x/y", broken),
		{Match: v1alpha1.Match{Kinds: []string{"Pod"}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}},
		{Exemptions: []v1alpha1.Exemption{{Rule: "build/**", When: "finding.path == ''", Owner: "o", Reason: "r", Expires: "2027-01-01"}}},
		{CPULevel: "v3",
			Mutate: &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 95}, RuntimeClassName: "x"}},
	} {
		data, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec v1alpha1.GoPolicySpec
		if json.Unmarshal(data, &spec) != nil {
			return // no spec at all
		}
		problems := Validate(&spec)
		var s Set
		out := s.Apply(cluster("p", 1, spec))
		if (len(problems) == 0) != (out.InForce != nil) || len(s.Match("n", nil, nil, "Pod")) > 1 {
			t.Errorf("problems %v, but in force is %v", problems, out.InForce)
		}
	})
}
