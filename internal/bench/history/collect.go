package history

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

// sampleRow has the samples of one metric in one run.
type sampleRow struct {
	run, pkg, name string
	procs          int
	metric         string
	samples        string
}

// seriesKey tells series apart.
type seriesKey struct {
	pkg, name, metric, machine string
	procs                      int
	settings                   api.BenchSettings
}

// collector puts samples of many runs together to series.
type collector struct {
	commits  []commitRow
	position map[string]int // by hash
	runs     []storedRun    // from the oldest
	run      map[string]int // by id
	parts    map[seriesKey][]part
	byKind   bool
}

// part is what one run measured.
type part struct {
	run, position int
	values        []float64
}

func newCollector(commits []commitRow, byKind bool) *collector {
	c := &collector{commits: commits, position: map[string]int{}, run: map[string]int{}, parts: map[seriesKey][]part{}, byKind: byKind}
	for i, commit := range commits {
		c.position[commit.hash] = i
	}
	return c
}

// addRuns takes the runs of the commits.
func (c *collector) addRuns(runs []storedRun) {
	for _, r := range runs {
		if _, ok := c.position[r.commit]; ok {
			c.run[r.id] = len(c.runs)
			c.runs = append(c.runs, r)
		}
	}
}

// add takes samples, unless their run is not among those of the commits.
func (c *collector) add(row sampleRow) error {
	at, ok := c.run[row.run]
	if !ok {
		return nil
	}
	decoded, err := decodeSamples(row.samples)
	if err != nil {
		return damaged("run", row.run, err)
	}
	values := make([]float64, 0, len(decoded))
	for _, v := range decoded {
		if v != nil {
			values = append(values, *v)
		}
	}
	if len(values) == 0 {
		return nil
	}
	r := c.runs[at]
	key := seriesKey{row.pkg, row.name, row.metric, c.machine(r.run), row.procs, essential(r.run.Settings)}
	c.parts[key] = append(c.parts[key], part{at, c.position[r.commit], values})
	return nil
}

// machine is what stands for the machine of a run.
func (c *collector) machine(run api.BenchRun) string {
	if c.byKind {
		return machine.Kind(run.Machine.ID)
	}
	return run.Machine.ID
}

// essential leaves the settings that make measurements different ones.
func essential(s api.BenchSettings) api.BenchSettings {
	return api.BenchSettings{GOMAXPROCS: s.GOMAXPROCS, GOGC: s.GOGC, GOMEMLIMIT: s.GOMEMLIMIT, GODEBUG: s.GODEBUG}
}

func (c *collector) selection() *Selection {
	s := &Selection{Commits: make([]api.BenchCommit, len(c.commits)), Series: make([]Series, 0, len(c.parts))}
	for i, commit := range c.commits {
		s.Commits[i] = commit.document()
	}
	for key, parts := range c.parts {
		s.Series = append(s.Series, c.series(key, parts))
	}
	slices.SortFunc(s.Series, compareSeries)
	s.Machines = c.machines()
	return s
}

// machines are those of the series. One that stands for its kind has the kind as ID.
func (c *collector) machines() []api.BenchMachine {
	wanted := map[string]api.BenchMachine{}
	for key := range c.parts {
		wanted[key.machine] = api.BenchMachine{}
	}
	for _, r := range c.runs {
		m := r.run.Machine
		m.ID = c.machine(r.run)
		if _, ok := wanted[m.ID]; ok {
			wanted[m.ID] = m
		}
	}
	delete(wanted, "")
	return slices.SortedFunc(maps.Values(wanted), func(a, b api.BenchMachine) int { return cmp.Compare(a.ID, b.ID) })
}

// series joins the parts of each commit, in the order of the runs.
func (c *collector) series(key seriesKey, parts []part) Series {
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.position, b.position), cmp.Compare(a.run, b.run))
	})
	s := Series{Package: key.pkg, Name: key.name, Procs: key.procs, Metric: key.metric, Machine: key.machine, Settings: key.settings}
	newest, machines := -1, map[string]bool{}
	for i, p := range parts {
		if i == 0 || p.position != parts[i-1].position {
			s.Points = append(s.Points, Point{Position: p.position})
		}
		point := &s.Points[len(s.Points)-1]
		point.Values = append(point.Values, p.values...)
		if i == 0 || p.position != parts[i-1].position || p.run != parts[i-1].run {
			point.Runs++
		}
		run := c.runs[p.run].run
		point.Environment = environment(run, key.pkg)
		machines[run.Machine.ID] = true
		if c.byKind && run.Machine.ID != "" {
			point.Environment["machine"] = run.Machine.ID
		}
		if unit := run.Units[key.metric]; unit != nil && p.run > newest {
			s.Unit, newest = unit, p.run
		}
	}
	s.Machines = len(machines)
	return s
}

func compareSeries(a, b Series) int {
	return cmp.Or(
		cmp.Compare(a.Package, b.Package), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Procs, b.Procs),
		cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Machine, b.Machine),
		cmp.Compare(a.Settings.GOMAXPROCS, b.Settings.GOMAXPROCS), cmp.Compare(a.Settings.GOGC, b.Settings.GOGC),
		cmp.Compare(a.Settings.GOMEMLIMIT, b.Settings.GOMEMLIMIT), cmp.Compare(a.Settings.GODEBUG, b.Settings.GODEBUG),
	)
}
