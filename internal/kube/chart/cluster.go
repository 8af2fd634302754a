package chart

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// requestTimeout is how long one request to the API server may take.
const requestTimeout = 30 * time.Second

// Cluster is a connection to an API server. It is for one use at a time.
type Cluster struct {
	objects   dynamic.Interface
	discovery discovery.DiscoveryInterface
	// kinds is where objects of each kind are, nil until it is asked for.
	kinds meta.RESTMapper
}

// Connect reads a kubeconfig and prepares a connection to what it names. An empty
// file stands for KUBECONFIG, ~/.kube/config or the cluster that this runs in, an
// empty context for the current one. No request is made.
func Connect(file, context string) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, &fault.Error{
			Code: fault.Invalid, Op: "read kubeconfig", Input: file, Err: err,
			Hint: "name the file with --kubeconfig and the cluster with --context",
		}
	}
	return connect(config)
}

func connect(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	config.Timeout = requestTimeout
	config.UserAgent = manager
	config.WarningHandler = rest.NoWarnings{}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, invalid("read kubeconfig", "", err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, invalid("read kubeconfig", "", err)
	}
	return &Cluster{objects: objects, discovery: found}, nil
}

// mapping returns where objects of a kind are.
func (c *Cluster) mapping(id identity) (*meta.RESTMapping, error) {
	kind := schema.GroupKind{Group: id.Group, Kind: id.Kind}
	if c.kinds != nil {
		mapping, err := c.kinds.RESTMapping(kind, id.Version)
		if !meta.IsNoMatchError(err) {
			return mapping, err
		}
	}
	// The first time, or its CRD is new.
	groups, err := restmapper.GetAPIGroupResources(c.discovery)
	if err != nil {
		return nil, err
	}
	c.kinds = restmapper.NewDiscoveryRESTMapper(groups)
	return c.kinds.RESTMapping(kind, id.Version)
}

// resource returns where objects like id are.
func (c *Cluster) resource(id identity) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapping(id)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.objects.Resource(mapping.Resource), nil
	}
	return c.objects.Resource(mapping.Resource).Namespace(id.Namespace), nil
}

// get returns the object, nil when it or its kind does not exist.
func (c *Cluster) get(ctx context.Context, id identity) (*unstructured.Unstructured, error) {
	resource, err := c.resource(id)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("read", id, err)
	}
	object, err := resource.Get(ctx, id.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, failed("read", id, err)
	}
	return object, nil
}

// apply makes the object as o says by server-side apply; fields that o does not
// name stay as they are.
func (c *Cluster) apply(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	id := identityOf(o)
	resource, err := c.resource(id)
	if err != nil {
		return nil, failed("apply", id, err)
	}
	applied, err := resource.Apply(ctx, id.Name, o, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if err != nil {
		return nil, failed("apply", id, err)
	}
	return applied, nil
}

// remove deletes the object, and says whether there was one.
func (c *Cluster) remove(ctx context.Context, id identity) (bool, error) {
	resource, err := c.resource(id)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, failed("remove", id, err)
	}
	background := metav1.DeletePropagationBackground
	err = resource.Delete(ctx, id.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, failed("remove", id, err)
	}
	return true, nil
}

// failed is the error of a request about an object.
func failed(op string, id identity, err error) error {
	f := &fault.Error{Code: codeOf(err), Op: op, Input: id.String(), Err: err}
	switch {
	case f.Code == fault.Canceled, f.Code == fault.Unavailable:
	case meta.IsNoMatchError(err):
		f.Code = fault.Unsupported
		f.Hint = "the cluster does not know this kind: install what brings it, or turn off the value that asks for it"
	case f.Code == fault.Denied:
		f.Hint = "an installation needs the rights of a cluster's administrator"
	}
	return f
}

// codeOf classifies what a request to the API server came to.
func codeOf(err error) fault.Code {
	var address *url.Error
	var network net.Error
	status := apierrors.APIStatus(nil)
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Canceled
	case errors.As(err, &status):
		switch code := int(status.Status().Code); {
		case code == http.StatusUnauthorized, code == http.StatusForbidden:
			return fault.Denied
		case code == http.StatusNotFound:
			return fault.NotFound
		case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
			return fault.Unavailable
		}
		return fault.Invalid
	case errors.As(err, &address), errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return fault.Unavailable
	}
	return fault.CodeOf(err)
}
