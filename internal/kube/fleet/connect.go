package fleet

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/pullsecret"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Cluster is a connection to a cluster.
type Cluster struct {
	// Name is the kubeconfig's context, or the API server's address.
	Name     string
	Config   *rest.Config
	Kube     kubernetes.Interface
	Metadata metadata.Interface
	// Client reads pull secrets and policies.
	Client client.Client
}

// secretTTL is how long a scan remembers pull secrets: longer than it takes.
const secretTTL = time.Hour

// Keychains returns the credentials that the cluster's pods pull with, as far as
// the user may read them.
func (c *Cluster) Keychains() Keychains { return pullsecret.New(c.Client, secretTTL) }

// Connect finds the cluster that kubectl would: in the file, or if that is empty
// those of $KUBECONFIG, or ~/.kube/config, or within a pod its own cluster;
// contextName is empty for the current context. agent names the program.
// Nothing is asked of the cluster yet.
func Connect(file, contextName, agent string) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, configError(file, err)
	}
	name := contextName
	if raw, err := loader.RawConfig(); err == nil && name == "" {
		name = raw.CurrentContext
	}
	if name == "" {
		name = cfg.Host
	}
	cfg.UserAgent = agent
	cfg.QPS, cfg.Burst = 50, 100
	return NewCluster(name, cfg)
}

// NewCluster returns the connection that cfg describes.
func NewCluster(name string, cfg *rest.Config) (*Cluster, error) {
	c := &Cluster{Name: name, Config: cfg}
	typed := rest.CopyConfig(cfg)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err == nil {
		c.Kube, err = kubernetes.NewForConfig(typed)
	}
	if err == nil {
		c.Metadata, err = metadata.NewForConfig(metadata.ConfigFor(cfg))
	}
	if err == nil {
		c.Client, err = client.New(cfg, client.Options{Scheme: scheme})
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "connect to the cluster", Input: cfg.Host, Err: err,
			Hint: "check the server and the user in the kubeconfig"}
	}
	return c, nil
}

func configError(file string, err error) error {
	e := &fault.Error{Code: fault.Invalid, Op: "read kubeconfig", Input: file, Err: err,
		Hint: "name one by --kubeconfig or $KUBECONFIG; 'kubectl config get-contexts' shows the contexts"}
	if clientcmd.IsEmptyConfig(err) || fault.CodeOf(err) == fault.NotFound {
		e.Code = fault.NotFound
	}
	return e
}
