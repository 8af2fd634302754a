package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// module is benchmarks that do all that makes their output hard to read.
const module = `package p

import (
	"fmt"
	"testing"
)

func BenchmarkPlain(b *testing.B) { for b.Loop() {} }
func BenchmarkPrint(b *testing.B) { fmt.Print("hello "); for b.Loop() {} }
func BenchmarkPrintln(b *testing.B) { fmt.Println("level: info"); for b.Loop() {} }
func BenchmarkFail(b *testing.B) { b.Fatal("no") }
func BenchmarkSkip(b *testing.B) { b.Skip("no") }
func BenchmarkLog(b *testing.B) { b.Log("a"); b.SetBytes(100); for b.Loop() {}; b.ReportMetric(3, "x/op") }
func BenchmarkSub(b *testing.B) {
	b.Run("size-16", func(b *testing.B) { for b.Loop() {} })
	b.Run("size=32", func(b *testing.B) { for b.Loop() {} })
}
func BenchmarkInf(b *testing.B) { for b.Loop() {}; zero := 0.0; b.ReportMetric(1/zero, "y/op") }
`

// goTest runs the benchmarks of module with the real go command.
func goTest(t *testing.T, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/p\n\ngo 1.24\n", "p_test.go": module} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"test", "-run=^$", "-bench=.", "-benchtime=10x", "-benchmem", "-count=2"}, args...)...)
	cmd.Dir = dir
	home := hometest.New(t)
	cmd.Env = append(os.Environ(), "HOME="+home, "GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off", "GOCACHE="+strings.TrimSpace(string(cache)))
	// A benchmark fails, so that go test does.
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || len(out) == 0 {
		t.Fatalf("go test: %v\n%s", err, out)
	}
	return out
}

func TestReadGoTest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		args  []string
		procs []int
	}{
		{"text", []string{"-cpu=1,2"}, []int{0, 2}},
		{"json", []string{"-json", "-cpu=1,2"}, []int{0, 2}},
		{"verbose", []string{"-v", "-cpu=4"}, []int{4}},
		{"one processor", []string{"-cpu=1"}, []int{0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := goTest(t, tc.args...)
			set, err := Read(bytes.NewReader(out), "new.txt")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, run := range set.Runs {
				if run.Machine.OS == "" || run.Machine.Arch == "" {
					t.Errorf("the machine is %+v", run.Machine)
				}
				if (run.Time != "") != (tc.name == "json") {
					t.Errorf("the time is %q", run.Time)
				}
				for _, s := range run.Series {
					for _, sample := range s.Samples {
						if s.Package != "example.com/p" || sample.Iterations != 10 || sample.Values["ns/op"] <= 0 {
							t.Errorf("%+v", s)
						}
						if s.Name == "Log" && sample.Values["x/op"] != 3 {
							t.Errorf("%+v", sample)
						}
						got[fmt.Sprintf("%s-%d", s.Name, s.Procs)]++
					}
				}
			}
			want := map[string]int{}
			for _, name := range []string{"Plain", "Print", "Println", "Log", "Sub/size-16", "Sub/size=32", "Inf"} {
				for _, p := range tc.procs {
					want[fmt.Sprintf("%s-%d", name, p)] = 2
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("series (-want +got)\n%s\n%s", d, out)
			}
			all, _ := json.Marshal(set.Errors)
			for _, message := range []string{"BenchmarkFail failed", "example.com/p", "Inf y/op, which is no number"} {
				if !bytes.Contains(all, []byte(message)) {
					t.Errorf("no error has %q: %s", message, all)
				}
			}
			if bytes.Contains(all, []byte("no result")) {
				t.Errorf("a result is lost: %s", all)
			}
		})
	}
}

func readText(t *testing.T, text string) *api.BenchResults {
	t.Helper()
	set, err := Read(strings.NewReader(text), "x")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// flat shows each series of a set in one line.
func flat(set *api.BenchResults) []string {
	var lines []string
	for i, run := range set.Runs {
		for _, s := range run.Series {
			var values []string
			for _, sample := range s.Samples {
				text, _ := json.Marshal(sample.Values)
				values = append(values, fmt.Sprintf("%d%s", sample.Iterations, text))
			}
			lines = append(lines, fmt.Sprintf("%d %s %s/%d %s", i, s.Package, s.Name, s.Procs, strings.Join(values, " ")))
		}
	}
	return lines
}

func TestReadText(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
		errors     int
	}{
		{"units are kept as they are printed", "BenchmarkA 5 0.25 ns/op 2 MB/s 3 sec/op\n",
			[]string{`0  A/0 5{"MB/s":2,"ns/op":0.25,"sec/op":3}`}, 0},
		{"packages are one run", "pkg: a\nBenchmarkA 1 1 ns/op\npkg: b\nBenchmarkA 1 2 ns/op\n",
			[]string{`0 a A/0 1{"ns/op":1}`, `0 b A/0 1{"ns/op":2}`}, 0},
		{"configurations are runs, interleaved or not", "side: a\nBenchmarkA 1 1 ns/op\nside: b\nBenchmarkA 1 2 ns/op\nside: a\nBenchmarkA 1 3 ns/op\n",
			[]string{`0  A/0 1{"ns/op":1} 1{"ns/op":3}`, `1  A/0 1{"ns/op":2}`}, 0},
		{"bad lines are named and the rest is kept", "BenchmarkA 1 x ns/op\nBenchmarkB 1 1 ns/op\nBenchmarkC 1 1 ns/op 2\nBenchmarkD 1 1 ns/op 2 ns/op\nBenchmarkE 1 NaN ns/op\n",
			[]string{`0  B/0 1{"ns/op":1}`, `0  D/0 1{"ns/op":1}`}, 4},
		{"prose is no result", "Benchmarking now\nBenchmarks: 3\nBenchmark 1 1 ns/op\n", []string{`0  /0 1{"ns/op":1}`}, 0},
		{"suffixes", "BenchmarkA-8 1 1 ns/op\nBenchmarkB/x-16-8 1 1 ns/op\n",
			[]string{`0  A/8 1{"ns/op":1}`, `0  B/x-16/8 1{"ns/op":1}`}, 0},
		{"no suffixes", "BenchmarkA 1 1 ns/op\nBenchmarkB/x-16 1 1 ns/op\n",
			[]string{`0  A/0 1{"ns/op":1}`, `0  B/x-16/0 1{"ns/op":1}`}, 0},
		{"some suffixes", "BenchmarkA 1 1 ns/op\nBenchmarkA-4 1 2 ns/op\nBenchmarkB/x-16 1 1 ns/op\n",
			[]string{`0  A/0 1{"ns/op":1}`, `0  A/4 1{"ns/op":2}`, `0  B/x-16/0 1{"ns/op":1}`}, 0},
		{"lost result", "BenchmarkA-2 \tpanic: no\nBenchmarkB-2 1 1 ns/op\n", []string{`0  B/2 1{"ns/op":1}`}, 1},
		{"torn results", "BenchmarkA-2   \tdebug 3\nmore: x\n      10\t        25.0 ns/op\t       0 B/op\nhi BenchmarkB-2   \t      10\t        26.0 ns/op\n",
			[]string{`0  A/2 10{"B/op":0,"ns/op":25}`, `0  B/2 10{"ns/op":26}`}, 0},
		{"torn results in long lines", "BenchmarkA-2   \t" + strings.Repeat("debug ", 3000) + "      10\t        25.0 ns/op\n" + strings.Repeat("debug ", 3000) + "BenchmarkB-2   \t      10\t        26.0 ns/op\n",
			[]string{`0  A/2 10{"ns/op":25}`, `0  B/2 10{"ns/op":26}`}, 0},
		{"no name to go with it", "      10\t        25.0 ns/op\nBenchmarkA 1 1 ns/op\n", []string{`0  A/0 1{"ns/op":1}`}, 0},
		{"long lines", "BenchmarkA 1 1 ns/op " + strings.Repeat(" ", 1<<17) + "\n" + strings.Repeat("x", 1<<20) + "\nBenchmarkB 1 1 ns/op\r\n",
			[]string{`0  B/0 1{"ns/op":1}`}, 1},
		{"configuration that ends", "a: 1\nBenchmarkA 1 1 ns/op\na:\nBenchmarkA 1 2 ns/op\n", []string{`0  A/0 1{"ns/op":1}`, `1  A/0 1{"ns/op":2}`}, 0},
		{"brackets are no JSON", "[info] start\nBenchmarkA 1 1 ns/op\n", []string{`0  A/0 1{"ns/op":1}`}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := readText(t, tc.text)
			if d := cmp.Diff(tc.want, flat(set)); d != "" {
				t.Error(d)
			}
			if len(set.Errors) != tc.errors {
				t.Errorf("%d errors, want %d: %+v", len(set.Errors), tc.errors, set.Errors)
			}
		})
	}
}

func TestReadConfiguration(t *testing.T) {
	set := readText(t, `goos: linux
cpu: Fast CPU @ 2GHz
commit: abc
gogc: off
gomaxprocs: many
machine-turbo: off
branch: main
Unit ns/op assume=nothing
Unit hits/op better=higher
Unit other better=lower
BenchmarkA 1 1 ns/op 2 hits/op
`)
	off := false
	want := []api.BenchRun{{
		Side:     api.BenchSide{Commit: "abc"},
		Machine:  api.BenchMachine{OS: "linux", CPU: "Fast CPU @ 2GHz", Turbo: &off},
		Settings: api.BenchSettings{GOGC: "off"},
		Labels:   map[string]string{"branch": "main", "gomaxprocs": "many"},
		Units:    map[string]map[string]string{"ns/op": {"assume": "nothing"}, "hits/op": {"better": "higher"}},
		Series: []api.BenchSeries{{Name: "A", Samples: []api.BenchSample{
			{Iterations: 1, Values: map[string]float64{"ns/op": 1, "hits/op": 2}},
		}}},
	}}
	if d := cmp.Diff(want, set.Runs); d != "" {
		t.Error(d)
	}
}

func TestReadErrorsNameLines(t *testing.T) {
	set := readText(t, "goos: linux\n\nnothing\nBenchmarkA 1 x ns/op\nBenchmarkB 1 1 ns/op\n")
	if len(set.Errors) != 1 || set.Errors[0].Input != "x:4" || set.Errors[0].Code != string(fault.Invalid) {
		t.Errorf("%+v", set.Errors)
	}
	many := readText(t, strings.Repeat("BenchmarkA 1 x ns/op\n", 250)+"BenchmarkB 1 1 ns/op\n")
	if n := len(many.Errors); n != maxErrors+1 || !strings.Contains(many.Errors[n-1].Message, "150 more") {
		t.Errorf("%d errors, the last %+v", n, many.Errors[n-1])
	}
}

func TestReadTooManyConfigurations(t *testing.T) {
	var b strings.Builder
	for i := range maxConfig + 10 {
		fmt.Fprintf(&b, "key%d: v\n", i)
	}
	b.WriteString("BenchmarkA 1 1 ns/op\n")
	if set := readText(t, b.String()); len(set.Runs[0].Labels) != maxConfig || len(set.Errors) != 10 {
		t.Errorf("%d labels, %d errors", len(set.Runs[0].Labels), len(set.Errors))
	}
	b.Reset()
	for i := range maxRuns + 10 {
		fmt.Fprintf(&b, "n: %d\nBenchmarkA 1 1 ns/op\n", i)
	}
	if set := readText(t, b.String()); len(set.Runs) != maxRuns || len(set.Errors) != 1 {
		t.Errorf("%d runs, %d errors", len(set.Runs), len(set.Errors))
	}
	set := readText(t, strings.Repeat("n: 1\nBenchmarkA 1 1 ns/op\nn: 2\nBenchmarkA 1 1 ns/op\n", maxBlocks/2+10))
	if len(set.Runs) != 2 || len(set.Runs[0].Series[0].Samples) != maxBlocks/2 || len(set.Errors) != 1 {
		t.Errorf("%d runs, %d errors", len(set.Runs), len(set.Errors))
	}
	if set := readText(t, strings.Repeat("a: "+strings.Repeat("x", MaxLine-100)+"\nb: "+strings.Repeat("x", MaxLine-100)+"\nc: "+strings.Repeat("x", MaxLine-100)+"\n", 2)+"BenchmarkA 1 1 ns/op\n"); len(set.Runs[0].Labels) != 2 || len(set.Errors) != 2 {
		t.Errorf("%d labels, %d errors", len(set.Runs[0].Labels), len(set.Errors))
	}
}

func TestReadUTF16(t *testing.T) {
	text := utf16.Encode([]rune("goos: windows\r\nBenchmarkÄ-8 1 1 ns/op\r\n"))
	data := []byte("\xff\xfe")
	for _, u := range text {
		data = append(data, byte(u), byte(u>>8))
	}
	want := []string{`0  Ä/8 1{"ns/op":1}`}
	for _, input := range [][]byte{data, []byte("\xef\xbb\xbfBenchmarkÄ-8 1 1 ns/op\n")} {
		if d := cmp.Diff(want, flat(readText(t, string(input)))); d != "" {
			t.Error(d)
		}
	}
}

func TestReadEvents(t *testing.T) {
	// Two packages at once, one line in three pieces, and text between the events.
	set := readText(t, `# example.com/b
{"Time":"2026-01-02T03:04:06Z","Action":"start","Package":"a"}
{"Time":"2026-01-02T03:04:05Z","Action":"output","Package":"b","Output":"goos: linux\n"}
{"Action":"output","Package":"a","Output":"goos: linux\n"}
{"Action":"output","Package":"a","Test":"BenchmarkA","Output":"BenchmarkA-2 \t"}
{"Action":"output","Package":"b","Test":"BenchmarkB","Output":"level: info\nBenchmarkB-2 \t"}
{"Action":"output","Package":"a","Test":"BenchmarkA","Output":" 10\t"}
{"Action":"output","Package":"a","Test":"BenchmarkA","Output":" 5 ns/op\n"}
{"Action":"output","Package":"b","Test":"BenchmarkB","Output":" 20\t 6 ns/op"}
{"Action":"pass","Package":"a"}
`)
	if d := cmp.Diff([]string{`0 b B/2 20{"ns/op":6}`, `0 a A/2 10{"ns/op":5}`}, flat(set)); d != "" {
		t.Error(d)
	}
	if set.Runs[0].Time != "2026-01-02T03:04:05Z" || len(set.Errors) != 0 {
		t.Errorf("%+v", set)
	}
}

func TestReadOtherTools(t *testing.T) {
	for _, name := range []string{"gobenchdata", "parse-set", "action-data"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			set, err := Read(bytes.NewReader(data), name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(set, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
				t.Error(d)
			}
		})
	}
	// The same data as the script that its page loads.
	data, err := os.ReadFile("testdata/action-data.json")
	if err != nil {
		t.Fatal(err)
	}
	set := readText(t, "window.BENCHMARK_DATA = "+string(data))
	if len(set.Runs) != 2 {
		t.Errorf("%d runs", len(set.Runs))
	}
}

func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct {
		text, message string
		code          fault.Code
	}{
		{"", "no benchmark results", fault.Invalid},
		{"PASS\nok  \tx\t0.1s\n", "no benchmark results", fault.Invalid},
		{"BenchmarkA 1 x ns/op\n", "the first of 1 problems: parsing measurement", fault.Invalid},
		{`{"schemaVersion":"gopherwood/v1","kind":"BenchGate"}`, "a document of kind BenchGate", fault.Invalid},
		{`{"schemaVersion":"gopherwood/v9","kind":"BenchResults","runs":[]}`, "reads gopherwood/v1", fault.Invalid},
		{`{"schemaVersion":"gopherwood/v1","kind":"BenchResults","runs":[]}`, "no benchmark results", fault.Invalid},
		{`{"schemaVersion":"gopherwood/v1","kind":"BenchResults","runs":[{`, "unexpected EOF", fault.Invalid},
		{`{"a":1}`, "unknown kind", fault.Invalid},
		{`{"a":[]}`, "unknown kind", fault.Invalid},
		{`[1]`, "not gobenchdata's", fault.Invalid},
		{`{"entries":[]}`, "not github-action-benchmark's", fault.Invalid},
		{"{}", "no benchmark results", fault.Invalid},
	} {
		_, err := Read(strings.NewReader(tc.text), "old.txt")
		if err == nil || !strings.Contains(err.Error(), tc.message) || fault.CodeOf(err) != tc.code || !strings.Contains(err.Error(), "old.txt") || fault.HintOf(err) == "" {
			t.Errorf("%q: %v (%s)", tc.text, err, fault.HintOf(err))
		}
	}
	if _, err := read(strings.NewReader("BenchmarkA 1 1 ns/op\n"), "x", 20); fault.CodeOf(err) != fault.Limit {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := read(strings.NewReader("BenchmarkA 1 1 ns/op\n"), "x", 21); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := Read(iotest.ErrReader(os.ErrPermission), "x"); fault.CodeOf(err) != fault.Denied {
		t.Errorf("an error of the reader: %v", err)
	}
}

func TestReadOwn(t *testing.T) {
	want := &api.BenchResults{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults,
		Runs: []api.BenchRun{{
			Time:   "2026-01-02T03:04:05Z",
			Series: []api.BenchSeries{{Name: "A", Procs: 2, Samples: []api.BenchSample{{Iterations: 1, Values: map[string]float64{"ns/op": 0.1}}}}},
		}},
		Notes:  []string{"n"},
		Errors: []api.Error{{Code: "invalid", Message: "m"}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, readText(t, string(text))); d != "" {
		t.Error(d)
	}
	twice := readText(t, string(text)+"\n"+string(text)+"{")
	if len(twice.Runs) != 2 || len(twice.Errors) != 3 {
		t.Errorf("%+v", twice)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"gobenchdata.json", "parse-set.json", "action-data.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("goos: linux\nUnit ns/op better=lower\nBenchmarkA-2 \thi\n 10\t 5 ns/op\nprocs: 0\nBenchmarkA-2 1 +Inf x 1 y\n"))
	f.Add([]byte(`{"Action":"output","Package":"p","Output":"BenchmarkA-2 1 5 ns/op\n"}` + "\n"))
	f.Add([]byte(`{"schemaVersion":"gopherwood/v1","kind":"BenchResults","runs":[{"series":[{"name":"A","samples":[{"iterations":1,"values":{"ns/op":1}}]}]}]}`))
	f.Add([]byte("binary-1: {\"package\":\"p\"}\npkg: p\nrun-number: 1\nBenchmarkA 1 1 ns/op\n\xff\xfe"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Read(bytes.NewReader(data), "x")
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%v has no code", err)
			}
			return
		}
		if _, err := json.Marshal(set); err != nil {
			t.Fatalf("what was read is no document: %v", err)
		}
		var b bytes.Buffer
		if Write(&b, set) != nil {
			return
		}
		again, err := Read(&b, "y")
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if len(again.Errors) != 0 || len(again.Runs) != len(normalRuns(set.Runs)) {
			t.Fatalf("%+v\nwas read back as\n%+v", set, again)
		}
		if err := Write(io.Discard, again); err != nil {
			t.Fatalf("what was read back is not written: %v", err)
		}
	})
}
