package report

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Client reads and writes reports in a cluster.
type Client struct {
	reports dynamic.NamespaceableResourceInterface
}

// NewClient returns the client of a cluster.
func NewClient(d dynamic.Interface) *Client { return &Client{d.Resource(Resource)} }

// page is how many reports are listed at once.
const page = 500

// maxReport is the largest report that is taken from the cluster, in bytes: one
// that is larger is not this package's.
const maxReport = 2 << 20

// List returns the reports that this package wrote. An error for which Missing
// holds says that the cluster does not know the API.
func (c *Client) List(ctx context.Context) ([]*PolicyReport, error) {
	var all []*PolicyReport
	opt := metav1.ListOptions{LabelSelector: ManagedBy + "=" + ManagedByValue, Limit: page}
	for {
		list, err := c.reports.List(ctx, opt)
		if err != nil {
			return nil, failed("list policy reports", "", err)
		}
		for i := range list.Items {
			if r, ok := own(list.Items[i].Object); ok {
				all = append(all, r)
			}
		}
		if opt.Continue = list.GetContinue(); opt.Continue == "" {
			return all, nil
		}
	}
}

// own reads a report; another tool's, which says the label is its too, is not ok.
func own(object map[string]any) (*PolicyReport, bool) {
	r := &PolicyReport{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, r); err != nil {
		return nil, false
	}
	for _, f := range r.ManagedFields {
		if f.Manager == FieldManager {
			r.ManagedFields = nil
			return r, true
		}
	}
	return nil, false
}

// Apply writes r, whatever was there.
func (c *Client) Apply(ctx context.Context, r *PolicyReport) error {
	data, err := json.Marshal(r)
	if err != nil {
		return failed("encode policy report", r.Namespace+"/"+r.Name, err)
	}
	if len(data) > maxReport {
		return &fault.Error{Code: fault.Limit, Op: "write policy report", Input: r.Namespace + "/" + r.Name}
	}
	force := true
	_, err = c.reports.Namespace(r.Namespace).Patch(ctx, r.Name, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: FieldManager, Force: &force})
	return failed("write policy report", r.Namespace+"/"+r.Name, err)
}

// Delete removes a report; that it is not there is no error.
func (c *Client) Delete(ctx context.Context, namespace, name string) error {
	err := c.reports.Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return failed("delete policy report", namespace+"/"+name, err)
}

// Missing reports whether err says that the cluster does not know PolicyReports.
func Missing(err error) bool {
	// The path of an API that is not there is answered by no API but by a page,
	// while a namespace that is not there is named.
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func failed(op, input string, err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Code: fault.Unavailable, Op: op, Input: input, Err: err}
	switch {
	case Missing(err):
		e.Code = fault.Unsupported
		e.Hint = fmt.Sprintf("install the CRD policyreports.%s to get reports", Group)
	case apierrors.IsForbidden(err):
		e.Code = fault.Denied
		e.Hint = fmt.Sprintf("grant get, list, create, patch and delete on policyreports.%s", Group)
	case apierrors.IsNotFound(err):
		e.Code = fault.NotFound
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		e.Code = fault.Invalid
	}
	return e
}

// Gone reports whether err says that the report's namespace is gone or going.
func Gone(err error) bool {
	return apierrors.IsNotFound(err) && !Missing(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
