package record_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/record"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == record.LoadArgument {
		if err := record.Load(os.Args[2], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestRecord builds real benchmarks and records them with the load.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	b, err := record.Build(t.Context(), dir, []int{20})
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b.Base, b.Null, true)
	sameBytes(t, b.Base, b.Heads[20], false)
	r := record.New(b)
	series, err := r.Size(t.Context(), []string{"SHA256", "Tree"}, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for i := range series {
		series[i].Percent = 20
	}
	file := filepath.Join(dir, "x.ndjson")
	if err := r.Record(t.Context(), file, stream.Header{Seed: 3, Load: true, Series: series}, time.Second); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := stream.Read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if !rec.Header.Load || rec.Header.Seed != 3 || rec.Header.Machine.Arch == "" || len(rec.Rounds) < 2 || len(rec.Rounds)%2 != 0 {
		t.Fatalf("%+v, %d rounds", rec.Header, len(rec.Rounds))
	}
	orders := map[string]bool{}
	for i, round := range rec.Rounds {
		orders[checkRound(t, round, i%2, series[i%2].Count)] = true
	}
	t.Logf("%d rounds, orders %v", len(rec.Rounds), orders)
}

// checkRound returns the order.
func checkRound(t *testing.T, round stream.Round, series, count int) string {
	t.Helper()
	if round.Series != series {
		t.Errorf("a round of series %d, not %d", round.Series, series)
	}
	order := ""
	allocs := map[stream.Arm]float64{}
	for _, s := range round.Slices {
		order += string(s.Arm[:1])
		if s.Loop <= 0 || s.Took <= 0 || len(s.Values) != count || s.Values[0]["ns/op"] <= 0 {
			t.Errorf("%+v", s)
		}
		allocs[s.Arm] = s.Values[0]["allocs/op"]
	}
	if !strings.Contains("hbnh hnbh bhhn nhhb", order) || len(order) != 4 {
		t.Errorf("the order is %s", order)
	}
	about := func(got, want float64) bool { return got >= want && got < want+10 } // the runtime allocates as well
	if series == 1 && !(about(allocs[stream.Base], 6400) && about(allocs[stream.Null], 6400) && about(allocs[stream.Head], 7680)) {
		t.Errorf("the allocations of 20 %% more: %v", allocs)
	}
	return order
}

func sameBytes(t *testing.T, a, b string, same bool) {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	if len(x) != len(y) || (string(x) == string(y)) != same {
		t.Errorf("%s and %s: %d and %d bytes, the same: %t", a, b, len(x), len(y), string(x) == string(y))
	}
}

// TestCancelled leaves no file of a recording that did not come to its end.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	b, err := record.Build(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Heads[0] = b.Base
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	file := filepath.Join(dir, "x.ndjson")
	series := []stream.Series{{Benchmark: "SHA256", N: 10, Count: 1}}
	if err := record.New(b).Record(ctx, file, stream.Header{Load: true, Series: series}, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if left, err := filepath.Glob(file + "*"); err != nil || len(left) > 0 {
		t.Errorf("%q is left: %v", left, err)
	}
	series[0].Benchmark = "None"
	if err := record.New(b).Record(t.Context(), file, stream.Header{Series: series}, time.Minute); err == nil || !strings.Contains(err.Error(), "BenchmarkNone") {
		t.Error(err)
	}
}

// TestLoad ends with its input, and takes no seed that is none.
func TestLoad(t *testing.T) {
	if err := record.Load("1", strings.NewReader("")); err != nil {
		t.Error(err)
	}
	if err := record.Load("x", strings.NewReader("")); err == nil {
		t.Error("no error")
	}
}
