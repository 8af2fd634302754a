package nodes

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Candidates returns the nodes on which a pod could ever run: those that
// nodeName, nodeSelector, the required node affinity and the taints leave.
//
// What passes by itself does not count: a cordoned node and one that is not
// ready or short of memory are candidates, and so is a full one.
func Candidates(spec *corev1.PodSpec, all []Node) []Node {
	var out []Node
	for n := range Each(spec, all) {
		out = append(out, *n)
	}
	return out
}

// Each yields the nodes of Candidates without copying them.
func Each(spec *corev1.PodSpec, all []Node) iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for i := range all {
			if fits(spec, &all[i]) && !yield(&all[i]) {
				return
			}
		}
	}
}

func fits(spec *corev1.PodSpec, n *Node) bool {
	if spec.NodeName != "" {
		// The scheduler, and with it every other condition, is passed by.
		return spec.NodeName == n.Name
	}
	for key, want := range spec.NodeSelector {
		if have, ok := n.Labels[key]; !ok || have != want {
			return false
		}
	}
	return matchesAffinity(spec.Affinity, n) && tolerated(spec.Tolerations, n.Taints)
}

// matchesAffinity asks the required node affinity: one of its terms must match.
func matchesAffinity(a *corev1.Affinity, n *Node) bool {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool { return matchesTerm(&t, n) })
}

// matchesTerm: all requirements of a term must hold, and an empty term matches
// nothing.
func matchesTerm(t *corev1.NodeSelectorTerm, n *Node) bool {
	if len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0 {
		return false
	}
	for i := range t.MatchExpressions {
		r := &t.MatchExpressions[i]
		value, ok := n.Labels[r.Key]
		if !holds(r, value, ok) {
			return false
		}
	}
	for i := range t.MatchFields {
		// metadata.name is the only field that there is.
		r := &t.MatchFields[i]
		if r.Key != "metadata.name" || !holds(r, n.Name, true) {
			return false
		}
	}
	return true
}

// holds asks one requirement about a value; ok is false where there is none.
func holds(r *corev1.NodeSelectorRequirement, value string, ok bool) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return ok && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !ok || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return ok
	case corev1.NodeSelectorOpDoesNotExist:
		return !ok
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		return ok && compares(r, value)
	}
	return false
}

// compares is Gt or Lt of integers; what is no integer is neither.
func compares(r *corev1.NodeSelectorRequirement, value string) bool {
	if len(r.Values) != 1 {
		return false
	}
	have, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return false
	}
	bound, err := strconv.ParseInt(r.Values[0], 10, 64)
	if err != nil {
		return false
	}
	if r.Operator == corev1.NodeSelectorOpGt {
		return have > bound
	}
	return have < bound
}

// tolerated reports whether no taint that lasts keeps the pod away.
func tolerated(tolerations []corev1.Toleration, taints []corev1.Taint) bool {
	for i := range taints {
		t := &taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule || passing(t.Key) {
			continue
		}
		if !slices.ContainsFunc(tolerations, func(o corev1.Toleration) bool { return tolerates(&o, t) }) {
			return false
		}
	}
	return true
}

// passing reports whether a taint is a condition that the node's own health or
// an operator's hand puts on and takes off again.
func passing(key string) bool {
	return strings.HasPrefix(key, "node.kubernetes.io/") || strings.HasPrefix(key, "node.cloudprovider.kubernetes.io/")
}

func tolerates(o *corev1.Toleration, t *corev1.Taint) bool {
	if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
		return false
	}
	switch o.Operator {
	case "", corev1.TolerationOpEqual:
		return o.Key != "" && o.Value == t.Value
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpLt:
		return number(t.Value, math.MaxInt64) < number(o.Value, math.MinInt64)
	case corev1.TolerationOpGt:
		return number(t.Value, math.MinInt64) > number(o.Value, math.MaxInt64)
	}
	return false
}

// number reads an integer, or returns what makes every comparison fail.
func number(text string, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
