package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// program is a lone executable that the default policy has nothing against.
func program() *facts.Subject {
	platform := api.Platform{OS: "linux", Arch: "amd64"}
	return &facts.Subject{
		Ref: "bin/app", Platform: platform,
		Files: []api.Facts{{
			Ref: "bin/app", Digest: "sha256:01", Format: "elf", Platform: platform,
			Go:           &api.Go{Version: "go1.26.8", Main: "example.com/app", Trimpath: true, Settings: map[string]string{"GOAMD64": "v3"}},
			Link:         api.Link{Mode: api.LinkStatic},
			Hardening:    api.Hardening{NX: true},
			Capabilities: []string{"net", "tls"},
		}},
	}
}

// image is a container image with n programs, of which the first is started.
func image(n int) *facts.Subject {
	s := &facts.Subject{
		Ref: "registry.example/team/app:v1", Platform: api.Platform{OS: "linux", Arch: "amd64"},
		Image: &api.Image{Digest: "sha256:f0", User: "65532"},
	}
	for i := range n {
		f := program().Files[0]
		f.Path, f.Entrypoint, f.Digest = fmt.Sprintf("/app%d", i), i == 0, fmt.Sprintf("sha256:%02d", i)
		s.Files = append(s.Files, f)
	}
	return s
}

func judge(t testing.TB, p *policy.Policy, s *facts.Subject, start ...api.Finding) api.Verdict {
	t.Helper()
	v, err := p.Judge(t.Context(), s, start, setting("2026-11-22"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJudgePass(t *testing.T) {
	want := api.Verdict{Ref: "bin/app", Digest: "sha256:01", Platform: api.Platform{OS: "linux", Arch: "amd64"},
		Verdict: api.Pass, Findings: []api.Finding{}}
	if diff := cmp.Diff(want, judge(t, policy.Default(), program())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJudgeFindings(t *testing.T) {
	s := image(2)
	s.Image.User = ""
	s.Files[1].Go = &api.Go{Version: "go1.24.3", Deps: []api.Module{
		{Path: "example.com/a", Replace: &api.Module{Path: "../a"}}, {Path: "example.com/b", Replace: &api.Module{Path: "/src/b"}},
	}}
	start := []api.Finding{{Rule: "start/library-missing", Severity: api.Deny, Path: "/app0", Message: "libz.so.1 is missing"}}
	want := api.Verdict{Ref: s.Ref, Digest: "sha256:f0", Platform: s.Platform, Verdict: api.Deny, Findings: []api.Finding{
		{Rule: "go/supported", Severity: api.Deny, Path: "/app1", Message: "built with go1.24.3, whose support ended on 2026-02-10",
			Hint: "rebuild with Go 1.26 or newer; with --vendor, a vendor's longer support counts too"},
		start[0],
		{Rule: "build/local-replace", Severity: api.Warn, Path: "/app1", Message: "modules replaced by local directories: example.com/a, example.com/b",
			Hint: "publish the module and require its version, or use a workspace (go.work) while developing"},
		{Rule: "build/trimpath", Severity: api.Warn, Path: "/app1", Message: "built without -trimpath", Hint: "build with go build -trimpath"},
		{Rule: "image/root-user", Severity: api.Warn, Message: "runs as root (user not set)", Hint: "set a numeric user, for example USER 65532:65532"},
	}}
	if diff := cmp.Diff(want, judge(t, policy.Default(), s, start...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Files[0].Image != nil || start[0].Severity != api.Deny {
		t.Error("Judge changed its input")
	}
}

func TestJudgeNeedsItsSetting(t *testing.T) {
	full := setting("2026-11-22")
	for _, set := range []policy.Setting{{}, {Today: full.Today}, {Matrix: full.Matrix}} {
		if _, err := policy.Default().Judge(t.Context(), program(), nil, set); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%+v: %v", set, err)
		}
	}
}

// A field that is absent reads as its empty value, of which has() is false.
func TestAbsentFacts(t *testing.T) {
	p := load(t, `
rules:
- {id: a/go, severity: info, message: "main {file.go.main}", require: has(file.go) || file.go.version != '' || has(file.go.module)}
- {id: a/image, severity: info, message: "user {file.image.user}", require: has(file.image)}
- {id: a/null, severity: info, message: no table, require: has(file.capabilities)}
- {id: a/files, severity: info, scope: image, message: "{files.map(f, f.path)}", require: "files.exists(f, f.entrypoint && !has(f.go))"}
`)
	s := image(2)
	s.Files[0].Go, s.Files[0].Capabilities = nil, nil
	got := judge(t, p, s).Findings
	want := []api.Finding{
		{Rule: "a/go", Severity: api.Info, Path: "/app0", Message: "main"},
		{Rule: "a/null", Severity: api.Info, Path: "/app0", Message: "no table"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFunctions(t *testing.T) {
	for expression, want := range map[string]bool{
		"goCompare(file.go.version, '1.26') > 0":                            true,
		"goCompare('go1.21rc1', 'go1.21.0') == -1":                          true,
		"hasFeature(file.go.version, 'generics')":                           true,
		"hasFeature('go1.17', 'generics')":                                  false,
		"goSupport('go1.24').supported":                                     false,
		"goSupport('go1.24').minor == '1.24'":                               true,
		"goSupport('go1.24').until < today":                                 true,
		"has(goSupport('go1.27').until)":                                    false,
		"goSupport('go1.27').ageDays > 90":                                  true,
		"today == timestamp('2026-11-22T00:00:00Z')":                        true,
		"glob('example.com/*', file.go.main)":                               true,
		"glob('example.*', 'example.com/app')":                              false,
		"glob('**/app', 'a/b/app')":                                         true,
		"glob('a?c', 'a.c') && !glob('a.c', 'abc')":                         true,
		"file.go.settings[?'GOAMD64'].orValue('v1') == 'v3'":                true,
		"file.go.settings[?'GOARM'].orValue('7') == '7'":                    true,
		"'GOAMD64' in file.go.settings && 'tls' in file.capabilities":       true,
		"['a', 'b'].join('+') == 'a+b' && 'A'.lowerAscii().startsWith('a')": true,
	} {
		p := load(t, "rules:\n- id: a/b\n  severity: warn\n  message: m\n  require: >-\n    "+expression+"\n")
		v := judge(t, p, program())
		if got := v.Verdict == api.Pass; got != want || v.Verdict == api.Deny {
			t.Errorf("%s: %+v", expression, v.Findings)
		}
	}
}

func TestTemplates(t *testing.T) {
	for template, want := range map[string]string{
		"plain":              "plain",
		"{{literal}}":        "{literal}",
		"{file.go.version}!": "go1.26.8!",
		"{file.size} {file.hardening.nx} {1.5} {2u}":        "0 true 1.5 2",
		"{file.capabilities}":                               "net, tls",
		"{today}, {today + duration('90m')}":                "2026-11-22, 2026-11-22T01:30:00Z",
		"{duration('90s')}":                                 "1m30s",
		`{"a}b" + '}'}`:                                     "a}b}",
		`{'\'}'}`:                                           "'}",
		"{ {'k': 'v'}['k'] }":                               "v",
		"{file.go.settings['GOARM']} stays":                 "{file.go.settings['GOARM']} stays",
		"日本 {file.format}":                                  "日本 elf",
		"{['" + strings.Repeat("ä", 4000) + "'].join(',')}": strings.Repeat("ä", 1024) + "…",
	} {
		p := load(t, "rules:\n- id: a/b\n  severity: warn\n  require: 'false'\n  message: |\n    "+template+"\n")
		if got := judge(t, p, program()).Findings[0].Message; got != want {
			t.Errorf("%s gave %q, want %q", template, got, want)
		}
	}
}

func TestRuleFailsClosed(t *testing.T) {
	big := "[1,2,3,4,5,6,7,8,9,10]"
	bomb := "true"
	grow := "'" + strings.Repeat("y", 1000) + "'"
	for i := range 9 {
		bomb = fmt.Sprintf("%s.all(x%d, %s)", big, i, bomb)
		grow = fmt.Sprintf("%s.map(x%d, %s)", big, i, grow)
	}
	for name, test := range map[string]struct{ require, want string }{
		"missing key":     {"file.go.settings['GOARM'] == '7'", "no such key: GOARM"},
		"not a version":   {"goCompare(file.go.main, '1.21') > 0", "is no Go version"},
		"unknown feature": {"hasFeature(file.go.version, 'genericks')", "no feature"},
		"index":           {"file.go.deps[3].path == ''", "index out of bounds"},
		"bomb":            {bomb, "cost limit"},
		"memory":          {"size(" + grow + ") == 0", "cost limit"},
		"huge pattern":    {"glob([0,1,2,3,4,5,6,7,8,9].map(i, '" + strings.Repeat("*a", 200) + "').join(''), 'a')", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, "severities: [{rule: a/*, severity: info}]\nrules:\n- id: a/b\n  severity: info\n  message: m\n  require: |-\n    "+test.require+"\n")
			begin := time.Now()
			v := judge(t, p, program())
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if v.Verdict != api.Deny || len(v.Findings) != 1 || v.Findings[0].Rule != policy.RuleFailed ||
				!strings.Contains(v.Findings[0].Message, test.want) || !strings.Contains(v.Findings[0].Message, "rule a/b") {
				t.Errorf("got %+v, want %s", v, test.want)
			}
		})
	}
}

func TestSeverities(t *testing.T) {
	p := load(t, `
extends: default
severities:
- {rule: start/*, severity: warn}
- {rule: start/wrapper, severity: "off"}
- {rule: build/trimpath, severity: deny}
`)
	s := program()
	s.Files[0].Go.Trimpath = false
	v := judge(t, p, s,
		api.Finding{Rule: "start/library-missing", Severity: api.Deny},
		api.Finding{Rule: "start/wrapper", Severity: api.Info})
	var got []string
	for _, f := range v.Findings {
		got = append(got, f.Rule+" "+f.Severity)
	}
	if diff := cmp.Diff([]string{"build/trimpath deny", "start/library-missing warn"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExtendsReplacesRules(t *testing.T) {
	p := load(t, `
extends: default
rules:
- {id: build/trimpath, severity: deny, message: ours, require: file.go.trimpath}
- {id: ours/main, severity: warn, message: "{file.go.main}", require: "glob('corp.example/**', file.go.main)"}
`)
	s := program()
	s.Files[0].Go.Trimpath = false
	v := judge(t, p, s)
	if len(v.Findings) != 2 || v.Findings[0].Message != "ours" || v.Findings[1].Rule != "ours/main" || v.Verdict != api.Deny {
		t.Errorf("got %+v", v)
	}
	if results := p.Test(t.Context(), setting("2026-11-22")); len(results) != 0 {
		t.Errorf("the default policy's cases were inherited: %d", len(results))
	}
}

func TestExemptions(t *testing.T) {
	const who = "owner: team-a, reason: next release, expires: "
	for _, test := range []struct {
		name, exemptions string
		want             []string // rule, severity and what became of it
		verdict          string
	}{
		{"by reference", "- {rule: build/*, ref: registry.example/*/app*, " + who + "2026-11-22}", []string{"build/trimpath warn excused"}, api.Pass},
		{"other reference", "- {rule: build/*, ref: registry.example/*, " + who + "2026-12-31}", []string{"build/trimpath warn"}, api.Warn},
		{"by image digest", "- {rule: '**', digest: 'sha256:f0', " + who + "2026-12-31}", []string{"build/trimpath warn excused"}, api.Pass},
		{"by file digest", "- {rule: '**', digest: 'sha256:00', " + who + "2026-12-31}", []string{"build/trimpath warn excused"}, api.Pass},
		{"other digest", "- {rule: '**', digest: 'sha256:99', " + who + "2026-12-31}", []string{"build/trimpath warn"}, api.Warn},
		{"by expression", `- {rule: '**', when: "finding.severity == 'warn' && file.go.main == 'example.com/app' && image.user == '65532'", ` + who + "2026-12-31}", []string{"build/trimpath warn excused"}, api.Pass},
		{"all must match", `- {rule: '**', ref: '**', when: "file.path == '/other'", ` + who + "2026-12-31}", []string{"build/trimpath warn"}, api.Warn},
		{"expired yesterday", "- {rule: '**', ref: '**', " + who + "2026-11-21}", []string{"build/trimpath warn", "policy/exemption-expired warn"}, api.Warn},
		{"expired and renewed", "- {rule: '**', ref: '**', " + who + "2026-11-21}\n- {rule: '**', ref: '**', " + who + "2026-12-21}", []string{"build/trimpath warn excused"}, api.Pass},
		{"expired, about nothing", "- {rule: go/*, ref: '**', " + who + "2026-11-21}\n- {rule: build/*, ref: '**', " + who + "2026-12-21}", []string{"build/trimpath warn excused"}, api.Pass},
		{"broken", `- {rule: '**', when: "file.go.settings['x'] == 'y'", ` + who + "2026-12-31}", []string{"policy/rule-failed deny", "build/trimpath warn"}, api.Deny},
		{"the policy's own stay", "- {rule: '**', ref: '**', " + who + "2026-12-31}\n" + `- {rule: '**', when: "file.go.settings['x'] == 'y'", ` + who + "2026-12-31}", []string{"policy/rule-failed deny", "build/trimpath warn excused"}, api.Deny},
	} {
		s := image(1)
		s.Files[0].Go.Trimpath = false
		v := judge(t, load(t, "extends: default\nexemptions:\n"+test.exemptions+"\n"), s)
		var got []string
		for _, f := range v.Findings {
			line := f.Rule + " " + f.Severity
			if f.Exemption != nil {
				line += " excused"
				if f.Exemption.Owner != "team-a" || f.Exemption.Reason != "next release" || f.Exemption.Expires == "" {
					t.Errorf("%s: exemption %+v", test.name, f.Exemption)
				}
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Verdict != test.verdict {
			t.Errorf("%s: verdict %s, want %s (-want +got):\n%s", test.name, v.Verdict, test.verdict, diff)
		}
	}
}

func TestCasesThatFail(t *testing.T) {
	p := load(t, `
extends: default
exemptions:
- {rule: build/trimpath, ref: registry.example/old, owner: a, reason: b, expires: 2026-12-31}
cases:
- name: right
  today: 2026-11-22
  ref: registry.example/old
  files: [{format: elf, go: {version: go1.26.1}, link: {mode: static}}]
  expect: {verdict: pass, rules: [], exempted: [build/trimpath]}
- name: wrong
  today: 2026-11-22
  files: [{format: elf, go: {version: go1.26.1}, link: {mode: static}}]
  expect: {verdict: pass, rules: [go/supported], exempted: [build/trimpath]}
`)
	got := p.Test(t.Context(), setting("2000-01-01"))
	for i := range got {
		got[i].Verdict = api.Verdict{}
	}
	want := []policy.CaseResult{
		{Name: "right", Passed: true},
		{Name: "wrong", Problems: []string{
			"the verdict is warn, want pass", "found [build/trimpath], want [go/supported]", "exempted [], want [build/trimpath]"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExplain(t *testing.T) {
	p := load(t, "extends: default\nseverities: [{rule: start/*, severity: warn}]\n")
	for _, test := range []struct{ id, severity, from string }{
		{"build/trimpath", api.Warn, "default"},
		{"start/library-missing", api.Warn, ""},
		{policy.RuleFailed, api.Deny, ""},
	} {
		e, err := p.Explain(test.id)
		if err != nil || e.Severity != test.severity || e.Policy != test.from || e.Description == "" || e.Hint == "" {
			t.Errorf("%s: %+v, %v", test.id, e, err)
		}
	}
	if _, err := p.Explain("build/nothing"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an unknown rule: %v", err)
	}
	for _, e := range policy.Default().Rules() {
		if e.Description == "" || e.Hint == "" {
			t.Errorf("%s has no description or hint", e.ID)
		}
	}
}

// The verdict is the gravest severity that is not excused, and the order is by
// gravity, whatever the findings are.
func TestVerdictIsTheGravest(t *testing.T) {
	p := load(t, `
severities: [{rule: start/wrapper, severity: "off"}]
exemptions: [{rule: start/setuid, ref: '**', owner: a, reason: b, expires: 2026-12-31}]
`)
	gravity := map[string]int{api.Pass: 0, api.Info: 1, api.Warn: 2, api.Deny: 3}
	rapid.Check(t, func(rt *rapid.T) {
		start := rapid.SliceOf(rapid.Custom(func(rt *rapid.T) api.Finding {
			return api.Finding{
				Rule:     rapid.SampledFrom([]string{"start/setuid", "start/arch", "start/wrapper", "start/no-zoneinfo"}).Draw(rt, "rule"),
				Severity: rapid.SampledFrom([]string{api.Info, api.Warn, api.Deny}).Draw(rt, "severity"),
				Path:     rapid.SampledFrom([]string{"", "/a", "/b"}).Draw(rt, "path"),
			}
		})).Draw(rt, "start")
		want, kept := api.Pass, 0
		for _, f := range start {
			if f.Rule == "start/wrapper" {
				continue
			}
			kept++
			if f.Rule != "start/setuid" && f.Severity != api.Info && gravity[f.Severity] > gravity[want] {
				want = f.Severity
			}
		}
		v := judge(t, p, program(), start...)
		if v.Verdict != want || len(v.Findings) != kept {
			rt.Fatalf("verdict %s with %d findings, want %s with %d", v.Verdict, len(v.Findings), want, kept)
		}
		for i := 1; i < len(v.Findings); i++ {
			if gravity[v.Findings[i-1].Severity] < gravity[v.Findings[i].Severity] {
				rt.Fatalf("out of order: %+v", v.Findings)
			}
		}
	})
}

func TestConcurrentJudge(t *testing.T) {
	p := policy.Default()
	want := judge(t, p, image(3))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if diff := cmp.Diff(want, judge(t, p, image(3))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	wg.Wait()
}

// Every example in the formats' descriptions is one that loads, and its cases
// pass.
func TestDocumentedExamples(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "formats", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	blocks := strings.Split(string(data), "```yaml\n")[1:]
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		p, err := policy.Load(fmt.Sprintf("policy.md example %d", i+1), []byte(text))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range p.Test(t.Context(), setting("2026-11-22")) {
			cases++
			for _, problem := range r.Problems {
				t.Errorf("example %d, case %s: %s", i+1, r.Name, problem)
			}
		}
	}
	if len(blocks) < 3 || cases == 0 {
		t.Errorf("only %d examples with %d cases", len(blocks), cases)
	}
}

func BenchmarkJudge(b *testing.B) {
	p, set, s := policy.Default(), setting("2026-11-22"), image(10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Judge(b.Context(), s, nil, set); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		policy.Default()
	}
}

// A subject without files, such as a Dockerfile, is judged by the findings alone.
func TestJudgeDockerfile(t *testing.T) {
	p := load(t, "severities:\n- {rule: dockerfile/root, severity: deny}\nexemptions:\n- {rule: dockerfile/secret, ref: 'deploy/*', owner: team-a, reason: known, expires: 2026-12-31}\n")
	findings := []api.Finding{
		{Rule: "dockerfile/root", Severity: api.Warn, Line: 9, Message: "no USER"},
		{Rule: "dockerfile/secret", Severity: api.Deny, Line: 7, Message: "b"},
		{Rule: "dockerfile/secret", Severity: api.Deny, Line: 3, Message: "c"},
	}
	v := judge(t, p, &facts.Subject{Ref: "deploy/Dockerfile"}, findings...)
	var got []string
	for _, f := range v.Findings {
		got = append(got, fmt.Sprintf("%d %s %s %v", f.Line, f.Rule, f.Severity, f.Exemption != nil))
	}
	want := []string{"9 dockerfile/root deny false", "3 dockerfile/secret deny true", "7 dockerfile/secret deny true"}
	if diff := cmp.Diff(want, got); diff != "" || v.Verdict != api.Deny || v.Ref != "deploy/Dockerfile" {
		t.Errorf("verdict %+v (-want +got):\n%s", v, diff)
	}
	for _, id := range []string{"dockerfile/root", "dockerfile/libc-mismatch"} {
		if e, err := p.Explain(id); err != nil || e.Description == "" || e.Hint == "" {
			t.Errorf("explanation %+v, %v", e, err)
		}
	}
}
