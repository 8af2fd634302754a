package gopolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
)

// rule is a spec with one rule of its own.
func rule(id, require string) v1alpha1.GoPolicySpec {
	return v1alpha1.GoPolicySpec{Extends: v1alpha1.ExtendsNone,
		Rules: []v1alpha1.Rule{{ID: id, Severity: api.Deny, Require: require, Message: "no"}}}
}

func namespaced(namespace, name string, generation int64, spec v1alpha1.GoPolicySpec) *v1alpha1.GoPolicy {
	return &v1alpha1.GoPolicy{Spec: spec, ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Generation: generation, UID: types.UID(namespace + "/" + name)}}
}

func cluster(name string, generation int64, spec v1alpha1.GoPolicySpec) *v1alpha1.ClusterGoPolicy {
	return &v1alpha1.ClusterGoPolicy{Spec: spec, ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation, UID: types.UID(name)}}
}

// fine and broken are expressions; broken has a mistake in its second line.
const (
	fine   = "file.size > 0"
	broken = "file.size > 0 &&\n  file.nonsense"
)

func names(policies []*Policy) []string {
	out := []string{}
	for _, p := range policies {
		out = append(out, fmt.Sprintf("%s@%d", p.Name, p.Generation))
	}
	return out
}

func want(t *testing.T, got []*Policy, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, names(got)); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

func TestMatch(t *testing.T) {
	match := func(m v1alpha1.Match) v1alpha1.GoPolicySpec {
		spec := rule("x/y", fine)
		spec.Match = m
		return spec
	}
	var s Set
	if got := s.Match("team-a", nil, nil, "Pod"); len(got) != 0 {
		t.Errorf("an empty set matches %v", names(got))
	}
	for _, o := range []Object{
		cluster("all", 1, rule("x/y", fine)),
		cluster("prod", 1, match(v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}})),
		cluster("labelled", 1, match(v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "env", Operator: metav1.LabelSelectorOpExists}}}})),
		cluster("any", 1, match(v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{}})),
		namespaced("team-a", "own", 1, rule("x/y", fine)),
		namespaced("team-a", "web", 1, match(v1alpha1.Match{ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}})),
		namespaced("team-a", "jobs", 1, match(v1alpha1.Match{Kinds: []string{"Job", "CronJob"}})),
		namespaced("team-b", "own", 1, rule("x/y", fine)),
	} {
		if out := s.Apply(o); len(out.Problems) > 0 {
			t.Fatal(out.Problems)
		}
	}
	const all, any, labelled, prod = "ClusterGoPolicy all@1", "ClusterGoPolicy any@1", "ClusterGoPolicy labelled@1", "ClusterGoPolicy prod@1"
	for _, tc := range []struct {
		namespace                     string
		namespaceLabels, objectLabels map[string]string
		kind                          string
		want                          []string
	}{
		{"other", nil, nil, "Pod", []string{all, any}},
		{"other", map[string]string{"env": "test"}, nil, "Pod", []string{all, any, labelled}},
		{"other", map[string]string{"env": "prod"}, nil, "Pod", []string{all, any, labelled, prod}},
		{"team-a", nil, nil, "Pod", []string{all, any, "GoPolicy team-a/own@1"}},
		{"team-a", nil, map[string]string{"app": "web"}, "Deployment", []string{all, any, "GoPolicy team-a/own@1", "GoPolicy team-a/web@1"}},
		{"team-a", map[string]string{"app": "web"}, nil, "Job", []string{all, any, "GoPolicy team-a/jobs@1", "GoPolicy team-a/own@1"}},
		{"team-b", nil, map[string]string{"app": "web"}, "Job", []string{all, any, "GoPolicy team-b/own@1"}},
		{"team", nil, nil, "Pod", []string{all, any}},
		{"", nil, nil, "Pod", []string{all, any}},
	} {
		t.Run(fmt.Sprint(tc.namespace, tc.namespaceLabels, tc.objectLabels, tc.kind), func(t *testing.T) {
			want(t, s.Match(tc.namespace, tc.namespaceLabels, tc.objectLabels, tc.kind), tc.want...)
		})
	}
	want(t, s.All(), all, any, labelled, prod, "GoPolicy team-a/jobs@1", "GoPolicy team-a/own@1", "GoPolicy team-a/web@1", "GoPolicy team-b/own@1")
}

// What is in force judges as it is written, with the built-in policy below it.
func TestPolicyJudges(t *testing.T) {
	var s Set
	spec := rule("team/size", "file.size > 10")
	spec.Extends = "" // as the API server would not leave it
	s.Apply(namespaced("team-a", "strict", 1, spec))
	p := s.Match("team-a", nil, nil, "Pod")[0]
	if p.Spec.Extends != v1alpha1.ExtendsDefault || p.Spec.Action != v1alpha1.ActionEnforce || p.Spec.OnUnknown != v1alpha1.OnUnknownDeny {
		t.Errorf("the defaults are missing: %+v", p.Spec)
	}
	subject := &facts.Subject{Files: []api.Facts{{Path: "/app", Size: 1, Format: "elf", Go: &api.Go{Version: "go1.20", Trimpath: true}}}}
	v, err := p.Compiled.Judge(t.Context(), subject, nil, setting())
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, f := range v.Findings {
		rules = append(rules, f.Rule)
	}
	if v.Verdict != api.Deny || !slices.Contains(rules, "team/size") || !slices.Contains(rules, "go/supported") {
		t.Errorf("verdict %s by %q, want a denial by team/size and by the inherited go/supported", v.Verdict, rules)
	}
}

func TestBadUpdateKeepsTheLastGood(t *testing.T) {
	var s Set
	s.Apply(namespaced("team-a", "p", 1, rule("x/y", fine)))
	good := s.Match("team-a", nil, nil, "Pod")[0]
	out := s.Apply(namespaced("team-a", "p", 2, rule("x/y", broken)))
	wantProblems := []policy.Problem{{Path: "rules[0].require", Line: 2, Column: 7, Message: "undefined field 'nonsense'"}}
	if diff := cmp.Diff(wantProblems, out.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got := s.Match("team-a", nil, nil, "Pod"); len(got) != 1 || got[0] != good || out.InForce != good || out.Generation != 2 {
		t.Errorf("in force is %v, want what was", names(got))
	}
	s.Apply(namespaced("team-a", "p", 3, rule("x/y", "file.size > 1")))
	want(t, s.All(), "GoPolicy team-a/p@3")
	// A watch that begins again may show an older object once more.
	s.Apply(namespaced("team-a", "p", 2, rule("x/y", broken)))
	want(t, s.All(), "GoPolicy team-a/p@3")
}

func TestPolicyThatNeverCompiledIsNotInForce(t *testing.T) {
	var s Set
	out := s.Apply(cluster("p", 1, rule("x/y", broken)))
	if out.InForce != nil || len(out.Problems) == 0 || len(s.All()) != 0 {
		t.Errorf("outcome %+v, in force %v", out, names(s.All()))
	}
}

// kept is an object whose spec does not compile, with what its status says of
// the last that did.
func kept(generation, inForce int64, require string) *v1alpha1.GoPolicy {
	o := namespaced("team-a", "p", generation, rule("x/y", broken))
	o.Status.InForce = &v1alpha1.InForce{Generation: inForce, Spec: rule("x/y", require)}
	return o
}

func TestRestart(t *testing.T) {
	t.Run("the last good is found in the status", func(t *testing.T) {
		var s Set
		out := s.Apply(kept(5, 3, fine))
		if len(out.Problems) == 0 || out.Generation != 5 {
			t.Errorf("outcome %+v, want the problems of generation 5", out)
		}
		want(t, s.All(), "GoPolicy team-a/p@3")
	})
	t.Run("what is remembered is newer", func(t *testing.T) {
		var s Set
		s.Apply(namespaced("team-a", "p", 4, rule("x/y", fine)))
		s.Apply(kept(5, 3, fine))
		want(t, s.All(), "GoPolicy team-a/p@4")
	})
	t.Run("the status is newer than what is remembered", func(t *testing.T) {
		var s Set
		s.Apply(namespaced("team-a", "p", 2, rule("x/y", fine)))
		s.Apply(kept(5, 4, fine))
		want(t, s.All(), "GoPolicy team-a/p@4")
	})
	t.Run("the status comes later", func(t *testing.T) {
		var s Set
		s.Apply(namespaced("team-a", "p", 5, rule("x/y", broken)))
		s.Apply(kept(5, 3, fine))
		want(t, s.All(), "GoPolicy team-a/p@3")
		s.Apply(kept(5, 4, fine))
		want(t, s.All(), "GoPolicy team-a/p@4")
	})
	t.Run("what the status has does not compile any more", func(t *testing.T) {
		var s Set
		if out := s.Apply(kept(5, 3, broken)); out.InForce != nil {
			t.Errorf("in force is %+v", out.InForce)
		}
		want(t, s.All())
	})
	t.Run("a spec that compiles does not look at the status", func(t *testing.T) {
		var s Set
		o := kept(5, 3, fine)
		o.Spec = rule("x/y", fine)
		s.Apply(o)
		want(t, s.All(), "GoPolicy team-a/p@5")
	})
}

func TestRemove(t *testing.T) {
	var s Set
	old := namespaced("team-a", "p", 7, rule("x/y", fine))
	s.Apply(old)
	s.Apply(namespaced("team-b", "p", 1, rule("x/y", fine)))
	s.Apply(cluster("p", 1, rule("x/y", fine)))
	s.Remove(old)
	want(t, s.All(), "ClusterGoPolicy p@1", "GoPolicy team-b/p@1")

	// Deleted and made again while nobody looked: nothing of the old is left, and
	// the late news of its end does not touch the new.
	s.Apply(old)
	again := namespaced("team-a", "p", 1, rule("x/y", broken))
	again.UID = "another"
	s.Apply(again)
	want(t, s.Match("team-a", nil, nil, "Pod"), "ClusterGoPolicy p@1")
	again.Spec, again.Generation = rule("x/y", fine), 2
	s.Apply(again)
	s.Remove(old)
	want(t, s.Match("team-a", nil, nil, "Pod"), "ClusterGoPolicy p@1", "GoPolicy team-a/p@2")
	s.Remove(old)
	s.Remove(again)
	want(t, s.Match("team-a", nil, nil, "Pod"), "ClusterGoPolicy p@1")
}

func TestTheSameRulesAreCompiledOnce(t *testing.T) {
	var s Set
	spec := rule("x/y", fine)
	a := s.Apply(namespaced("team-a", "p", 1, spec)).InForce
	spec.Action = v1alpha1.ActionAudit
	b := s.Apply(namespaced("team-b", "p", 1, spec)).InForce
	other := s.Apply(namespaced("team-c", "p", 1, rule("x/y", "file.size > 1"))).InForce
	if a.Compiled != b.Compiled || a.Compiled == other.Compiled {
		t.Error("the same rules are compiled twice, or other rules taken for the same")
	}
	if a.Spec.Action != v1alpha1.ActionEnforce || b.Spec.Action != v1alpha1.ActionAudit {
		t.Error("policies share more than their rules")
	}
}

// Later changes of an object that was applied do not reach what is in force.
func TestSetKeepsItsOwnCopy(t *testing.T) {
	var s Set
	spec := rule("x/y", fine)
	spec.Match.Kinds = []string{"Pod"}
	o := namespaced("team-a", "p", 1, spec)
	s.Apply(o)
	o.Spec.Match.Kinds[0], o.Spec.Rules[0].ID = "Job", "z/z"
	p := s.All()[0]
	if p.Spec.Match.Kinds[0] != "Pod" || p.Spec.Rules[0].ID != "x/y" {
		t.Errorf("in force is %+v", p.Spec)
	}
}

// Readers see whole states only, whatever is applied meanwhile.
func TestSetConcurrently(t *testing.T) {
	var s Set
	s.Apply(cluster("base", 1, rule("x/y", fine)))
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for g := int64(1); g <= 30; g++ {
				o := namespaced("team-a", fmt.Sprint("p", w), g, rule("x/y", fine))
				if g%3 == 0 {
					o.Spec = rule("x/y", broken)
				}
				s.Apply(o)
				s.Outcome(o)
				if g%10 == 0 {
					s.Remove(o)
				}
			}
		})
	}
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got := names(s.Match("team-a", nil, nil, "Pod"))
				if len(got) == 0 || got[0] != "ClusterGoPolicy base@1" || !slices.IsSorted(got) {
					t.Errorf("Match gave %q", got)
					return
				}
				s.All()
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	want(t, s.All(), "ClusterGoPolicy base@1")
}

func TestCPULevel(t *testing.T) {
	for text, level := range map[string]int{"": 0, "v1": 1, "v4": 4} {
		if got := (&Policy{Spec: v1alpha1.GoPolicySpec{CPULevel: text}}).CPULevel(); got != level {
			t.Errorf("level of %q is %d, want %d", text, got, level)
		}
	}
}

// What is made to cost much is refused, or costs little to compile. To judge by
// it is bounded too: by the cost limit of every expression.
func TestBomb(t *testing.T) {
	all := "true"
	for i := range 12 {
		all = fmt.Sprintf("[1,2,3,4,5,6,7,8,9,10].all(x%d, %s)", i, all)
	}
	nested := func(depth int) string {
		return strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth) + " == []"
	}
	for name, tc := range map[string]struct {
		require string
		refused bool
	}{
		"loops in loops":       {all, false},
		"many terms":           {strings.Repeat("true && ", 800) + "true", false},
		"lists in lists":       {nested(20), false},
		"types of types":       {nested(200), true}, // they cost the checker the cube of their depth
		"parentheses":          {strings.Repeat("(", 4000) + "true" + strings.Repeat(")", 4000), true},
		"too long":             {strings.Repeat("true && ", 100_000) + "true", true},
		"a regular expression": {"'aaaa'.matches('" + strings.Repeat("(a{1,1000}){1,1000}", 200) + "')", true},
	} {
		t.Run(name, func(t *testing.T) {
			spec := rule("x/y0", tc.require)
			for i := 1; (i+1)*(len(tc.require)+80) < maxSpec && i < 128; i++ { // as many as may be
				r := spec.Rules[0]
				r.ID = fmt.Sprintf("x/y%d", i)
				spec.Rules = append(spec.Rules, r)
			}
			var s Set
			start := time.Now()
			out := s.Apply(cluster("bomb", 1, spec))
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%d rules took %v", len(spec.Rules), took)
			}
			if (len(out.Problems) > 0) != tc.refused {
				t.Errorf("problems %v", out.Problems)
			}
		})
	}
}

// A policy made of bombs does not hold up who judges by it: the verdict comes
// when the caller's time is over, and is no pass.
func TestBombIsJudgedInTime(t *testing.T) {
	all := "true"
	for i := range 12 {
		all = fmt.Sprintf("[1,2,3,4,5,6,7,8,9,10].all(x%d, %s)", i, all)
	}
	spec := rule("x/y0", all)
	for i := 1; i < 100; i++ {
		r := spec.Rules[0]
		r.ID = fmt.Sprintf("x/y%d", i)
		spec.Rules = append(spec.Rules, r)
	}
	var s Set
	p := s.Apply(cluster("bomb", 1, spec)).InForce
	if p == nil {
		t.Fatal("the policy is refused")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	v, err := p.Compiled.Judge(ctx, &facts.Subject{Files: []api.Facts{{Path: "/app"}}}, nil, setting())
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the verdict took %v", took)
	}
	if err == nil && v.Verdict != api.Deny {
		t.Errorf("verdict %s, want none or a denial", v.Verdict)
	}
}

func setting() policy.Setting {
	return policy.Setting{Today: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), Matrix: matrix.Embedded(false)}
}

func TestMutating(t *testing.T) {
	var set Set
	plain := cluster("plain", 1, v1alpha1.GoPolicySpec{})
	filling := cluster("filling", 1, v1alpha1.GoPolicySpec{Mutate: &v1alpha1.Mutate{PinDigest: true}})
	set.Apply(plain)
	if set.Mutating() {
		t.Error("a policy that fills in nothing counts")
	}
	set.Apply(filling)
	if !set.Mutating() {
		t.Error("a policy that fills in something does not count")
	}
	set.Remove(filling)
	if set.Mutating() {
		t.Error("a policy that is gone counts")
	}
}
