package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ScanOptions says what a scan is about.
type ScanOptions struct {
	// Namespaces are those that are looked at; empty means all.
	Namespaces []string
	// Selector is a label selector of pods; empty means all.
	Selector string
	// WorkloadLabels also reads the labels of workloads and namespaces, which
	// policies of a cluster may ask for.
	WorkloadLabels bool
	// Jobs is how many containers are assessed at once; at least 1.
	Jobs int
	// Progress is told of images: how many there are and how many are done.
	Progress progress.Sink
}

// page is how many objects are listed at once.
const page = 500

// Scan returns what runs in the cluster now. What could not be listed or read
// does not end it: it is in the list's errors. The error says that ctx has ended,
// or that no pods could be listed.
//
// The assessor's NamespaceLabels is set by the scan.
func Scan(ctx context.Context, cluster *Cluster, a *Assessor, opt ScanOptions) (*api.FleetList, []error, error) {
	s := &scan{cluster: cluster, opt: opt, inventory: NewInventory(), namespaces: map[string]map[string]string{}}
	if err := s.list(ctx); err != nil {
		return nil, nil, err
	}
	a.NamespaceLabels = func(name string) map[string]string { return s.namespaces[name] }
	groups := s.inventory.Groups()
	known, err := assessAll(ctx, a, groups, opt)
	if err != nil {
		return nil, nil, err
	}
	list := newList(cluster.Name, a.Now(), groups, known.get)
	list.Namespaces, list.Selector = opt.Namespaces, opt.Selector
	return list, append(s.errs, known.errors()...), nil
}

type scan struct {
	cluster    *Cluster
	opt        ScanOptions
	inventory  *Inventory
	namespaces map[string]map[string]string
	errs       []error
}

// list fills the inventory. Only the pods are needed; each other list that fails
// is an error of the scan.
func (s *scan) list(ctx context.Context) error {
	resources := between[:]
	if s.opt.WorkloadLabels {
		resources = slices.Concat(resources, workloads[:])
	}
	if err := s.listNodes(ctx); err != nil {
		s.errs = append(s.errs, err)
	}
	for _, namespace := range s.scopes() {
		for _, r := range resources {
			if err := s.listMetadata(ctx, r, namespace, s.setOwner); err != nil {
				s.errs = append(s.errs, err)
			}
		}
	}
	if s.opt.WorkloadLabels {
		err := s.listMetadata(ctx, namespaces, "", func(m *metav1.PartialObjectMetadata) error {
			s.namespaces[m.Name] = m.Labels
			return nil
		})
		if err != nil {
			s.errs = append(s.errs, err)
		}
	}
	return s.listAllPods(ctx)
}

// listAllPods lists the pods of every namespace that was asked for. It fails
// when it could list none.
func (s *scan) listAllPods(ctx context.Context) error {
	var failed []error
	scopes := s.scopes()
	for _, namespace := range scopes {
		if err := s.listPods(ctx, namespace); err != nil {
			failed = append(failed, err)
		}
	}
	if ctx.Err() != nil {
		return &fault.Error{Code: fault.Canceled, Op: "cancelled"}
	}
	if len(failed) == len(scopes) {
		return failed[0]
	}
	s.errs = append(s.errs, failed...)
	return nil
}

// scopes are the namespaces to list; "" is all of them.
func (s *scan) scopes() []string {
	if len(s.opt.Namespaces) == 0 {
		return []string{""}
	}
	return s.opt.Namespaces
}

func (s *scan) setOwner(m *metav1.PartialObjectMetadata) error {
	_, err := s.inventory.SetOwner(StripMetadata(m))
	return err
}

// paged calls list with the options of every page, until there are no more. A
// list that takes so long that the API server has forgotten its beginning is
// begun again, once; what has been seen is then seen twice, with no harm.
func paged(ctx context.Context, opt metav1.ListOptions, list func(context.Context, metav1.ListOptions) (next string, err error)) error {
	opt.Limit = page
	again := true
	for {
		next, err := list(ctx, opt)
		if apierrors.IsResourceExpired(err) && again {
			again, opt.Continue = false, ""
			continue
		}
		if err != nil || next == "" {
			return err
		}
		opt.Continue = next
	}
}

func (s *scan) listPods(ctx context.Context, namespace string) error {
	err := paged(ctx, metav1.ListOptions{LabelSelector: s.opt.Selector}, func(ctx context.Context, opt metav1.ListOptions) (string, error) {
		list, err := s.cluster.Kube.CoreV1().Pods(namespace).List(ctx, opt)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			if _, err := s.inventory.SetPod(StripPod(&list.Items[i])); err != nil {
				return "", err
			}
		}
		return list.Continue, nil
	})
	return s.failed(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, namespace, err)
}

func (s *scan) listNodes(ctx context.Context) error {
	err := paged(ctx, metav1.ListOptions{}, func(ctx context.Context, opt metav1.ListOptions) (string, error) {
		list, err := s.cluster.Kube.CoreV1().Nodes().List(ctx, opt)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			if _, err := s.inventory.SetNode(StripNode(&list.Items[i])); err != nil {
				return "", err
			}
		}
		return list.Continue, nil
	})
	return s.failed(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", err)
}

func (s *scan) listMetadata(ctx context.Context, r schema.GroupVersionResource, namespace string, take func(*metav1.PartialObjectMetadata) error) error {
	err := paged(ctx, metav1.ListOptions{}, func(ctx context.Context, opt metav1.ListOptions) (string, error) {
		list, err := s.cluster.Metadata.Resource(r).Namespace(namespace).List(ctx, opt)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			if err := take(&list.Items[i]); err != nil {
				return "", err
			}
		}
		return list.Continue, nil
	})
	return s.failed(r, namespace, err)
}

// failed says which list failed, and what to do.
func (s *scan) failed(r schema.GroupVersionResource, namespace string, err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Code: fault.Unavailable, Op: "list " + r.GroupResource().String() + " of", Input: s.cluster.Name, Err: err}
	if namespace != "" {
		e.Input += ", namespace " + namespace
	}
	switch {
	case errors.Is(err, context.Canceled):
		e.Code = fault.Canceled
	case apierrors.IsForbidden(err):
		e.Code, e.Hint = fault.Denied, grantHint(r, namespace)
	case apierrors.IsUnauthorized(err):
		e.Code, e.Hint = fault.Denied, "the kubeconfig's credentials are refused: log in again"
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err):
		e.Code = fault.Invalid
	case apierrors.IsNotFound(err):
		e.Code = fault.NotFound
	default:
		e.Hint = fmt.Sprintf("is %s the API server, and does it answer?", s.cluster.host())
	}
	return e
}

func (c *Cluster) host() string {
	if c.Config == nil {
		return c.Name
	}
	return c.Config.Host
}

// grantHint is the command that allows a list.
func grantHint(r schema.GroupVersionResource, namespace string) string {
	kind, bind := "clusterrole", "clusterrolebinding"
	suffix := ""
	if namespace != "" {
		kind, bind, suffix = "role", "rolebinding", " -n "+namespace
	}
	return fmt.Sprintf("let an administrator grant it: kubectl create %s gopherwood-fleet --verb=list --resource=%s%s, and a %s of it to you",
		kind, r.GroupResource(), suffix, bind)
}

// assessed is what was found out about groups.
type assessed struct {
	mu  sync.Mutex
	all map[string][]*Assessment
}

func (k *assessed) get(group string, i int) *Assessment { return k.all[group][i] }

// errors returns the distinct errors and problems, sorted by what they say.
func (k *assessed) errors() []error {
	byText := map[string]error{}
	for _, list := range k.all {
		for _, a := range list {
			for _, err := range append(slices.Clone(a.Problems), a.Err) {
				if err != nil {
					byText[err.Error()] = err
				}
			}
		}
	}
	all := make([]error, 0, len(byText))
	for _, err := range byText {
		all = append(all, err)
	}
	slices.SortFunc(all, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return all
}

// assessAll assesses the containers of all groups. Containers of one image follow
// one another, so that what is in use at once is few images.
func assessAll(ctx context.Context, a *Assessor, groups []Counted, opt ScanOptions) (*assessed, error) {
	known := &assessed{all: make(map[string][]*Assessment, len(groups))}
	byRef := map[string][]use{}
	byID := make(map[string]*Group, len(groups))
	for _, g := range groups {
		byID[g.ID] = g.Group
		known.all[g.ID] = make([]*Assessment, len(g.Containers))
		for i, c := range g.Containers {
			byRef[c.Ref] = append(byRef[c.Ref], use{g.ID, i})
		}
	}
	sink := progress.Or(opt.Progress)
	sink.Expect(int64(len(byRef)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, opt.Jobs))
	for _, uses := range byRef {
		group.Go(func() error {
			for _, u := range uses {
				g := byID[u.group]
				known.set(u, a.Container(ctx, g, g.Containers[u.i]))
			}
			sink.Done(1)
			return ctx.Err()
		})
	}
	if group.Wait() != nil {
		return nil, &fault.Error{Code: fault.Canceled, Op: "cancelled"}
	}
	return known, nil
}

func (k *assessed) set(u use, a *Assessment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[u.group][u.i] = a
}

// CheckSelector says what is wrong with a label selector.
func CheckSelector(selector string) error {
	_, err := labels.Parse(selector)
	return err
}
