package execute

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseResult(t *testing.T) {
	tests := []struct {
		line     string
		expected int64
		want     map[string]float64 // nil when it is no result
		n        int64
	}{
		{"BenchmarkX-2   \t     100\t      1234 ns/op", 100, map[string]float64{"ns/op": 1234}, 100},
		{"     100\t      1.5 ns/op\t       0 B/op\t       0 allocs/op", 0, map[string]float64{"ns/op": 1.5, "B/op": 0, "allocs/op": 0}, 100},
		{"BenchmarkX \thello     100\t 2 ns/op", 100, map[string]float64{"ns/op": 2}, 100},
		{"BenchmarkX \t12345123456789\t 2 ns/op", 123456789, map[string]float64{"ns/op": 2}, 123456789},
		{"BenchmarkX \ta\t1 b\t5 ns/op     100\t 2 ns/op", 100, map[string]float64{"ns/op": 2}, 100},
		{"       0\t       NaN ns/op\t 1 x", 0, map[string]float64{"x": 1}, 0},
		{"     100\t 1e400 x\t 1 y", 0, map[string]float64{"y": 1}, 100},
		{"     100", 100, nil, 0},
		{"hello\t 2 ns/op", 0, nil, 0},
		{"     100\t 2 ns/op\t", 0, nil, 0},
		{"     100\t 2 ns/op more", 0, nil, 0},
		{"     100\t two ns/op", 0, nil, 0},
		{"99999999999999999999\t 2 ns/op", 0, nil, 0},
		{"", 0, nil, 0},
	}
	for _, tt := range tests {
		s, ok := parseResult([]byte(tt.line), tt.expected)
		if ok != (tt.want != nil) || ok && s.iterations != tt.n {
			t.Errorf("%q: %v, %v", tt.line, s, ok)
		}
		if diff := cmp.Diff(tt.want, s.values); ok && diff != "" {
			t.Errorf("%q: %s", tt.line, diff)
		}
	}
}

func TestPrintedProcs(t *testing.T) {
	tests := []struct {
		line, name string
		procs      int // 0 when it is not there
	}{
		{"BenchmarkX\t", "X", 1},
		{"BenchmarkX-8     \t 1\t2 ns/op", "X", 8},
		{"hello BenchmarkX-8\t", "X", 8},
		{"hello\tworldBenchmarkX-8\t", "X", 8},
		{"BenchmarkX-2\t", "X-2", 1},
		{"BenchmarkX-2-8\t", "X-2", 8},
		{"BenchmarkX/Benchmark-8\t", "X/Benchmark", 8},
		{"BenchmarkX/a-8\t", "X", 0},
		{"BenchmarkXY\t", "X", 0},
		{"BenchmarkX-1\t", "X", 0},
		{"BenchmarkX-8", "X", 0},
		{"", "", 0},
	}
	for _, tt := range tests {
		procs, ok := printedProcs([]byte(tt.line), tt.name)
		if ok != (tt.procs > 0) || ok && procs != tt.procs {
			t.Errorf("%q in %q: %d, %v", tt.name, tt.line, procs, ok)
		}
	}
}

// TestCollector has results found among whatever a benchmark prints before them.
func TestCollector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, maxIterations).Draw(t, "n")
		ns := rapid.Float64Range(0.001, 1e12).Draw(t, "ns")
		noise := rapid.StringMatching(`[ -~\n]{0,40}`).Draw(t, "noise")
		name := rapid.StringMatching(`[A-Z][a-z]{0,5}(/[a-z0-9=-]{1,5})?`).Draw(t, "name")
		c := &collector{name: name, n: n, count: 1}
		e := &ended{}
		out := &lines{listen: c.line, excerpt: &e.stdout}
		fmt.Fprintf(out, "goos: linux\nBenchmark%s-2   \t%s%8d\t%v ns/op\nPASS\n", name, noise, n, ns)
		out.flush()
		if err := c.check(e); err != nil {
			t.Fatal(err)
		}
		if len(c.samples) != 1 || c.samples[0].values["ns/op"] != ns || c.procs != 2 {
			t.Fatalf("%+v", c)
		}
	})
}

// TestLines holds the limits to long lines.
func TestLines(t *testing.T) {
	var got []string
	l := &lines{listen: func(line []byte) { got = append(got, string(line)) }, excerpt: &excerpt{}}
	long := "begin" + strings.Repeat("x", 10*maxLine) + "end"
	fmt.Fprint(l, "a\r\n", long[:100], long[100:], "\n\nlast")
	l.flush()
	if len(got) != 4 || got[0] != "a" || got[2] != "" || got[3] != "last" {
		t.Fatalf("%d lines", len(got))
	}
	if s := got[1]; len(s) > maxLine || !strings.HasPrefix(s, "begin") || !strings.HasSuffix(s, "end") {
		t.Errorf("%d bytes: %.10s", len(s), s)
	}
	if s := l.excerpt.String(); len(s) > 4*maxExcerpt || !strings.HasPrefix(s, "a\r\nbegin") || !strings.HasSuffix(s, "last") {
		t.Errorf("an excerpt of %d bytes", len(s))
	}
}

func TestPanickedIn(t *testing.T) {
	const begin, end = "panic: x\n\ngoroutine 7 [running]:\n", "testing.(*B).runN(0xc0, 0x1)\n\t/go/benchmark.go:219 +0x1\n"
	tests := map[string]string{
		begin + "example.com/a.f(...)\n\t/a_test.go:1\nexample.com/a%2eb.BenchmarkX(0xc0?)\n\t/a_test.go:2 +0x1\n" + end: "X",
		begin + "example.com/a.BenchmarkX.func1(0xc0?)\n\t/a_test.go:2 +0x1\n" + end:                                     "",
		begin + "example.com/a.f()\n\t/a_test.go:2 +0x1\n" + end:                                                         "",
		begin + "main.f()\n\n" + "goroutine 8:\nexample.com/a.BenchmarkX()\n\t/a_test.go:2 +0x1\n" + end:                 "",
		begin + end:   "",
		begin:         "",
		"exit":        "",
		"\ngoroutine": "",
	}
	for trace, want := range tests {
		if got := panickedIn(trace); got != want {
			t.Errorf("%q: %q, want %q", trace, got, want)
		}
	}
}

// FuzzOutput reads what any process may print as a slice and as a list.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("BenchmarkX-2   \thello\n     100\t  12.0 ns/op\t 0 B/op\nPASS\n"))
	f.Add([]byte("\x16=== RUN   BenchmarkX\nBenchmarkX\nBenchmarkX-2 \t 1\t NaN ns/op\n\x16--- FAIL: BenchmarkX-2\n  why\n\x16PASS\n"))
	f.Add([]byte("\x16--- SKIP: BenchmarkX\n\x16--- FAIL: BenchmarkY\nBenchmark\t0\t+Inf x\n"))
	f.Add([]byte("panic: x\n\ngoroutine 7 [running]:\na.BenchmarkX()\n\tx\ntesting.(*B).runN("))
	f.Fuzz(func(t *testing.T, out []byte) {
		c := &collector{name: "X", n: 100, count: 1}
		found := &pass{alive: func() {}}
		e := &ended{}
		l := &lines{excerpt: &e.stdout, listen: func(line []byte) { c.line(line); found.line(line) }}
		_, _ = l.Write(out) // it writes to memory
		l.flush()
		for _, s := range c.samples {
			for unit, v := range s.values {
				if math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(unit, " \t\n") {
					t.Errorf("%q: %v", unit, v)
				}
			}
		}
		_ = c.check(e)
		found.before(found.running())
		panickedIn(string(out))
		(&Listing{}).add(found, e)
	})
}
