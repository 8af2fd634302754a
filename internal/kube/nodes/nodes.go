// Package nodes knows the cluster's nodes as far as it matters to a program:
// operating system, processor, x86-64 level and kernel; and which of them a pod
// may run on.
package nodes

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
)

// LevelLabel is the label of a node that says which x86-64 level its processor
// has, "1" to "4".
const LevelLabel = "gopherwood.dev/amd64-level"

// Node is what is known of one node.
type Node struct {
	Name   string
	Labels map[string]string
	// Platform has no Level: that of amd64 is CPULevel, others are not known.
	Platform api.Platform
	// CPULevel is the x86-64 level, 1 to 4; 0 when it is not known.
	CPULevel int
	// CPUs is how many processors it has; 0 when it does not say.
	CPUs int64
	// Kernel is the release as uname(2) gives it.
	Kernel string
	// Unschedulable is true while the node is cordoned.
	Unschedulable bool
	Taints        []corev1.Taint
}

// Lister knows all nodes. The slice is shared and must not be changed.
type Lister interface{ Nodes() []Node }

// Of returns what the object says of its node. Labels and taints are shared
// with it.
func Of(n *corev1.Node) Node {
	return Node{
		Name:          n.Name,
		Labels:        n.Labels,
		Platform:      platform(n),
		CPULevel:      level(n.Labels),
		CPUs:          n.Status.Capacity.Cpu().Value(),
		Kernel:        n.Status.NodeInfo.KernelVersion,
		Unschedulable: n.Spec.Unschedulable,
		Taints:        n.Spec.Taints,
	}
}

// platform is what the kubelet reported, or else what its labels say.
func platform(n *corev1.Node) api.Platform {
	p := api.Platform{OS: n.Status.NodeInfo.OperatingSystem, Arch: n.Status.NodeInfo.Architecture}
	if p.OS == "" {
		p.OS = n.Labels[corev1.LabelOSStable]
	}
	if p.Arch == "" {
		p.Arch = n.Labels[corev1.LabelArchStable]
	}
	return p
}

// level reads the x86-64 level from LevelLabel, or from what Node Feature
// Discovery says. It lists only some features: what it leaves out may still be
// there, so that it can tell of v3 and v4 and never of less.
func level(labels map[string]string) int {
	if text, ok := labels[LevelLabel]; ok {
		n, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
		if err != nil || n < 1 || n > 4 {
			return 0
		}
		return n
	}
	has := func(features ...string) bool {
		for _, f := range features {
			if labels["feature.node.kubernetes.io/cpu-cpuid."+f] != "true" {
				return false
			}
		}
		return true
	}
	switch {
	case has("AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL"):
		return 4
	case has("AVX2", "FMA3"):
		return 3
	}
	return 0
}
