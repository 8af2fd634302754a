package admission

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// mutate fills in what the policies want filled in of a new Pod. Templates stay
// as they were written, so that no tool sees a difference to what it applied.
func (h *Handler) mutate(ctx context.Context, req *admissionv1.AdmissionRequest, due time.Time) answer {
	if req.Operation != admissionv1.Create || req.SubResource != "" || h.Policies.Ready() && !h.Policies.Mutating() {
		return admit(OutcomeSkipped)
	}
	if soon := time.Now().Add(h.MutateWait); soon.Before(due) {
		due = soon
	}
	a, ok, err := h.read(ctx, HandlerMutate, req, due)
	switch {
	case fault.CodeOf(err) == fault.Unsupported:
		return admit(OutcomeSkipped)
	case err != nil:
		return unreadable(err)
	case !ok || !a.work.IsPod():
		return admit(OutcomeSkipped)
	}
	if err := h.match(ctx, a); err != nil {
		return unready("fill in "+a.work.Kind, err)
	}
	want := wantOf(a.policies)
	if want == (wanted{}) {
		return admit(OutcomeSkipped)
	}
	h.locate(ctx, a)
	var all []examined
	if want.facts() {
		all = h.examine(ctx, a, false)
	}
	return h.fill(a, want, all)
}

// fill makes the answer: a patch, and a warning for each container whose facts
// are missing.
func (h *Handler) fill(a *asked, want wanted, all []examined) answer {
	p := &patcher{pod: &a.work.Template}
	p.runtimeClass(want.runtimeClass)
	response := &admissionv1.AdmissionResponse{Allowed: true}
	outcome := OutcomeAdmitted
	for i := range all {
		e := &all[i]
		if e.unknown != nil {
			what, _ := reason(e.unknown)
			response.Warnings = append(response.Warnings, plain(fmt.Sprintf("container %s: nothing was filled in: the image is not known: %s", e.Name, what), maxWarning))
			outcome = OutcomeIncomplete
			continue
		}
		h.settings(p, a, want, e)
		if want.pin {
			p.image(e)
		}
	}
	if want.affinity && outcome != OutcomeIncomplete {
		p.place(needsOf(all), h.Nodes.Nodes())
	}
	if len(p.ops) == 0 {
		return answer{response, outcome, nil}
	}
	patch, err := p.json()
	if err != nil {
		return unreadable(err)
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = patch, &kind
	if outcome == OutcomeAdmitted {
		outcome = OutcomePatched
	}
	return answer{response, outcome, nil}
}

// settings adds the variables of the Go runtime.
func (h *Handler) settings(p *patcher, a *asked, want wanted, e *examined) {
	if !want.maxProcs && want.percent == 0 || e.Kind == workload.KindEphemeral {
		return
	}
	programs, ok := h.programs(a, e)
	if !ok {
		return
	}
	var add []variable
	if v, ok := memoryLimit(want.percent, e, programs); ok {
		add = append(add, v)
	}
	if want.maxProcs {
		if v, ok := maxProcs(a.where.cpus, e, programs); ok {
			add = append(add, v)
		}
	}
	p.env(e, add)
}

// wanted is what all policies about a Pod want filled in.
type wanted struct {
	percent      int32 // of the memory limit; 0 for no GOMEMLIMIT
	maxProcs     bool
	pin          bool
	runtimeClass string
	affinity     bool
}

// facts reports whether the images have to be known.
func (w wanted) facts() bool { return w.percent > 0 || w.maxProcs || w.pin || w.affinity }

// wantOf merges policies, which are sorted by name: whatever one of them wants is
// filled in, the lowest percentage counts, and the first RuntimeClass.
func wantOf(policies []*gopolicy.Policy) wanted {
	var w wanted
	for _, p := range policies {
		m := p.Spec.Mutate
		if m == nil {
			continue
		}
		if m.MemoryLimit != nil {
			percent := percentOf(m.MemoryLimit)
			if w.percent == 0 || percent < w.percent {
				w.percent = percent
			}
		}
		w.maxProcs = w.maxProcs || m.MaxProcs
		w.pin = w.pin || m.PinDigest
		w.affinity = w.affinity || m.NodeAffinity
		if w.runtimeClass == "" {
			w.runtimeClass = m.RuntimeClassName
		}
	}
	return w
}

func percentOf(m *v1alpha1.MemoryLimit) int32 {
	if m.Percent <= 0 || m.Percent > 100 {
		return v1alpha1.DefaultPercent
	}
	return m.Percent
}
