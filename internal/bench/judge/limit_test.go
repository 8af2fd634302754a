package judge

import (
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

// TestDefaults says what counts where nothing is configured.
func TestDefaults(t *testing.T) {
	for _, tt := range []struct {
		metric    string
		direction int
		want      api.BenchLimit
	}{
		{"ns/op", -1, api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: "fail", OnBetter: "show"}},
		{"rows/s", 1, api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: "fail", OnBetter: "show"}},
		{"B/op", -1, api.BenchLimit{Worse: "3%", Better: "3%", OnWorse: "warn", OnBetter: "warn"}},
		{"allocs/op", -1, api.BenchLimit{Worse: "3%", Better: "3%", OnWorse: "warn", OnBetter: "warn"}},
		{"instructions/op", -1, api.BenchLimit{Worse: "3%", Better: "3%", OnWorse: "warn", OnBetter: "show"}},
		{"MB/s", 1, api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: "show", OnBetter: "show"}},
		{"shape", 0, api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: "show", OnBetter: "show"}},
	} {
		tt.want.Metric = tt.metric
		if got := (&Limits{}).of(Benchmark{}, tt.metric, tt.direction).written; got != tt.want {
			t.Errorf("%s: %+v", tt.metric, got)
		}
	}
}
