package admission

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
)

// The annotations of a Pod that say what its images need of a node: lists
// separated by commas, and numbers.
const (
	AnnotationOS    = "gopherwood.dev/needs-os"
	AnnotationArch  = "gopherwood.dev/needs-arch"
	AnnotationLevel = "gopherwood.dev/needs-amd64-level"
	// AnnotationKernel is the oldest Linux kernel, as "major.minor".
	AnnotationKernel = "gopherwood.dev/needs-kernel"
)

// needs is what all containers of a Pod need together.
type needs struct {
	platforms []api.Platform // without levels
	level     int
	kernel    matrix.Kernel
}

// needsOf returns what the platforms of all images have in common.
func needsOf(all []examined) needs {
	var out needs
	first := true
	for i := range all {
		n, ok := needOf(&all[i])
		if !ok {
			continue
		}
		out.level = max(out.level, n.level)
		if out.kernel.Before(n.kernel) {
			out.kernel = n.kernel
		}
		has := basePlatforms(n.platforms)
		if first {
			out.platforms, first = has, false
			continue
		}
		out.platforms = slices.DeleteFunc(out.platforms, func(p api.Platform) bool { return !slices.Contains(has, p) })
	}
	return out
}

// basePlatforms returns the platforms without their levels, each once, sorted.
func basePlatforms(all []api.Platform) []api.Platform {
	var out []api.Platform
	for _, p := range all {
		if p.Level = ""; !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b api.Platform) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// place says in the Pod what it needs of a node, for schedulers that can read it,
// and requires by node affinity what some nodes do not have.
func (p *patcher) place(n needs, all []nodes.Node) {
	if len(n.platforms) == 0 {
		return
	}
	systems, archs := distinct(n.platforms, func(p api.Platform) string { return p.OS }), distinct(n.platforms, func(p api.Platform) string { return p.Arch })
	say := []variable{{AnnotationArch, strings.Join(archs, ",")}, {AnnotationOS, strings.Join(systems, ",")}}
	if n.level > 1 {
		say = append(say, variable{AnnotationLevel, strconv.Itoa(n.level)})
	}
	if n.kernel != (matrix.Kernel{}) {
		say = append(say, variable{AnnotationKernel, n.kernel.String()})
	}
	p.annotate(say)
	p.require(requirements(n, systems, archs, all))
}

// distinct returns one field of the platforms, each value once.
func distinct(all []api.Platform, field func(api.Platform) string) []string {
	var out []string
	for _, p := range all {
		out = append(out, field(p))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// requirements are those that keep the Pod from nodes which cannot run it. What
// every node has is not required, and no label that no node carries.
func requirements(n needs, systems, archs []string, all []nodes.Node) []corev1.NodeSelectorRequirement {
	var out []corev1.NodeSelectorRequirement
	other := func(values []string, of func(*nodes.Node) string) bool {
		return slices.ContainsFunc(all, func(node nodes.Node) bool {
			value := of(&node)
			return value != "" && !slices.Contains(values, value)
		})
	}
	if other(archs, func(n *nodes.Node) string { return n.Platform.Arch }) {
		out = append(out, corev1.NodeSelectorRequirement{Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: archs})
	}
	if other(systems, func(n *nodes.Node) string { return n.Platform.OS }) {
		out = append(out, corev1.NodeSelectorRequirement{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: systems})
	}
	// An image for more than amd64 may run on nodes that have no such level.
	labelled := slices.ContainsFunc(all, func(node nodes.Node) bool { return node.Labels[nodes.LevelLabel] != "" })
	if n.level > 1 && labelled && slices.Equal(archs, []string{"amd64"}) {
		out = append(out, corev1.NodeSelectorRequirement{Key: nodes.LevelLabel, Operator: corev1.NodeSelectorOpGt, Values: []string{strconv.Itoa(n.level - 1)}})
	}
	return out
}
