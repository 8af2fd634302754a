package gopolicy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// What a status holds of problems at most.
const (
	maxProblems     = 32
	maxMessageRunes = 1024
)

// The field managers of the two parts of a status, which never touch each other.
const (
	statusManager = "gopherwood-policy"
	podsManager   = "gopherwood-fleet"
)

// soon is when a policy is looked at again that the set has not seen yet, or that
// somebody else has changed in between.
const soon = 200 * time.Millisecond

// StatusWriter writes what has become of each policy into its status: all but
// the counts of pods. It needs the Set that a Feeder fills in the same process.
type StatusWriter struct {
	Client client.Client
	Set    *Set
	// Now is the clock, for the exemptions that have run out; nil means time.Now.
	Now func() time.Time
}

// SetupWithManager adds a controller for each kind. They run in the replica that
// is elected.
func (w *StatusWriter) SetupWithManager(m ctrl.Manager) error {
	return errors.Join(
		ctrl.NewControllerManagedBy(m).Named("gopolicy-status").For(&v1alpha1.GoPolicy{}).
			Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
				return w.reconcile(ctx, r.NamespacedName, &v1alpha1.GoPolicy{})
			})),
		ctrl.NewControllerManagedBy(m).Named("clustergopolicy-status").For(&v1alpha1.ClusterGoPolicy{}).
			Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
				return w.reconcile(ctx, r.NamespacedName, &v1alpha1.ClusterGoPolicy{})
			})),
	)
}

// reconcile brings the status of one policy up to date. o is an empty object of
// its kind.
func (w *StatusWriter) reconcile(ctx context.Context, name types.NamespacedName, o Object) (reconcile.Result, error) {
	if err := w.Client.Get(ctx, name, o); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	outcome, ok := w.Set.Outcome(o)
	if !ok {
		return reconcile.Result{RequeueAfter: soon}, nil
	}
	now := w.now()
	before := o.DeepCopyObject().(Object)
	fill(o.PolicyStatus(), outcome, now)
	if equality.Semantic.DeepEqual(before.PolicyStatus(), o.PolicyStatus()) {
		return nextDay(outcome, now), nil
	}
	// A patch of a status that is not the latest could mix two specs in inForce.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := w.Client.Status().Patch(ctx, o, patch, client.FieldOwner(statusManager))
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: soon}, nil
	}
	return nextDay(outcome, now), client.IgnoreNotFound(err)
}

func (w *StatusWriter) now() time.Time {
	if w.Now == nil {
		return time.Now()
	}
	return w.Now()
}

// nextDay says when the status may change by itself: exemptions run out at
// midnight in UTC.
func nextDay(outcome Outcome, now time.Time) reconcile.Result {
	if outcome.InForce == nil || len(outcome.InForce.Spec.Exemptions) == 0 {
		return reconcile.Result{}
	}
	return reconcile.Result{RequeueAfter: day(now).AddDate(0, 0, 1).Add(time.Second).Sub(now)}
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// fill writes the outcome into a status.
func fill(status *v1alpha1.GoPolicyStatus, outcome Outcome, now time.Time) {
	status.ObservedGeneration = outcome.Generation
	status.Problems = problems(outcome.Problems)
	status.Rules, status.Exemptions, status.ExpiredExemptions = 0, 0, 0
	if p := outcome.InForce; p != nil {
		status.InForce = &v1alpha1.InForce{Generation: p.Generation, Spec: *p.Spec.DeepCopy()}
		status.Rules = countRules(p.Compiled)
		status.Exemptions, status.ExpiredExemptions = countExemptions(p.Spec.Exemptions, now)
	}
	meta.SetStatusCondition(&status.Conditions, condition(status, outcome, now))
}

func condition(status *v1alpha1.GoPolicyStatus, outcome Outcome, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, ObservedGeneration: outcome.Generation, LastTransitionTime: metav1.NewTime(now),
		Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCompiled, Message: fmt.Sprintf("%d rules are in force", status.Rules)}
	if len(outcome.Problems) == 0 {
		return c
	}
	c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonCompileFailed
	switch {
	case outcome.InForce != nil:
		c.Message = fmt.Sprintf("%s; generation %d stays in force", summary(outcome.Problems), outcome.InForce.Generation)
	case status.InForce != nil:
		c.Message = fmt.Sprintf("%s; nothing is in force: generation %d, the last that was, does not compile any more",
			summary(outcome.Problems), status.InForce.Generation)
	default:
		c.Message = summary(outcome.Problems) + "; nothing is in force"
	}
	return c
}

// summary says in one line what keeps a policy from compiling.
func summary(all []policy.Problem) string {
	first := strings.TrimPrefix(all[0].String(), ": ")
	if len(all) > 1 {
		return fmt.Sprintf("%s (and %d more)", shorten(first), len(all)-1)
	}
	return shorten(first)
}

func problems(all []policy.Problem) []v1alpha1.Problem {
	var out []v1alpha1.Problem
	for _, p := range all[:min(len(all), maxProblems)] {
		out = append(out, v1alpha1.Problem{
			Path: shorten(p.Path), Line: int32(p.Line), Column: int32(p.Column), Message: shorten(p.Message),
		})
	}
	return out
}

// shorten cuts a text that quotes a hostile policy.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > maxMessageRunes {
		return string(runes[:maxMessageRunes]) + "…"
	}
	return s
}

// countRules counts the rules of the policy and those that it inherits.
func countRules(p *policy.Policy) int32 {
	var n int32
	for _, r := range p.Rules() {
		if r.Policy != "" {
			n++
		}
	}
	return n
}

func countExemptions(all []v1alpha1.Exemption, now time.Time) (valid, expired int32) {
	for _, e := range all {
		last, err := time.Parse(time.DateOnly, e.Expires)
		if err != nil || day(now).After(last) {
			expired++
		} else {
			valid++
		}
	}
	return valid, expired
}

// PatchPods writes how many pods the policy passes and denies into its status,
// and nothing else; where that is what it says already, nothing is written. A
// policy that is gone is no error.
func PatchPods(ctx context.Context, c client.Client, p *Policy, counts v1alpha1.Counts) error {
	var o Object = &v1alpha1.GoPolicy{}
	if p.Kind == v1alpha1.KindClusterGoPolicy {
		o = &v1alpha1.ClusterGoPolicy{}
	}
	if err := c.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: p.ObjectName}, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pods := o.PolicyStatus().Pods; pods != nil && *pods == counts {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"pods": counts}})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(c.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(podsManager)))
}
