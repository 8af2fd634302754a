package admission

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// operation is one of RFC 6902. Only add is used: what is there stays, but for
// the image's name, to which a digest is added.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patcher collects the changes of a Pod.
type patcher struct {
	pod *corev1.PodTemplateSpec
	ops []operation
}

func (p *patcher) json() ([]byte, error) { return json.Marshal(p.ops) }

func (p *patcher) add(value any, path ...string) {
	var b strings.Builder
	for _, step := range path {
		b.WriteByte('/')
		b.WriteString(escape(step))
	}
	p.ops = append(p.ops, operation{"add", b.String(), value})
}

// escape writes a key as a step of a JSON pointer (RFC 6901).
func escape(step string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}

// runtimeClass sets the RuntimeClass of a Pod that has none.
func (p *patcher) runtimeClass(name string) {
	if name != "" && p.pod.Spec.RuntimeClassName == nil {
		p.add(name, "spec", "runtimeClassName")
	}
}

// image adds the digest to an image that is named without one.
func (p *patcher) image(e *examined) {
	if e.image.Digest == "" || strings.Contains(e.Image, "@") || e.Image == "" {
		return
	}
	p.ops = append(p.ops, operation{"replace", e.Path + "/image", e.Image + "@" + e.image.Digest})
}

// env adds variables to a container, after those that it has.
func (p *patcher) env(e *examined, add []variable) {
	if len(add) == 0 {
		return
	}
	if len(e.Env) == 0 {
		list := make([]corev1.EnvVar, 0, len(add))
		for _, v := range add {
			list = append(list, corev1.EnvVar{Name: v.name, Value: v.value})
		}
		p.ops = append(p.ops, operation{"add", e.Path + "/env", list})
		return
	}
	for _, v := range add {
		p.ops = append(p.ops, operation{"add", e.Path + "/env/-", corev1.EnvVar{Name: v.name, Value: v.value}})
	}
}

// annotate adds annotations that the Pod does not have.
func (p *patcher) annotate(all []variable) {
	have := p.pod.Annotations
	all = slices.DeleteFunc(all, func(v variable) bool { _, ok := have[v.name]; return ok })
	if len(all) == 0 {
		return
	}
	if len(have) == 0 {
		values := map[string]string{}
		for _, v := range all {
			values[v.name] = v.value
		}
		p.add(values, "metadata", "annotations")
		return
	}
	for _, v := range all {
		p.add(v.value, "metadata", "annotations", v.name)
	}
}

// require adds requirements to the required node affinity. Its terms are
// alternatives: each of them gets those about keys that it does not speak of. A
// requirement about a key of the node selector is left to that.
func (p *patcher) require(all []corev1.NodeSelectorRequirement) {
	spec := &p.pod.Spec
	all = slices.DeleteFunc(all, func(r corev1.NodeSelectorRequirement) bool {
		_, ok := spec.NodeSelector[r.Key]
		return ok
	})
	if len(all) == 0 {
		return
	}
	term := corev1.NodeSelectorTerm{MatchExpressions: all}
	selector := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}
	node := &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: selector}
	const affinity, nodeAffinity, required = "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
	switch a := spec.Affinity; {
	case a == nil:
		p.add(&corev1.Affinity{NodeAffinity: node}, "spec", affinity)
	case a.NodeAffinity == nil:
		p.add(node, "spec", affinity, nodeAffinity)
	case a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil:
		p.add(selector, "spec", affinity, nodeAffinity, required)
	default:
		for i, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			p.extend(&t, all, "spec", affinity, nodeAffinity, required, "nodeSelectorTerms", strconv.Itoa(i), "matchExpressions")
		}
	}
}

// extend adds requirements to a term. An empty term matches no node, and would
// match some with them.
func (p *patcher) extend(t *corev1.NodeSelectorTerm, all []corev1.NodeSelectorRequirement, path ...string) {
	if len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0 {
		return
	}
	add := slices.DeleteFunc(slices.Clone(all), func(r corev1.NodeSelectorRequirement) bool {
		return slices.ContainsFunc(t.MatchExpressions, func(have corev1.NodeSelectorRequirement) bool { return have.Key == r.Key })
	})
	switch {
	case len(add) == 0:
	case len(t.MatchExpressions) == 0:
		p.add(add, path...)
	default:
		for _, r := range add {
			p.add(r, append(slices.Clone(path), "-")...)
		}
	}
}
