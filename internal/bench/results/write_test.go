package results

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/perf/benchfmt"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

func wrap(runs ...api.BenchRun) *api.BenchResults {
	return &api.BenchResults{SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: runs}
}

func series(pkg, name string, procs int, values ...float64) api.BenchSeries {
	s := api.BenchSeries{Package: pkg, Name: name, Procs: procs}
	for _, v := range values {
		s.Samples = append(s.Samples, api.BenchSample{Iterations: 100, Values: map[string]float64{"ns/op": v}})
	}
	return s
}

func full() *api.BenchResults {
	turbo := true
	run := api.BenchRun{
		Time: "2026-01-02T03:04:05Z",
		Side: api.BenchSide{
			Revision: "HEAD~1", Commit: "0123abcd", Tree: "4567ef", Dirty: true,
			Binaries: []api.BenchBinary{
				{Package: "example.com/a", Digest: "sha256:aa", GoVersion: "go1.26.0", Settings: map[string]string{"GOAMD64": "v3", "-ldflags": `-s -X "a=b c"`}},
				{Package: "example.com/a", Digest: "sha256:ab", Layout: 7},
				{Package: "example.com/b", Digest: "sha256:bb", GoVersion: "go1.26.0"},
				{Package: "example.com/silent", Digest: "sha256:cc"},
			},
		},
		Machine: api.BenchMachine{
			OS: "linux", Arch: "amd64", Kernel: "6.12.1", CPU: "Fast CPU @ 2.00GHz", CPUs: 8, Quota: 1.5, MemoryBytes: 1 << 34,
			Virtualization: "kvm", Governor: "performance", Turbo: &turbo, MHz: 3400.25, Counters: "no: paranoid", ID: "m1",
			Noise: &api.BenchNoise{Samples: 40, Fastest: 0.00098, Median: 1.01, P90: 1.25},
		},
		Settings: api.BenchSettings{
			GOMAXPROCS: 2, GOGC: "off", GOMEMLIMIT: "1GiB", GODEBUG: "a=1,b=2", CPUs: "0,2-3", Slice: 0.03, Layouts: 3,
		},
		Labels: map[string]string{"branch": "main", "note": "as: it is"},
		Units:  map[string]map[string]string{"hits/op": {"better": "higher"}, "ns/op": {"better": "lower", "assume": "nothing"}},
		Series: []api.BenchSeries{
			series("example.com/a", "Encode/size-16", 2, 12.5, 13, 1e-300),
			series("example.com/b", "Decode", 2, 1e21),
		},
	}
	run.Series[1].Samples[0].Values = map[string]float64{"ns/op": 5, "MB/s": 6, "hits/op": 7, "B/op": 8, "allocs/op": 0}
	plain := api.BenchRun{Machine: api.BenchMachine{OS: "plan9"}, Series: []api.BenchSeries{series("", "A", 0, 1), series("p", "A/x-2", 0, 1)}}
	return wrap(run, plain)
}

// TestWriteGolden keeps the format what docs/formats/benchresults.md says.
func TestWriteGolden(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, full()); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/full.txt"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
	all := full()
	shareUnits(&all.Runs[1], all)
	if d := cmp.Diff(all, readText(t, b.String())); d != "" {
		t.Errorf("read back (-want +got)\n%s", d)
	}
}

// TestWriteIsReadByBenchfmt checks with the library alone that others can read it.
func TestWriteIsReadByBenchfmt(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, full()); err != nil {
		t.Fatal(err)
	}
	reader := benchfmt.NewReader(&b, "x")
	var got []string
	for reader.Scan() {
		switch r := reader.Result().(type) {
		case *benchfmt.Result:
			got = append(got, fmt.Sprintf("%s %s %s %s", r.GetConfig("pkg"), r.Name, r.GetConfig("commit"), r.GetConfig("goos")))
		case *benchfmt.SyntaxError:
			t.Error(r)
		}
	}
	a := "example.com/a Encode/size-16-2 0123abcd linux"
	want := []string{a, a, a, "example.com/b Decode-2 0123abcd linux", " A  plan9", "p A/x-2  plan9"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if reader.Units().GetBetter("hits/op") != 1 {
		t.Error("the metadata of units is lost")
	}
}

func TestWriteLeavesOut(t *testing.T) {
	set := wrap(
		api.BenchRun{Time: "2026-01-02T03:04:05Z"},
		api.BenchRun{
			Units:  map[string]map[string]string{"other": {"better": "lower"}},
			Series: []api.BenchSeries{{Name: "Empty"}, series("", "A", 0, 1)},
		})
	set.Errors = []api.Error{{Message: "m"}}
	var b bytes.Buffer
	if err := Write(&b, set); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wrap(api.BenchRun{Series: []api.BenchSeries{series("", "A", 0, 1)}}), readText(t, b.String())); d != "" {
		t.Error(d)
	}
}

func TestWriteRefuses(t *testing.T) {
	change := func(f func(*api.BenchRun)) *api.BenchResults {
		set := full()
		f(&set.Runs[0])
		return set
	}
	for name, set := range map[string]*api.BenchResults{
		"space in a name":          change(func(r *api.BenchRun) { r.Series[0].Name = "a b" }),
		"line break in a name":     change(func(r *api.BenchRun) { r.Series[0].Name = "a\nBenchmarkB 1 1 ns/op" }),
		"lower-case name":          change(func(r *api.BenchRun) { r.Series[0].Name = "encode" }),
		"same series twice":        change(func(r *api.BenchRun) { r.Series = append(r.Series, r.Series[0]) }),
		"space in a package":       change(func(r *api.BenchRun) { r.Series[0].Package = " a" }),
		"line break in a value":    change(func(r *api.BenchRun) { r.Machine.CPU = "a\ncommit: evil" }),
		"key with a capital":       change(func(r *api.BenchRun) { r.Labels["Key"] = "v" }),
		"label named like a field": change(func(r *api.BenchRun) { r.Labels["commit"] = "v" }),
		"label named like a key":   change(func(r *api.BenchRun) { r.Labels["procs"] = "3" }),
		"empty label":              change(func(r *api.BenchRun) { r.Labels["empty"] = "" }),
		"unit with a space":        change(func(r *api.BenchRun) { r.Series[0].Samples[0].Values["a b"] = 1 }),
		"no values":                change(func(r *api.BenchRun) { r.Series[0].Samples[0].Values = nil }),
		"negative iterations":      change(func(r *api.BenchRun) { r.Series[0].Samples[0].Iterations = -1 }),
		"metadata with a space":    change(func(r *api.BenchRun) { r.Units["ns/op"]["better"] = "a b" }),
		"long line":                change(func(r *api.BenchRun) { r.Labels["long"] = strings.Repeat("x", MaxLine) }),
		"contradicting metadata": wrap(
			api.BenchRun{Time: "1", Units: map[string]map[string]string{"ns/op": {"better": "lower"}}, Series: []api.BenchSeries{series("", "A", 0, 1)}},
			api.BenchRun{Time: "2", Units: map[string]map[string]string{"ns/op": {"better": "higher"}}, Series: []api.BenchSeries{series("", "A", 0, 1)}}),
	} {
		var b bytes.Buffer
		err := Write(&b, set)
		if fault.CodeOf(err) != fault.Invalid || b.Len() > 0 || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, %d bytes written", name, err, b.Len())
		}
	}
	if err := Write(failingWriter{}, full()); !errors.Is(err, os.ErrPermission) || fault.CodeOf(err) != fault.Denied {
		t.Errorf("a failing writer: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrPermission }

// TestWriteReadRapid writes any results that the format can carry, and reads them.
func TestWriteReadRapid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := wrap(rapid.SliceOfN(rapid.Custom(drawRun), 1, 4).Draw(t, "runs")...)
		var b bytes.Buffer
		if err := Write(&b, set); err != nil {
			t.Fatal(err)
		}
		got, err := Read(bytes.NewReader(b.Bytes()), "x")
		if err != nil {
			t.Fatal(err)
		}
		for i := range set.Runs {
			shareUnits(&set.Runs[i], set)
		}
		if d := cmp.Diff(set, got); d != "" {
			t.Fatalf("(-want +got)\n%s\n%s", d, b.String())
		}
	})
}

// shareUnits gives a run the metadata that other runs have of its units.
func shareUnits(run *api.BenchRun, set *api.BenchResults) {
	for unit := range usedUnits(run) {
		for _, other := range set.Runs {
			if keys := other.Units[unit]; keys != nil {
				if run.Units == nil {
					run.Units = map[string]map[string]string{}
				}
				run.Units[unit] = keys
			}
		}
	}
}

func drawRun(t *rapid.T) api.BenchRun {
	word := func(name string) string {
		return rapid.StringMatching(`([a-z0-9."{]([ a-z0-9:."{]{0,5}[a-z])?)?`).Draw(t, name)
	}
	run := api.BenchRun{Time: word("time")}
	run.Side = api.BenchSide{Revision: word("revision"), Commit: word("commit"), Dirty: rapid.Bool().Draw(t, "dirty")}
	run.Machine.CPU, run.Machine.MHz = word("cpu"), rapid.Float64Range(0, 1e6).Draw(t, "mhz")
	run.Settings.GOMAXPROCS, run.Settings.GOGC = rapid.IntRange(0, 64).Draw(t, "gomaxprocs"), word("gogc")
	if rapid.Bool().Draw(t, "noise") {
		run.Machine.Noise = &api.BenchNoise{Samples: rapid.IntRange(0, 9).Draw(t, "samples"), P90: rapid.Float64Range(0, 9).Draw(t, "p90")}
	}
	labels := rapid.MapOfN(rapid.StringMatching(`[a-z][a-z0-9]{0,3}-label`), rapid.StringMatching(`[a-zA-Z"]{1,3}`), 0, 3).Draw(t, "labels")
	if len(labels) > 0 {
		run.Labels = labels
	}
	used := map[string]bool{}
	name := rapid.StringMatching(`([A-Z0-9_/][a-z0-9/=-]{0,4})?(-[0-9]{1,2})?`)
	for range rapid.IntRange(1, 4).Draw(t, "series") {
		s := api.BenchSeries{Package: rapid.SampledFrom([]string{"", "p", "example.com/q"}).Draw(t, "package"), Name: name.Draw(t, "name"), Procs: rapid.IntRange(0, 3).Draw(t, "procs")}
		full := s.Package + " " + fullName(&s)
		if used[full] || used[fmt.Sprint(s.Package, s.Name, s.Procs)] {
			continue
		}
		used[full], used[fmt.Sprint(s.Package, s.Name, s.Procs)] = true, true
		for range rapid.IntRange(1, 3).Draw(t, "samples") {
			values := rapid.MapOfN(rapid.SampledFrom([]string{"ns/op", "sec/op", "MB/s", "x-ns/op", "hits"}), rapid.Float64(), 1, 3).Draw(t, "values")
			for unit, v := range values {
				if v-v != 0 {
					values[unit] = 0
				}
			}
			s.Samples = append(s.Samples, api.BenchSample{Iterations: rapid.Int64Range(0, 1<<62).Draw(t, "iterations"), Values: values})
		}
		run.Series = append(run.Series, s)
	}
	if rapid.Bool().Draw(t, "units") && usedUnits(&run)["hits"] {
		run.Units = map[string]map[string]string{"hits": {"better": "higher"}}
	}
	for i, s := range run.Series {
		if i == 0 || s.Package != run.Series[i-1].Package {
			b := api.BenchBinary{Package: s.Package, Digest: word("digest"), Settings: map[string]string{"-tags": word("tags")}}
			if s.Package != "" && rapid.Bool().Draw(t, "binary") {
				run.Side.Binaries = append(run.Side.Binaries, b)
			}
		}
	}
	run.Side.Binaries = normalRuns([]api.BenchRun{run})[0].Side.Binaries
	if len(run.Side.Binaries) == 0 {
		run.Side.Binaries = nil
	}
	return run
}
