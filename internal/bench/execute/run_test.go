package execute_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestRun measures benchmarks that give results, whatever else they do.
func TestRun(t *testing.T) {
	tests := []struct {
		slice execute.Slice
		units []string // besides ns/op, B/op and allocs/op
	}{
		{slice: execute.Slice{Benchmark: "N", N: 1000}},
		{slice: execute.Slice{Benchmark: "N", N: 1}},
		{slice: execute.Slice{Benchmark: "N", N: 1000, Count: 3}},
		{slice: execute.Slice{Benchmark: "Loop", N: 1000}},
		{slice: execute.Slice{Benchmark: "Loop", N: 1, Count: 2}},
		{slice: execute.Slice{Benchmark: "Parallel", N: 10_000}},
		{slice: execute.Slice{Benchmark: "Fast", N: 200_000_000}},
		{slice: execute.Slice{Benchmark: "Metrics", N: 100}, units: []string{"MB/s", "µs-p99/op", "zero/op", "negative/op"}},
		{slice: execute.Slice{Benchmark: "Prints", N: 12}},
		{slice: execute.Slice{Benchmark: "Prints", N: 12, Count: 2}},
		{slice: execute.Slice{Benchmark: "PrintsLines", N: 20_000}},
		{slice: execute.Slice{Benchmark: "PrintsLong", N: 10}},
		{slice: execute.Slice{Benchmark: "Logs", N: 7, Count: 2}},
		{slice: execute.Slice{Benchmark: "File", N: 100}},
		{slice: execute.Slice{Benchmark: "Child", N: 100}},
		{slice: execute.Slice{Benchmark: "Sub/a", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/a/b", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/x|y(z)[0]$", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/a#01", N: 10, Count: 2}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/#00", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/gomaxprocs-2", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: `Sub/tab_bell\a`, N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "Sub/ü", N: 10}, units: []string{"chars"}},
		{slice: execute.Slice{Benchmark: "SubFails/good", N: 10}},
	}
	for _, tt := range tests {
		for _, procs := range []string{"1", "2"} {
			t.Run(tt.slice.Benchmark+"-"+procs, func(t *testing.T) {
				p := subjects
				p.Env = append(os.Environ(), "GOMAXPROCS="+procs)
				m, err := execute.Run(t.Context(), p, tt.slice)
				if err != nil {
					t.Fatalf("%v\n%s", err, m.Output)
				}
				if want := max(tt.slice.Count, 1); len(m.Samples) != want {
					t.Fatalf("%d samples, want %d", len(m.Samples), want)
				}
				want := append([]string{"B/op", "allocs/op", "ns/op"}, tt.units...)
				slices.Sort(want)
				for _, sample := range m.Samples {
					if got := sortedKeys(sample); !slices.Equal(got, want) {
						t.Errorf("units %q, want %q", got, want)
					}
				}
				if m.N != tt.slice.N || m.Procs != int(procs[0]-'0') || m.Skipped || m.Took <= 0 || m.CPU <= 0 {
					t.Errorf("%+v", m)
				}
			})
		}
	}
}

func sortedKeys(m map[string]float64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestRunValues(t *testing.T) {
	m, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: "Metrics", N: 1000})
	if err != nil {
		t.Fatal(err)
	}
	s := m.Samples[0]
	if s["µs-p99/op"] != 12.5 || s["zero/op"] != 0 || s["negative/op"] != -3 || s["allocs/op"] != 1 || s["B/op"] < 1000 {
		t.Errorf("%v", s)
	}
	want := []execute.OddValue{{Unit: "inf/op", Value: "+Inf"}, {Unit: "minus-inf/op", Value: "-Inf"}, {Unit: "nan/op", Value: "NaN"}}
	if diff := cmp.Diff(want, m.Odd); diff != "" {
		t.Error(diff)
	}
}

// TestRunTime holds ns/op to the time of the iterations, without the setup.
func TestRunTime(t *testing.T) {
	m, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: "Setup", N: 20})
	if err != nil {
		t.Fatal(err)
	}
	if ns := m.Samples[0]["ns/op"]; ns < 1e6 || ns > 20e6 {
		t.Errorf("%v ns/op", ns)
	}
	if m.Took < 220*time.Millisecond {
		t.Errorf("took %v with two setups", m.Took)
	}
}

// TestRunProgram gives arguments, environment and a way to start.
func TestRunProgram(t *testing.T) {
	p := subjects
	p.Args = []string{"-loops=7"}
	p.Env = append(os.Environ(), "HOW_LONG=12345")
	started := 0
	p.Start = func(cmd *exec.Cmd) error {
		started++
		return cmd.Start()
	}
	m, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "Env", N: 5})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Samples[0]; s["chars"] != 5 || s["loops"] != 7 || started != 1 {
		t.Errorf("%v, started %d times", s, started)
	}
}

// TestRunFailures has benchmarks that give no result.
func TestRunFailures(t *testing.T) {
	tests := []struct {
		benchmark string
		reason    error
		code      fault.Code
		message   string
	}{
		{"Fatal", execute.ErrFailed, fault.Invalid, "what is wrong"},
		{"FatalLater", execute.ErrFailed, fault.Invalid, "only when measured"},
		{"Error", execute.ErrFailed, fault.Invalid, "wrong in the end"},
		{"Break", execute.ErrFailed, fault.Invalid, "B.Loop"},
		{"SubFails/bad", execute.ErrFailed, fault.Invalid, "sub is wrong"},
		{"Panic", execute.ErrDied, fault.Invalid, "panic: a panic (exit status 2)"},
		{"SubFails/panics", execute.ErrDied, fault.Invalid, "panic: sub panics (exit status 2)"},
		{"ParentPanics/a", execute.ErrDied, fault.Invalid, "panic: parent panics"},
		{"Exit0", execute.ErrDied, fault.Invalid, "os.Exit(0)"},
		{"Exit7", execute.ErrDied, fault.Invalid, "last words (exit status 7)"},
		{"Gone", execute.ErrMissing, fault.Invalid, "no such benchmark"},
		{"N/gone", execute.ErrMissing, fault.Invalid, "no such benchmark"},
		{"Sub", execute.ErrMissing, fault.Invalid, "it has sub-benchmarks, such as BenchmarkSub/a"},
		{"Sub/", execute.ErrMissing, fault.Invalid, "no such benchmark"},
		{"PrintsResult", execute.ErrOutput, fault.Invalid, "look like its results"},
		{"Flood", execute.ErrOutput, fault.Limit, "more than 256 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.benchmark, func(t *testing.T) {
			m, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: tt.benchmark, N: 10})
			if !errors.Is(err, tt.reason) || fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.message) {
				t.Fatalf("%v (%s), want %v: %s", err, fault.CodeOf(err), tt.reason, tt.message)
			}
			if m == nil || len(m.Samples) > 0 {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestRunSkipped(t *testing.T) {
	for _, name := range []string{"Skip", "SkipLater"} {
		m, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: name, N: 10})
		if err != nil || !m.Skipped || len(m.Samples) > 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestRunHang(t *testing.T) {
	p := subjects
	p.Timeout = 300 * time.Millisecond
	begin := time.Now()
	m, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "Hang", N: 10})
	if !errors.Is(err, execute.ErrHung) || fault.CodeOf(err) != fault.Limit {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if runtime.GOOS != "windows" && !strings.Contains(m.Output, "BenchmarkHang") {
		t.Errorf("the output does not say where it hangs:\n%s", m.Output)
	}
}

func TestRunCanceled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := execute.Run(ctx, subjects, execute.Slice{Benchmark: "Hang", N: 10})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, execute.ErrHung) {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = execute.Run(ctx, subjects, execute.Slice{Benchmark: "N", N: 10})
	if fault.CodeOf(err) != fault.Canceled {
		t.Error(err)
	}
}

// TestRunChild has a benchmark that leaves a child which holds its output.
func TestRunChild(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	p := subjects
	p.Env = append(os.Environ(), "PID_FILE="+pidFile)
	m, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "ChildHolds", N: 10})
	if err != nil || len(m.Samples) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); alive(t, string(content)); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the child is left")
		}
	}
}

// alive says whether a process is there and no zombie.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func TestRunSilent(t *testing.T) {
	p := subjects
	p.Env = append(os.Environ(), "SILENT=1")
	_, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "N", N: 10})
	if !errors.Is(err, execute.ErrOutput) || !strings.Contains(fault.HintOf(err), "TestMain") {
		t.Error(err)
	}
	p.Env = append(os.Environ(), "FAIL_AFTERWARDS=a leak was found")
	_, err = execute.Run(t.Context(), p, execute.Slice{Benchmark: "N", N: 10})
	if !errors.Is(err, execute.ErrDied) || !strings.Contains(err.Error(), "a leak was found (exit status 1)") {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	p := subjects
	p.Env = execute.Environment(append(os.Environ(), "GOMAXPROCS=7"), api.BenchSettings{GOMAXPROCS: 2, GOGC: "off"})
	if !slices.Contains(p.Env, "GOGC=off") {
		t.Error("no GOGC")
	}
	m, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "N", N: 10})
	if err != nil || m.Procs != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRunNotStarted(t *testing.T) {
	for _, p := range []execute.Program{
		{Path: filepath.Join(t.TempDir(), "gone"), Dir: subjects.Dir},
		{Path: subjects.Path, Dir: filepath.Join(t.TempDir(), "gone")},
	} {
		_, err := execute.Run(t.Context(), p, execute.Slice{Benchmark: "N", N: 1})
		if fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "" {
			t.Errorf("%+v: %v", p, err)
		}
	}
	_, err := execute.Run(t.Context(), subjects, execute.Slice{Benchmark: "N"})
	if fault.CodeOf(err) != fault.Usage {
		t.Errorf("no iterations: %v", err)
	}
}

// BenchmarkRun measures what a slice costs besides its iterations.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, err := execute.Run(b.Context(), subjects, execute.Slice{Benchmark: "N", N: 1}); err != nil {
			b.Fatal(err)
		}
	}
}
