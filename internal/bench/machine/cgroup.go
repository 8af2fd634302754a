package machine

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cgroup is a directory of a control group of this process.
type cgroup struct {
	// mount is where its hierarchy is mounted, dir the group at or below it.
	mount, dir string
	// v2 says that it is of the second version (cgroups(7)).
	v2 bool
	// controllers are those of the hierarchy, in the first version.
	controllers []string
}

// cgroups returns the groups of this process in all hierarchies that it sees.
func (l linux) cgroups() []cgroup {
	paths := groupPaths(l.file("proc/self/cgroup"))
	var groups []cgroup
	for line := range strings.Lines(l.file("proc/self/mountinfo")) {
		g, root, ok := groupMount(line)
		if !ok {
			continue
		}
		if p, found := paths[g.key()]; found {
			g.dir = path.Join(g.mount, below(root, p))
		}
		groups = append(groups, g)
	}
	return groups
}

// key is what a hierarchy is called in /proc/self/cgroup.
func (g cgroup) key() string {
	if g.v2 || len(g.controllers) == 0 {
		return ""
	}
	return g.controllers[0]
}

// groupPaths reads lines "number:controllers:path" (cgroups(7)): paths by
// controller; that of the second version by "".
func groupPaths(text string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, p, found := strings.Cut(rest, ":")
		if !ok || !found {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			paths[c] = p
		}
	}
	return paths
}

// limited are the controllers of which limits are read.
var limited = []string{"cpu", "memory"}

// groupMount reads a line of /proc/self/mountinfo (proc_pid_mountinfo(5)); ok is
// false when it is of no hierarchy of groups whose limits are read.
func groupMount(line string) (g cgroup, root string, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !found || len(left) < 5 || len(right) < 3 {
		return cgroup{}, "", false
	}
	mount := strings.TrimPrefix(unescape(left[4]), "/")
	if !fs.ValidPath(mount) {
		return cgroup{}, "", false
	}
	g = cgroup{mount: mount, dir: mount}
	switch right[0] {
	case "cgroup2":
		g.v2 = true
	case "cgroup":
		for option := range strings.SplitSeq(right[2], ",") {
			if slices.Contains(limited, option) {
				g.controllers = append(g.controllers, option)
			}
		}
	}
	return g, unescape(left[3]), g.v2 || len(g.controllers) > 0
}

// unescape turns the octal escapes of mountinfo into what they mean.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// below returns where a group is below the mount of a part of its hierarchy: "."
// for a group outside of it, as containers see them.
func below(root, group string) string {
	rest, ok := strings.CutPrefix(path.Clean("/"+group), path.Clean("/"+root))
	if !ok || strings.Contains(group, "..") || rest != "" && root != "/" && rest[0] != '/' {
		return "."
	}
	return rest
}

// has says whether the group may have limits of a controller.
func (g cgroup) has(controller string) bool {
	return g.v2 || slices.Contains(g.controllers, controller)
}

// least returns the smallest positive limit of the groups with a controller and
// of those above them, 0 without one.
func least(groups []cgroup, controller string, limit func(dir string, v2 bool) float64) float64 {
	var smallest float64
	for _, g := range groups {
		if !g.has(controller) {
			continue
		}
		for dir := g.dir; ; dir = path.Dir(dir) {
			if n := limit(dir, g.v2); n > 0 && (smallest == 0 || n < smallest) {
				smallest = n
			}
			if dir == g.mount || dir == "." {
				break
			}
		}
	}
	return smallest
}

// quota returns how many processors the groups allow, 0 when as many as there are.
func (l linux) quota(groups []cgroup) float64 {
	return least(groups, "cpu", func(dir string, v2 bool) float64 {
		if v2 {
			return ratio(l.file(dir + "/cpu.max"))
		}
		return ratio(l.file(dir+"/cpu.cfs_quota_us") + " " + l.file(dir+"/cpu.cfs_period_us"))
	})
}

// ratio reads "quota period", two times in microseconds; 0 for "max" and -1,
// which are no quota.
func ratio(text string) float64 {
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0
	}
	quota, err1 := strconv.ParseInt(words[0], 10, 64)
	period, err2 := strconv.ParseInt(words[1], 10, 64)
	if err1 != nil || err2 != nil || quota <= 0 || period <= 0 {
		return 0
	}
	return float64(quota) / float64(period)
}

// memoryLimit returns how many bytes of memory the groups allow, 0 for all.
func (l linux) memoryLimit(groups []cgroup) int64 {
	return int64(least(groups, "memory", func(dir string, v2 bool) float64 {
		name := "/memory.limit_in_bytes"
		if v2 {
			name = "/memory.max"
		}
		n, _ := l.number(dir + name)
		return float64(n)
	}))
}
