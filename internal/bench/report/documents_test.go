package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
)

// hostile is what a repository may call its benchmarks, and say in its messages.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)> @all | ` + "`x` [a](http://evil.example)\x1b[31m\u202e\n::error::x"

const pkg = "example.org/shop/codec"

func machine() api.BenchMachine {
	turbo := true
	return api.BenchMachine{
		OS: "linux", Arch: "amd64", Kernel: "6.12.0", CPU: "Example CPU 3 GHz", CPUs: 2, Quota: 1.5, MemoryBytes: 8 << 30, Virtualization: "kvm",
		Governor: "performance", Turbo: &turbo, MHz: 3000, Counters: "no performance counters in this virtual machine",
		Noise: &api.BenchNoise{Samples: 400, Fastest: 0.00101, Median: 1.08, P90: 1.41}, ID: "sha256:5eb1e5000000000000",
	}
}

func gate() *api.BenchGate {
	limit := api.BenchLimit{Metric: "ns/op", Worse: "5%", Better: "2%", OnWorse: "fail", OnBetter: "show"}
	memory := api.BenchLimit{Metric: "B/op", Worse: "3%", Better: "3%", OnWorse: "warn", OnBetter: "warn"}
	return &api.BenchGate{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchGate, Verdict: api.BenchFail,
		Base:    api.BenchSide{Revision: "main", Commit: "0123456789abcdef0123456789abcdef01234567", Binaries: []api.BenchBinary{{Package: pkg, GoVersion: "go1.26.8"}}},
		Head:    api.BenchSide{Commit: "fedcba9876543210fedcba9876543210fedcba98", Dirty: true, Binaries: []api.BenchBinary{{Package: pkg, GoVersion: "go1.26.8"}}},
		Machine: machine(), Settings: api.BenchSettings{GOMAXPROCS: 2, GOGC: "100", Slice: 0.03, Layouts: 3},
		Seed: 42, Alpha: 0.01, Budget: 300, Took: 96.5, Measuring: 84.2, Building: 11,
		Items: []api.BenchGateItem{
			{Package: pkg, Name: "Encode/size=1k", Metric: "ns/op", Verdict: api.BenchFail, Change: "worse", Base: 12345, Head: 13670,
				Estimate: new(0.107), Low: new(0.081), High: new(0.134), MinDetectable: new(0.031), Limit: limit, Rounds: 40, Confirmed: 12,
				Null: &api.BenchNull{Estimate: 0.002, Low: new(-0.011), High: new(0.015)}, Reason: "+10.7% (+8.1% to +13.4%), worse than the limit of 5%"},
			{Package: pkg, Name: "Encode/size=1k", Metric: "B/op", Verdict: api.BenchWarn, Change: "worse", Base: 1024, Head: 2048, Exact: true,
				Estimate: new(1.0), Low: new(1.0), High: new(1.0), Limit: memory, Rounds: 40, Reason: "from 1024 to 2048 in every run, worse than the limit of 3%"},
			{Package: pkg, Name: "Decode", Metric: "ns/op", Verdict: api.BenchInconclusive, Change: "unknown", Base: 812, Head: 833,
				Estimate: new(0.026), Low: new(-0.02), High: new(0.075), MinDetectable: new(0.09), Limit: limit, Rounds: 60,
				Null: &api.BenchNull{Estimate: -0.01, Low: new(-0.05), High: new(0.03)}, Reason: "+2.6% (-2.0% to +7.5%): more rounds, or a quieter machine, could tell"},
			{Package: pkg, Name: hostile, Verdict: api.BenchInconclusive, Change: "unknown", Reason: hostile},
			{Package: "example.org/shop/broken", Verdict: api.BenchInconclusive, Change: "unknown", Reason: "build example.org/shop/broken: undefined: x"},
			{Package: "example.org/shop/same", Name: "Same", Verdict: api.BenchPass, Change: "none", Exact: true,
				Estimate: new(0.0), Low: new(0.0), High: new(0.0), Reason: "both sides are the same program, byte for byte"},
			{Package: pkg, Name: "Sum", Metric: "MB/s", Verdict: api.BenchPass, Change: "better", Base: 812.5, Head: 903,
				Estimate: new(0.111), Low: new(0.09), Limit: api.BenchLimit{Metric: "MB/s", Worse: "5%", Better: "2%", OnWorse: "show", OnBetter: "show"}, Rounds: 20, Reason: "+11.1%, beyond what is shown only"},
			{Package: pkg, Name: "Sum", Metric: "allocs/op", Verdict: api.BenchPass, Change: "none", Exact: true,
				Estimate: new(0.0), Low: new(0.0), High: new(0.0), Limit: memory, Rounds: 20, Reason: "the same in every run"},
		},
		Notes:  []string{"the processor's counters cannot be read here", hostile},
		Errors: []api.Error{{Code: "invalid", Input: "BenchmarkBroken", Message: "BenchmarkBroken failed: " + hostile, Hint: "run it by itself"}},
	}
}

// measured are measurements of a benchmark whose head takes change more than its
// base, in noisy phases.
func measured(n int, base, change float64) report.Measured {
	random := rand.New(rand.NewPCG(1, 2))
	m := report.Measured{Package: pkg, Name: "Encode/size=1k", Metric: "ns/op"}
	for i := range n {
		phase := base * (1 + 0.2*float64(i/8%2))
		draw := func() float64 { return phase * math.Exp(0.02*random.NormFloat64()) }
		b, n, h := draw(), draw(), draw()*(1+change)
		m.Base, m.Null, m.Head = append(m.Base, b), append(m.Null, n), append(m.Head, h, draw()*(1+change))
		m.Changes, m.Nulls = append(m.Changes, h/b-1), append(m.Nulls, n/b-1)
	}
	return m
}

func comparison() (*api.BenchComparison, *api.BenchResults, *api.BenchResults) {
	c := &api.BenchComparison{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchComparison, Old: "old.txt", New: hostile, Alpha: 0.05,
		Items: []api.BenchComparisonItem{
			{Package: pkg, Name: "Encode", Procs: 2, Metric: "ns/op", Change: "worse", Old: 100, New: 112, Estimate: 0.12, Low: new(0.08), High: new(0.16), OldSamples: 10, NewSamples: 10},
			{Package: pkg, Name: "Decode", Procs: 2, Metric: "ns/op", Change: "unknown", Old: 1.5e6, New: 1.51e6, Estimate: 0.007, Low: new(-0.3), OldSamples: 3, NewSamples: 3},
			{Package: pkg, Name: "Decode", Procs: 2, Metric: "instructions/op", Change: "none", Old: 123456, New: 123456, Low: new(0.0), High: new(0.0), OldSamples: 3, NewSamples: 3, Exact: true},
		},
		Geomeans: []api.BenchGeomean{{Metric: "ns/op", Benchmarks: 2, Estimate: 0.0614}},
		Notes:    []string{"THE MACHINES DIFFER: Example CPU 3 GHz, Example CPU 4 GHz"},
	}
	results := func(center float64) *api.BenchResults {
		s := api.BenchSeries{Package: pkg, Name: "Encode", Procs: 2}
		for i := range 10 {
			s.Samples = append(s.Samples, api.BenchSample{Iterations: 1000, Values: map[string]float64{"ns/op": center * (1 + 0.01*float64(i*7%10))}})
		}
		return &api.BenchResults{Runs: []api.BenchRun{{Series: []api.BenchSeries{s}}}}
	}
	return c, results(98), results(110)
}

// results are two runs, of which the second is of another machine and of text that
// says little of it.
func results() *api.BenchResults {
	first := api.BenchRun{
		Time: "2026-11-27T12:00:00Z", Machine: machine(), Settings: api.BenchSettings{GOGC: "off", Slice: 0.1}, Labels: map[string]string{"branch": hostile},
		Side: api.BenchSide{Commit: "fedcba9876543210fedcba9876543210fedcba98", Dirty: true, Binaries: []api.BenchBinary{{Package: pkg, GoVersion: "go1.26.8"}}},
	}
	encode := api.BenchSeries{Package: pkg, Name: "Encode", Procs: 2}
	for i := range 10 {
		values := map[string]float64{"ns/op": 12000 + 100*float64(i*7%10), "allocs/op": 3, hostile: float64(i)}
		encode.Samples = append(encode.Samples, api.BenchSample{Iterations: 1000, Values: values})
	}
	second := api.BenchSeries{Name: hostile, Samples: []api.BenchSample{{Iterations: 1, Values: map[string]float64{"ns/op": 0}}}}
	first.Series = []api.BenchSeries{encode}
	return &api.BenchResults{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: []api.BenchRun{first, {Series: []api.BenchSeries{second}}},
		Notes: []string{"the machine became at least 5 % slower during the run: " + hostile}, Errors: []api.Error{{Message: hostile, Hint: hostile}},
	}
}

func history() *api.BenchHistory {
	h := &api.BenchHistory{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchHistory, Store: "sqlite:bench.db", Alpha: 0.01, Seed: 7, MinChange: 0.02, DriftLimit: 0.05,
		Machines: []api.BenchMachine{machine()}, Notes: []string{"2 commits were measured on several machines, which are kept apart"},
		Errors: []api.Error{{Code: "invalid", Message: hostile}},
	}
	step := api.BenchHistorySeries{Package: pkg, Name: "Encode", Procs: 2, Metric: "ns/op", Machine: machine().ID, Better: "lower"}
	slow := api.BenchHistorySeries{Package: pkg, Name: hostile, Metric: "B/op"}
	quiet := api.BenchHistorySeries{Package: pkg, Name: "Sum", Metric: "widgets/s", Machine: "unlisted"}
	for i := range 30 {
		hash := fmt.Sprintf("%x%034x", 0xabc000+i, 0)
		h.Commits = append(h.Commits, api.BenchCommit{Hash: hash, Time: fmt.Sprintf("2026-10-%02dT10:00:00Z", i+1), Subject: fmt.Sprintf("codec: change %d", i)})
		level := 12000.0
		if i >= 18 {
			level = 13500
		}
		for s, v := range map[*api.BenchHistorySeries]float64{&step: level * (1 + 0.01*float64(i*7%10-5)/5), &slow: 4096 * (1 + 0.004*float64(i)), &quiet: 2.5e6} {
			s.Points = append(s.Points, api.BenchHistoryPoint{Commit: hash, Position: i, Median: v, P25: v * 0.98, P75: v * 1.03, Samples: 10, Runs: 1})
		}
	}
	h.Commits[18].Subject = hostile
	step.Changes = []api.BenchChangePoint{{Commit: h.Commits[18].Hash, Previous: h.Commits[17].Hash, Position: 18, Change: "worse", Before: 12000, After: 13500,
		Estimate: new(0.125), Low: new(0.11), High: new(0.14), PValue: new(0.001), Notes: []string{"Go 1.26.7 before, 1.26.8 from here on"}}}
	slow.Drifts = []api.BenchDrift{{From: h.Commits[0].Hash, To: h.Commits[29].Hash, Points: 30, Change: "worse", Estimate: 0.116, Low: 0.1, High: 0.13, PerPoint: 0.004, PValue: 0.00001}}
	h.Series = []api.BenchHistorySeries{quiet, slow, step}
	return h
}

func calibration() *api.BenchCalibration {
	c := &api.BenchCalibration{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchCalibration, Machine: machine(), Time: "2026-11-27T12:00:00Z", Seed: 5, Gates: 200, FalsePositives: 1,
		Recommended: api.BenchRecommendation{Worse: "6%", Rounds: 80, Budget: "4m0s"}, Notes: []string{"the machine is shared with others"},
	}
	item := api.BenchCalibrationItem{Package: pkg, Name: "Encode", Rounds: 100, Noise: 0.03, Seconds: 0.16}
	for _, n := range []int{10, 20, 40, 80} {
		item.MinDetectable = append(item.MinDetectable, api.BenchDetectable{Rounds: n, Change: 0.15 / math.Sqrt(float64(n))})
	}
	c.Items = []api.BenchCalibrationItem{item}
	return c
}

func everything() report.Data {
	d := report.Data{
		Title: "Shop", Tool: "v1", Time: "2026-11-27T12:00:00Z", Gate: gate(), History: history(), Calibration: calibration(),
		Measured: []report.Measured{measured(40, 12000, 0.1)},
	}
	d.Comparison, d.Old, d.New = comparison()
	d.Results = results()
	return d
}
