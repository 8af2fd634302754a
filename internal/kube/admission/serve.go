package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The paths at which the handlers are served.
const (
	PathValidate       = "/validate"
	PathMutate         = "/mutate"
	PathValidatePolicy = "/validate-policy"
)

// maxBody is the longest request: an object, what it was before, and the rest of
// the review.
const maxBody = 8 << 20

// Register serves the handlers on mux at their paths.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.Handle("POST "+PathValidate, h.Validate())
	mux.Handle("POST "+PathMutate, h.Mutate())
	mux.Handle("POST "+PathValidatePolicy, h.ValidatePolicy())
}

// Validate returns the handler that admits or refuses workloads.
func (h *Handler) Validate() http.Handler { return h.serve(HandlerValidate, h.validate) }

// Mutate returns the handler that fills in what policies want filled in.
func (h *Handler) Mutate() http.Handler { return h.serve(HandlerMutate, h.mutate) }

// ValidatePolicy returns the handler that refuses policies which do not compile.
func (h *Handler) ValidatePolicy() http.Handler {
	return h.serve(HandlerValidatePolicy, h.validatePolicy)
}

// answer is what a request gets. An error in place of a response means that
// there is none: the API server then does what its failurePolicy says.
type answer struct {
	response *admissionv1.AdmissionResponse
	outcome  string
	err      error
}

// ask answers a request. due is until when something may be waited for; the
// context ends a little later, which is for judging what came last.
type ask func(ctx context.Context, req *admissionv1.AdmissionRequest, due time.Time) answer

// serve is the HTTP side of ask.
func (h *Handler) serve(name string, f ask) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		outcome := h.respond(w, r, name, f, begin)
		h.Observe.Answered(r.Context(), name, outcome, time.Since(begin))
	})
}

func (h *Handler) respond(w http.ResponseWriter, r *http.Request, name string, f ask, begin time.Time) string {
	due, end := h.due(r, begin)
	ctx, cancel := context.WithDeadline(r.Context(), end)
	defer cancel()
	req, status, err := h.decode(ctx, name, r)
	if err != nil {
		http.Error(w, err.Error(), status)
		return OutcomeInvalid
	}
	a := h.protect(ctx, name, req, due, f)
	if a.err != nil {
		http.Error(w, plain(a.err.Error(), maxMessage), http.StatusServiceUnavailable)
		return a.outcome
	}
	_, over := h.Observe.Phase(ctx, name, PhaseEncode)
	defer over()
	if err := encode(w, req, a.response); err != nil {
		h.Log.Debug("the answer could not be sent", "handler", name, "error", err)
	}
	return a.outcome
}

// due is until when something may be waited for, and end when the answer has to
// be given: both before the API server, which says with ?timeout=10s how long it
// waits, gives up.
func (h *Handler) due(r *http.Request, begin time.Time) (due, end time.Time) {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 || timeout > time.Minute {
		timeout = defaultTimeout
	}
	margin := min(h.Margin, timeout/4)
	return begin.Add(timeout - margin), begin.Add(timeout - margin/2)
}

// decode reads the review; the status is for the error.
func (h *Handler) decode(ctx context.Context, name string, r *http.Request) (*admissionv1.AdmissionRequest, int, error) {
	_, end := h.Observe.Phase(ctx, name, PhaseDecode)
	defer end()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("want Content-Type: application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, http.StatusRequestEntityTooLarge, err
	}
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, http.StatusBadRequest, errors.New("the body is no AdmissionReview: " + plain(err.Error(), maxMessage))
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Request == nil {
		return nil, http.StatusBadRequest, errors.New("want an AdmissionReview of admission.k8s.io/v1 with a request")
	}
	return review.Request, 0, nil
}

// protect turns a panic into a refusal: a defect admits nothing.
func (h *Handler) protect(ctx context.Context, name string, req *admissionv1.AdmissionRequest, due time.Time, f ask) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			h.Log.Error("panic", "handler", name, "value", fmt.Sprint(p), "stack", string(debug.Stack()))
			a = answer{refuse(http.StatusInternalServerError, metav1.StatusReasonInternalError,
				"Gopherwood has a defect and could not look at it; its log has the details"), OutcomePanic, nil}
		}
	}()
	return f(ctx, req, due)
}

func encode(w http.ResponseWriter, req *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) error {
	response.UID = req.UID
	data, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: response,
	})
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(data)
	return err
}

// admit is the answer about what nobody has anything to say of.
func admit(outcome string) answer {
	return answer{&admissionv1.AdmissionResponse{Allowed: true}, outcome, nil}
}

// refuse is a response that the client sees as an error.
func refuse(code int32, reason metav1.StatusReason, message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		Result: &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message},
	}
}

// unreadable is the answer about an object that is none.
func unreadable(err error) answer {
	code, reason := int32(http.StatusBadRequest), metav1.StatusReasonBadRequest
	if fault.CodeOf(err) == fault.Limit {
		code, reason = http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge
	}
	return answer{refuse(code, reason, plain(err.Error(), maxMessage)), OutcomeInvalid, nil}
}

// unready is the answer while it cannot be told what the policies are.
func unready(op string, err error) answer {
	return answer{nil, OutcomeUnready, &fault.Error{Code: fault.Unavailable, Op: op, Err: err, Hint: "try again in a moment"}}
}
