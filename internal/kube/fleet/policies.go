package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// judged is a policy with the judge that asks it.
type judged struct {
	policy *gopolicy.Policy
	action string
	judge  *verdict.Judge
}

func (j judged) Name() string   { return j.policy.Name }
func (j judged) Action() string { return j.action }

func (j judged) Judge(ctx context.Context, img *images.Image, w *workload.Workload, c workload.Container, cpuLevel int) ([]api.Verdict, error) {
	return j.judge.Container(ctx, j.policy, img, w, c, cpuLevel)
}

// OnePolicy is one policy about everything, such as a file's.
func OnePolicy(name string, p *policy.Policy, judge *verdict.Judge) Policies {
	return onePolicy{judged{&gopolicy.Policy{Name: name, Compiled: p}, "", judge}}
}

type onePolicy struct{ judged }

func (p onePolicy) Match(string, map[string]string, map[string]string, string) []Policy {
	return []Policy{p.judged}
}

// ClusterPolicies are the GoPolicies and ClusterGoPolicies of a cluster.
type ClusterPolicies struct {
	Set   *gopolicy.Set
	Judge *verdict.Judge
	// Client writes the numbers of pods into the policies' status; nil means that
	// nobody does.
	Client client.Client
}

// Match implements Policies.
func (p *ClusterPolicies) Match(namespace string, namespaceLabels, objectLabels map[string]string, kind string) []Policy {
	var all []Policy
	for _, one := range p.Set.Match(namespace, namespaceLabels, objectLabels, kind) {
		all = append(all, judged{one, string(one.Spec.Action), p.Judge})
	}
	return all
}

// Stamp implements Changing.
func (p *ClusterPolicies) Stamp() (string, bool) {
	if !p.Set.Ready() {
		return "", false
	}
	var b strings.Builder
	for _, one := range p.Set.All() {
		fmt.Fprintf(&b, "%s %p\n", one.Name, one)
	}
	return b.String(), true
}

// Count implements Counting.
func (p *ClusterPolicies) Count(ctx context.Context, counts map[string]v1alpha1.Counts) error {
	if p.Client == nil {
		return nil
	}
	for _, one := range p.Set.All() {
		if err := gopolicy.PatchPods(ctx, p.Client, one, counts[one.Name]); err != nil {
			return err
		}
	}
	return nil
}

// ReadPolicies returns the policies of a cluster as they are now. There are none
// when the cluster does not know policies, or the user may not read them; denied
// then says so.
func ReadPolicies(ctx context.Context, c *Cluster, judge *verdict.Judge) (policies *ClusterPolicies, denied error) {
	set := &gopolicy.Set{}
	err := errors.Join(
		readPolicies(ctx, c, &v1alpha1.ClusterGoPolicyList{}, func(l *v1alpha1.ClusterGoPolicyList) {
			for i := range l.Items {
				set.Apply(&l.Items[i])
			}
		}),
		readPolicies(ctx, c, &v1alpha1.GoPolicyList{}, func(l *v1alpha1.GoPolicyList) {
			for i := range l.Items {
				set.Apply(&l.Items[i])
			}
		}))
	set.SetReady()
	return &ClusterPolicies{Set: set, Judge: judge}, err
}

func readPolicies[L client.ObjectList](ctx context.Context, c *Cluster, list L, take func(L)) error {
	opt := &client.ListOptions{Limit: page}
	for {
		err := c.Client.List(ctx, list, opt)
		switch {
		case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
			return nil
		case err != nil:
			e := &fault.Error{Code: fault.Unavailable, Op: "list policies", Input: c.Name, Err: err}
			if apierrors.IsForbidden(err) {
				e.Code = fault.Denied
				e.Hint = "name a policy file by --policy, or let an administrator grant list on gopolicies and clustergopolicies of gopherwood.dev"
			}
			return e
		}
		take(list)
		if opt.Continue = list.GetContinue(); opt.Continue == "" {
			return nil
		}
	}
}

// Empty reports whether there are no policies.
func (p *ClusterPolicies) Empty() bool { return len(p.Set.All()) == 0 }
