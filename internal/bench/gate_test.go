package bench

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// onlySide is a benchmark's body that does something on the sides that are named,
// and works on the others.
func onlySide(sides, does string) string {
	return "\tfor range b.N {\n\t\tif side == \"" + sides + "\" || \"" + sides + "\" == \"both\" {\n\t\t\t" + does + "\n\t\t}\n\t\twork(10)\n\t}"
}

const loop = "\tfor b.Loop() {\n\t\twork(100)\n\t}"

// zoo has a benchmark of each kind that the issue names.
func zoo(side string) string {
	bodies := map[string]string{
		"Loop":     loop,
		"N":        "\tfor range b.N {\n\t\twork(100)\n\t}",
		"Slower":   "\tn := 100\n\tif side == \"head\" {\n\t\tn = 400\n\t}\n\tfor b.Loop() {\n\t\twork(n)\n\t}",
		"Sub":      "\tfor _, n := range []int{1, 2} {\n\t\tb.Run(fmt.Sprintf(\"size=%d\", n), func(b *testing.B) {\n\t\t\tfor b.Loop() {\n\t\t\t\twork(100 * n)\n\t\t\t}\n\t\t})\n\t}",
		"SubFails": "\tif side == \"head\" {\n\t\tb.Fatal(\"no luck\")\n\t}\n\tb.Run(\"part\", func(b *testing.B) {\n\t\tfor b.Loop() {\n\t\t\twork(100)\n\t\t}\n\t})",
		"Parallel": "\tb.RunParallel(func(p *testing.PB) {\n\t\tsum := 0\n\t\tfor p.Next() {\n\t\t\tsum += len(side)\n\t\t}\n\t})",
		"Values":   loop + "\n\tb.ReportMetric(0, \"zero-ns\")\n\tb.ReportMetric(math.Inf(1), \"odd-ns\")\n\tdisk := 100.0\n\tif side == \"head\" {\n\t\tdisk = 300\n\t}\n\tb.ReportMetric(disk, \"disk-bytes\")",
		"File":     "\tdata, err := os.ReadFile(\"testdata/in\")\n\tif err != nil {\n\t\tb.Fatal(err)\n\t}\n" + loop + "\n\tb.ReportMetric(float64(len(data)), \"file-bytes\")",
		"Untimely": "\tif side == \"head\" && b.N > 1 {\n\t\tb.Fatal(\"too late\")\n\t}\n\tfor range b.N {\n\t\twork(10)\n\t}",
		"Once":     "\tif side == \"head\" && b.N > 1 && os.Remove(os.Getenv(\"ONCE\")) == nil {\n\t\tb.Fatal(\"once\")\n\t}\n\tfor range b.N {\n\t\twork(10)\n\t}",
		"Often": "\tif side == \"head\" && b.N > 1 && !decided {\n\t\tdecided = true\n\t\tif os.Remove(os.Getenv(\"OFTEN\")) == nil {\n\t\t\tb.Fatal(\"often\")\n\t\t}\n\t\t_ = os.WriteFile(os.Getenv(\"OFTEN\"), nil, 0o600)\n\t}\n" +
			"\tfor range b.N {\n\t\twork(10)\n\t}",
		"Settings": loop + "\n\tb.ReportMetric(float64(runtime.GOMAXPROCS(0)), \"procs\")\n\tb.ReportMetric(float64(runtime.NumCPU()), \"cpus\")\n\tb.ReportMetric(float64(debug.SetGCPercent(100)), \"gogc\")\n" +
			"\tb.ReportMetric(float64(debug.SetMemoryLimit(-1)), \"limit\")\n\tb.ReportMetric(float64(len(os.Getenv(\"GODEBUG\"))), \"godebug\")",
		"Layout": "\tname, _ := os.Executable()\n\tf, err := os.OpenFile(os.Getenv(\"LAYOUTS\"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)\n\tif err != nil {\n\t\tb.Fatal(err)\n\t}\n" +
			"\tdefer f.Close()\n\tfmt.Fprintln(f, name)\n" + loop,
		"In" + side: loop,
	}
	for _, sides := range []string{"base", "head", "both"} {
		bodies["Fails"+sides] = onlySide(sides, "b.Fatal(\"no luck\")")
		bodies["Panics"+sides] = onlySide(sides, "panic(\"no luck\")")
		bodies["Prints"+sides] = onlySide(sides, "fmt.Println(\"BenchmarkPrints\"+side, b.N, \"\\t 5 ns/op\")")
		bodies["Skips"+sides] = onlySide(sides, "b.Skip(\"no luck\")")
	}
	return benchmarks(side, bodies)
}

// newZoo is a repository whose work tree differs from its commit, in files that git
// knows and in others.
func newZoo(t *testing.T) *repo {
	r := newRepo(t, map[string]string{"zoo_test.go": zoo("base"), "testdata/in": "1234"})
	r.write(map[string]string{
		"zoo_test.go": zoo("head"), "testdata/in": "12345678",
		"new_test.go": "package shop\n\nimport \"testing\"\n\nfunc BenchmarkUntracked(b *testing.B) {}\n",
	})
	return r
}

// shown are limits that everything keeps but disk-bytes: benchmarks then run the
// fewest rounds.
func shown(t *testing.T) *judge.Limits {
	t.Helper()
	l, err := judge.NewLimits([]api.BenchLimit{{Metric: "disk-bytes"}, {OnWorse: "show", OnBetter: "show"}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestGate compares what is in the work tree with its commit.
func TestGate(t *testing.T) {
	t.Parallel()
	r := newZoo(t)
	t.Run("kinds", func(t *testing.T) { testKinds(t, r) })
	t.Run("slower", func(t *testing.T) { testSlower(t, r) })
	t.Run("settings", func(t *testing.T) { testSettings(t, r) })
	t.Run("layouts", func(t *testing.T) { testLayouts(t, r) })
	t.Run("same", func(t *testing.T) { testSame(t, r) })
	t.Run("none", func(t *testing.T) { testNone(t, r) })
}

// testKinds compares all benchmarks, of which many do not work.
func testKinds(t *testing.T, r *repo) {
	opt := r.options()
	opt.Limits, opt.Bench = shown(t), "."
	once := filepath.Join(t.TempDir(), "once")
	if err := os.WriteFile(once, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	opt.Env = append(slices.Clone(r.env), "ONCE="+once, "OFTEN="+once+"-often", "LAYOUTS="+os.DevNull)
	g := r.gate(opt)
	for _, name := range []string{"Loop", "N", "Sub/size=1", "Sub/size=2", "Parallel", "File", "Printsbase", "Printshead", "Printsboth", "Once", "Slower"} {
		i := item(t, g, name, "ns/op")
		says(t, i, api.BenchPass)
		if i.Rounds != 5 || i.Base <= 0 || i.Head <= 0 || i.Estimate == nil || i.Null == nil {
			t.Errorf("%+v", i)
		}
	}
	says(t, item(t, g, "Loop", "allocs/op"), api.BenchPass, "the same in every run")
	says(t, item(t, g, "Values", "zero-ns"), api.BenchPass, "the same in every run")
	says(t, item(t, g, "Values", "odd-ns"), api.BenchInconclusive, "a run reported +Inf")
	says(t, item(t, g, "Values", "disk-bytes"), api.BenchFail, "from 100 to 300 in every run")
	if i := item(t, g, "File", "file-bytes"); i.Base != 4 || i.Head != 8 {
		t.Errorf("each side reads its own file: %v, %v", i.Base, i.Head)
	}
	for name, want := range map[string][]string{"Failshead": {"in the head", "no luck"}, "Panicshead": {"in the head", "panic: no luck"}, "SubFails/part": {"in the head", "no luck"}} {
		says(t, item(t, g, name, ""), api.BenchFail, want...)
	}
	for name, want := range map[string][]string{
		"Failsbase": {"in the base", "no luck"}, "Failsboth": {"in the base", "no luck"}, "Panicsbase": {"in the base", "panic: no luck"}, "Panicsboth": {"in the base", "no luck"},
		"Inbase": {"the head has no such benchmark"}, "Skipshead": {"skips itself there"},
	} {
		says(t, item(t, g, name, ""), api.BenchInconclusive, want...)
	}
	says(t, item(t, g, "Untimely", ""), api.BenchFail, "in the head", "too late")
	for _, i := range g.Items {
		if i.Name == "Often" {
			says(t, i, api.BenchFail, "in the head", "Often")
		}
	}
	notes(t, g, "shop.Inhead is in the head only", "shop.Untracked is in the head only", "Skipsbase skips itself in the base", "Skipsboth skips itself",
		"shop.Once failed in 1 of its processes, which were run again; last, in the head")
	if all := strings.Join(g.Notes, "\n"); strings.Contains(all, "Often") || strings.Contains(all, "Untimely") {
		t.Errorf("a verdict and a note say the same: %s", all)
	}
	if !g.Head.Dirty || g.Base.Dirty || g.Base.Commit != g.Head.Commit || g.Base.Tree == g.Head.Tree || g.Verdict != api.BenchFail {
		t.Errorf("%+v and %+v: %s", g.Base, g.Head, g.Verdict)
	}
	if g.Machine.Noise == nil || g.Machine.Noise.Samples < 100 || g.Seed != 7 || g.Measuring <= 0 || g.Building <= 0 || g.Took < g.Building {
		t.Errorf("%+v", g)
	}
}

// testSlower finds what is three times slower, and confirms it.
func testSlower(t *testing.T, r *repo) {
	opt := r.options()
	opt.Bench = "^BenchmarkSlower$"
	g := r.gate(opt)
	i := item(t, g, "Slower", "ns/op")
	says(t, i, api.BenchFail, "worse than the limit of 5%")
	if i.Change != "worse" || *i.Estimate < 1 || i.Confirmed < 4 || g.Verdict != api.BenchFail {
		t.Errorf("%s: %+v", g.Verdict, i)
	}
}

// testSettings looks what reaches the processes.
func testSettings(t *testing.T, r *repo) {
	opt := r.options()
	opt.Bench, opt.Limits = "^BenchmarkSettings$", shown(t)
	opt.Settings = api.BenchSettings{GOMAXPROCS: 3, GOGC: "55", GOMEMLIMIT: "1GiB", GODEBUG: "x=1", CPUs: firstCPU(t)}
	g := r.gate(opt)
	want := map[string]float64{"procs": 3, "gogc": 55, "limit": 1 << 30, "godebug": 3}
	if opt.Settings.CPUs != "" {
		want["cpus"] = 1
	}
	for metric, v := range want {
		if i := item(t, g, "Settings", metric); i.Base != v || i.Head != v {
			t.Errorf("%s: %v in the base, %v in the head, want %v", metric, i.Base, i.Head, v)
		}
	}
	opt.Settings.Slice = opt.Slice.Seconds()
	if g.Settings != opt.Settings {
		t.Errorf("%+v", g.Settings)
	}
}

// firstCPU is a processor that this process may use; "" where processes cannot be bound.
func firstCPU(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return ""
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	list = strings.TrimSpace(list)
	return list[:strings.IndexFunc(list+"\n", func(r rune) bool { return r < '0' || r > '9' })]
}

// testLayouts runs both layouts of each side, and the null arm, from files of their own.
func testLayouts(t *testing.T, r *repo) {
	opt := r.options()
	list := filepath.Join(t.TempDir(), "list")
	opt.Env = append(slices.Clone(r.env), "LAYOUTS="+list)
	opt.Bench, opt.Limits, opt.Settings.Layouts, opt.Seed = "^BenchmarkLayout$", shown(t), 2, 0
	g := r.gate(opt)
	for _, side := range []api.BenchSide{g.Base, g.Head} {
		if len(side.Binaries) != 2 || side.Binaries[0].Digest == side.Binaries[1].Digest || side.Binaries[0].Layout != 0 || side.Binaries[1].Layout == 0 {
			t.Errorf("%+v", side.Binaries)
		}
	}
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for name := range strings.Lines(string(data)) {
		ran[name]++
	}
	if len(ran) != 6 {
		t.Errorf("%d programs ran instead of three arms in two layouts: %v", len(ran), ran)
	}
	if g.Settings.Layouts != 2 || g.Seed == 0 {
		t.Errorf("%+v, seed %d", g.Settings, g.Seed)
	}
	// Without a seed the order is drawn, and the layouts are always the same.
	a, b := newTestLab(t, Options{}), newTestLab(t, Options{})
	if a.layouts != b.layouts || a.Seed == b.Seed {
		t.Errorf("layouts %d and %d, seeds %d and %d", a.layouts, b.layouts, a.Seed, b.Seed)
	}
}

// testSame compares a commit with itself, and with one that has other testdata only.
func testSame(t *testing.T, r *repo) {
	opt := r.options()
	opt.Head, opt.Bench, opt.Limits = "HEAD", "^Benchmark(File|Sub)$", shown(t)
	opt.Progress = func(p Progress) {
		if p.Stage == Measuring || p.Stage == Sizing {
			t.Errorf("it is measured: %+v", p)
		}
	}
	g := r.gate(opt)
	if len(g.Items) != 2 || g.Verdict != api.BenchPass {
		t.Errorf("%s: %+v", g.Verdict, g.Items)
	}
	for _, i := range g.Items {
		says(t, i, api.BenchPass, "the same program")
	}
	opt.Progress, opt.Always = nil, true
	if i := item(t, r.gate(opt), "File", "ns/op"); i.Rounds != 5 {
		t.Errorf("with Always: %+v", i)
	}
	opt.Always = false
	tree := r.git("write-tree")
	r.write(map[string]string{"zoo_test.go": zoo("base"), "new_test.go": ""})
	opt.Head = ""
	if i := item(t, r.gate(opt), "File", "file-bytes"); i.Base != 4 || i.Head != 8 || i.Rounds != 5 {
		t.Errorf("with other testdata: %+v", i)
	}
	if now := r.git("write-tree"); now != tree {
		t.Errorf("the index has changed from %s to %s", tree, now)
	}
}

func testNone(t *testing.T, r *repo) {
	opt := r.options()
	opt.Bench = "^BenchmarkNobody$"
	if _, err := Gate(t.Context(), opt); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no benchmark matches") || fault.HintOf(err) == "" {
		t.Errorf("no benchmark matches: %v (%s)", err, fault.HintOf(err))
	}
	opt.Bench = "^BenchmarkSub$/^nothing$"
	if _, err := Gate(t.Context(), opt); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "in common") {
		t.Errorf("no sub-benchmark matches: %v", err)
	}
	if left := journals(t, r); len(left) > 0 {
		t.Errorf("gates that are over have left %v", left)
	}
}

// journals are those that gates have left.
func journals(t *testing.T, r *repo) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.cache, "gates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHang ends benchmarks that do not end by themselves.
func TestHang(t *testing.T) {
	t.Parallel()
	file := func(side string) string {
		return benchmarks(side, map[string]string{"Hangsbase": onlySide("base", "select {}"), "Hangshead": onlySide("head", "time.Sleep(time.Hour)"), "Works": loop})
	}
	r := newRepo(t, map[string]string{"hang_test.go": file("base")})
	r.write(map[string]string{"hang_test.go": file("head")})
	opt := r.options()
	opt.Timeout, opt.Limits = 3*time.Second, shown(t)
	g := r.gate(opt)
	says(t, item(t, g, "Hangshead", ""), api.BenchFail, "in the head", "hangs")
	says(t, item(t, g, "Hangsbase", ""), api.BenchInconclusive, "in the base")
	says(t, item(t, g, "Works", "ns/op"), api.BenchPass)
}

// TestBroken compares packages of which one side does not compile, or is not there.
func TestBroken(t *testing.T) {
	t.Parallel()
	const good, bad = "package x\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) {}\n", "package x\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) { undefined() }\n"
	r := newRepo(t, map[string]string{"base/x_test.go": bad, "head/x_test.go": good, "gone/x_test.go": good, "same/x_test.go": good})
	r.write(map[string]string{"base/x_test.go": good, "head/x_test.go": bad, "gone/x_test.go": "", "new/x_test.go": good})
	g := r.gate(r.options())
	byPackage := map[string]api.BenchGateItem{}
	for _, i := range g.Items {
		byPackage[strings.TrimPrefix(i.Package, "example.com/shop/")] = i
	}
	says(t, byPackage["base"], api.BenchInconclusive, "base", "undefined: undefined")
	says(t, byPackage["head"], api.BenchFail, "head", "undefined: undefined")
	says(t, byPackage["gone"], api.BenchInconclusive, "the head has no such package")
	says(t, byPackage["same"], api.BenchPass, "the same program")
	notes(t, g, "shop/new has benchmarks in the head only")
	if names := slices.Sorted(maps.Keys(byPackage)); len(names) != 4 {
		t.Errorf("items of %v", names)
	}
}

// TestShallow names a base that the clone has not.
func TestShallow(t *testing.T) {
	t.Parallel()
	r := newRepo(t, map[string]string{"x_test.go": "package x\n"})
	r.commit(map[string]string{"x_test.go": "package x // again\n"})
	clone := filepath.Join(t.TempDir(), "clone")
	r.git("clone", "-q", "--depth=1", "file://"+r.dir, clone)
	opt := r.options()
	opt.Dir, opt.Base = clone, "HEAD~1"
	if _, err := Gate(t.Context(), opt); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "git fetch --unshallow") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}
