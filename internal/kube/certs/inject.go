package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Targets names webhook configurations. Every webhook in them gets the
// authorities as its caBundle; nothing else of them is changed.
type Targets struct {
	Validating, Mutating []string
}

// injector puts authorities into webhook configurations.
type injector struct {
	client  client.Client
	targets Targets
}

// put gives every target the bundle, and returns the names of those that had
// another one. A target that does not exist is left out: it is told when it does.
// A race that is lost is an error as the API server says it.
func (j *injector) put(ctx context.Context, bundle []byte) (changed []string, err error) {
	var errs []error
	note := func(name string, did bool, err error) {
		if did {
			changed = append(changed, name)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range j.targets.Validating {
		did, err := j.validating(ctx, name, bundle)
		note(name, did, err)
	}
	for _, name := range j.targets.Mutating {
		did, err := j.mutating(ctx, name, bundle)
		note(name, did, err)
	}
	if len(errs) == 1 {
		return changed, errs[0] // a conflict stays one
	}
	return changed, errors.Join(errs...)
}

func (j *injector) validating(ctx context.Context, name string, bundle []byte) (bool, error) {
	o := &admissionv1.ValidatingWebhookConfiguration{}
	if err := j.client.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return false, injectError(name, client.IgnoreNotFound(err))
	}
	var hooks []hook
	for _, w := range o.Webhooks {
		hooks = append(hooks, hook{w.Name, w.ClientConfig.CABundle})
	}
	return j.patch(ctx, o, hooks, bundle)
}

func (j *injector) mutating(ctx context.Context, name string, bundle []byte) (bool, error) {
	o := &admissionv1.MutatingWebhookConfiguration{}
	if err := j.client.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return false, injectError(name, client.IgnoreNotFound(err))
	}
	var hooks []hook
	for _, w := range o.Webhooks {
		hooks = append(hooks, hook{w.Name, w.ClientConfig.CABundle})
	}
	return j.patch(ctx, o, hooks, bundle)
}

// hook is what counts of a webhook.
type hook struct {
	name   string
	bundle []byte
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch changes the bundles that differ, if the object is still as it was read.
func (j *injector) patch(ctx context.Context, o client.Object, hooks []hook, bundle []byte) (bool, error) {
	// With the version in it, a patch that comes too late is a conflict.
	ops := []operation{{"add", "/metadata/resourceVersion", o.GetResourceVersion()}}
	for i, h := range hooks {
		if bytes.Equal(h.bundle, bundle) {
			continue
		}
		at := "/webhooks/" + strconv.Itoa(i)
		ops = append(ops,
			operation{"test", at + "/name", h.name},
			operation{"add", at + "/clientConfig/caBundle", bundle})
	}
	if len(ops) == 1 {
		return false, nil
	}
	data, err := json.Marshal(ops)
	if err != nil {
		return false, injectError(o.GetName(), err)
	}
	if err := j.client.Patch(ctx, o, client.RawPatch(types.JSONPatchType, data)); err != nil {
		return false, injectError(o.GetName(), err)
	}
	return true, nil
}

// injectError names the configuration, but leaves a lost race as it is.
func injectError(name string, err error) error {
	if err == nil || apierrors.IsConflict(err) {
		return err
	}
	e := &fault.Error{Code: codeOf(err), Op: "make authorities known to", Input: name, Err: err}
	if e.Code == fault.Denied {
		e.Hint = "allow the service account get, watch and patch of this webhook configuration"
	}
	return e
}
