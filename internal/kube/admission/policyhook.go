package admission

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// validatePolicy refuses a GoPolicy or ClusterGoPolicy that does not compile.
// What does not change its spec is admitted, so that a policy which a newer
// Gopherwood cannot compile can still be labelled and deleted.
func (h *Handler) validatePolicy(ctx context.Context, req *admissionv1.AdmissionRequest, _ time.Time) answer {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update || req.SubResource != "" {
		return admit(OutcomeSkipped)
	}
	_, end := h.Observe.Phase(ctx, HandlerValidatePolicy, PhaseJudge)
	defer end()
	var object, old policyForm
	if err := json.Unmarshal(req.Object.Raw, &object); err != nil {
		return unreadable(err)
	}
	if object.Metadata.DeletionTimestamp != nil {
		return admit(OutcomeSkipped)
	}
	if req.Operation == admissionv1.Update {
		if err := json.Unmarshal(req.OldObject.Raw, &old); err == nil && string(old.Spec) == string(object.Spec) {
			return admit(OutcomeSkipped)
		}
	}
	var spec v1alpha1.GoPolicySpec
	if len(object.Spec) > 0 {
		if err := json.Unmarshal(object.Spec, &spec); err != nil {
			return unreadable(err)
		}
	}
	problems := gopolicy.Validate(&spec)
	if len(problems) == 0 {
		return admit(OutcomeAdmitted)
	}
	return answer{refuse(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, policyMessage(req, problems)), OutcomeDenied, nil}
}

// policyForm is what is read of a policy.
type policyForm struct {
	Metadata struct {
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec rawJSON `json:"spec"`
}

// rawJSON is JSON as it came.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// policyMessage lists the problems by their place.
func policyMessage(req *admissionv1.AdmissionRequest, problems []policy.Problem) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s does not compile:", plain(req.Kind.Kind, maxName), plain(req.Name, maxName))
	for i, p := range problems {
		line := "\n  spec." + plain(p.String(), maxFinding)
		if b.Len()+len(line) > maxMessage-64 {
			fmt.Fprintf(&b, "\n… and %s", counted(len(problems)-i, "more problem"))
			break
		}
		b.WriteString(line)
	}
	return b.String()
}
