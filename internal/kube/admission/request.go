package admission

import (
	"context"
	"errors"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
)

// asked is a workload about which something has to be said.
type asked struct {
	handler string
	// due is until when something may be waited for.
	due        time.Time
	work       *workload.Workload
	containers []workload.Container
	policies   []*gopolicy.Policy
	keychain   facts.Keychain
	// locked is why the credentials could not be read.
	locked error
	where  where
}

// read decodes the request's object. ok is false when nothing has to be asked of
// it: it is being deleted, or what it runs stays as it was.
func (h *Handler) read(ctx context.Context, handler string, req *admissionv1.AdmissionRequest, due time.Time) (a *asked, ok bool, err error) {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return nil, false, nil
	}
	_, end := h.Observe.Phase(ctx, handler, PhaseDecode)
	defer end()
	w, err := workload.Decode(req.Kind, req.Object.Raw)
	if err != nil {
		return nil, false, err
	}
	w.Namespace = req.Namespace
	a = &asked{handler: handler, due: due, work: w}
	if mirror(w) {
		return a, false, nil
	}
	if req.Operation == admissionv1.Create {
		a.containers = w.Containers()
		return a, len(a.containers) > 0, nil
	}
	if w.Deleting {
		return a, false, nil
	}
	old, err := workload.Decode(req.Kind, req.OldObject.Raw)
	if err != nil {
		return nil, false, err
	}
	a.containers = w.Changed(old)
	return a, len(a.containers) > 0, nil
}

// mirror reports whether the object only shows a static pod, which a kubelet runs
// from its own files. No kubelet runs such a Pod because it is in the API.
func mirror(w *workload.Workload) bool {
	_, ok := w.Template.Annotations[corev1.MirrorPodAnnotationKey]
	return ok && w.IsPod()
}

// match finds the policies about the workload. The error means that it cannot be
// told yet which they are.
func (h *Handler) match(ctx context.Context, a *asked) error {
	ctx, end := h.Observe.Phase(ctx, a.handler, PhasePolicies)
	defer end()
	ctx, cancel := context.WithDeadline(ctx, a.due)
	defer cancel()
	if !h.Policies.Ready() {
		return errors.New("the policies of the cluster are still being read")
	}
	labels, err := h.Namespaces.Labels(ctx, a.work.Namespace)
	if err != nil {
		return err
	}
	a.policies = h.Policies.Match(a.work.Namespace, labels, a.work.Labels, a.work.Kind)
	return nil
}

// locate reads the credentials and where the workload may run.
func (h *Handler) locate(ctx context.Context, a *asked) {
	ctx, end := h.Observe.Phase(ctx, a.handler, PhaseCredentials)
	defer end()
	ctx, cancel := context.WithDeadline(ctx, a.due)
	defer cancel()
	spec := &a.work.Template.Spec
	a.where = whereOf(spec, h.Nodes.Nodes())
	a.keychain, a.locked = h.Keychains.Keychain(ctx, a.work.Namespace, spec.ServiceAccountName, spec.ImagePullSecrets)
}
