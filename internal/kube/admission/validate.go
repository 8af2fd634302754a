package admission

import (
	"context"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// validate admits or refuses a workload.
func (h *Handler) validate(ctx context.Context, req *admissionv1.AdmissionRequest, due time.Time) answer {
	a, ok, err := h.read(ctx, HandlerValidate, req, due)
	switch {
	case fault.CodeOf(err) == fault.Unsupported:
		// The configuration of the webhook asks about a kind that holds no pods.
		return admit(OutcomeSkipped)
	case err != nil:
		return unreadable(err)
	case !ok:
		return admit(OutcomeSkipped)
	}
	if err := h.match(ctx, a); err != nil {
		return unready("admit "+a.work.Kind, err)
	}
	if len(a.policies) == 0 {
		return admit(OutcomeSkipped)
	}
	h.locate(ctx, a)
	return compose(a, h.examine(ctx, a, true))
}
