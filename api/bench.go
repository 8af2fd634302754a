package api

// The kinds of documents about benchmarks.
const (
	KindBenchGate        = "BenchGate"
	KindBenchResults     = "BenchResults"
	KindBenchComparison  = "BenchComparison"
	KindBenchCalibration = "BenchCalibration"
	KindBenchHistory     = "BenchHistory"
)

// BenchVerdict is what is said of a benchmark's metric, and of a gate.
type BenchVerdict string

// The verdicts, from the best to the worst. Inconclusive means that what was
// measured does not tell a change within the limit from one beyond it.
const (
	BenchPass         BenchVerdict = "pass"
	BenchInconclusive BenchVerdict = "inconclusive"
	BenchWarn         BenchVerdict = "warn"
	BenchFail         BenchVerdict = "fail"
)

// BenchGate is what `gopherwood bench gate` prints: whether the head is slower
// than the base.
type BenchGate struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Verdict is the worst of the items, where inconclusive counts as
	// --inconclusive says.
	Verdict BenchVerdict `json:"verdict"`
	Base    BenchSide    `json:"base"`
	Head    BenchSide    `json:"head"`
	Machine BenchMachine `json:"machine"`
	// Settings are those under which both sides ran.
	Settings BenchSettings `json:"settings"`
	// Seed is what the order of the measurements was drawn from.
	Seed uint64 `json:"seed"`
	// Alpha bounds the probability that a gate fails when nothing has changed
	// for the worse beyond a limit.
	Alpha float64 `json:"alpha"`
	// Budget and Took are in seconds; Took is the whole gate, Measuring what the
	// processes of rounds took of it, Preparing finding the benchmarks and how
	// often they run, Building git and the go command. What is left is the gate's own.
	Budget    float64 `json:"budgetSeconds"`
	Took      float64 `json:"tookSeconds"`
	Measuring float64 `json:"measuringSeconds"`
	Preparing float64 `json:"preparingSeconds"`
	Building  float64 `json:"buildingSeconds"`
	// Items are ordered from the worst verdict to the best, then by name.
	Items []BenchGateItem `json:"items"`
	// Notes say what differs between the sides besides the code (Go version,
	// flags), and what the machine lacks.
	Notes  []string `json:"notes,omitempty"`
	Errors []Error  `json:"errors,omitempty"`
}

// BenchSide is one of two builds that are compared.
type BenchSide struct {
	// Revision is how it was named; Commit and Tree are git's object names.
	Revision string `json:"revision"`
	Commit   string `json:"commit,omitempty"`
	Tree     string `json:"tree,omitempty"`
	// Dirty says that files of the work tree differ from Commit.
	Dirty bool `json:"dirty,omitempty"`
	// Binaries has a test binary a package and layout.
	Binaries []BenchBinary `json:"binaries,omitempty"`
}

// BenchBinary is a test binary.
type BenchBinary struct {
	// Package is its import path.
	Package string `json:"package"`
	// Digest is the SHA-256 of the file, "sha256:…".
	Digest string `json:"digest"`
	// GoVersion and Settings are its build information.
	GoVersion string            `json:"goVersion,omitempty"`
	Settings  map[string]string `json:"settings,omitempty"`
	// Layout is the seed of the order of its functions; 0 is the linker's own.
	Layout uint64 `json:"layout,omitempty"`
}

// BenchGateItem is the verdict on one metric of one benchmark.
type BenchGateItem struct {
	// Package is an import path; Name has neither the prefix Benchmark nor the
	// suffix with GOMAXPROCS: "Encode/size=1k".
	Package string `json:"package"`
	Name    string `json:"name"`
	// Metric is a unit as Go prints it: ns/op, B/op, allocs/op, or the benchmark's own.
	Metric  string       `json:"metric"`
	Verdict BenchVerdict `json:"verdict"`
	// Change is worse, better, none or unknown: what is known of the direction,
	// whatever the limits.
	Change string `json:"change"`
	// Base and Head are medians of what was measured, in the unit of the metric.
	Base float64 `json:"base"`
	Head float64 `json:"head"`
	// Estimate, Low and High are changes from base to head as fractions of base
	// (0.05 is 5 % more). Low and High are ends of a confidence interval: each
	// misses the true change with a probability of at most Alpha, whenever the
	// measurement is stopped. Low is absent when nothing
	// bounds the change below, High when nothing does above, Estimate when base
	// is 0 or too little was measured.
	Estimate *float64 `json:"estimate,omitempty"`
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
	// MinDetectable is the smallest true change that would have been told from
	// none with a probability of 95 % in the rounds that were run, as a fraction.
	MinDetectable *float64 `json:"minDetectable,omitempty"`
	// Limit is what the change was held against.
	Limit BenchLimit `json:"limit"`
	// Exact says that all measurements of a side were equal, so that they were
	// compared without statistics.
	Exact bool `json:"exact,omitempty"`
	// Rounds counts the rounds that were measured, Confirmed those of them that
	// were run after a change was suspected.
	Rounds    int `json:"rounds"`
	Confirmed int `json:"confirmed,omitempty"`
	// Null is the same comparison of the base with itself.
	Null *BenchNull `json:"null,omitempty"`
	// Reason says in words why the verdict is what it is.
	Reason string `json:"reason"`
}

// BenchNull is a comparison of the base with itself.
type BenchNull struct {
	Estimate float64  `json:"estimate"`
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
}

// BenchConfig is how benchmarks are measured and judged: the key bench of
// .gopherwood.yaml.
type BenchConfig struct {
	// Budget is how long a gate may measure, as a Go duration.
	Budget string `json:"budget,omitempty" yaml:"budget"`
	// Inconclusive is what a gate says that could not tell: pass, warn or fail.
	Inconclusive string `json:"inconclusive,omitempty" yaml:"inconclusive"`
	// Limits are tried in their order; the first that matches counts.
	Limits []BenchLimit `json:"limits,omitempty" yaml:"limits"`
	// Units says of a metric whether lower or higher is better.
	Units map[string]string `json:"units,omitempty" yaml:"units"`
}

// BenchLimit is how much a metric may change.
type BenchLimit struct {
	// Benchmark is a regular expression that is looked for in PACKAGE.NAME;
	// empty matches all.
	Benchmark string `json:"benchmark,omitempty" yaml:"benchmark"`
	// Metric is a unit; empty matches all.
	Metric string `json:"metric,omitempty" yaml:"metric"`
	// Worse and Better are the largest changes for the worse and for the better
	// that pass, as percentages: "5%".
	Worse  string `json:"worse,omitempty" yaml:"worse"`
	Better string `json:"better,omitempty" yaml:"better"`
	// OnWorse and OnBetter are what a change beyond them is: fail, warn or show.
	OnWorse  string `json:"onWorse,omitempty" yaml:"onWorse"`
	OnBetter string `json:"onBetter,omitempty" yaml:"onBetter"`
}

// BenchCalibration is what `gopherwood bench calibrate` prints: what a gate can
// tell on this machine.
type BenchCalibration struct {
	SchemaVersion string       `json:"schemaVersion"`
	Kind          string       `json:"kind"`
	Machine       BenchMachine `json:"machine"`
	// Settings are those under which it was measured.
	Settings BenchSettings `json:"settings,omitzero"`
	// Time is when it was measured, in RFC 3339.
	Time string `json:"time"`
	// Seed is what the order of measurements and the replays were drawn from.
	Seed uint64 `json:"seed"`
	// Items has an entry a benchmark.
	Items []BenchCalibrationItem `json:"items"`
	// FalsePositives of Gates comparisons of a program with itself failed.
	Gates          int `json:"gates"`
	FalsePositives int `json:"falsePositives"`
	// Recommended is what to set.
	Recommended BenchRecommendation `json:"recommended"`
	Notes       []string            `json:"notes,omitempty"`
}

// BenchCalibrationItem is what a gate can tell of one benchmark.
type BenchCalibrationItem struct {
	Package string `json:"package"`
	Name    string `json:"name"`
	Rounds  int    `json:"rounds"`
	// Noise is the scaled median absolute deviation of the rounds' log ratios.
	Noise float64 `json:"noise"`
	// MinDetectable is by the number of rounds, the smallest change that is told
	// from none with a probability of 95 %, as a fraction.
	MinDetectable []BenchDetectable `json:"minDetectable"`
	// Seconds is what one round takes.
	Seconds float64 `json:"roundSeconds"`
}

// BenchDetectable is the smallest change that so many rounds tell from none.
type BenchDetectable struct {
	Rounds int     `json:"rounds"`
	Change float64 `json:"change"`
}

// BenchRecommendation is what fits a machine.
type BenchRecommendation struct {
	// Worse is the smallest limit that can be held, as a percentage.
	Worse string `json:"worse"`
	// Rounds is what the noisiest benchmark needs for it, Budget what all need,
	// as a Go duration.
	Rounds int    `json:"rounds"`
	Budget string `json:"budget"`
}
