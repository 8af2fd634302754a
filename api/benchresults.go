package api

// BenchResults is what benchmarks measured: in one run, or merged from many.
type BenchResults struct {
	SchemaVersion string     `json:"schemaVersion"`
	Kind          string     `json:"kind"`
	Runs          []BenchRun `json:"runs"`
	// Notes say what changed while it was measured, and which benchmarks skip themselves.
	Notes  []string `json:"notes,omitempty"`
	Errors []Error  `json:"errors,omitempty"`
}

// BenchRun is what one command measured, of one build on one machine.
type BenchRun struct {
	// Time is when it began, in RFC 3339; absent when the source does not say.
	Time string `json:"time,omitempty"`
	// Side is the build.
	Side     BenchSide     `json:"side,omitzero"`
	Machine  BenchMachine  `json:"machine,omitzero"`
	Settings BenchSettings `json:"settings,omitzero"`
	// Labels are configuration lines of the benchmark format that none of the
	// other fields has.
	Labels map[string]string `json:"labels,omitempty"`
	// Units has metadata of units, by unit and key, as in "Unit ns/op better=lower".
	Units  map[string]map[string]string `json:"units,omitempty"`
	Series []BenchSeries                `json:"series"`
}

// BenchSeries has the samples of one benchmark.
type BenchSeries struct {
	// Package is an import path; Name has neither the prefix Benchmark nor the
	// suffix with GOMAXPROCS, which is Procs.
	Package string        `json:"package,omitempty"`
	Name    string        `json:"name"`
	Procs   int           `json:"procs,omitempty"`
	Samples []BenchSample `json:"samples"`
}

// BenchSample is one line of a benchmark's output.
type BenchSample struct {
	Iterations int64 `json:"iterations"`
	// Values are by unit as Go prints it: ns/op, B/op, allocs/op, MB/s, …
	Values map[string]float64 `json:"values"`
}

// BenchSettings are settings of the processes that were measured.
type BenchSettings struct {
	GOMAXPROCS int    `json:"gomaxprocs,omitempty"`
	GOGC       string `json:"gogc,omitempty"`
	GOMEMLIMIT string `json:"gomemlimit,omitempty"`
	GODEBUG    string `json:"godebug,omitempty"`
	// CPUs is the list of processors that they were bound to, "0" or "2-3"; empty when to none.
	CPUs string `json:"cpus,omitempty"`
	// Slice is how long one measurement is to take, in seconds.
	Slice float64 `json:"sliceSeconds,omitempty"`
	// Layouts counts the layouts of code that each side was linked with.
	Layouts int `json:"layouts,omitempty"`
}

// BenchMachine is where benchmarks ran, and how noisy it was.
type BenchMachine struct {
	OS   string `json:"os,omitempty"`
	Arch string `json:"arch,omitempty"`
	// Kernel is the operating system's version.
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	// CPUs counts the processors that a process may use, Quota how many a
	// cgroup allows, absent without a quota.
	CPUs  int     `json:"cpus,omitempty"`
	Quota float64 `json:"quota,omitempty"`
	// MemoryBytes is that of the machine, or of the cgroup when it is less.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// Virtualization is what it runs on, such as kvm; "none" on bare metal; absent when not known.
	Virtualization string `json:"virtualization,omitempty"`
	// Governor and Turbo are how the clock frequency is chosen; absent where it cannot be read.
	Governor string `json:"governor,omitempty"`
	Turbo    *bool  `json:"turbo,omitempty"`
	// MHz is the highest clock frequency of a processor, when it can be read.
	MHz float64 `json:"mhz,omitempty"`
	// Counters says whether the processor's counters can be read; when not, why.
	Counters string `json:"counters,omitempty"`
	// Noise is of a fixed amount of work done again and again between
	// measurements; absent when none was.
	Noise *BenchNoise `json:"noise,omitempty"`
	// ID tells machines apart: a hash of what does not change between runs.
	ID string `json:"id,omitempty"`
}

// BenchNoise is how a fixed amount of work varied.
type BenchNoise struct {
	Samples int `json:"samples"`
	// Fastest is in seconds.
	Fastest float64 `json:"fastestSeconds"`
	// Median and P90 are multiples of Fastest.
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
}

// BenchComparison is what `gopherwood bench compare` prints.
type BenchComparison struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Old and New name what was compared.
	Old string `json:"old"`
	New string `json:"new"`
	// Alpha is 1 minus the confidence of the intervals.
	Alpha float64               `json:"alpha"`
	Items []BenchComparisonItem `json:"items"`
	// Geomeans has an entry for each metric of more than one benchmark.
	Geomeans []BenchGeomean `json:"geomeans,omitempty"`
	// Notes say what else differs: machines, Go versions, flags; and what there
	// is on one side only.
	Notes []string `json:"notes,omitempty"`
}

// BenchComparisonItem compares one metric of one benchmark.
type BenchComparisonItem struct {
	Package string `json:"package,omitempty"`
	Name    string `json:"name"`
	Procs   int    `json:"procs,omitempty"`
	Metric  string `json:"metric"`
	// Change is worse, better, none or unknown.
	Change string `json:"change"`
	// Old and New are medians, in the unit of the metric.
	Old float64 `json:"old"`
	New float64 `json:"new"`
	// Estimate, Low and High are as in BenchGateItem.
	Estimate float64  `json:"estimate"`
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
	// OldSamples and NewSamples count what was compared.
	OldSamples int  `json:"oldSamples"`
	NewSamples int  `json:"newSamples"`
	Exact      bool `json:"exact,omitempty"`
}

// BenchGeomean is the geometric mean of the changes of one metric.
type BenchGeomean struct {
	Metric string `json:"metric"`
	// Benchmarks counts those that it is of: all whose values are above 0.
	Benchmarks int `json:"benchmarks"`
	// Estimate is a change as a fraction, as in BenchGateItem.
	Estimate float64 `json:"estimate"`
}
