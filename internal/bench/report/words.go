package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// dots joins parts that are not empty.
func dots(parts ...string) string { return joined(" · ", parts...) }

func joined(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

// prefixed returns prefix+s, "" for "".
func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// side names a build: "main (0123456789ab)", "working tree, with changes that are not committed".
func side(s api.BenchSide) string {
	name := cmp.Or(s.Revision, "working tree")
	if hash := short(cmp.Or(s.Commit, s.Tree)); hash != "" && !strings.HasPrefix(s.Revision, hash) {
		name += " (" + hash + ")"
	}
	if s.Dirty {
		name += ", with changes that are not committed"
	}
	return name
}

// machineFacts says where benchmarks ran, and how.
func machineFacts(m api.BenchMachine, s api.BenchSettings) []fact {
	var facts []fact
	add := func(name string, parts ...string) {
		if value := dots(parts...); value != "" {
			facts = append(facts, fact{name, value})
		}
	}
	add("machine", joined("/", m.OS, m.Arch), m.CPU, counted(m.CPUs, "processor"), quota(m.Quota), m.Virtualization, m.Kernel)
	add("memory", memory(m.MemoryBytes))
	add("clock", prefixed("governor ", m.Governor), turbo(m.Turbo), frequency(m.MHz))
	add("counters", m.Counters)
	add("noise", noise(m.Noise))
	add("machine ID", m.ID)
	add("settings", numbered("GOMAXPROCS=", s.GOMAXPROCS), prefixed("GOGC=", s.GOGC), prefixed("GOMEMLIMIT=", s.GOMEMLIMIT),
		prefixed("GODEBUG=", s.GODEBUG), prefixed("bound to processors ", s.CPUs), sliceLength(s.Slice), counted(s.Layouts, "layout"))
	return facts
}

func counted(n int, what string) string {
	if n == 0 {
		return ""
	}
	return plural(n, what)
}

func numbered(prefix string, n int) string {
	if n == 0 {
		return ""
	}
	return prefix + strconv.Itoa(n)
}

func quota(q float64) string {
	if q == 0 {
		return ""
	}
	return "quota of " + digits(q, 3, 2)
}

func memory(n int64) string {
	if n == 0 {
		return ""
	}
	return value(float64(n), "B")
}

func turbo(on *bool) string {
	switch {
	case on == nil:
		return ""
	case *on:
		return "turbo on"
	}
	return "turbo off"
}

func frequency(mhz float64) string {
	if mhz == 0 {
		return ""
	}
	return digits(mhz, 4, 0) + " MHz"
}

func sliceLength(s float64) string {
	if s == 0 {
		return ""
	}
	return seconds(s) + " a slice"
}

// noise says how a fixed amount of work varied.
func noise(n *api.BenchNoise) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("the same work took %s at its fastest, %s of that in the median, %s in the slowest tenth",
		seconds(n.Fastest), times(n.Median), times(n.P90))
}

func times(factor float64) string { return "×" + digits(factor, 3, 2) }

// limitWords returns a limit: "worse 5% fail · better 2% show".
func limitWords(l api.BenchLimit) string {
	end := func(name, limit, action string) string {
		if limit == "" {
			return ""
		}
		return joined(" ", name, limit, action)
	}
	return dots(end("worse", l.Worse, l.OnWorse), end("better", l.Better, l.OnBetter))
}

// benchmarks counts the benchmarks of a gate's items; an item without a name is
// about a whole package.
func benchmarks(items []api.BenchGateItem) int {
	seen := map[[2]string]bool{}
	for _, item := range items {
		if item.Name != "" {
			seen[[2]string{item.Package, item.Name}] = true
		}
	}
	return len(seen)
}

// itemName names the benchmark of an item.
func itemName(item *api.BenchGateItem) string { return cmp.Or(item.Name, "all benchmarks") }

// tally counts the items of a gate by verdict.
func tally(items []api.BenchGateItem) map[api.BenchVerdict]int {
	counts := map[api.BenchVerdict]int{}
	for _, item := range items {
		counts[item.Verdict]++
	}
	return counts
}

// gateSentence says in one sentence what was compared and how it came out.
func gateSentence(g *api.BenchGate) string {
	counts := tally(g.Items)
	var parts []string
	for _, v := range []api.BenchVerdict{api.BenchFail, api.BenchWarn, api.BenchInconclusive, api.BenchPass} {
		if n := counts[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	how := "nothing was measured"
	if len(parts) > 0 {
		how = fmt.Sprintf("%s, of %s in %s", strings.Join(parts, ", "), plural(len(g.Items), "result"), plural(benchmarks(g.Items), "benchmark"))
	}
	return fmt.Sprintf("%s; from %s to %s, in %s.", how, side(g.Base), side(g.Head), seconds(g.Took))
}

// gateFacts says how a gate came to its verdict.
func gateFacts(g *api.BenchGate) []fact {
	facts := []fact{{"base", side(g.Base)}, {"head", side(g.Head)}}
	if versions := goVersions(g); versions != "" {
		facts = append(facts, fact{"Go", versions})
	}
	facts = append(facts, machineFacts(g.Machine, g.Settings)...)
	facts = append(facts,
		fact{"time", fmt.Sprintf("%s in all, %s measuring of a budget of %s, %s building", seconds(g.Took), seconds(g.Measuring), seconds(g.Budget), seconds(g.Building))},
		fact{"errors", fmt.Sprintf("the probability of a failure without a reason is at most %s", strings.TrimPrefix(percent(g.Alpha), "+"))},
		fact{"seed", strconv.FormatUint(g.Seed, 10)})
	return facts
}

// goVersions names the versions of Go that binaries of the two sides were built with.
func goVersions(g *api.BenchGate) string {
	return goVersionsOf(slices.Concat(g.Base.Binaries, g.Head.Binaries))
}

func goVersionsOf(binaries []api.BenchBinary) string {
	var versions []string
	for _, b := range binaries {
		if b.GoVersion != "" && !slices.Contains(versions, b.GoVersion) {
			versions = append(versions, b.GoVersion)
		}
	}
	return strings.Join(versions, ", ")
}

// comparisonSentence says what a comparison found.
func comparisonSentence(c *api.BenchComparison) string {
	counts := map[string]int{}
	for _, item := range c.Items {
		counts[item.Change]++
	}
	return fmt.Sprintf("%d worse, %d better, %d the same, %d unknown, from %s to %s, at %s confidence.",
		counts["worse"], counts["better"], counts["none"], counts["unknown"], c.Old, c.New, digits(100*(1-c.Alpha), 4, 2)+" %")
}

// geomeanSentence names the mean changes of metrics; "" without any.
func geomeanSentence(c *api.BenchComparison) string {
	var parts []string
	for _, g := range c.Geomeans {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", g.Metric, percent(g.Estimate), plural(g.Benchmarks, "benchmark")))
	}
	return prefixed("Geometric mean of the changes: ", strings.Join(parts, ", "))
}

// historySentence says what a history found.
func historySentence(h *api.BenchHistory) string {
	changes, drifts := 0, 0
	for i := range h.Series {
		changes += len(h.Series[i].Changes)
		drifts += len(h.Series[i].Drifts)
	}
	return fmt.Sprintf("%s and %s in %d series over %s.", plural(changes, "change point"), plural(drifts, "drift"), len(h.Series), plural(len(h.Commits), "commit"))
}

// calibrationSentence says what a machine can tell.
func calibrationSentence(c *api.BenchCalibration) string {
	r := c.Recommended
	return fmt.Sprintf("%d of %s of programs with themselves failed. Recommended: a limit of %s, a budget of %s; the noisiest benchmark needs %s.",
		c.FalsePositives, plural(c.Gates, "gate"), cmp.Or(r.Worse, "–"), cmp.Or(r.Budget, "–"), plural(r.Rounds, "round"))
}
