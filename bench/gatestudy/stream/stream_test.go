package stream_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
)

// written is a stream as a recorder writes it.
func written(t testing.TB, rec stream.Recording) []byte {
	t.Helper()
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	if err := to.Encode(rec.Header); err != nil {
		t.Fatal(err)
	}
	for _, r := range rec.Rounds {
		if err := to.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func example() stream.Recording {
	return stream.Recording{
		Header: stream.Header{Format: stream.Format, Time: "2026-11-27T10:00:00Z", Seed: 7, Load: true, Series: []stream.Series{{Benchmark: "Sort", Percent: 10, N: 100, Count: 2}}},
		Rounds: []stream.Round{{Series: 0, At: 0.5, Slices: []stream.Slice{{
			Arm: stream.Head, Loop: time.Millisecond, Took: 40 * time.Millisecond, Values: []map[string]float64{{"ns/op": 10.5}, {"ns/op": 10.25}},
		}}}},
	}
}

func TestRead(t *testing.T) {
	want := example()
	got, err := stream.Read(bytes.NewReader(written(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadErrors(t *testing.T) {
	header, _, _ := strings.Cut(string(written(t, example())), "\n")
	for _, tc := range []struct{ text, want string }{
		{"", "it is empty"},
		{"{}\n", `line 1: the format is ""`},
		{"no JSON\n", "line 1: "},
		{header + "\n" + `{"series":1}` + "\n", "line 2: there is no series 1"},
		{header + "\n" + `{"series":-1}` + "\n", "line 2: there is no series -1"},
		{header + "\n{\n", "line 2: "},
		{header + "\n" + strings.Repeat(" ", 2<<20) + "\n", "line 2: bufio.Scanner: token too long"},
	} {
		if _, err := stream.Read(strings.NewReader(tc.text)); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%.100q: %v, not %q", tc.text, err, tc.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f, example()))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := stream.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, r := range rec.Rounds {
			_ = rec.Header.Series[r.Series] // never out of range
		}
	})
}
