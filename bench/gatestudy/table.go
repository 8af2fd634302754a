package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/live"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/replay"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
	"github.com/gopherwood-dev/gopherwood/bench/machine"
)

// results are what the table is made of.
type results struct {
	Seed    uint64
	Minutes float64
	Machine machine.Machine
	Noise   string
	*replay.Result
	Live  []liveRow
	Speed *beside
}

// liveRow counts live gates on one branch.
type liveRow struct {
	Name string
	// Percent is how much slower all benchmarks are.
	Percent int
	Gates   int
	// Verdicts counts those on whole gates when nothing is slower, else those on
	// the benchmarks' ns/op.
	Verdicts    map[api.BenchVerdict]int
	Failed      int
	Median, P95 time.Duration
	Overhead    time.Duration
}

// write replays what was recorded, and writes the table.
func (s *study) write(ctx context.Context) error {
	set, err := replay.Read(s.path(streamsDir))
	if err != nil {
		return err
	}
	s.say("replaying gates")
	result, err := set.Run(ctx, replay.Counts{Same: s.replaysSame, Slower: s.replaysSlow}, s.seed, func(r *replay.Row) {
		s.say("  +%d %%, load %t: %v", r.Percent, r.Load, r.Verdicts)
	})
	if err != nil {
		return err
	}
	all := results{Seed: s.seed, Minutes: s.minutes, Machine: machine.Describe(), Result: result}
	if all.Noise, err = s.noise(); err != nil {
		return err
	}
	if all.Live, err = s.liveRows(); err != nil {
		return err
	}
	var took beside
	if found, err := load(s.path(speedDir, speedFile), &took); err != nil {
		return err
	} else if found {
		all.Speed = &took
	}
	var text strings.Builder
	if err := page.Execute(&text, all); err != nil {
		return err
	}
	return os.WriteFile(s.table, []byte(text.String()), 0o644) //nolint:gosec // everybody may read it
}

func (s *study) liveRows() ([]liveRow, error) {
	var rows []liveRow
	for _, r := range []liveRow{{Name: live.Same}, {Name: live.Slow, Percent: 10}} {
		r.Verdicts = map[api.BenchVerdict]int{}
		var walls, overheads []time.Duration
		for i := range sameGates {
			var g live.Gate
			found, err := load(s.liveFile(r.Name, i), &g)
			if err != nil {
				return nil, err
			}
			if found {
				r.add(&g)
				walls, overheads = append(walls, g.Wall), append(overheads, g.Overhead())
			}
		}
		slices.Sort(walls)
		slices.Sort(overheads)
		if n := len(walls); n > 0 {
			r.Median, r.P95, r.Overhead = walls[n/2], walls[n*95/100], overheads[n/2]
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (r *liveRow) add(g *live.Gate) {
	r.Gates++
	if g.Document.Verdict == api.BenchFail {
		r.Failed++
	}
	if r.Percent == 0 {
		r.Verdicts[g.Document.Verdict]++
		return
	}
	for _, item := range g.Document.Items {
		if item.Metric == "ns/op" {
			r.Verdicts[item.Verdict]++
		}
	}
}

// noise says how the calibration loop varied in the streams, without and with the load.
func (s *study) noise() (string, error) {
	loops := map[bool][]time.Duration{}
	files, err := filepath.Glob(s.path(streamsDir, "*.ndjson"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if err := readLoops(file, loops); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s without the load, %s with it", spread(loops[false]), spread(loops[true])), nil
}

func readLoops(file string, loops map[bool][]time.Duration) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	rec, err := stream.Read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, r := range rec.Rounds {
		for _, slice := range r.Slices {
			loops[rec.Header.Load] = append(loops[rec.Header.Load], slice.Loop)
		}
	}
	return nil
}

// spread is the range between the quartiles as a share of the median.
func spread(loops []time.Duration) string {
	n := len(loops)
	if n == 0 {
		return "unknown"
	}
	slices.Sort(loops)
	return fmt.Sprintf("%.0f %%", 100*float64(loops[n*3/4]-loops[n/4])/float64(loops[n/2]))
}

// page is the table.
var page = template.Must(template.New("study").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) },
	"signed":  func(share float64) string { return fmt.Sprintf("%+.1f %%", 100*share) },
	"seconds": func(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) },
	"short":   func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) },
	"minutes": func(d time.Duration) string { return fmt.Sprintf("%.0f", d.Minutes()) },
	"case":    describe,
	"rate":    func(k, n int) string { return rate(k, n) },
	"ratio":   func(a, b time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds()) },
	"count":   func(m map[api.BenchVerdict]int, v string) int { return m[api.BenchVerdict(v)] },
	"effects": effects,
}).Parse(pageText))

func describe(percent int, load bool) string {
	name := "identical"
	if percent > 0 {
		name = fmt.Sprintf("+%d %%", percent)
	}
	if load {
		return name + ", load"
	}
	return name
}

func rate(k, n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(k)/float64(n))
}

// effects is a table with a row a benchmark: the changes in all rounds by size,
// without the load and with it.
func effects(all []replay.Effect) string {
	changes := map[string]map[int]map[bool]string{}
	for _, e := range all {
		if changes[e.Benchmark] == nil {
			changes[e.Benchmark] = map[int]map[bool]string{}
		}
		if changes[e.Benchmark][e.Percent] == nil {
			changes[e.Benchmark][e.Percent] = map[bool]string{}
		}
		changes[e.Benchmark][e.Percent][e.Load] = fmt.Sprintf("%+.1f", 100*e.Change)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		text.WriteString("| " + name + " |")
		for _, p := range append([]int{0}, sizes...) {
			byLoad := changes[name][p]
			text.WriteString(" " + cmp.Or(byLoad[false], "–") + ", " + cmp.Or(byLoad[true], "–") + " |")
		}
		text.WriteString("\n")
	}
	return text.String()
}

const pageText = `# How often the benchmark gate is wrong

<!-- Written by make bench-gate-study; not edited by hand. -->

Measured on {{.Machine.CPU}}, {{.Machine.Cores}} processors, Linux {{.Machine.Kernel}}, {{.Machine.Go}}; seed {{.Seed}}. A fixed
amount of work varied by (range between quartiles over median) {{.Noise}}. {{.RoundCount}} rounds were recorded, {{minutes .Recorded}} minutes
of slices: ten real benchmarks in turns, as the gate measures them, with identical builds and with builds that do more work of the
same kind. The load is a program that goes through 64 MiB of memory on another processor, in phases.

## Replays

Each replay is a gate on ten benchmarks with the default limits and budget, whose rounds are blocks of ten laps that are drawn
from the recorded streams. With "identical" nothing is slower, and the verdicts are those of whole gates; else one of the ten
benchmarks is slower and the others are not, and the verdicts are those on the slower one. "Wrong fail" counts gates that fail for a
benchmark that is no slower. The interval is that of Clopper and Pearson at 95 %.

| Head | Gates | Fail | Interval | Pass | Inconclusive | Warn | Wrong fail | Rounds | Time, median | P95 |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
{{range .Rows}}{{$fail := .Rate "fail" -}}
| {{case .Percent .Load}} | {{.Gates}} | {{percent $fail.Share}} | {{percent $fail.Low}} to {{percent $fail.High}} | {{rate (count .Verdicts "pass") .Gates}} | {{rate (count .Verdicts "inconclusive") .Gates}} | {{rate (count .Verdicts "warn") .Gates}} | {{.False}} | {{.Rounds}} | {{seconds .Median}} | {{seconds .P95}} |
{{end}}
## benchstat on the same slices

As many slices as the gate measured, the base first and then the head, as people run it: ten samples a side, a difference when
p < 0.05 (Mann-Whitney). "Slower" counts runs in which benchstat calls a benchmark slower, "beyond 5 %" those in which it does so by more than
the gate's limit. With "identical" any of the ten benchmarks counts; else the slower one.

| Head | Runs | Slower | Beyond 5 % |
| --- | --: | --: | --: |
{{range .Rows}}| {{case .Percent .Load}} | {{.Benchstat.Gates}} | {{rate .Benchstat.Different .Benchstat.Gates}} | {{rate .Benchstat.Beyond .Benchstat.Gates}} |
{{end}}
## Live gates
{{if .Live}}
The command itself on commits of a repository, five benchmarks each. With "identical" the verdicts are those of whole gates; else all five
are slower, and the verdicts are those on each.

| Head | Gates | Failed | Pass | Inconclusive | Warn | Fail | Time, median | P95 | Besides benchmarks and building |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
{{range .Live}}| {{case .Percent false}} | {{.Gates}} | {{.Failed}} | {{count .Verdicts "pass"}} | {{count .Verdicts "inconclusive"}} | {{count .Verdicts "warn"}} | {{count .Verdicts "fail"}} | {{seconds .Median}} | {{seconds .P95}} | {{short .Overhead}} |
{{end}}{{else}}
None was run.
{{end}}
## Time
{{with .Speed}}
Twenty benchmarks, an unchanged pair: ` + "`go test -bench . -count=10`" + ` on both sides took {{seconds .Test}}, the gate {{seconds .Gate.Wall}},
{{ratio .Gate.Wall .Test}} of it ({{.Gate.Document.Verdict}}); besides benchmarks and building {{short .Gate.Overhead}}.
{{else}}
It was not measured.
{{end}}
## What the builds really do

The median over all rounds of the change between the best samples of the sides, in percent, without the load and with it.

| Benchmark | identical | +3 % | +5 % | +7 % | +10 % | +20 % |
| --- | --: | --: | --: | --: | --: | --: |
{{effects .Effects}}`
