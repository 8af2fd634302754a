package results

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchunit"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// parser makes runs of the lines of the benchmark format. A run is all results
// with the same configuration, wherever they are in the input; package, binaries
// and the meaning of names' suffixes are no part of that.
type parser struct {
	problems *problems
	reader   *benchfmt.Reader
	byConfig map[identity]*textRun
	order    []*textRun
	// blocks counts the changes of configuration; full says that a limit was
	// reached, and told.
	blocks int
	full   bool
}

func newParser(problems *problems) *parser {
	return &parser{problems: problems, reader: new(benchfmt.Reader), byConfig: map[identity]*textRun{}}
}

// textRun is a run whose names are whole.
type textRun struct {
	run      api.BenchRun
	binaries map[string]api.BenchBinary
	series   map[seriesKey]*textSeries
	order    []*textSeries
}

// seriesKey tells the series of a run apart. The name is as it is printed after
// "Benchmark"; procs is what a configuration line says of the suffix, or -1.
type seriesKey struct {
	pkg, name string
	procs     int
}

type textSeries struct {
	seriesKey
	samples []api.BenchSample
}

// read reads all of a stream.
func (p *parser) read(s *stream) {
	var initial []string
	if s.pkg != "" {
		initial = []string{keyPackage, s.pkg}
	}
	p.reader.Reset(&s.text, p.problems.name, initial...)
	changes := s.config
	var (
		run    *textRun
		series seriesKey
	)
	for p.reader.Scan() {
		record := p.reader.Result()
		_, line := record.Pos()
		switch record := record.(type) {
		case *benchfmt.SyntaxError:
			p.problems.add(fault.Invalid, s.origin[line-1], "", "%s", record.Msg)
		case *benchfmt.Result:
			if len(changes) > 0 && changes[0] < line || run == nil {
				for len(changes) > 0 && changes[0] < line {
					changes = changes[1:]
				}
				p.blocks++
				if run, series = p.configure(record); run == nil {
					return
				}
			}
			p.result(run, series, record, s.origin[line-1])
		}
	}
	if err := p.reader.Err(); err != nil {
		p.problems.add(fault.Invalid, 0, "", "%s", errors.Unwrap(err))
	}
}

// configure finds the run of the configuration in force. It returns nil when
// there are too many.
func (p *parser) configure(record *benchfmt.Result) (*textRun, seriesKey) {
	if p.blocks > maxBlocks {
		return p.tooMany("more than %d changes of the configuration", maxBlocks)
	}
	c := splitConfig(record.Config)
	run := p.byConfig[c.identity]
	if run == nil {
		if len(p.order) == maxRuns {
			return p.tooMany("more than %d different configurations", maxRuns)
		}
		run = &textRun{run: decodeRun(runLines(record.Config)), binaries: map[string]api.BenchBinary{}, series: map[seriesKey]*textSeries{}}
		p.byConfig[c.identity] = run
		p.order = append(p.order, run)
	}
	maps.Copy(run.binaries, c.binaries)
	return run, seriesKey{pkg: c.pkg, procs: c.procs}
}

// tooMany notes, once, that the rest of the results is left out.
func (p *parser) tooMany(format string, limit int) (*textRun, seriesKey) {
	if !p.full {
		p.problems.add(fault.Limit, 0, "split it; what follows was left out", format, limit)
	}
	p.full = true
	return nil, seriesKey{}
}

func (p *parser) result(run *textRun, key seriesKey, record *benchfmt.Result, line int) {
	sample := api.BenchSample{Iterations: int64(record.Iters), Values: make(map[string]float64, len(record.Values))}
	name := string(record.Name)
	if sample.Iterations < 0 {
		p.problems.add(fault.Invalid, line, "", "%s has a negative number of iterations", name)
		return
	}
	for _, v := range record.Values {
		value, unit := v.Value, v.Unit
		if v.OrigUnit != "" {
			value, unit = v.OrigValue, v.OrigUnit
		}
		if _, twice := sample.Values[unit]; twice {
			p.problems.add(fault.Invalid, line, "", "%s has two values of %s; the first is kept", name, unit)
			continue
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			p.problems.add(fault.Invalid, line, "the benchmark reports it", "%s has %v %s, which is no number", name, value, unit)
			continue
		}
		sample.Values[unit] = value
	}
	if len(sample.Values) == 0 {
		return
	}
	key.name = name
	s := run.series[key]
	if s == nil {
		s = &textSeries{seriesKey: key}
		run.series[key] = s
		run.order = append(run.order, s)
	}
	s.samples = append(s.samples, sample)
}

// runs returns all that was read, with the names taken apart.
func (p *parser) runs() []api.BenchRun {
	var runs []api.BenchRun
	for _, r := range p.order {
		if len(r.order) == 0 {
			continue
		}
		r.run.Side.Binaries = sortedBinaries(r.binaries)
		r.run.Series = splitNames(r.order)
		r.run.Units = unitsOf(p.reader.Units(), &r.run)
		runs = append(runs, r.run)
	}
	return runs
}

// unitsOf returns the metadata of the units that a run uses. It is kept by
// tidied units (sec/op for ns/op), and holds for all that are tidied to them.
func unitsOf(all benchfmt.UnitMetadataMap, run *api.BenchRun) map[string]map[string]string {
	if len(all) == 0 {
		return nil
	}
	byUnit := map[string][]*benchfmt.UnitMetadata{}
	for key, m := range all {
		byUnit[key.Unit] = append(byUnit[key.Unit], m)
	}
	var units map[string]map[string]string
	for unit := range usedUnits(run) {
		_, tidy := benchunit.Tidy(1, unit)
		for _, m := range byUnit[tidy] {
			if units == nil {
				units = map[string]map[string]string{}
			}
			if units[unit] == nil {
				units[unit] = map[string]string{}
			}
			units[unit][m.Key] = m.Value
		}
	}
	return units
}

func usedUnits(run *api.BenchRun) map[string]bool {
	used := map[string]bool{}
	for i := range run.Series {
		for _, sample := range run.Series[i].Samples {
			for unit := range sample.Values {
				used[unit] = true
			}
		}
	}
	return used
}

// splitNames takes names and suffixes apart. The testing package appends "-N"
// for GOMAXPROCS=N, but nothing for 1, so that the end of "Sort/size-16" may be
// either. Where some name of a package has no suffix, GOMAXPROCS was 1 for it,
// and a suffix counts only on names that are there without it too, as with
// `-cpu 1,4`; where all have one, all count.
func splitNames(order []*textSeries) []api.BenchSeries {
	type name struct{ pkg, name string }
	names := map[name]bool{}
	bare := map[string]bool{}
	for _, s := range order {
		if _, procs := cutSuffix(s.name); procs == 0 {
			bare[s.pkg] = true
		}
		names[name{s.pkg, s.name}] = true
	}
	var list []api.BenchSeries
	known := map[seriesKey]int{}
	for _, s := range order {
		base, procs := cutSuffix(s.name)
		switch {
		case s.procs >= 0:
			if procs != s.procs {
				base, procs = s.name, s.procs
			}
		case procs > 0 && bare[s.pkg] && !names[name{s.pkg, base}]:
			base, procs = s.name, 0
		}
		key := seriesKey{s.pkg, base, procs}
		i, ok := known[key]
		if !ok {
			i = len(list)
			known[key] = i
			list = append(list, api.BenchSeries{Package: s.pkg, Name: base, Procs: procs})
		}
		list[i].Samples = append(list[i].Samples, s.samples...)
	}
	return list
}

// cutSuffix returns a name without "-N", and N; 0 when there is none.
func cutSuffix(name string) (string, int) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || i+1 == len(name) || name[i+1] == '0' || len(name)-i > len("-100000") {
		return name, 0
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 32)
	if err != nil {
		return name, 0
	}
	return name[:i], int(n)
}

func sortedBinaries(byText map[string]api.BenchBinary) []api.BenchBinary {
	return slices.SortedFunc(maps.Values(byText), compareBinaries)
}
