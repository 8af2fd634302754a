package chart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Uninstall removes everything that the release consists of; policies go with
// their CRDs, unless keepCRDs says that these stay. Webhook configurations go
// first, so that a removal that ends early blocks nobody; the inventory and the
// namespace go last, so that the next one continues it. That there is no
// installation is an error with the code fault.NotFound.
func (c *Cluster) Uninstall(ctx context.Context, r Release, keepCRDs bool, opt Options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, opt.Timeout, errTimeout)
	defer cancel()
	found, ok, err := c.readInventory(ctx, r)
	if err != nil {
		return err
	}
	last := []identity{r.inventoryID()}
	owned, err := c.ownsNamespace(ctx, r)
	if err != nil {
		return err
	}
	switch {
	case owned:
		last = append(last, r.namespaceID())
	case !ok:
		return c.notInstalled(ctx, r)
	}
	var all []identity
	for _, id := range found.Objects {
		if id.same(r.namespaceID()) {
			continue
		}
		id.Keep = id.Keep || keepCRDs && id.Kind == kindCRD
		all = append(all, id)
	}
	if err := c.removeStep(ctx, all, opt); err != nil {
		return err
	}
	// Now nobody has the right to write new ones.
	if err := c.removeReports(ctx, all, opt.Report); err != nil {
		return err
	}
	return c.removeStep(ctx, last, opt)
}

// removeStep removes objects and waits until they are gone.
func (c *Cluster) removeStep(ctx context.Context, ids []identity, opt Options) error {
	if err := c.removeAll(ctx, ids, opt.Report); err != nil {
		return err
	}
	return c.awaitGone(ctx, ids, opt)
}

// ownsNamespace says whether the installation has made its namespace.
func (c *Cluster) ownsNamespace(ctx context.Context, r Release) (bool, error) {
	namespace, err := c.get(ctx, r.namespaceID())
	return namespace != nil && namespace.GetAnnotations()[ownerAnnotation] == r.owner(), err
}

// notInstalled is the error of a removal of what is not there.
func (c *Cluster) notInstalled(ctx context.Context, r Release) error {
	f := &fault.Error{
		Code: fault.NotFound, Op: "uninstall", Input: r.owner(), Err: errors.New("there is no such installation"),
		Hint: "what Helm has installed, 'helm uninstall' removes",
	}
	others, err := c.otherInstallations(ctx, r)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		namespace, _, _ := strings.Cut(others[0], "/")
		f.Hint = fmt.Sprintf("there is one in the namespace %s: use -n %s", namespace, namespace)
	}
	return f
}

// removeAll removes objects, except those that are kept.
func (c *Cluster) removeAll(ctx context.Context, ids []identity, report func(Event)) error {
	ids = slices.SortedFunc(slices.Values(ids), compareRemove)
	for _, id := range ids {
		if id.Keep {
			report(Event{Kept, id.String(), "it is to outlive the installation"})
			continue
		}
		removed, err := c.remove(ctx, id)
		if err != nil {
			return err
		}
		if removed {
			report(Event{Removed, id.String(), ""})
		}
	}
	return nil
}

// awaitGone waits until the objects do not exist.
func (c *Cluster) awaitGone(ctx context.Context, ids []identity, opt Options) error {
	if !opt.Wait {
		return nil
	}
	open := map[identity]string{}
	for _, id := range ids {
		if !id.Keep {
			open[id] = ""
		}
	}
	for {
		for id, last := range open {
			switch o, err := c.get(ctx, id); {
			case ctx.Err() != nil:
			case err != nil:
				return err
			case o == nil:
				delete(open, id)
			case last == "":
				open[id] = "is not gone yet"
				opt.Report(Event{Waiting, id.String(), open[id]})
			}
		}
		if len(open) == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return unsettled(ctx, open)
		}
	}
}

// reportKinds are the kinds of what the fleet controller writes.
var reportKinds = []string{"PolicyReport", "ClusterPolicyReport"}

// removeReports removes the reports of the fleet controller where they would not
// go with their CRDs.
func (c *Cluster) removeReports(ctx context.Context, all []identity, report func(Event)) error {
	for _, kind := range reportKinds {
		goes := slices.ContainsFunc(all, func(of identity) bool {
			return of.Kind == kindCRD && !of.Keep && of.Name == strings.ToLower(kind)+"s.wgpolicyk8s.io"
		})
		if goes {
			continue
		}
		id := identity{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: kind}
		if err := c.removeLabelled(ctx, id, report); err != nil {
			return err
		}
	}
	return nil
}

// removeLabelled removes every object of a kind that Gopherwood's label is on.
func (c *Cluster) removeLabelled(ctx context.Context, kind identity, report func(Event)) error {
	resource, err := c.resource(kind)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return failed("list", kind, err)
	}
	opt := metav1.ListOptions{LabelSelector: managedBy + "=" + manager, Limit: 500}
	for {
		list, err := resource.List(ctx, opt)
		if err != nil {
			return failed("list", kind, err)
		}
		for _, item := range list.Items {
			id := identityOf(&item)
			id.Keep = false
			if err := c.removeAll(ctx, []identity{id}, report); err != nil {
				return err
			}
		}
		if list.GetContinue() == "" {
			return nil
		}
		opt.Continue = list.GetContinue()
	}
}
