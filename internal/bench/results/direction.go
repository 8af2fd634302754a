package results

import (
	"slices"
	"strings"

	"golang.org/x/perf/benchunit"
)

// Direction says whether more of a unit is better (+1), worse (-1) or neither is
// known (0). The first that says something counts:
//
//   - config, by unit: "higher" or "lower" (key bench.units of .gopherwood.yaml);
//   - meta, the metadata of units by unit and key: better=higher, better=lower;
//   - the unit: a rate (anything per second, as MB/s, req/sec, hits-per-second)
//     is better when it is higher; a time, an amount of memory, allocations,
//     instructions or cycles (ns/op, p99-ns, peak-RSS-bytes) when it is lower.
//
// What is said of a unit is said of its other scales too (sec/op for ns/op), as
// in the Go benchmark format.
func Direction(unit string, meta map[string]map[string]string, config map[string]string) int {
	if d := named(lookUp(config, unit)); d != 0 {
		return d
	}
	if d := named(lookUp(meta, unit)["better"]); d != 0 {
		return d
	}
	return built(unit)
}

// lookUp finds what is said of the unit or, when nothing is, of another scale.
func lookUp[T any](by map[string]T, unit string) T {
	if v, ok := by[unit]; ok {
		return v
	}
	_, tidy := benchunit.Tidy(1, unit)
	var (
		found string
		value T
	)
	for other, v := range by {
		if _, t := benchunit.Tidy(1, other); t == tidy && (found == "" || other < found) {
			found, value = other, v
		}
	}
	return value
}

func named(better string) int {
	switch better {
	case "higher":
		return 1
	case "lower":
		return -1
	}
	return 0
}

var (
	seconds = []string{"s", "sec", "secs", "second", "seconds"}
	costs   = []string{
		"ns", "us", "µs", "μs", "ms", "s", "sec", "secs", "second", "seconds",
		"B", "KB", "MB", "GB", "KiB", "MiB", "GiB", "byte", "bytes", "allocs", "instructions", "cycles",
	}
)

// built is the direction of a unit nothing is said of.
func built(unit string) int {
	if i := strings.LastIndex(unit, "-per-"); i >= 0 && !strings.Contains(unit, "/") {
		unit = unit[:i] + "/" + unit[i+len("-per-"):]
	}
	top, bottom, ratio := strings.Cut(unit, "/")
	switch {
	case ratio && slices.Contains(seconds, bottom):
		return 1
	case slices.Contains(costs, top[strings.LastIndexByte(top, '-')+1:]):
		return -1
	}
	return 0
}

// IsRate reports whether a unit is a time or something per second: what no
// machine measures twice alike, other than a count.
func IsRate(unit string) bool {
	top, bottom, ratio := strings.Cut(unit, "/")
	if strings.Contains(unit, "-per-sec") || ratio && slices.Contains(seconds, bottom) {
		return true
	}
	i := slices.Index(costs, top[strings.LastIndexByte(top, '-')+1:])
	return i >= 0 && i < slices.Index(costs, "B")
}
