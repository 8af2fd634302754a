package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// maxNames is how many names a note lists.
const maxNames = 10

// differences says what differs between the sides besides the code. Machines
// come first.
func differences(old, new *api.BenchResults) []string {
	notes := machineNotes(old, new)
	a, b := circumstances(old), circumstances(new)
	for _, name := range slices.SortedFunc(maps.Keys(a), compareNames) {
		x, y := a[name], b[name]
		if len(y) > 0 && !maps.Equal(x, y) {
			notes = append(notes, fmt.Sprintf("%s differs: %s in old, %s in new", name, list(x), list(y)))
		}
	}
	return notes
}

// machineNotes says when a comparison crosses machines.
func machineNotes(old, new *api.BenchResults) []string {
	a, b := machines(old), machines(new)
	var notes []string
	if differentMachines(a, b) {
		notes = append(notes, fmt.Sprintf(
			"THIS COMPARISON CROSSES MACHINES: old was measured on %s, new on %s; the differences may be the machines', not the code's",
			list(names(a)), list(names(b))))
	}
	for _, side := range []struct {
		name     string
		machines map[string]api.BenchMachine
	}{{"old", a}, {"new", b}} {
		if len(side.machines) > 1 {
			notes = append(notes, fmt.Sprintf("%s has results of %d machines, which are taken together: %s",
				side.name, len(side.machines), list(names(side.machines))))
		}
	}
	return notes
}

// machines returns those of which something is known, by what tells them apart.
func machines(set *api.BenchResults) map[string]api.BenchMachine {
	found := map[string]api.BenchMachine{}
	for i := range set.Runs {
		m := set.Runs[i].Machine
		if key := cmp.Or(m.ID, strings.Trim(m.OS+"/"+m.Arch+" "+m.CPU, "/ ")); key != "" {
			found[key] = m
		}
	}
	return found
}

// differentMachines says whether some machine is certainly not on the other side.
// Two without an ID may be one when nothing that is known differs.
func differentMachines(a, b map[string]api.BenchMachine) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	missing := func(a, b map[string]api.BenchMachine) bool {
		for _, x := range a {
			possible := false
			for _, y := range b {
				possible = possible || maybeSame(x, y)
			}
			if !possible {
				return true
			}
		}
		return false
	}
	return missing(a, b) || missing(b, a)
}

func maybeSame(a, b api.BenchMachine) bool {
	if a.ID != "" && b.ID != "" {
		return a.ID == b.ID
	}
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	return same(a.OS, b.OS) && same(a.Arch, b.Arch) && same(a.CPU, b.CPU)
}

func names(machines map[string]api.BenchMachine) map[string]bool {
	list := map[string]bool{}
	for _, m := range machines {
		name := strings.Trim(m.OS+"/"+m.Arch, "/")
		if m.CPU != "" {
			name = strings.TrimSpace(name + " " + m.CPU)
		}
		if m.ID != "" {
			name = strings.TrimSpace(name + " [" + m.ID + "]")
		}
		list[name] = true
	}
	return list
}

const goVersion = "Go version"

// circumstances returns the values that a side has of each thing that changes
// measurements without being the code.
func circumstances(set *api.BenchResults) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	add := func(name, value string) {
		if value == "" {
			return
		}
		if found[name] == nil {
			found[name] = map[string]bool{}
		}
		found[name][value] = true
	}
	for i := range set.Runs {
		run := &set.Runs[i]
		addMachine(add, &run.Machine)
		addSettings(add, &run.Settings)
		for j := range run.Side.Binaries {
			b := &run.Side.Binaries[j]
			add(goVersion, b.GoVersion)
			for key, value := range b.Settings {
				if !strings.HasPrefix(key, "vcs") {
					add("build setting "+key, value)
				}
			}
		}
		for key, value := range run.Labels {
			add("label "+key, value)
		}
		for j := range run.Series {
			add("GOMAXPROCS of benchmarks", number(run.Series[j].Procs))
		}
	}
	addUnset(found, set)
	return found
}

// addUnset gives settings that only some binaries have the value "unset": what a
// toolchain leaves out, such as -race, is as much a setting as what it writes.
func addUnset(found map[string]map[string]bool, set *api.BenchResults) {
	for i := range set.Runs {
		for _, b := range set.Runs[i].Side.Binaries {
			if b.Settings == nil {
				continue
			}
			for _, key := range []string{"-race", "-msan", "-asan", "-cover", "-gcflags", "-asmflags", "-ldflags", "-tags", "-pgo", "CGO_CFLAGS", "GOEXPERIMENT", "GOFIPS140"} {
				if _, ok := b.Settings[key]; !ok {
					name := "build setting " + key
					if found[name] == nil {
						found[name] = map[string]bool{}
					}
					found[name]["unset"] = true
				}
			}
		}
	}
}

func addMachine(add func(name, value string), m *api.BenchMachine) {
	add("operating system", m.OS)
	add("architecture", m.Arch)
	add("CPU", m.CPU)
	add("kernel", m.Kernel)
	add("number of CPUs", number(m.CPUs))
	add("CPU quota", decimal(m.Quota))
	add("virtualization", m.Virtualization)
	add("governor", m.Governor)
	if m.Turbo != nil {
		add("turbo", fmt.Sprint(*m.Turbo))
	}
}

func addSettings(add func(name, value string), s *api.BenchSettings) {
	add("GOMAXPROCS", number(s.GOMAXPROCS))
	add("GOGC", s.GOGC)
	add("GOMEMLIMIT", s.GOMEMLIMIT)
	add("GODEBUG", s.GODEBUG)
	add("CPU binding", s.CPUs)
	add("length of slices in seconds", decimal(s.Slice))
	add("number of layouts", number(s.Layouts))
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func decimal(f float64) string {
	if f == 0 {
		return ""
	}
	return fmt.Sprint(f)
}

// compareNames puts the Go version first, then what is built in, then the rest.
func compareNames(a, b string) int {
	rank := func(name string) int {
		switch {
		case name == goVersion:
			return 0
		case strings.HasPrefix(name, "build setting "):
			return 1
		case strings.HasPrefix(name, "label "):
			return 3
		}
		return 2
	}
	return cmp.Or(rank(a)-rank(b), strings.Compare(a, b))
}

// list names the values of a set, the first maxNames of them.
func list(set map[string]bool) string {
	sorted := slices.Sorted(maps.Keys(set))
	more := ""
	if len(sorted) > maxNames {
		more = fmt.Sprintf(" and %d more", len(sorted)-maxNames)
		sorted = sorted[:maxNames]
	}
	return strings.Join(sorted, ", ") + more
}

// oneSided names the benchmarks that only one side has, and the metrics that only
// one side has of a benchmark of both.
func oneSided(a, b map[seriesKey][]float64) []string {
	var notes []string
	for _, side := range []struct {
		name        string
		here, there map[seriesKey][]float64
	}{{"old", a, b}, {"new", b, a}} {
		known := map[seriesKey]bool{}
		for key := range side.there {
			key.metric = ""
			known[key] = true
		}
		benchmarks, metrics := map[string]bool{}, map[string]bool{}
		for key := range side.here {
			if _, ok := side.there[key]; ok {
				continue
			}
			whole := key
			whole.metric = ""
			if known[whole] {
				metrics[label(key)] = true
			} else {
				benchmarks[strings.TrimSpace(label(whole))] = true
			}
		}
		if len(benchmarks) > 0 {
			notes = append(notes, fmt.Sprintf("only %s has %d benchmarks: %s", side.name, len(benchmarks), list(benchmarks)))
		}
		if len(metrics) > 0 {
			notes = append(notes, fmt.Sprintf("only %s has %d metrics: %s", side.name, len(metrics), list(metrics)))
		}
	}
	return notes
}

// counted says of how many items nothing can be said, and how many are to be
// expected to look changed by chance.
func counted(items []api.BenchComparisonItem, few int, alpha float64) []string {
	var notes []string
	if few > 0 {
		notes = append(notes, fmt.Sprintf("%d comparisons have too few samples for an interval: %d of each side are the least at alpha %v",
			few, fewest(alpha), alpha))
	}
	tested := 0
	for i := range items {
		if !items[i].Exact && items[i].Low != nil {
			tested++
		}
	}
	if expected := alpha * float64(tested); expected >= 1 {
		notes = append(notes, fmt.Sprintf("alpha %v is of each comparison: of these %d, about %.0f show a change where there is none",
			alpha, tested, math.Round(expected)))
	}
	return notes
}

// fewest is the smallest size of both samples that gives an interval.
func fewest(alpha float64) int {
	n := 1
	for n <= maxExact && critical(n, n, alpha) < 1 {
		n++
	}
	return n
}
