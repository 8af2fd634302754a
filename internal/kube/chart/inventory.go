package chart

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The marks on what an installation has made.
const (
	// ownerAnnotation names the installation, "NAMESPACE/RELEASE".
	ownerAnnotation = "gopherwood.dev/release"
	// inventoryLabel is on the ConfigMap that lists what there is.
	inventoryLabel = "gopherwood.dev/inventory"
	managedBy      = "app.kubernetes.io/managed-by"
	// helmAnnotation is on what Helm has made.
	helmAnnotation = "meta.helm.sh/release-name"
	// keepAnnotation is Helm's mark of what is to outlive the release.
	keepAnnotation, keepValue = "helm.sh/resource-policy", "keep"
)

// maxInventory is the number of objects that an inventory may name.
const maxInventory = 10000

// identity names an object.
type identity struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Keep says that the object outlives the installation.
	Keep bool `json:"keep,omitempty"`
}

func identityOf(o *unstructured.Unstructured) identity {
	kind := o.GroupVersionKind()
	return identity{
		Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Namespace: o.GetNamespace(), Name: o.GetName(),
		Keep: o.GetAnnotations()[keepAnnotation] == keepValue,
	}
}

// same says whether both name one object, in whatever version.
func (id identity) same(other identity) bool {
	return id.Group == other.Group && id.Kind == other.Kind && id.Namespace == other.Namespace && id.Name == other.Name
}

func (id identity) String() string {
	if id.Namespace == "" {
		return id.Kind + " " + id.Name
	}
	return id.Kind + " " + id.Namespace + "/" + id.Name
}

// inventory is what an installation consists of.
type inventory struct {
	Chart   string     `json:"chart"`
	Objects []identity `json:"objects"`
}

// with returns the objects of both.
func (v inventory) with(more []identity) inventory {
	all := slices.Clone(v.Objects)
	for _, id := range more {
		if i := slices.IndexFunc(all, id.same); i >= 0 {
			all[i] = id
		} else {
			all = append(all, id)
		}
	}
	return inventory{Chart: v.Chart, Objects: all}
}

// without returns those objects of v that are not in others.
func (v inventory) without(others []identity) []identity {
	return slices.DeleteFunc(slices.Clone(v.Objects), func(id identity) bool { return slices.ContainsFunc(others, id.same) })
}

// owner is the value of ownerAnnotation.
func (r Release) owner() string { return r.Namespace + "/" + r.Name }

func (r Release) inventoryID() identity {
	return identity{Version: "v1", Kind: "ConfigMap", Namespace: r.Namespace, Name: r.Name + "-inventory"}
}

func (r Release) namespaceID() identity {
	return identity{Version: "v1", Kind: "Namespace", Name: r.Namespace}
}

// readInventory returns what the installation consists of; ok is false where
// there is none.
func (c *Cluster) readInventory(ctx context.Context, r Release) (v inventory, ok bool, err error) {
	object, err := c.get(ctx, r.inventoryID())
	if err != nil || object == nil {
		return inventory{}, false, err
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", "inventory")
	v, err = parseInventory([]byte(text))
	if err != nil {
		f := invalid("read", r.inventoryID().String(), err)
		f.Hint = "somebody has changed it; install again to write it anew"
		return inventory{}, false, f
	}
	return v, true, nil
}

// parseInventory reads what writeInventory has written.
func parseInventory(data []byte) (inventory, error) {
	var v inventory
	if err := json.Unmarshal(data, &v); err != nil {
		return inventory{}, err
	}
	if len(v.Objects) > maxInventory {
		return inventory{}, fmt.Errorf("names more than %d objects", maxInventory)
	}
	for _, id := range v.Objects {
		if id.Version == "" || id.Kind == "" || id.Name == "" {
			return inventory{}, errors.New("an object has no version, kind or name")
		}
	}
	return v, nil
}

func (c *Cluster) writeInventory(ctx context.Context, r Release, v inventory) error {
	text, err := json.Marshal(v)
	if err != nil {
		return &fault.Error{Code: fault.Internal, Op: "write", Input: r.inventoryID().String(), Err: err}
	}
	id := r.inventoryID()
	_, err = c.apply(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": id.Version, "kind": id.Kind,
		"metadata": map[string]any{
			"name": id.Name, "namespace": id.Namespace,
			"labels":      map[string]any{managedBy: manager, inventoryLabel: r.Name},
			"annotations": map[string]any{ownerAnnotation: r.owner()},
		},
		"data": map[string]any{"inventory": string(text)},
	}})
	return err
}

// otherInstallations returns the owners of inventories besides r's.
func (c *Cluster) otherInstallations(ctx context.Context, r Release) ([]string, error) {
	resource, err := c.resource(identity{Version: "v1", Kind: "ConfigMap"})
	if err != nil {
		return nil, failed("list", r.inventoryID(), err)
	}
	list, err := resource.List(ctx, metav1.ListOptions{LabelSelector: inventoryLabel, Limit: 100})
	if err != nil {
		return nil, failed("list", r.inventoryID(), err)
	}
	var owners []string
	for _, item := range list.Items {
		if owner := item.GetAnnotations()[ownerAnnotation]; owner != "" && owner != r.owner() {
			owners = append(owners, owner)
		}
	}
	return owners, nil
}

// compareRemove is the order in which objects are removed: first what makes the
// API server ask, last what the rest stands in.
func compareRemove(a, b identity) int {
	return cmp.Or(
		-cmp.Compare(rank(a.Kind), rank(b.Kind)),
		cmp.Compare(a.String(), b.String()),
	)
}
