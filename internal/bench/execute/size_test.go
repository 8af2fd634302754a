package execute_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
)

const target = 30 * time.Millisecond

func TestSize(t *testing.T) {
	tests := []struct {
		benchmark string
		low, high int64
	}{
		{"N", 10_000, 100_000_000},
		{"Loop", 10_000, 100_000_000},
		{"Parallel", 10_000, 100_000_000},
		{"Fast", 1_000_000, 1_000_000_000},
		{"Slow", 1, 1},
		{"Setup", 3, 30},
		{"Untimed", 3, 240},
		{"FirstSlow", 1000, 100_000_000},
		{"NoTime", 3, 240},
		{"OwnTime", 3, 240},
		{"Sub/a/b", 10_000, 100_000_000},
		{"Empty", 1_000_000, 1_000_000_000},
	}
	for _, tt := range tests {
		t.Run(tt.benchmark, func(t *testing.T) {
			begin := time.Now()
			s, err := execute.Size(t.Context(), subjects, tt.benchmark, target)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v in %v", s, time.Since(begin))
			if s.N < tt.low || s.N > tt.high {
				t.Errorf("N is %d, want between %d and %d", s.N, tt.low, tt.high)
			}
			m, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: tt.benchmark, N: s.N})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("a slice took %v, measured %v", m.Took, time.Duration(m.Samples[0]["ns/op"]*float64(s.N)))
		})
	}
}

func TestSizeSkippedAndFailed(t *testing.T) {
	if s, err := execute.Size(t.Context(), subjects, "Skip", target); err != nil || !s.Skipped {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := execute.Size(t.Context(), subjects, "FatalLater", target); !errors.Is(err, execute.ErrFailed) {
		t.Error(err)
	}
}
