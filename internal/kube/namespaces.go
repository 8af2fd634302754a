package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// namespaces knows the labels of namespaces from memory, and asks the API server
// for one that has just been made.
type namespaces struct {
	cached, live client.Reader
}

// namespaceMetadata returns an empty namespace of which only metadata is kept.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return o
}

// Labels returns the labels of a namespace.
func (n *namespaces) Labels(ctx context.Context, name string) (map[string]string, error) {
	o := namespaceMetadata()
	err := n.cached.Get(ctx, client.ObjectKey{Name: name}, o)
	if apierrors.IsNotFound(err) {
		o = namespaceMetadata()
		err = n.live.Get(ctx, client.ObjectKey{Name: name}, o)
	}
	if err != nil {
		code := fault.Unavailable
		if apierrors.IsNotFound(err) {
			code = fault.NotFound
		}
		return nil, &fault.Error{Code: code, Op: "read namespace", Input: name, Err: err}
	}
	return o.Labels, nil
}
