package machine

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Noise summarises what [Loop.Run] returned between measurements; nil without
// samples. Quantiles are interpolated linearly between order statistics (type 7
// of Hyndman and Fan, Sample Quantiles in Statistical Packages, The American
// Statistician 50(4), 1996).
func Noise(samples []time.Duration) *api.BenchNoise {
	if len(samples) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(samples))
	fastest := max(sorted[0], 1) // a clock that stands still is no reason to divide by 0
	return &api.BenchNoise{
		Samples: len(samples), Fastest: fastest.Seconds(),
		Median: quantile(sorted, 0.5) / float64(fastest),
		P90:    quantile(sorted, 0.9) / float64(fastest),
	}
}

// quantile returns the p-quantile of ascending samples, of which there is one at
// least, in nanoseconds.
func quantile(sorted []time.Duration, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return float64(sorted[low]) + (at-float64(low))*float64(sorted[high]-sorted[low])
}

const (
	// shifted is by what fraction a clock frequency must differ to be noted.
	shifted = 0.03
	// group is into how many parts Drift divides the first third of a run, and the last.
	group = 5
	// perPart is how many samples each of them needs: enough that one is likely to
	// have run undisturbed.
	perPart = 8
)

// Drift returns what there is to say when the fixed work of [Loop.Run] became
// slower or faster during a run for good, by more than 3 %: as when the clock
// frequency is lowered because of heat, or a neighbour comes who stays. The
// samples are in the order in which they were measured. It returns "" when there
// is nothing to say, or fewer than 120 samples.
//
// Disturbances only add time, therefore the fastest sample of each fifteenth of
// the run stands for it. All five of the last third must be beyond all five of the
// first: if nothing had changed, every order would be as likely, and that one has
// a probability of 2/252, less than 1 %.
func Drift(samples []time.Duration) string {
	n := len(samples)
	const parts = 3 * group
	if n < parts*perPart {
		return ""
	}
	fastest := make([]float64, parts)
	for i := range fastest {
		fastest[i] = float64(max(1, slices.Min(samples[i*n/parts:(i+1)*n/parts])))
	}
	first, last := fastest[:group], fastest[2*group:]
	slower := slices.Min(last)/slices.Max(first) - 1
	faster := slices.Min(first)/slices.Max(last) - 1
	const why = "the clock frequency changed, or a neighbour came or left"
	switch {
	case slower > shifted:
		return fmt.Sprintf("the machine became at least %.0f %% slower during the run: %s", 100*slower, why)
	case faster > shifted:
		return fmt.Sprintf("the machine became at least %.0f %% faster during the run: %s", 100*faster, why)
	}
	return ""
}

// Changes returns what changed of a machine while benchmarks ran: a sentence each.
// A clock frequency has changed when it differs by more than 3 %. What is absent
// on one side only is said, too.
func Changes(before, after api.BenchMachine) []string {
	var notes []string
	note := func(what, was, is string) {
		if was != is {
			notes = append(notes, fmt.Sprintf("%s changed during the run: from %s to %s", what, was, is))
		}
	}
	note("the processor", known(before.CPU), known(after.CPU))
	note("the number of processors", count(before.CPUs), count(after.CPUs))
	note("the quota of processors", orNone(before.Quota), orNone(after.Quota))
	note("the governor of the clock frequency", known(before.Governor), known(after.Governor))
	note("turbo", onOff(before.Turbo), onOff(after.Turbo))
	if low, high := min(before.MHz, after.MHz), max(before.MHz, after.MHz); high > low*(1+shifted) {
		note("the highest clock frequency", megahertz(before.MHz), megahertz(after.MHz))
	}
	return notes
}

// known is what is said of a text that may be absent.
func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// count is what is said of a number that is absent when 0.
func count(n int) string {
	if n == 0 {
		return "unknown"
	}
	return strconv.Itoa(n)
}

// megahertz is what is said of a clock frequency that is absent when 0.
func megahertz(f float64) string {
	if f == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f MHz", f)
}

// orNone is what is said of a quota.
func orNone(quota float64) string {
	if quota == 0 {
		return "none"
	}
	return fmt.Sprintf("%.4g", quota)
}

// onOff is what is said of a switch that may not be known.
func onOff(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "on"
	}
	return "off"
}
