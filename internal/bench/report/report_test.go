package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-update rewrites it):\n%s", name, diff)
	}
}

// written returns what write writes.
func written(t *testing.T, write func(w io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func html(t *testing.T, d report.Data) string {
	t.Helper()
	return written(t, func(w io.Writer) error { return report.HTML(w, d) })
}

func markdown(t *testing.T, d report.Data) string {
	t.Helper()
	return written(t, func(w io.Writer) error { return report.Markdown(w, d) })
}

func places() report.Places {
	return report.Places{
		{Package: pkg, Function: "BenchmarkEncode"}: {File: "codec/a,b:c_test.go", Line: 12},
		{Package: pkg, Function: "BenchmarkDecode"}: {File: "codec/decode_test.go", Line: 3},
	}
}

func TestGolden(t *testing.T) {
	all := everything()
	golden(t, "page.html", html(t, all))
	golden(t, "gate.md", markdown(t, report.Data{Gate: all.Gate}))
	golden(t, "comparison.md", markdown(t, report.Data{Comparison: all.Comparison}))
	golden(t, "results.md", markdown(t, report.Data{Results: all.Results}))
	golden(t, "history.md", markdown(t, report.Data{History: all.History}))
	golden(t, "calibration.md", markdown(t, report.Data{Calibration: all.Calibration}))
	golden(t, "github.txt", written(t, func(w io.Writer) error { return report.GitHub(w, all.Gate, places()) }))
	golden(t, "codequality.json", written(t, func(w io.Writer) error { return report.CodeQuality(w, all.Gate, places()) }))
	golden(t, "junit.xml", written(t, func(w io.Writer) error { return report.JUnit(w, all.Gate) }))
}

// content returns what stands in an element of a page that has no attributes.
func content(t *testing.T, page, element string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "<"+element+">")
	inner, _, closed := strings.Cut(rest, "</"+element+">")
	if !found || !closed {
		t.Fatalf("no <%s>", element)
	}
	return inner
}

// The page loads nothing, its policy allows its own style and script and no
// other, and what a repository says stays text.
func TestPageIsSafe(t *testing.T) {
	page := html(t, everything())
	loads := regexp.MustCompile(`(?i)<(link|img|iframe|object|embed|base|form|image|use|foreignObject)\b|\bsrc\s*=\s*["']|\bhref\s*=\s*"[^#]|\bstyle\s*=|\bon[a-z]+\s*=\s*["']|url\(|@import|\bfetch\(|XMLHttpRequest`)
	if found := loads.FindAllString(page, -1); found != nil {
		t.Errorf("the page may load or run something: %q", found)
	}
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if strings.ContainsAny(page, "\x1b\u202e") {
		t.Error("control characters are left")
	}
	_, policy, _ := strings.Cut(page, `http-equiv="Content-Security-Policy" content="`)
	policy, _, _ = strings.Cut(policy, `"`)
	policy = strings.NewReplacer("&#43;", "+", "&#39;", "'").Replace(policy)
	for directive, element := range map[string]string{"style-src": "style", "script-src": "script"} {
		sum := sha256.Sum256([]byte(content(t, page, element)))
		if want := fmt.Sprintf("%s 'sha256-%s';", directive, base64.StdEncoding.EncodeToString(sum[:])); !strings.Contains(policy, want) {
			t.Errorf("no %q in the policy %q", want, policy)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}

// drawings returns the plots of a page, each of which is well-formed XML with no
// number that is none.
func drawings(t *testing.T, page string) []string {
	t.Helper()
	all := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	for _, svg := range all {
		dec := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		if bad := regexp.MustCompile(`(x|y|x1|y1|r|cx|cy|width|height|points|viewBox)="[^"]*(NaN|Inf|e[+-])`).FindString(svg); bad != "" {
			t.Errorf("%s in %s", bad, svg)
		}
	}
	return all
}

func TestPageHasPlots(t *testing.T) {
	page := strings.ReplaceAll(html(t, everything()), "&#43;", "+")
	for _, part := range []struct {
		id   string
		want []string
	}{
		{`id="gate-0"`, []string{`<rect class="box"`, "base again: median", `class="head"`, `<title>round 40, base to head: `}},
		{`id="comparison-0"`, []string{`<rect class="box"`, "old: median"}},
		{`id="results-0"`, []string{`<rect class="box"`, "samples: median 12.4", "middle half"}},
		{`id="series-2"`, []string{`class="level"`, `class="point worse"`, "+12.5 % worse", `<circle class="sample"`}},
		{`id="series-1"`, []string{`class="drift"`, "drift +11.6 %"}},
	} {
		_, rest, found := strings.Cut(page, part.id)
		rest, _, _ = strings.Cut(rest, ` id="`)
		for _, want := range part.want {
			if !found || !strings.Contains(rest, want) {
				t.Errorf("%s: no %q", part.id, want)
			}
		}
	}
	if n := len(drawings(t, page)); n < 12 {
		t.Errorf("%d plots", n)
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, ` id="`+link[1]+`"`) {
			t.Errorf("a link leads to %s, which is not there", link[1])
		}
	}
}

// What is empty or has no sensible number is a page and a comment all the same.
func TestOddDocuments(t *testing.T) {
	odd := []float64{0, -1, -7, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64}
	for i, v := range odd {
		for _, w := range []float64{odd[(i+1)%len(odd)], odd[(i+4)%len(odd)]} {
			g := gate()
			for i := range g.Items {
				item := &g.Items[i]
				item.Base, item.Head, item.Estimate, item.Low, item.High, item.MinDetectable = v, w, &v, &w, &v, &w
				item.Null = &api.BenchNull{Estimate: w, Low: &v, High: &w}
				item.Limit.Worse = "x"
			}
			c, before, after := comparison()
			c.Items[0].Old, c.Items[0].New, c.Items[0].Low, c.Items[0].High = v, w, &w, &v
			after.Runs[0].Series[0].Samples[0].Values["ns/op"] = v
			h := history()
			s := &h.Series[2]
			s.Points[3].Median, s.Points[4].P25 = v, w
			s.Changes[0].Before, s.Changes[0].Estimate, s.Changes[0].PValue, s.Changes[0].Position = v, &w, &v, -5
			h.Series[1].Drifts[0].Estimate = v
			k := calibration()
			k.Items[0].MinDetectable[1].Change, k.Items[0].Noise, k.Items[0].Seconds = v, w, w
			d := report.Data{Gate: g, Measured: []report.Measured{measured(5, v, w)},
				Comparison: c, Old: before, New: after, Results: after, History: h, Calibration: k}
			drawings(t, html(t, d))
			markdown(t, d)
		}
	}
	empty := report.Data{Gate: &api.BenchGate{}, Comparison: &api.BenchComparison{}, Old: &api.BenchResults{},
		Results: &api.BenchResults{Runs: []api.BenchRun{{Series: []api.BenchSeries{{}}}}}, History: &api.BenchHistory{Series: []api.BenchHistorySeries{{}}}, Calibration: &api.BenchCalibration{}}
	if page := html(t, empty); !strings.Contains(page, "<title>Benchmarks</title>") || !strings.Contains(page, "nothing was measured") {
		t.Error(page)
	}
	markdown(t, empty)
	if got := markdown(t, report.Data{}); got != report.Mark+"\n" {
		t.Errorf("%q", got)
	}
}

// What a repository says makes no markup, no mention and no line of its own.
func TestMarkdownIsHarmless(t *testing.T) {
	got := markdown(t, everything())
	for _, bad := range []string{"<script", "<img", "@all", "](", "http://", "\x1b", "\u202e", "\n::error"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is left", bad)
		}
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") != strings.Count(strings.ReplaceAll(line, "&#124;", ""), "|") {
			t.Errorf("a cell ends early: %s", line)
		}
	}
	open := len(regexp.MustCompile("<details>").FindAllString(got, -1))
	if closed := strings.Count(got, "</details>"); open == 0 || open != closed {
		t.Errorf("%d details, %d closed", open, closed)
	}
}

// A comment fits whatever there is to say, and says how much it leaves out.
func TestMarkdownIsBounded(t *testing.T) {
	d := everything()
	long := strings.Repeat("<", 1000) + strings.Repeat("ü", 1000)
	for i := range 3000 {
		item := d.Gate.Items[i%3]
		item.Name, item.Reason, item.Package = fmt.Sprint(long, i), long, long
		if i%2 == 0 {
			item.Verdict, item.Change = api.BenchPass, "none"
		}
		d.Gate.Items = append(d.Gate.Items, item)
		d.Gate.Notes = append(d.Gate.Notes, long)
		d.Gate.Errors = append(d.Gate.Errors, api.Error{Message: long})
		d.Results.Runs = append(d.Results.Runs, d.Results.Runs[i%2])
		d.History.Machines = append(d.History.Machines, machine())
	}
	d.Gate.Base.Revision, d.Comparison.Old, d.Calibration.Recommended.Worse = long, long, long
	got := markdown(t, d)
	if n := utf8.RuneCountInString(got); n > 65_536 {
		t.Errorf("%d characters", n)
	}
	if !strings.Contains(got, "more are in the full report") || strings.Count(got, "<details>") != strings.Count(got, "</details>") {
		t.Errorf("does not end well: %s", got[max(0, len(got)-2000):])
	}
}

// A long table leaves room for the parts after it to be said at all.
func TestPageIsBounded(t *testing.T) {
	h := history()
	for i := range 1000 {
		s := h.Series[0]
		s.Name = fmt.Sprint("Quiet", i)
		h.Series = append(h.Series, s)
	}
	page := html(t, report.Data{History: h})
	if len(drawings(t, page)) > 310 || !strings.Contains(page, "701 more series without a change are not drawn") {
		t.Errorf("%d bytes, %d plots", len(page), len(drawings(t, page)))
	}
	if !strings.Contains(page, `id="series-2"`) {
		t.Error("a series with a change point is not drawn")
	}
}

func TestGitHubCommands(t *testing.T) {
	got := written(t, func(w io.Writer) error { return report.GitHub(w, gate(), places()) })
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	form := regexp.MustCompile(`^::(error|warning|notice) (file=[^:,]+,line=\d+,)?title=[^:,]+::[^\r\n]+$`)
	if len(lines) != 6 {
		t.Errorf("%d lines: %s", len(lines), got)
	}
	for _, line := range lines {
		if !form.MatchString(line) {
			t.Errorf("no workflow command: %q", line)
		}
	}
	if want := "::error file=codec/a%2Cb%3Ac_test.go,line=12,title=fail%3A Encode/size=1k ns/op::"; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", lines[0], want)
	}
}

// An inconclusive benchmark weighs what the gate makes of it.
func TestInconclusiveGate(t *testing.T) {
	g := gate()
	g.Items, g.Errors = g.Items[2:3], nil
	for _, tc := range []struct {
		verdict                  api.BenchVerdict
		command, severity, junit string
	}{
		{api.BenchPass, "::notice ", `"info"`, "<skipped "},
		{api.BenchWarn, "::warning ", `"minor"`, "<system-out>"},
		{api.BenchFail, "::error ", `"major"`, "<failure "},
	} {
		g.Verdict = tc.verdict
		if got := written(t, func(w io.Writer) error { return report.GitHub(w, g, places()) }); !strings.HasPrefix(got, tc.command) {
			t.Errorf("%s: %s", tc.verdict, got)
		}
		if got := written(t, func(w io.Writer) error { return report.CodeQuality(w, g, places()) }); !strings.Contains(got, tc.severity) {
			t.Errorf("%s: %s", tc.verdict, got)
		}
		if got := written(t, func(w io.Writer) error { return report.JUnit(w, g) }); !strings.Contains(got, tc.junit) {
			t.Errorf("%s: %s", tc.verdict, got)
		}
	}
	g.Items[0].Limit.OnWorse = "warn"
	if got := written(t, func(w io.Writer) error { return report.GitHub(w, g, places()) }); !strings.HasPrefix(got, "::warning ") {
		t.Errorf("where the limit only warns: %s", got)
	}
}

func TestCodeQuality(t *testing.T) {
	var entries []struct {
		Description, Fingerprint, Severity string
		Location                           struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	if err := json.Unmarshal([]byte(written(t, func(w io.Writer) error { return report.CodeQuality(w, gate(), places()) })), &entries); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Fingerprint] || e.Location.Path == "" || e.Location.Lines.Begin < 1 {
			t.Errorf("%+v", e)
		}
		seen[e.Fingerprint] = true
	}
	if len(entries) != 5 {
		t.Errorf("%d entries", len(entries))
	}
	if got := written(t, func(w io.Writer) error { return report.CodeQuality(w, &api.BenchGate{}, nil) }); got != "[]\n" {
		t.Errorf("nothing to say is %q", got)
	}
}

func TestFindPlaces(t *testing.T) {
	source := "package a\n\nimport \"testing\"\n\n//line other.go:99\nfunc BenchmarkOne(b *testing.B) {}\nfunc Benchmarker() {}\nfunc (t T) BenchmarkMethod(b *testing.B) {}\nfunc Benchmark_two(b *testing.B) {}\n"
	root := fstest.MapFS{
		"a/a_test.go":        {Data: []byte(source)},
		"a/broken_test.go":   {Data: []byte("package a\nfunc BenchmarkHalf(b *testing.B) {}\nfunc {{{ \x00")},
		"a/empty_test.go":    {},
		"a/a.go":             {Data: []byte("package a\nfunc BenchmarkNoTest(b *testing.B) {}\n")},
		"a/dir_test.go/x.go": {Data: []byte("package x\n")},
	}
	got, err := report.FindPlaces(root, map[string]string{"example.org/a": "a", "example.org/gone": "gone"})
	if err != nil {
		t.Fatal(err)
	}
	want := report.Places{
		{Package: "example.org/a", Function: "BenchmarkOne"}:  {File: "a/a_test.go", Line: 6},
		{Package: "example.org/a", Function: "Benchmark_two"}: {File: "a/a_test.go", Line: 9},
		{Package: "example.org/a", Function: "BenchmarkHalf"}: {File: "a/broken_test.go", Line: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := report.FindPlaces(root, map[string]string{"example.org/a": "a/a.go"}); err == nil {
		t.Error("a file is no directory")
	}
}

// failing writes nothing.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteErrors(t *testing.T) {
	d := everything()
	for name, err := range map[string]error{
		"HTML": report.HTML(failing{}, d), "Markdown": report.Markdown(failing{}, d), "GitHub": report.GitHub(failing{}, d.Gate, nil),
		"CodeQuality": report.CodeQuality(failing{}, d.Gate, nil), "JUnit": report.JUnit(failing{}, d.Gate),
	} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
