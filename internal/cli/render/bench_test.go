package render_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

func benchComparison() *api.BenchComparison {
	return &api.BenchComparison{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchComparison, Old: "old.txt", New: "new.txt", Alpha: 0.05,
		Items: []api.BenchComparisonItem{
			{Package: "example.org/shop/codec", Name: "Encode/size=1k", Procs: 8, Metric: "ns/op", Change: "worse", Old: 12345, New: 13580,
				Estimate: 0.1, Low: new(0.05), High: new(0.15), OldSamples: 10, NewSamples: 12},
			{Package: "example.org/shop/codec", Name: "Encode/size=1k", Procs: 8, Metric: "allocs/op", Change: "better", Old: 4, New: 2,
				Estimate: -0.5, Low: new(-0.5), High: new(-0.5), OldSamples: 10, NewSamples: 10, Exact: true},
			{Name: markup, Metric: markup[:8], Change: "unknown", Old: 1, New: 2, Estimate: 1, OldSamples: 1, NewSamples: 1},
		},
		Geomeans: []api.BenchGeomean{{Metric: "ns/op", Benchmarks: 2, Estimate: 0.012}},
		Notes:    []string{"THIS COMPARISON CROSSES MACHINES: old was measured on linux/amd64 Example CPU, new on linux/arm64 Another CPU", markup},
	}
}

func benchGate() *api.BenchGate {
	limit := api.BenchLimit{Metric: "ns/op", Worse: "5%", OnWorse: "fail"}
	return &api.BenchGate{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchGate, Verdict: api.BenchFail, Seed: 7, Measuring: 125,
		Items: []api.BenchGateItem{
			{Package: "example.org/shop/codec", Name: "Encode", Metric: "ns/op", Verdict: api.BenchFail, Change: "worse", Base: 1.5e9, Head: 1.8e9,
				Estimate: new(0.2), Low: new(0.15), High: new(0.25), MinDetectable: new(0.04), Limit: limit, Rounds: 20, Reason: "worse than the limit"},
			{Package: "example.org/shop/broken", Verdict: api.BenchInconclusive, Change: "unknown", Reason: markup},
			{Package: "example.org/shop/codec", Name: "Encode", Metric: "B/op", Verdict: api.BenchPass, Change: "none", Exact: true, Base: 64, Head: 64, Rounds: 20, Reason: "the same"},
			{Package: "example.org/shop/same", Name: "Same", Verdict: api.BenchPass, Change: "none", Exact: true, Reason: "the same program"},
		},
		Notes: []string{"the Go version differs"},
	}
}

func rendered(t *testing.T, write func(b *bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBenchComparison(t *testing.T) {
	show := func(f render.Format, look render.Layout) string {
		return rendered(t, func(b *bytes.Buffer) error { return render.BenchComparison(b, f, benchComparison(), look) })
	}
	got := show(render.Table, render.Layout{})
	golden(t, "bench-comparison.txt", got)
	if strings.ContainsAny(got, "\x1b\u202e") || !strings.Contains(show(render.Table, render.Layout{Color: true}), "\x1b[33mnote\x1b[0m: THIS") {
		t.Errorf("%q", got)
	}
	if j, y := show(render.JSON, render.Layout{}), show(render.YAML, render.Layout{}); !strings.Contains(j, `"kind": "BenchComparison"`) || !strings.Contains(y, "kind: BenchComparison\n") {
		t.Errorf("%s\n%s", j, y)
	}
	if err := render.BenchComparison(&bytes.Buffer{}, render.SARIF, benchComparison(), render.Layout{}); err == nil {
		t.Error("no error for a format that there is not")
	}
}

func TestBenchGate(t *testing.T) {
	show := func(look render.Layout) string {
		return rendered(t, func(b *bytes.Buffer) error { return render.BenchGate(b, render.Table, benchGate(), look) })
	}
	brief, verbose := show(render.Layout{}), show(render.Layout{Verbose: true})
	golden(t, "bench-gate.txt", brief)
	if strings.Contains(brief, "B/op") || !strings.Contains(verbose, "B/op") || !strings.Contains(verbose, "same.Same") {
		t.Errorf("%s\n%s", brief, verbose)
	}
	if strings.ContainsAny(brief, "\x1b\u202e") {
		t.Errorf("%q", brief)
	}
	empty := rendered(t, func(b *bytes.Buffer) error {
		return render.BenchGate(b, render.Table, &api.BenchGate{Verdict: api.BenchPass}, render.Layout{})
	})
	if d := cmp.Diff("pass: 0 pass, 0 inconclusive, 0 warn, 0 fail; measured for 0 s, seed 0\n", empty); d != "" {
		t.Error(d)
	}
}

func benchCalibration() *api.BenchCalibration {
	return &api.BenchCalibration{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchCalibration, Time: "2026-11-27T12:00:00Z", Seed: 5, Gates: 500, FalsePositives: 2,
		Items: []api.BenchCalibrationItem{
			{Package: "example.org/shop/codec", Name: "Encode/size=1k", Rounds: 120, Noise: 0.031, Seconds: 0.16,
				MinDetectable: []api.BenchDetectable{{Rounds: 10, Change: 0.051}, {Rounds: 20, Change: 0.033}, {Rounds: 40, Change: 0.021}}},
			{Package: "example.org/shop/codec", Name: markup, Rounds: 12, Noise: 0.5, Seconds: 1.5, MinDetectable: []api.BenchDetectable{{Rounds: 40, Change: 0.9}}},
		},
		Recommended: api.BenchRecommendation{Worse: "6%", Rounds: 80, Budget: "4m0s"},
		Notes:       []string{"example.org/shop/codec.Late is left out: it fails", markup},
	}
}

func TestBenchCalibration(t *testing.T) {
	show := func(f render.Format, c *api.BenchCalibration) string {
		return rendered(t, func(b *bytes.Buffer) error { return render.BenchCalibration(b, f, c, render.Layout{}) })
	}
	got := show(render.Table, benchCalibration())
	golden(t, "bench-calibration.txt", got)
	if strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
	none := benchCalibration()
	none.Recommended = api.BenchRecommendation{}
	if got := show(render.Table, none); strings.Contains(got, "Recommended") {
		t.Errorf("nothing is recommended:\n%s", got)
	}
	if j, y := show(render.JSON, none), show(render.YAML, none); !strings.Contains(j, `"kind": "BenchCalibration"`) || !strings.Contains(y, "kind: BenchCalibration\n") {
		t.Errorf("%s\n%s", j, y)
	}
}
