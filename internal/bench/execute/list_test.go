package execute_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func names(l *execute.Listing) []string {
	var names []string
	for _, b := range l.Benchmarks {
		names = append(names, b.Name)
	}
	return names
}

func failures(l *execute.Listing) map[string]error {
	reasons := map[string]error{}
	for _, f := range l.Failures {
		for _, reason := range []error{execute.ErrFailed, execute.ErrDied, execute.ErrHung} {
			if errors.Is(f.Err, reason) {
				reasons[f.Name] = reason
			}
		}
	}
	return reasons
}

// TestList lists all benchmarks, of which many fail or end the process.
func TestList(t *testing.T) {
	p := subjects
	p.Timeout = 3 * time.Second
	l, err := execute.List(t.Context(), p, "^Benchmark[^F]|Fa")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"N", "Loop", "Parallel", "Fast", "Slow", "Setup", "Untimed", "NoTime", "OwnTime", "Metrics",
		"Prints", "PrintsLines", "PrintsLong", "PrintsResult", "Logs", "FatalLater", "SkipLater", "Child", "ChildHolds", "Env",
		"Sub/a", "Sub/size=1k", "Sub/with_space", "Sub/a/b", "Sub/x|y(z)[0]$", "Sub/a#01", "Sub/#00", "Sub/gomaxprocs-2",
		`Sub/tab_bell\a`, "Sub/ü", "SubFails/good", "SubFails/after", "Empty"}
	got := names(l)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("benchmarks: %s", diff)
	}
	wantFailures := map[string]error{
		"Fatal": execute.ErrFailed, "Error": execute.ErrFailed, "Break": execute.ErrFailed,
		"Panic": execute.ErrDied, "Exit0": execute.ErrDied, "Exit7": execute.ErrDied, "Hang": execute.ErrHung,
		"SubFails/bad": execute.ErrFailed, "SubFails/panics": execute.ErrDied,
		"ParentPanics": execute.ErrDied, "ParentFails": execute.ErrFailed,
	}
	same := cmp.Comparer(errors.Is)
	if diff := cmp.Diff(wantFailures, failures(l), same); diff != "" {
		t.Errorf("failures: %s", diff)
	}
	for _, f := range l.Failures {
		if f.Output == "" || f.Name == "Fatal" && !strings.Contains(f.Output, "what is wrong") {
			t.Errorf("%s has the output %q", f.Name, f.Output)
		}
	}
	if diff := cmp.Diff([]string{"Skip"}, l.Skipped); diff != "" {
		t.Errorf("skipped: %s", diff)
	}
}

func TestListPattern(t *testing.T) {
	for _, procs := range []int{1, 2} {
		p := subjects
		p.Env = append(os.Environ(), "GOMAXPROCS="+string(rune('0'+procs)))
		l, err := execute.List(t.Context(), p, "^BenchmarkSub$/^(a|gomax.*)$")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"Sub/a", "Sub/a/b", "Sub/gomaxprocs-2"}, names(l)); diff != "" {
			t.Error(diff)
		}
		for _, b := range l.Benchmarks {
			if b.Procs != procs || b.Once["ns/op"] <= 0 || b.Once["chars"] <= 0 {
				t.Errorf("%+v with GOMAXPROCS=%d", b, procs)
			}
		}
	}
}

func TestListNone(t *testing.T) {
	l, err := execute.List(t.Context(), subjects, "Nothing")
	if err != nil || len(l.Benchmarks)+len(l.Failures)+len(l.Skipped) > 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestListErrors(t *testing.T) {
	if _, err := execute.List(t.Context(), subjects, "Sub/("); fault.CodeOf(err) != fault.Usage {
		t.Errorf("invalid pattern: %v", err)
	}
	p := subjects
	p.Args = []string{"-unknown-flag"}
	if _, err := execute.List(t.Context(), p, "N$"); !errors.Is(err, execute.ErrDied) || fault.HintOf(err) == "" {
		t.Errorf("ends before the benchmarks: %v", err)
	}
	p = subjects
	p.Env = append(os.Environ(), "FAIL_AFTERWARDS=a leak was found")
	if _, err := execute.List(t.Context(), p, "N$"); !errors.Is(err, execute.ErrDied) {
		t.Errorf("fails after the benchmarks: %v", err)
	}
	p.Env = append(os.Environ(), "SILENT=1")
	if _, err := execute.List(t.Context(), p, "N$"); !errors.Is(err, execute.ErrOutput) || fault.HintOf(err) == "" {
		t.Errorf("is silent: %v", err)
	}
}
