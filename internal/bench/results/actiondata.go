package results

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// actionEntry is a run in the data of the GitHub Action github-action-benchmark.
type actionEntry struct {
	Commit struct {
		ID string `json:"id"`
	} `json:"commit"`
	// Date is in milliseconds since 1970.
	Date    float64       `json:"date"`
	Tool    string        `json:"tool"`
	Benches []actionBench `json:"benches"`
}

// actionBench is a line of a benchmark's output. Of a line with several metrics
// there is one with all, the first as Value and the others after its unit in
// Unit, and, since version 1.18, one for each, named "Name - unit".
type actionBench struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Extra is "1000 times", and "2 procs" in the next line.
	Extra string `json:"extra"`
}

// readActionData reads the entries of benchmark data: runs by the name of the
// suite, which becomes the label suite. Entries of other languages' tools are
// left out.
func readActionData(data []byte, problems *problems) ([]api.BenchRun, error) {
	var suites map[string][]actionEntry
	if err := json.Unmarshal(data, &suites); err != nil {
		return nil, fmt.Errorf("JSON that is not github-action-benchmark's: %w", err)
	}
	var runs []api.BenchRun
	for _, name := range slices.Sorted(maps.Keys(suites)) {
		others := 0
		for i := range suites[name] {
			entry := &suites[name][i]
			if entry.Tool != "go" {
				others++
				continue
			}
			b := builder{run: api.BenchRun{Time: unixTime(int64(math.Min(entry.Date/1000, math.MaxInt32*100)))}}
			b.run.Side.Commit = entry.Commit.ID
			if name != "" {
				b.run.Labels = map[string]string{"suite": name}
			}
			for _, bench := range entry.Benches {
				bench.addTo(&b)
			}
			runs = append(runs, b.finish())
		}
		if others > 0 {
			problems.add(fault.Unsupported, 0, "", "%d runs of suite %q are not of Go", others, name)
		}
	}
	return runs, nil
}

func (a *actionBench) addTo(b *builder) {
	if strings.HasSuffix(a.Name, " - "+a.Unit) {
		return
	}
	fields := append([]string{strconv.FormatFloat(a.Value, 'g', -1, 64)}, strings.Fields(a.Unit)...)
	values := map[string]float64{}
	for ; len(fields) >= 2; fields = fields[2:] {
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		values[fields[1]] = v
	}
	// With more than one package in the output, the package follows the name.
	name, pkg, _ := strings.Cut(strings.TrimPrefix(a.Name, "Benchmark"), " (")
	times, rest, _ := strings.Cut(a.Extra, "\n")
	procs := leading(rest)
	if procs > 0 {
		name += "-" + strconv.FormatInt(procs, 10)
	}
	b.add(seriesKey{strings.TrimSuffix(pkg, ")"), name, int(procs)}, leading(times), values)
}

// leading is the number that a text begins with, or 0.
func leading(text string) int64 {
	field, _, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(field, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
