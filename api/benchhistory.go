package api

// KindBenchHistoryUpdate is what adding to a history and removing from it print.
const KindBenchHistoryUpdate = "BenchHistoryUpdate"

// BenchHistory is what `gopherwood bench history` prints: how benchmarks went
// over commits, and where they changed.
type BenchHistory struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Store is where the results are kept, without a password.
	Store string `json:"store,omitempty"`
	// Alpha bounds, for each series that did not change, the probability that a
	// change point is found in it all the same, and that a drift is.
	Alpha float64 `json:"alpha"`
	// Seed is what the permutations of the test for change points were drawn from.
	Seed uint64 `json:"seed"`
	// MinChange is the smallest change that is a change point, DriftLimit what a
	// drift has to sum up to, both as fractions.
	MinChange  float64 `json:"minChange"`
	DriftLimit float64 `json:"driftLimit"`
	// Commits are in their order: parents first, and by time where that leaves a choice.
	Commits  []BenchCommit        `json:"commits"`
	Machines []BenchMachine       `json:"machines,omitempty"`
	Series   []BenchHistorySeries `json:"series"`
	Notes    []string             `json:"notes,omitempty"`
	Errors   []Error              `json:"errors,omitempty"`
}

// BenchCommit is a commit that was measured.
type BenchCommit struct {
	// Hash is git's object name.
	Hash string `json:"hash"`
	// Time is when it was committed, in RFC 3339.
	Time string `json:"time"`
	// Subject is the first line of its message.
	Subject string `json:"subject,omitempty"`
}

// BenchHistorySeries is one metric of one benchmark over commits, on one
// machine with one set of settings.
type BenchHistorySeries struct {
	Package string `json:"package,omitempty"`
	Name    string `json:"name"`
	Procs   int    `json:"procs,omitempty"`
	Metric  string `json:"metric"`
	// Machine is the ID of one of the machines; empty when it is not known.
	Machine string `json:"machine,omitempty"`
	// Settings are those that change what is measured: GOMAXPROCS, GOGC,
	// GOMEMLIMIT and GODEBUG.
	Settings BenchSettings `json:"settings,omitzero"`
	// Better is lower, higher, or empty when it is not known.
	Better string `json:"better,omitempty"`
	// Points are in the order of the commits, one a commit.
	Points []BenchHistoryPoint `json:"points"`
	// Changes are in the order of the commits.
	Changes []BenchChangePoint `json:"changes,omitempty"`
	Drifts  []BenchDrift       `json:"drifts,omitempty"`
	Notes   []string           `json:"notes,omitempty"`
}

// BenchHistoryPoint is what was measured of one commit.
type BenchHistoryPoint struct {
	// Commit is a hash, Position its index in the document's commits.
	Commit   string `json:"commit"`
	Position int    `json:"position"`
	// Median, P25 and P75 are quantiles of all samples, in the unit of the metric.
	Median float64 `json:"median"`
	P25    float64 `json:"p25"`
	P75    float64 `json:"p75"`
	// Samples were taken in Runs runs.
	Samples int `json:"samples"`
	Runs    int `json:"runs"`
}

// BenchChangePoint is where a series went from one level to another.
type BenchChangePoint struct {
	// Commit is the first that was measured with the new level, Previous the last
	// with the old one; what changed is in between.
	Commit   string `json:"commit"`
	Previous string `json:"previous"`
	// Position is the index of Commit in the document's commits.
	Position int `json:"position"`
	// Change is worse, better or unknown.
	Change string `json:"change"`
	// Before and After are medians of the points at each level, of at most 30 next
	// to the change, in the unit of the metric.
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	// Estimate, Low and High are changes from before to after as fractions of
	// before (0.05 is 5 % more), Low to High at 95 % confidence for a change at
	// this commit. They are absent when before is zero.
	Estimate *float64 `json:"estimate,omitempty"`
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
	// PValue is of the permutation test; absent when Exact.
	PValue *float64 `json:"pValue,omitempty"`
	// Exact says that the metric is the same in all measurements of a commit, so
	// that a change needs no statistics.
	Exact bool `json:"exact,omitempty"`
	// Notes say what else changed with this commit: Go version, flags, the machine.
	Notes []string `json:"notes,omitempty"`
}

// BenchDrift is a slow change between change points, of which a gate sees only
// small steps.
type BenchDrift struct {
	// From and To are commits.
	From   string `json:"from"`
	To     string `json:"to"`
	Points int    `json:"points"`
	// Change is worse, better or unknown.
	Change string `json:"change"`
	// Estimate, Low and High are the change from From to To as a fraction, Low to
	// High at 95 % confidence; PerPoint is from one point to the next.
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	PerPoint float64 `json:"perPoint"`
	// PValue is of the Mann-Kendall test.
	PValue float64 `json:"pValue"`
}

// BenchHistoryUpdate is what `gopherwood bench history add` and `prune` print.
type BenchHistoryUpdate struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Store is where the results are kept, without a password.
	Store string `json:"store"`
	// Added counts the runs that were put into the history, Present those that
	// were there with the same content.
	Added   int `json:"added,omitempty"`
	Present int `json:"present,omitempty"`
	// Removed counts the runs that were removed or, when DryRun, would be.
	Removed int  `json:"removed,omitempty"`
	DryRun  bool `json:"dryRun,omitempty"`
	// Errors are what of the results could not be read.
	Errors []Error `json:"errors,omitempty"`
}
