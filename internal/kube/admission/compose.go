package admission

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
)

// ruleUnknown is the rule of images that nothing is known of.
const ruleUnknown = "facts/unknown"

// effect is what a finding leads to.
type effect int

const (
	noted   effect = iota // in the audit annotations only
	warned                // admitted with a warning
	refused               // not admitted
)

// point is one thing to be said: a finding about a container, by the policies
// that say it.
type point struct {
	// container is empty for what is about the workload.
	container, image string
	// order is the container's, from 1.
	order    int
	finding  api.Finding
	policies []string
	effect   effect
	// passing is true for what may be different in a moment.
	passing bool
}

// summary gathers the points of a workload.
type summary struct {
	asked  *asked
	points []point
	// verdict is the gravest of all policies, without regard to their action.
	verdict string
	unknown bool
}

// compose makes the answer out of what was found.
func compose(a *asked, all []examined) answer {
	s := &summary{asked: a, verdict: api.Pass}
	none := nowhere(&a.where, all)
	for i, p := range a.policies {
		if none != nil {
			s.add(p, point{finding: *none})
		}
		for k := range all {
			s.container(p, i, k+1, &all[k])
		}
	}
	out := s.answer()
	out.response.AuditAnnotations = s.annotations(all)
	return out
}

// container adds what policy number i says of a container.
func (s *summary) container(p *gopolicy.Policy, i, order int, e *examined) {
	if e.unknown != nil {
		s.unknown = true
		what, hint := reason(e.unknown)
		s.points = s.merge(p.Name, point{container: e.Name, image: e.Image, order: order, passing: passing(e.unknown), effect: ofUnknown(&p.Spec),
			finding: api.Finding{Rule: ruleUnknown, Severity: api.Deny, Message: "the image is not known: " + what, Hint: hint}})
		return
	}
	for _, v := range e.verdicts[i] {
		for _, f := range v.Findings {
			if f.Exemption != nil {
				continue
			}
			if len(e.verdicts[i]) > 1 {
				f.Message += " (" + v.Platform.String() + ")"
			}
			s.add(p, point{container: e.Name, image: e.Image, order: order, finding: f})
		}
	}
}

// add adds a point with the effect that the policy gives it.
func (s *summary) add(p *gopolicy.Policy, at point) {
	switch at.finding.Severity {
	case api.Deny:
		s.verdict = api.Deny
	case api.Warn:
		if s.verdict == api.Pass {
			s.verdict = api.Warn
		}
	}
	at.effect = ofFinding(&p.Spec, at.finding.Severity)
	s.points = s.merge(p.Name, at)
}

// merge adds at, or names one more policy that says the same.
func (s *summary) merge(policy string, at point) []point {
	for i := range s.points {
		o := &s.points[i]
		if o.effect == at.effect && o.order == at.order && o.finding.Rule == at.finding.Rule &&
			o.finding.Path == at.finding.Path && o.finding.Message == at.finding.Message {
			if !slices.Contains(o.policies, policy) {
				o.policies = append(o.policies, policy)
			}
			return s.points
		}
	}
	at.policies = []string{policy}
	return append(s.points, at)
}

// ofFinding is what a finding leads to under a policy.
func ofFinding(spec *v1alpha1.GoPolicySpec, severity string) effect {
	switch {
	case spec.Action == v1alpha1.ActionAudit || severity == api.Info:
		return noted
	case severity == api.Deny && spec.Action != v1alpha1.ActionWarn:
		return refused
	}
	return warned
}

// ofUnknown is what an unknown image leads to under a policy.
func ofUnknown(spec *v1alpha1.GoPolicySpec) effect {
	switch spec.OnUnknown {
	case v1alpha1.OnUnknownAdmit:
		return noted
	case v1alpha1.OnUnknownWarn:
		return ofFinding(spec, api.Warn)
	}
	return ofFinding(spec, api.Deny)
}

// with returns the points of one effect, by container.
func (s *summary) with(e effect) []point {
	out := slices.DeleteFunc(slices.Clone(s.points), func(p point) bool { return p.effect != e })
	slices.SortStableFunc(out, func(a, b point) int { return cmp.Compare(a.order, b.order) })
	return out
}

func (s *summary) answer() answer {
	if no := s.with(refused); len(no) > 0 {
		return s.refusal(no)
	}
	response := &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings(s.with(warned))}
	switch {
	case len(response.Warnings) > 0:
		return answer{response, OutcomeWarned, nil}
	case s.verdict == api.Deny || s.unknown:
		return answer{response, OutcomeAudited, nil}
	}
	return answer{response, OutcomeAdmitted, nil}
}

// refusal is 403, or 503 when nothing but time is missing.
func (s *summary) refusal(no []point) answer {
	message := message(s.asked, no)
	onlyUnknown := !slices.ContainsFunc(no, func(p point) bool { return p.finding.Rule != ruleUnknown })
	outcome := OutcomeDenied
	if onlyUnknown {
		outcome = OutcomeUnknown
	}
	if onlyUnknown && !slices.ContainsFunc(no, func(p point) bool { return !p.passing }) {
		return answer{refuse(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message), outcome, nil}
	}
	return answer{refuse(http.StatusForbidden, metav1.StatusReasonForbidden, message), outcome, nil}
}

// annotations is what the audit log keeps: keys are verdict, policies and
// container-N in the order of the containers that were looked at.
func (s *summary) annotations(all []examined) map[string]string {
	verdict := s.verdict
	if s.unknown && verdict != api.Deny {
		verdict = "unknown"
	}
	var names []string
	for _, p := range s.asked.policies {
		names = append(names, p.Name)
	}
	out := map[string]string{
		"verdict":  verdict,
		"policies": plain(strings.Join(names, ", "), maxAnnotation),
	}
	for i := range all[:min(len(all), maxAnnotations)] {
		out["container-"+strconv.Itoa(i)] = s.annotation(i, &all[i])
	}
	if rules := s.rules(func(p *point) bool { return p.order == 0 }); rules != "" {
		out["workload"] = rules
	}
	return out
}

// annotation says of a container: name, digest, rules, image. What is cut off where
// that is too long is at the end.
func (s *summary) annotation(i int, e *examined) string {
	digest := "unknown"
	if e.image != nil {
		digest = e.image.Digest
	}
	rules := s.rules(func(p *point) bool { return p.order == i+1 })
	return plain(fmt.Sprintf("%s digest=%s rules=%s image=%s", e.Name, digest, rules, e.Image), maxAnnotation)
}

// rules lists the rules of some points, the gravest severity of each.
func (s *summary) rules(of func(*point) bool) string {
	found := map[string]bool{}
	for i := range s.points {
		if of(&s.points[i]) {
			found[s.points[i].finding.Rule+":"+s.points[i].finding.Severity] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ",")
}
