package results

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Merge joins results of many runs and machines. A run that is there more than
// once, the same in everything but the order of its series and binaries, is kept
// once. Runs are ordered by time (those without one first), machine, commit and
// then content, so that the order of the sets does not matter; notes and errors
// are sorted, each kept once. The sets are not changed; what is returned shares their data.
func Merge(sets ...*api.BenchResults) *api.BenchResults {
	type keyed struct {
		run  api.BenchRun
		time time.Time
		text string
	}
	var runs []keyed
	problems := map[api.Error]bool{}
	merged := &api.BenchResults{SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: []api.BenchRun{}}
	for _, set := range sets {
		for i := range set.Runs {
			// A time that is none sorts with those that are absent.
			at, _ := time.Parse(time.RFC3339, set.Runs[i].Time)
			runs = append(runs, keyed{set.Runs[i], at, contentOf(set.Runs[i])})
		}
		merged.Notes = append(merged.Notes, set.Notes...)
		for _, e := range set.Errors {
			if !problems[e] {
				problems[e] = true
				merged.Errors = append(merged.Errors, e)
			}
		}
	}
	slices.SortStableFunc(runs, func(a, b keyed) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.run.Machine.ID, b.run.Machine.ID),
			cmp.Compare(a.run.Side.Commit, b.run.Side.Commit), cmp.Compare(a.text, b.text))
	})
	for i, r := range runs {
		if i == 0 || r.text == "" || r.text != runs[i-1].text {
			merged.Runs = append(merged.Runs, r.run)
		}
	}
	slices.Sort(merged.Notes)
	merged.Notes = slices.Compact(merged.Notes)
	slices.SortFunc(merged.Errors, func(a, b api.Error) int {
		return cmp.Or(strings.Compare(a.Input, b.Input), strings.Compare(a.Message, b.Message),
			strings.Compare(a.Code, b.Code), strings.Compare(a.Hint, b.Hint))
	})
	return merged
}

// contentOf is the same for runs that are the same; empty for a run with a value
// that is no number, which equals nothing.
func contentOf(run api.BenchRun) string {
	run.Series = slices.Clone(run.Series)
	slices.SortStableFunc(run.Series, func(a, b api.BenchSeries) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Name, b.Name), a.Procs-b.Procs)
	})
	run.Side.Binaries = slices.Clone(run.Side.Binaries)
	slices.SortStableFunc(run.Side.Binaries, compareBinaries)
	text, err := json.Marshal(run)
	if err != nil {
		return ""
	}
	return string(text)
}
