package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
)

// ruleNoNode is the rule of workloads that no node can run.
const ruleNoNode = "schedule/no-node"

// class is a kind of node, as far as it matters to a program.
type class struct {
	platform api.Platform
	level    int // of amd64; 0 unknown
}

func (c class) String() string {
	s := c.platform.OS + "/" + c.platform.Arch
	if c.level > 0 {
		s += "/v" + strconv.Itoa(c.level)
	}
	return s
}

// where is on which nodes a workload may run.
type where struct {
	// classes are those of the nodes that it may run on, with their number;
	// empty when there is none, or none is known.
	classes []class
	count   map[class]int
	// platforms is what images are wanted for; empty means every platform.
	platforms []api.Platform
	// level is the lowest x86-64 level that is known of the nodes, 0 for none.
	level int
	// kernel is the newest that one of the Linux nodes has; zero when none is known.
	kernel matrix.Kernel
	// cpus is the most processors that one of the nodes has, 0 when not known.
	cpus int64
}

// whereOf finds the nodes of a workload. When no node of today fits, one that
// fits may come later: it is taken to be like the others, or as the workload's
// own selector says.
func whereOf(spec *corev1.PodSpec, all []nodes.Node) where {
	w := where{count: map[class]int{}}
	for n := range nodes.Each(spec, all) {
		w.add(n)
	}
	slices.SortFunc(w.classes, func(a, b class) int { return strings.Compare(a.String(), b.String()) })
	if len(w.classes) > 0 {
		return w
	}
	if arch := spec.NodeSelector[corev1.LabelArchStable]; arch != "" {
		w.platforms = []api.Platform{{OS: or(spec.NodeSelector[corev1.LabelOSStable], "linux"), Arch: arch}}
		return w
	}
	for i := range all {
		w.want(all[i].Platform)
	}
	return w
}

func (w *where) add(n *nodes.Node) {
	if n.Platform.OS == "" || n.Platform.Arch == "" {
		return
	}
	c := class{platform: n.Platform}
	if n.Platform.Arch == "amd64" {
		c.level = n.CPULevel
	}
	if w.count[c]++; w.count[c] == 1 {
		w.classes = append(w.classes, c)
		w.want(n.Platform)
	}
	if c.level > 0 && (w.level == 0 || c.level < w.level) {
		w.level = c.level
	}
	if k, ok := matrix.ParseKernel(n.Kernel); ok && n.Platform.OS == "linux" && w.kernel.Before(k) {
		w.kernel = k
	}
	w.cpus = max(w.cpus, n.CPUs)
}

func (w *where) want(p api.Platform) {
	if p.OS != "" && p.Arch != "" && !slices.Contains(w.platforms, p) {
		w.platforms = append(w.platforms, p)
	}
}

// String names the nodes: "linux/amd64 (3 nodes), linux/arm64 (1 node)".
func (w *where) String() string {
	var parts []string
	for _, c := range w.classes {
		parts = append(parts, fmt.Sprintf("%s (%s)", c, counted(w.count[c], "node")))
	}
	return strings.Join(parts, ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// need is what one container needs of its node.
type need struct {
	name, image string
	// platforms are what the image has.
	platforms []api.Platform
	// level is the x86-64 level that its program insists on for amd64.
	level int
	// kernel is the oldest Linux kernel that its program runs on; zero when that is
	// not known.
	kernel matrix.Kernel
}

// needOf returns what a container needs; ok is false when its image is not known.
func needOf(e *examined) (n need, ok bool) {
	if e.image == nil || len(e.image.Available) == 0 {
		return need{}, false
	}
	n = need{name: e.Name, image: e.Image, platforms: e.image.Available}
	for _, s := range pulled(e.image.Subjects) {
		n.level = max(n.level, levelOf(s))
		if k := kernelOf(s); n.kernel.Before(k) {
			n.kernel = k
		}
	}
	return n, true
}

// levelOf is the x86-64 level of the program that a subject starts.
func levelOf(s *facts.Subject) int {
	level := 0
	for i := range s.Files {
		f := &s.Files[i]
		if f.Entrypoint && f.Platform.Arch == "amd64" {
			level = max(level, levelNumber(f.Platform.Level))
		}
	}
	return level
}

// kernelOf is the oldest Linux kernel that the Go program runs on which a subject
// starts; zero for other programs.
func kernelOf(s *facts.Subject) matrix.Kernel {
	for i := range s.Files {
		if f := &s.Files[i]; f.Entrypoint && f.Go != nil && f.Platform.OS == "linux" {
			return matrix.KernelFloor(f.Go.Version, f.Platform.Arch)
		}
	}
	return matrix.Kernel{}
}

// levelNumber reads an x86-64 level such as "v3"; 0 when there is none.
func levelNumber(text string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
	if err != nil || n < 1 || n > 4 {
		return 0
	}
	return n
}

// fits reports whether nodes of the class can run the container.
func (n *need) fits(c class) bool {
	has := slices.ContainsFunc(n.platforms, func(p api.Platform) bool {
		return p.OS == c.platform.OS && p.Arch == c.platform.Arch
	})
	return has && (c.level == 0 || n.level <= c.level)
}

// String says what the container needs.
func (n *need) String() string {
	var names []string
	for _, p := range n.platforms {
		names = append(names, p.String())
	}
	slices.Sort(names)
	s := strings.Join(slices.Compact(names), ", ")
	if n.level > 1 {
		s += " and needs x86-64-v" + strconv.Itoa(n.level)
	}
	return s
}

// nowhere is the finding that no node can run the workload, which would be
// pending or failing for ever; nil when a node can, or none is known.
func nowhere(w *where, all []examined) *api.Finding {
	var needs []need
	for i := range all {
		if n, ok := needOf(&all[i]); ok {
			needs = append(needs, n)
		}
	}
	if len(w.classes) == 0 || len(needs) == 0 {
		return nil
	}
	for _, c := range w.classes {
		if !slices.ContainsFunc(needs, func(n need) bool { return !n.fits(c) }) {
			return tooOld(w, needs)
		}
	}
	f := &api.Finding{Rule: ruleNoNode, Severity: api.Deny,
		Hint: "build the image for the platform of the nodes (a multi-platform image runs on all), or let the pod run on other nodes"}
	var parts []string
	for _, n := range needs {
		alone := !slices.ContainsFunc(w.classes, n.fits)
		if alone {
			parts = []string{n.describe()}
			break
		}
		if slices.ContainsFunc(w.classes, func(c class) bool { return !n.fits(c) }) {
			parts = append(parts, n.describe())
		}
	}
	f.Message = strings.Join(parts, "; ") + "; the nodes that it may run on are " + w.String()
	return f
}

// tooOld is the finding that a program needs a newer kernel than any of the nodes
// has; nil when one is new enough, or none is known.
func tooOld(w *where, needs []need) *api.Finding {
	for _, n := range needs {
		if w.kernel == (matrix.Kernel{}) || !w.kernel.Before(n.kernel) {
			continue
		}
		return &api.Finding{Rule: ruleNoNode, Severity: api.Deny,
			Message: fmt.Sprintf("the program in the image %s of container %s needs Linux %s; the newest kernel of the nodes that it may run on is %s",
				n.image, n.name, n.kernel, w.kernel),
			Hint: "update the nodes, let the pod run on newer ones, or build the program with a Go version that still runs there"}
	}
	return nil
}

func (n *need) describe() string {
	return fmt.Sprintf("the image %s of container %s is for %s", n.image, n.name, n)
}
