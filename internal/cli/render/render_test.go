package render_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

func facts() *api.FactsList {
	return &api.FactsList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindFactsList,
		Items: []api.Facts{
			{
				Ref: "bin/app", Digest: "sha256:" + strings.Repeat("ab", 32), Size: 12_900_000, Format: "elf",
				Platform: api.Platform{OS: "linux", Arch: "amd64", Level: "v1"},
				Go: &api.Go{
					Version: "go1.26.8", Main: "example.org/app/cmd/app",
					Module:   &api.Module{Path: "example.org/app", Version: "v1.2.3"},
					Deps:     []api.Module{{Path: "example.org/dep", Version: "v0.1.0", Sum: "h1:x=", Replace: &api.Module{Path: "../dep"}}},
					Settings: map[string]string{"GOAMD64": "v1", "CGO_ENABLED": "0"},
					Trimpath: true,
					VCS:      &api.VCS{System: "git", Revision: "0123abc", Time: "2026-01-02T03:04:05Z", Modified: true},
				},
				Link:         api.Link{Mode: api.LinkStatic, Libc: api.LibcNone},
				Hardening:    api.Hardening{NX: true, RELRO: api.RELRONone},
				Sections:     api.Sections{Text: 4_000_000, ROData: 3_000_000, Pclntab: 2_000_000},
				Capabilities: []string{"exec", "net"},
			},
			{
				Ref: "registry.example.org/team/service-with-a-long-name:2026-01-02-abcdef0", Path: "/usr/local/bin/server",
				Size: 900, Format: "elf", Platform: api.Platform{OS: "linux", Arch: "arm64"}, Entrypoint: true,
				Link: api.Link{
					Mode: api.LinkDynamic, Interpreter: "/lib/ld-linux-aarch64.so.1", Libc: api.LibcGNU, Floor: "GLIBC_2.34",
					Floors: map[string]string{"libc.so.6": "GLIBC_2.34"}, Needed: []string{"libc.so.6", "libz.so.1"},
					Runpath: []string{"$ORIGIN/../lib"},
				},
				Hardening: api.Hardening{PIE: true, RELRO: api.RELROFull, NX: true, Stripped: true},
				Image: &api.Image{
					Digest: "sha256:" + strings.Repeat("cd", 32), Entrypoint: []string{"server", "--port", "80"}, User: "1000",
					Env: []string{"PATH=/usr/local/bin"}, ExposedPorts: []string{"80/tcp"},
					Layers: []api.Layer{{Digest: "sha256:" + strings.Repeat("ef", 32), Size: 5 << 20}},
				},
				Notes: []string{"no function table: the sections that hold it are missing"},
			},
		},
	}
}

func verdicts() *api.VerdictList {
	linux := api.Platform{OS: "linux", Arch: "amd64"}
	return &api.VerdictList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindVerdictList,
		Items: []api.Verdict{
			{Ref: "bin/app", Digest: "sha256:" + strings.Repeat("ab", 32), Platform: linux, Verdict: api.Pass, Findings: []api.Finding{}},
			{
				Ref: "oci:layout:v1", Platform: linux, Verdict: api.Deny,
				Findings: []api.Finding{
					{
						Rule: "start/interpreter-missing", Severity: api.Deny, Path: "/app",
						Message: "the dynamic loader /lib64/ld-linux-x86-64.so.2 does not exist in the image; the kernel reports this as \"no such file or directory\"",
						Hint:    "build with CGO_ENABLED=0 and without -buildmode=pie, or take a base image with glibc",
					},
					{Rule: "image/root", Severity: api.Warn, Message: "runs as root", Hint: "set USER"},
					{Rule: "go/trimpath", Severity: api.Info, Message: "built without -trimpath"},
					{
						Rule: "go/replaced", Severity: api.Deny, Message: "module a is replaced by ../a",
						Exemption: &api.Exemption{Owner: "team-a", Reason: "moves next week", Expires: "2026-12-31"},
					},
				},
			},
			{Ref: "deploy/Dockerfile", Verdict: api.Deny, Findings: []api.Finding{
				{Rule: "dockerfile/libc-mismatch", Severity: api.Deny, Line: 14,
					Message: "the program of line 7 needs glibc, and scratch has none", Hint: "set CGO_ENABLED=0"},
				{Rule: "dockerfile/no-trimpath", Severity: api.Info, Line: 7, Message: "go build without -trimpath"},
			}},
		},
		Errors: []api.Error{{
			SchemaVersion: api.SchemaVersion, Kind: api.KindError,
			Code: "not-found", Input: "missing", Message: "open missing: no such file or directory", Hint: "check the name",
		}},
	}
}

func text(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func verdictText(t *testing.T, list *api.VerdictList, f render.Format, look render.Layout) string {
	t.Helper()
	return text(t, func(w io.Writer) error { return render.Verdicts(w, f, list, look, "v0.1.0") })
}

func TestFacts(t *testing.T) {
	for name, tc := range map[string]struct {
		format render.Format
		look   render.Layout
	}{
		"facts.txt":         {render.Table, render.Layout{}},
		"facts-verbose.txt": {render.Table, render.Layout{Verbose: true}},
		"facts-color.txt":   {render.Table, render.Layout{Color: true}},
		"facts.json":        {render.JSON, render.Layout{}},
		"facts.yaml":        {render.YAML, render.Layout{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := text(t, func(w io.Writer) error { return render.Facts(w, tc.format, facts(), tc.look) })
			golden(t, name, got)
		})
	}
}

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		format render.Format
		look   render.Layout
	}{
		"verdict.txt":         {render.Table, render.Layout{}},
		"verdict-verbose.txt": {render.Table, render.Layout{Verbose: true}},
		"verdict-color.txt":   {render.Table, render.Layout{Color: true}},
		"verdict.json":        {render.JSON, render.Layout{}},
		"verdict.yaml":        {render.YAML, render.Layout{}},
		"verdict.sarif":       {render.SARIF, render.Layout{}},
		"verdict.xml":         {render.JUnit, render.Layout{}},
		"verdict.md":          {render.Markdown, render.Layout{}},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, verdictText(t, verdicts(), tc.format, tc.look))
		})
	}
}

// A table fits the columns that it promises, whatever its cells hold.
func TestTableWidth(t *testing.T) {
	list := facts()
	list.Items[0].Ref = strings.Repeat("very/long/", 40) + "名前"
	got := text(t, func(w io.Writer) error { return render.Facts(w, render.Table, list, render.Layout{}) })
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestSARIFSchema(t *testing.T) {
	checkSARIF(t, sarifSchema(t), verdictText(t, verdicts(), render.SARIF, render.Layout{}))
}

// YAML says the same as JSON, in the same order.
func TestYAMLEqualsJSON(t *testing.T) {
	var fromYAML, fromJSON any
	asYAML := verdictText(t, verdicts(), render.YAML, render.Layout{})
	if err := yaml.Unmarshal([]byte(asYAML), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(verdictText(t, verdicts(), render.JSON, render.Layout{})), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(asYAML, "schemaVersion: gopherwood/v1\nkind: VerdictList\nitems:\n") {
		t.Errorf("not in the order of the JSON:\n%s", asYAML)
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := render.Facts(io.Discard, render.SARIF, facts(), render.Layout{}); err == nil {
		t.Error("facts as SARIF: no error")
	}
}

// hostile returns a list in which every string that can come from an artifact
// or a policy is s.
func hostile(s string) *api.VerdictList {
	return &api.VerdictList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindVerdictList,
		Items: []api.Verdict{{
			Ref: s, Path: s, Digest: s, Platform: api.Platform{OS: s, Arch: s}, Verdict: api.Deny,
			Findings: []api.Finding{
				{Rule: s, Severity: api.Deny, Path: s, Message: s, Hint: s},
				{Rule: s, Severity: api.Warn, Path: s, Message: s, Hint: s},
				{Rule: "x", Severity: api.Deny, Message: s, Exemption: &api.Exemption{Owner: s, Reason: s, Expires: s}},
			},
		}},
		Errors: []api.Error{{Code: "invalid", Input: s, Message: s, Hint: s}},
	}
}

// nasty are strings that would harm a format that trusts them.
func nasty() []string {
	return []string{
		"\x1b[2J\x1b]0;title\x07", "a\nb\r\nc\td", "\u202egnp.exe", "\u009b31m", "\x7f\x00", "\xff\xfe", "\U000e0041",
		"</testsuite><x a='\"'>&amp;]]>", "<script>alert(1)</script>", "a|b`c`*d*_e_[f](http://g)![h](i) @all #1 $x$ \\|",
		"[link](0) {0} {", "https://example.org www.example.org", "--- key: [value]", "!!binary x", "",
	}
}

func TestHostile(t *testing.T) {
	schema := sarifSchema(t)
	for _, s := range nasty() {
		checkHarmless(t, schema, s)
	}
}

func FuzzHarmless(f *testing.F) {
	schema := sarifSchema(f)
	for _, s := range nasty() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkHarmless(t, schema, s) })
}

// checkHarmless renders s in every format: nothing may reach a terminal
// unescaped, and each format must still be read back as what it is.
func checkHarmless(t *testing.T, schema *jsonschema.Schema, s string) {
	t.Helper()
	list := hostile(s)
	out := map[render.Format]string{}
	for _, f := range []render.Format{render.Table, render.JSON, render.YAML, render.SARIF, render.JUnit, render.Markdown} {
		out[f] = verdictText(t, list, f, render.Layout{Verbose: true})
		for _, r := range out[f] {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%s of %q has %q:\n%s", f, s, r, out[f])
			}
		}
	}
	var fromJSON, fromYAML api.VerdictList
	if err := json.Unmarshal([]byte(out[render.JSON]), &fromJSON); err != nil {
		t.Fatalf("JSON of %q: %v", s, err)
	}
	if utf8.ValidString(s) && fromJSON.Items[0].Ref != s {
		t.Fatalf("JSON of %q came back as %q", s, fromJSON.Items[0].Ref)
	}
	var tree any
	if err := yaml.Unmarshal([]byte(out[render.YAML]), &tree); err != nil {
		t.Fatalf("YAML of %q: %v\n%s", s, err, out[render.YAML])
	}
	again, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Fatalf("YAML of %q differs from JSON:\n%s", s, diff)
	}
	checkSARIF(t, schema, out[render.SARIF])
	checkJUnit(t, out[render.JUnit])
	checkMarkdown(t, out[render.Markdown])
}

func checkJUnit(t *testing.T, text string) {
	t.Helper()
	var doc struct {
		Suites []struct {
			Failures int `xml:"failures,attr"`
			Cases    []struct {
				Failure []struct{} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("JUnit: %v\n%s", err, text)
	}
	if len(doc.Suites) != 2 || len(doc.Suites[0].Cases) != 3 || doc.Suites[0].Failures != 1 {
		t.Fatalf("JUnit: markup left its field:\n%s", text)
	}
}

// checkMarkdown looks for the lines that the list must give, each with its
// cells and with no markup but Gopherwood's own.
func checkMarkdown(t *testing.T, text string) {
	t.Helper()
	own := strings.NewReplacer("<code>", "", "</code>", "")
	rows := 0
	for line := range strings.Lines(own.Replace(text)) {
		if strings.ContainsAny(line, "<>`*_[]()\\@~") && !strings.Contains(line, "exempted deny (") {
			if strings.ContainsAny(strings.ReplaceAll(line, "@&#8203;", ""), "<>`*_[]\\@~") {
				t.Fatalf("Markdown: markup in %q", line)
			}
		}
		if strings.HasPrefix(line, "| ") {
			rows++
			if n := strings.Count(line, "|"); n != 5 && n != 4 {
				t.Fatalf("Markdown: %d bars in %q", n, line)
			}
		}
	}
	if rows != 2+3+2+1 {
		t.Fatalf("Markdown: %d table rows:\n%s", rows, text)
	}
}
