package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// sources are what a test binary is built of, by file.
var sources = map[string]string{
	"go.mod": "module example.com/m\n\ngo 1.21\n",
	"a_test.go": `package m

import . "testing"

type shape struct{}

func BenchmarkAlpha(b *B)     { b.Run("x", func(*B) {}); b.Run("y/z", func(*B) {}) }
func BenchmarkÄ(_ *B)         {}
func Benchmark_a_b(b *B)      {}
func Benchmark1(b *B)         {}
func Benchmarking(b *B)       {}
func (shape) BenchmarkMethod(*B)  {}
func TestBenchmark(t *T)      {}
`,
	"b_test.go": `package m_test

import other "testing"

func BenchmarkBeta(b *other.B)  { b.Run("x", func(*other.B) {}) }
func BenchmarkBetter(b *other.B) {}
func Benchmark(*other.B) {}

var _ = "BenchmarkText"
`,
}

// testBinary builds sources with the go command.
func testBinary(t *testing.T) (binary, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "m.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-o", binary)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary, dir
}

func output(t *testing.T, binary string, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// What is found in the sources is what package testing finds.
func TestAgainstTesting(t *testing.T) {
	binary, dir := testBinary(t)
	var all []string
	for _, name := range []string{"a_test.go", "b_test.go"} {
		found, err := benchmarksIn(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	want := strings.Fields(output(t, binary, "-test.list=^Benchmark"))
	slices.Sort(all)
	slices.Sort(want)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("benchmarks (-want +got)\n%s", diff)
	}
	for _, pattern := range []string{
		".", "^BenchmarkAlpha$", "Alpha/x", "Alpha/absent", "Beta|Alpha", "(Alpha|Beta)/x", "[/]", "Be[t|]", "Bet(a/|ter)", `Bet\|`, "a b", "Alpha|Better/x", "/x", "|Beta", "^B.*a$/^x$", "Ä", "Absent",
	} {
		match, err := newMatcher(pattern)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		ran := map[string]bool{} // only those that ran print their results, or those of their sub-benchmarks
		for line := range strings.Lines(output(t, binary, "-test.run=^$", "-test.benchtime=1x", "-test.bench="+pattern)) {
			if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, prefix) {
				name, _, _ = strings.Cut(name, "/")
				ran[strings.TrimSuffix(name, "-"+procs(name))] = true
			}
		}
		for _, name := range all {
			if ran[name] && !match(name) {
				t.Errorf("%q runs %s and does not match it", pattern, name)
			}
			if !ran[name] && match(name) && !strings.Contains(pattern, "/") {
				t.Errorf("%q matches %s, which does not run", pattern, name)
			}
		}
	}
	if match, err := newMatcher(""); err != nil || !match("BenchmarkX") {
		t.Errorf("the empty pattern matches nothing, %v", err)
	}
	if match, _ := newMatcher("Alpha/absent"); match("BenchmarkBeta") {
		t.Error("the pattern of a sub-benchmark matches another function")
	}
}

// procs is the suffix with GOMAXPROCS of a benchmark's name.
func procs(name string) string {
	if at := strings.LastIndexByte(name, '-'); at >= 0 {
		return name[at+1:]
	}
	return ""
}

func TestBenchmarks(t *testing.T) {
	for src, want := range map[string]string{
		"package p; func BenchmarkX(b *testing.B) {}":                            "BenchmarkX",
		"package p; func BenchmarkX(b testing.B) {}":                             "",
		"package p; func BenchmarkX(b *testing.T) {}":                            "",
		"package p; func BenchmarkX(a, b *testing.B) {}":                         "",
		"package p; func BenchmarkX() {}":                                        "",
		"package p; func BenchmarkX(b *testing.B) int { return 1 }":              "",
		"package p; func BenchmarkX[T any](b *testing.B) {}":                     "",
		"package p; // func BenchmarkX(b *testing.B) {}":                         "",
		"package p; func BenchmarkX(b *testing.B) {}; func { BenchmarkY":         "BenchmarkX",
		"package p; func BenchmarkX(b *testing.B) {}; func BenchmarkY(b *B) {} ": "BenchmarkX BenchmarkY",
		"BenchmarkX": "",
	} {
		if got := strings.Join(benchmarks([]byte(src)), " "); got != want {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
	if _, err := benchmarksIn(filepath.Join(t.TempDir(), "absent_test.go")); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an absent file: %v", err)
	}
	large := filepath.Join(t.TempDir(), "large_test.go")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxSource+1); err != nil {
		t.Fatal(err)
	}
	if _, err := benchmarksIn(large); fault.CodeOf(err) != fault.Limit {
		t.Errorf("a large file: %v", err)
	}
}

func FuzzBenchmarks(f *testing.F) {
	for _, text := range sources {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, name := range benchmarks(src) {
			if !strings.HasPrefix(name, prefix) || !strings.Contains(string(src), name) {
				t.Errorf("%q is not in the source", name)
			}
		}
	})
}

func FuzzMatcher(f *testing.F) {
	f.Add("(a|b)/[c/]|d")
	f.Fuzz(func(t *testing.T, pattern string) {
		if strings.Join(split(pattern, '/'), "/") != pattern {
			t.Errorf("%q is split into %q", pattern, split(pattern, '/'))
		}
		if match, err := newMatcher(pattern); err == nil {
			match("BenchmarkX")
		}
	})
}

func FuzzSplitQuoted(f *testing.F) {
	f.Add(`-a=b '-ldflags=-X a=b' "-tags=x y"`)
	f.Fuzz(func(t *testing.T, s string) {
		fields, err := splitQuoted(s)
		if err != nil {
			return
		}
		for _, field := range fields {
			if !strings.Contains(s, field) {
				t.Errorf("%q of %q", field, s)
			}
		}
		_, _ = linkFlags(s, fields, 1)
	})
}

func TestLinkFlags(t *testing.T) {
	for _, tc := range []struct {
		goflags string
		flags   []string
		want    []string
	}{
		{"", nil, []string{"-ldflags=-s -w -randlayout=7"}},
		{"-tags=x", []string{"-race", "-ldflags"}, []string{"-ldflags=-s -w -randlayout=7"}},
		{`-tags=x '-ldflags=-s -X a.b=c'`, []string{"-ldflags", "all=-n"}, []string{"-ldflags=-s -w -randlayout=7", "-ldflags=-s -X a.b=c -s -w -randlayout=7", "-ldflags=all=-n -s -w -randlayout=7"}},
	} {
		got, err := linkFlags(tc.goflags, tc.flags, 7)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%q %q: %v (-want +got)\n%s", tc.goflags, tc.flags, err, diff)
		}
	}
	if got, err := linkFlags("", nil, 0); err != nil || strings.Join(got, " ") != "-ldflags=-s -w" {
		t.Errorf("the linker's own layout: %q, %v", got, err)
	}
	if _, err := linkFlags("'-x", nil, 7); fault.CodeOf(err) != fault.Usage {
		t.Errorf("an open quote: %v", err)
	}
}

// Layouts are drawn from the seed, all different, and more of them begin with the
// same ones.
func TestLayoutSeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, seed := rapid.IntRange(0, 20).Draw(t, "n"), rapid.Uint64().Draw(t, "seed")
		seeds := layoutSeeds(n, seed)
		if len(seeds) != max(1, n) || seeds[0] != 0 || slices.ContainsFunc(seeds, func(s uint64) bool { return int64(s) < 0 }) {
			t.Fatalf("%v", seeds)
		}
		if !slices.Equal(seeds, layoutSeeds(n+3, seed)[:len(seeds)]) {
			t.Fatal("more layouts begin with others")
		}
		slices.Sort(seeds)
		if len(slices.Compact(seeds)) != max(1, n) {
			t.Fatal("two layouts are the same")
		}
	})
}

// Versions before Go 1.21 make one binary at a time.
func TestMakesMany(t *testing.T) {
	for version, want := range map[string]bool{"go1.20.14": false, "go1.21.0": true, "go1.26.8 X:nodwarf5": true, "devel go1.28-abcdef": true} {
		tool := &toolchain{settings: map[string]string{"GOVERSION": version}}
		if got := tool.makesMany(); got != want {
			t.Errorf("%s: %v", version, got)
		}
		b := &batch{tool: tool}
		now, later := b.together([]*unit{{listed: listed{ImportPath: "a/x"}}, {listed: listed{ImportPath: "a/y"}}, {listed: listed{ImportPath: "b/x/v2"}}})
		if count := map[bool]int{true: 2, false: 1}[want]; len(now) != count || len(later) != 3-count {
			t.Errorf("%s: %d now, %d later", version, len(now), len(later))
		}
	}
}
