package gopolicy

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// server is an API server in memory, with a set and the writer of the status.
// Its generations are the test's to count.
type server struct {
	client.Client
	set    Set
	writer *StatusWriter
	now    time.Time
	writes int
}

func newServer(t *testing.T, objects ...client.Object) *server {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &server{now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	s.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.GoPolicy{}, &v1alpha1.ClusterGoPolicy{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			s.writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		}}).Build()
	s.writer = &StatusWriter{Client: s, Set: &s.set, Now: func() time.Time { return s.now }}
	return s
}

// reconcile shows the object to the set, as the feeder does, and lets the writer
// look at it. It returns what the API server then has.
func (s *server) reconcile(t *testing.T, o Object) (reconcile.Result, Object) {
	t.Helper()
	name := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	s.get(t, name, o)
	s.set.Apply(o)
	result, err := s.writer.reconcile(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	s.get(t, name, o)
	return result, o
}

func (s *server) get(t *testing.T, name types.NamespacedName, o Object) {
	t.Helper()
	if err := s.Get(t.Context(), name, o); err != nil {
		t.Fatal(err)
	}
}

// update changes the spec as a user does.
func (s *server) update(t *testing.T, o Object, generation int64, spec v1alpha1.GoPolicySpec) {
	t.Helper()
	*o.PolicySpec() = spec
	o.SetGeneration(generation)
	if err := s.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func withExemption(expires string) v1alpha1.GoPolicySpec {
	spec := rule("x/y", fine)
	spec.Exemptions = []v1alpha1.Exemption{
		{Rule: "x/y", Ref: "a", Owner: "team", Reason: "r", Expires: expires},
		{Rule: "x/y", Ref: "b", Owner: "team", Reason: "r", Expires: "2026-11-01"},
	}
	return spec
}

func ready(o Object) string {
	for _, c := range o.PolicyStatus().Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return fmt.Sprintf("%s %s %d: %s", c.Status, c.Reason, c.ObservedGeneration, c.Message)
		}
	}
	return ""
}

func wantReady(t *testing.T, o Object, want string) {
	t.Helper()
	if got := ready(o); got != want {
		t.Errorf("Ready is %q, want %q", got, want)
	}
}

func TestStatus(t *testing.T) {
	for _, o := range []Object{namespaced("team-a", "p", 1, withExemption("2026-11-27")), cluster("p", 1, withExemption("2026-11-27"))} {
		t.Run(fmt.Sprintf("%T", o), func(t *testing.T) { testStatus(t, o) })
	}
}

func testStatus(t *testing.T, o Object) {
	s := newServer(t, o.(client.Object))
	result, o := s.reconcile(t, o)
	wantReady(t, o, "True Compiled 1: 1 rules are in force")
	status := o.PolicyStatus()
	if status.ObservedGeneration != 1 || status.Rules != 1 || status.Exemptions != 1 || status.ExpiredExemptions != 1 || status.InForce.Generation != 1 {
		t.Errorf("status %+v", status)
	}
	if want := 12*time.Hour + time.Second; result.RequeueAfter != want {
		t.Errorf("it is looked at again after %v, want %v: when the exemption runs out", result.RequeueAfter, want)
	}

	// Nothing has changed: nothing is written.
	s.reconcile(t, o)
	if s.writes != 1 {
		t.Errorf("%d writes, want 1", s.writes)
	}

	// The day after, the exemption has run out.
	s.now = s.now.Add(result.RequeueAfter)
	_, o = s.reconcile(t, o)
	if status = o.PolicyStatus(); status.Exemptions != 0 || status.ExpiredExemptions != 2 || s.writes != 2 {
		t.Errorf("%d and %d exemptions after %d writes, want 0, 2 and 2", status.Exemptions, status.ExpiredExemptions, s.writes)
	}

	// A spec that does not compile: its problems are named, the last good is kept.
	s.update(t, o, 2, rule("x/y", broken))
	_, o = s.reconcile(t, o)
	wantReady(t, o, "False CompileFailed 2: rules[0].require:2:7: undefined field 'nonsense'; generation 1 stays in force")
	status = o.PolicyStatus()
	problem := []v1alpha1.Problem{{Path: "rules[0].require", Line: 2, Column: 7, Message: "undefined field 'nonsense'"}}
	if diff := cmp.Diff(problem, status.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if status.ObservedGeneration != 2 || status.InForce.Generation != 1 || status.InForce.Spec.Rules[0].Require != fine || status.Rules != 1 {
		t.Errorf("status %+v", status)
	}

	// Another process, which has never seen the last good, finds it there.
	var restarted Set
	if out := restarted.Apply(o); out.InForce == nil || out.InForce.Generation != 1 || len(out.InForce.Spec.Exemptions) != 2 {
		t.Errorf("after a restart in force is %+v", out.InForce)
	}

	// Mended: the problems go away.
	s.update(t, o, 3, rule("x/y", "file.size > 2"))
	result, o = s.reconcile(t, o)
	wantReady(t, o, "True Compiled 3: 1 rules are in force")
	status = o.PolicyStatus()
	if len(status.Problems) > 0 || status.InForce.Generation != 3 || status.InForce.Spec.Rules[0].Require != "file.size > 2" || len(status.InForce.Spec.Exemptions) > 0 {
		t.Errorf("status %+v", status)
	}
	if result.RequeueAfter != 0 {
		t.Errorf("without exemptions it is looked at again after %v", result.RequeueAfter)
	}
}

func TestStatusOfWhatNeverCompiled(t *testing.T) {
	spec := rule("x/y", broken)
	spec.Action = "block"
	s := newServer(t, cluster("p", 1, spec))
	_, o := s.reconcile(t, &v1alpha1.ClusterGoPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}})
	wantReady(t, o, `False CompileFailed 1: action: "block" is not one of enforce, warn, audit (and 1 more); nothing is in force`)
	if status := o.PolicyStatus(); status.InForce != nil || len(status.Problems) != 2 || status.Rules != 0 {
		t.Errorf("status %+v", status)
	}
}

// A status whose last good spec does not compile with this version says so, and
// keeps it for the version that it compiled with.
func TestStatusOfWhatDoesNotCompileAnyMore(t *testing.T) {
	s := newServer(t, kept(5, 3, broken))
	_, o := s.reconcile(t, &v1alpha1.GoPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "p"}})
	wantReady(t, o, "False CompileFailed 5: rules[0].require:2:7: undefined field 'nonsense'; nothing is in force: generation 3, the last that was, does not compile any more")
	if status := o.PolicyStatus(); status.InForce == nil || status.InForce.Generation != 3 || status.Rules != 0 {
		t.Errorf("status %+v", status)
	}
}

func TestStatusIsBounded(t *testing.T) {
	var spec v1alpha1.GoPolicySpec
	for i := range 100 {
		spec.Match.Kinds = append(spec.Match.Kinds, fmt.Sprint(i, strings.Repeat("é", 100)))
	}
	spec.Severities = []v1alpha1.Severity{{Rule: strings.Repeat("é", 10_000), Severity: "off"}}
	s := newServer(t, cluster("p", 1, spec))
	_, o := s.reconcile(t, cluster("p", 1, spec))
	status := o.PolicyStatus()
	if len(status.Problems) != maxProblems {
		t.Errorf("%d problems, want %d", len(status.Problems), maxProblems)
	}
	if got := problems([]policy.Problem{{Message: strings.Repeat("é", 2000)}})[0].Message; len([]rune(got)) != maxMessageRunes+1 {
		t.Errorf("a message of %d characters", len([]rune(got)))
	}
}

// The writer waits for the set, and does not put in force itself: what is deleted
// meanwhile would come back.
func TestStatusWaitsForTheSet(t *testing.T) {
	s := newServer(t, cluster("p", 2, rule("x/y", fine)))
	s.set.Apply(cluster("p", 1, rule("x/y", fine)))
	result, err := s.writer.reconcile(t.Context(), types.NamespacedName{Name: "p"}, &v1alpha1.ClusterGoPolicy{})
	if err != nil || result.RequeueAfter != soon || s.writes != 0 {
		t.Errorf("result %v, error %v, %d writes", result, err, s.writes)
	}
	result, err = s.writer.reconcile(t.Context(), types.NamespacedName{Name: "gone"}, &v1alpha1.ClusterGoPolicy{})
	if err != nil || result.RequeueAfter != 0 {
		t.Errorf("of a policy that is gone: result %v, error %v", result, err)
	}
}

// A status that changes between reading and writing is not overwritten.
func TestStatusConflict(t *testing.T) {
	s := newServer(t, cluster("p", 1, rule("x/y", fine)))
	o := &v1alpha1.ClusterGoPolicy{}
	s.get(t, types.NamespacedName{Name: "p"}, o)
	s.set.Apply(o)
	s.writer.Client = stale{s.Client, o.DeepCopy()}
	o.Status.Rules = 7
	if err := s.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	result, err := s.writer.reconcile(t.Context(), types.NamespacedName{Name: "p"}, &v1alpha1.ClusterGoPolicy{})
	if err != nil || result.RequeueAfter != soon {
		t.Errorf("result %v, error %v, want another try", result, err)
	}
	s.get(t, types.NamespacedName{Name: "p"}, o)
	if o.Status.Rules != 7 || len(o.Status.Conditions) > 0 {
		t.Errorf("status %+v", o.Status)
	}
}

// stale is a client whose cache is behind.
type stale struct {
	client.Client
	object *v1alpha1.ClusterGoPolicy
}

func (s stale) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	s.object.DeepCopyInto(o.(*v1alpha1.ClusterGoPolicy))
	return nil
}

// The two writers of a status leave each other's part alone.
func TestPatchPods(t *testing.T) {
	for _, o := range []Object{namespaced("team-a", "p", 1, rule("x/y", fine)), cluster("p", 1, rule("x/y", fine))} {
		t.Run(fmt.Sprintf("%T", o), func(t *testing.T) {
			s := newServer(t, o.(client.Object))
			_, o := s.reconcile(t, o)
			p := s.set.All()[0]
			counts := v1alpha1.Counts{Passed: 5, Denied: 2}
			for range 2 {
				if err := PatchPods(t.Context(), s, p, counts); err != nil {
					t.Fatal(err)
				}
			}
			if s.writes != 2 {
				t.Errorf("%d writes, want that of the status and one of the counts", s.writes)
			}
			_, o = s.reconcile(t, o)
			wantReady(t, o, "True Compiled 1: 1 rules are in force")
			s.update(t, o, 2, rule("x/y", broken))
			_, o = s.reconcile(t, o)
			if got := o.PolicyStatus().Pods; got == nil || *got != counts {
				t.Errorf("counts are %+v, want %+v", got, counts)
			}
			if err := PatchPods(t.Context(), s, p, v1alpha1.Counts{}); err != nil {
				t.Fatal(err)
			}
			_, o = s.reconcile(t, o)
			if got := o.PolicyStatus().Pods; got == nil || *got != (v1alpha1.Counts{}) {
				t.Errorf("counts are %+v, want zeros", got)
			}
			wantReady(t, o, "False CompileFailed 2: rules[0].require:2:7: undefined field 'nonsense'; generation 1 stays in force")
			if err := s.Delete(t.Context(), o.(client.Object)); err != nil {
				t.Fatal(err)
			}
			if err := PatchPods(t.Context(), s, p, counts); err != nil {
				t.Errorf("of a policy that is gone: %v", err)
			}
		})
	}
}

// The built-in policy's rules count as inherited.
func TestCountRules(t *testing.T) {
	own := rule("x/y", fine)
	own.Extends = v1alpha1.ExtendsDefault
	var s Set
	p := s.Apply(cluster("p", 1, own)).InForce
	if got, want := int(countRules(p.Compiled)), 1+documentRules(policy.Default()); got != want {
		t.Errorf("%d rules, want %d", got, want)
	}
}

func documentRules(p *policy.Policy) int {
	n := 0
	for _, r := range p.Rules() {
		if r.Scope == api.ScopeFile || r.Scope == api.ScopeImage {
			n++
		}
	}
	return n
}

// Every field of the objects is copied deeply, also those that come later.
func TestDeepCopy(t *testing.T) {
	for _, o := range []runtime.Object{&v1alpha1.GoPolicyList{}, &v1alpha1.ClusterGoPolicyList{}} {
		populate(reflect.ValueOf(o).Elem(), 0)
		twin := o.DeepCopyObject()
		if diff := cmp.Diff(o, twin); diff != "" {
			t.Fatalf("%T (-original +copy):\n%s", o, diff)
		}
		if path := shared(reflect.ValueOf(o), reflect.ValueOf(twin), reflect.TypeOf(o).String()); path != "" {
			t.Errorf("the copy shares %s", path)
		}
	}
}

// populate sets every field, every element and every pointer.
func populate(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[metav1.Time]() {
			v.Set(reflect.ValueOf(metav1.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				populate(v.Field(i), n+i)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		populate(v.Index(0), n)
		populate(v.Index(1), n+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		populate(key, n)
		populate(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("s", n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(n + 1))
	case reflect.Bool:
		v.SetBool(true)
	}
}

// shared returns the path of a pointer, slice or map that a and b have in common.
func shared(a, b reflect.Value, path string) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.Type() != reflect.TypeFor[*time.Location]() && a.Pointer() != 0 && a.Pointer() == b.Pointer() {
			return path
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && a.Type() != reflect.TypeFor[*time.Location]() {
			return shared(a.Elem(), b.Elem(), path)
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if found := shared(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); found != "" {
				return found
			}
		}
	case reflect.Slice:
		for i := range a.Len() {
			if found := shared(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
	}
	return ""
}
