package replay

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
)

// machine makes up slices with a noise of 1 % on a machine that is at times, for
// long, a third slower.
type machine struct {
	random *rand.Rand
	slow   bool
}

func (m *machine) slice(arm stream.Arm, percent int) stream.Slice {
	if m.random.IntN(200) == 0 {
		m.slow = !m.slow
	}
	v := 1000 * math.Exp(0.01*m.random.NormFloat64())
	if m.slow {
		v *= 1.3
	}
	if arm == stream.Head {
		v *= 1 + float64(percent)/100
	}
	return stream.Slice{Arm: arm, Took: 40 * time.Millisecond, Values: []map[string]float64{{"ns/op": v, "B/op": 8}, {"ns/op": v * 1.1, "B/op": 8}}}
}

// record writes a stream of two benchmarks.
func record(t *testing.T, dir, name string, percent, laps int) {
	t.Helper()
	m := &machine{random: rand.New(rand.NewPCG(uint64(percent), 1))}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	to := json.NewEncoder(f)
	write := func(v any) {
		if err := to.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	write(stream.Header{Format: stream.Format, Series: []stream.Series{{Benchmark: "A", Percent: percent, N: 1, Count: 2}, {Benchmark: "B", Percent: percent, N: 1, Count: 2}}})
	for range laps {
		for i := range 2 {
			round := stream.Round{Series: i}
			for _, arm := range []stream.Arm{stream.Head, stream.Base, stream.Null, stream.Head} {
				round.Slices = append(round.Slices, m.slice(arm, percent))
			}
			write(round)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRun replays what was made up: the gate is right, and benchstat is misled by
// the phases.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, "same-0.ndjson", 0, 300)
	record(t, dir, "same-1.ndjson", 0, 200)
	record(t, dir, "slow.ndjson", 20, 300)
	set, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var seen int
	got, err := set.Run(t.Context(), Counts{Same: 50, Slower: 50}, 1, func(*Row) { seen++ })
	if err != nil {
		t.Fatal(err)
	}
	if seen != 2 || len(got.Rows) != 2 || got.RoundCount != 2*800 || got.Recorded != 2*800*160*time.Millisecond {
		t.Fatalf("%d rows, told of %d, %d rounds, %v", len(got.Rows), seen, got.RoundCount, got.Recorded)
	}
	same, slow := got.Rows[0], got.Rows[1]
	if same.Verdicts[api.BenchFail] > 0 || same.False > 0 || same.Verdicts[api.BenchPass] < 45 {
		t.Errorf("identical builds: %v, %d false", same.Verdicts, same.False)
	}
	if slow.Percent != 20 || slow.Verdicts[api.BenchFail] < 45 || slow.False > 0 {
		t.Errorf("+%d %%: %v, %d false", slow.Percent, slow.Verdicts, slow.False)
	}
	if same.Median <= 0 || same.P95 < same.Median || same.Rounds < 5 {
		t.Errorf("median %v, P95 %v, %d rounds", same.Median, same.P95, same.Rounds)
	}
	if same.Benchstat.Different == 0 || slow.Benchstat.Beyond == 0 {
		t.Errorf("benchstat: %+v, %+v", same.Benchstat, slow.Benchstat)
	}
	for _, e := range got.Effects {
		if math.Abs(e.Change-float64(e.Percent)/100) > 0.01 {
			t.Errorf("the effect of +%d %% on %s is %+.3f", e.Percent, e.Benchmark, e.Change)
		}
	}
	again, err := set.Run(t.Context(), Counts{Same: 50, Slower: 50}, 1, func(*Row) {})
	if err != nil || again.Rows[1].Median != slow.Median || again.Rows[0].Benchstat != same.Benchstat {
		t.Errorf("the same seed gave something else: %v", err)
	}
}

func TestReadErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`{"series":[{"benchmark":"A"}]}`, "the format is"},
		{`{"format":"` + stream.Format + `","series":[{"benchmark":"A"}]}` + "\n" + `{"slices":[]}`, "a round has 0 slices"},
		{`{"format":"` + stream.Format + `","series":[{"benchmark":"A"}]}` + "\n" + `{"slices":[{},{},{},{}]}`, "a slice has no measurements"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "x.ndjson") {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

// TestRate holds the interval to published values: none in 100, 5 in 100.
func TestRate(t *testing.T) {
	for _, tc := range []struct {
		k, n      int
		low, high float64
	}{{0, 100, 0, 0.0362}, {5, 100, 0.0164, 0.1128}, {100, 100, 0.9638, 1}, {0, 0, 0, 1}} {
		r := newRate(tc.k, tc.n)
		if math.Abs(r.Low-tc.low) > 5e-5 || math.Abs(r.High-tc.high) > 5e-5 {
			t.Errorf("%d of %d: %+v", tc.k, tc.n, r)
		}
	}
}

// TestWindow takes one side's slices of the laps, in their order, as samples.
func TestWindow(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, "slow.ndjson", 20, 40)
	set, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := set.chunks[comparison{20, false}][0]
	if n := len(window(c, "A", 0, 4, true)); n != 8 {
		t.Errorf("4 laps gave %d samples", n)
	}
	base, head := window(c, "A", 0, 20, false), window(c, "A", 0, 20, true)
	if len(base) != samples || len(head) != samples {
		t.Errorf("%d and %d samples", len(base), len(head))
	}
	if slower, change := compare(base, head); !slower || math.Abs(change-0.2) > 0.1 {
		t.Errorf("slower %t by %+.3f", slower, change)
	}
	if slower, _ := compare(head, base); slower {
		t.Error("what is faster is called slower")
	}
}
