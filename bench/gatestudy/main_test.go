package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/live"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/replay"
)

func parsed(t *testing.T, args ...string) *study {
	t.Helper()
	s, err := parse(append([]string{"-dir", t.TempDir()}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestParts fits the streams into their share of the time, each once, and spreads
// what is compared.
func TestParts(t *testing.T) {
	s := parsed(t)
	var all time.Duration
	names := map[string]bool{}
	loads := 0
	for _, p := range s.parts() {
		all += p.length
		names[p.name] = true
		if p.load {
			loads++
		}
	}
	if all < 53*time.Minute || all > 55*time.Minute {
		t.Errorf("the streams take %v", all)
	}
	if len(names) != 28 || loads != 14 {
		t.Errorf("%d streams, %d with the load", len(names), loads)
	}
	if again := s.parts(); again[0] != s.parts()[0] {
		t.Error("the order changes")
	}
	if half := parsed(t, "-minutes", "50").parts(); half[0].length*2 != s.parts()[0].length {
		t.Errorf("half of the time is %v", half[0].length)
	}
}

// TestOpen refuses the directory of another study.
func TestOpen(t *testing.T) {
	s := parsed(t)
	for range 2 {
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
	}
	s.minutes = 10
	if err := s.open(); err == nil || !strings.Contains(err.Error(), "another study") {
		t.Error(err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"-minutes", "0"}, {"-none"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestPage writes the table of made-up results.
func TestPage(t *testing.T) {
	s := parsed(t)
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	items := []api.BenchGateItem{{Name: "A", Metric: "ns/op", Verdict: api.BenchFail}, {Name: "A", Metric: "B/op", Verdict: api.BenchWarn}, {Name: "B", Metric: "ns/op", Verdict: api.BenchInconclusive}}
	err := errors.Join(
		save(s.liveFile(live.Same, 0), live.Gate{Wall: 20 * time.Second, Document: api.BenchGate{Verdict: api.BenchPass, Measuring: 19}}),
		save(s.liveFile(live.Same, 7), live.Gate{Wall: 30 * time.Second, Document: api.BenchGate{Verdict: api.BenchPass, Measuring: 29}}),
		save(s.liveFile(live.Slow, 0), live.Gate{Wall: 10 * time.Second, Document: api.BenchGate{Verdict: api.BenchFail, Items: items}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.liveRows()
	if err != nil {
		t.Fatal(err)
	}
	all := results{Seed: 5, Live: rows, Result: &replay.Result{
		Rows: []*replay.Row{{Percent: 10, Load: true, Gates: 1000, Verdicts: map[api.BenchVerdict]int{api.BenchFail: 960, api.BenchInconclusive: 40}, Rounds: 25,
			Median: 61 * time.Second, P95: 95 * time.Second, Benchstat: replay.Sequential{Gates: 1000, Rounds: 25, Different: 600, Beyond: 400}}},
		Effects: []replay.Effect{{Benchmark: "A", Percent: 10, Change: 0.099}, {Benchmark: "A", Percent: 10, Change: 0.104, Load: true}},
	}, Speed: &beside{Test: 500 * time.Second, Gate: live.Gate{Wall: 200 * time.Second, Document: api.BenchGate{Verdict: api.BenchPass, Measuring: 199}}}}
	var text strings.Builder
	if err := page.Execute(&text, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"seed 5",
		"| +10 %, load | 1000 | 96.0 % | 94.6 % to 97.1 % | 0.0 % | 4.0 % | 0.0 % | 0 | 25 | 61 s | 95 s |\n",
		"| +10 %, load | 1000 | 60.0 % | 40.0 % |\n",
		"| identical | 2 | 0 | 2 | 0 | 0 | 0 | 30 s | 30 s | 1.0 s |\n",
		"| +10 % | 1 | 1 | 0 | 1 | 0 | 1 | 10 s | 10 s | 10.0 s |\n",
		"took 500 s, the gate 200 s,\n0.40 of it (pass); besides benchmarks and building 1.0 s.",
		"| A | –, – | –, – | –, – | –, – | +9.9, +10.4 | –, – |\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &text)
		}
	}
}

// TestReplayOnly needs what was recorded before.
func TestReplayOnly(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table.md")
	if err := run(t.Context(), []string{"-dir", t.TempDir(), "-table", table, "-replay"}); err == nil || !strings.Contains(err.Error(), "nothing was recorded") {
		t.Error(err)
	}
	if _, err := os.Stat(table); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a table of nothing: %v", err)
	}
}
