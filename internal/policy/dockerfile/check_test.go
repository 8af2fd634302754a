package dockerfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// setting is of a day on which Go 1.26 and 1.27 are supported.
func setting() Setting {
	return Setting{Today: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Matrix: matrix.Embedded(false)}
}

// textCase is a file of an archive with the file NAME.want that belongs to it.
type textCase struct{ name, text, want string }

func load(t testing.TB, pattern string) []textCase {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test data %s: %v", pattern, err)
	}
	var cases []textCase
	for _, p := range paths {
		archive, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.Files)%2 != 0 {
			t.Fatalf("%s: %d files are not pairs", p, len(archive.Files))
		}
		for i := 0; i < len(archive.Files); i += 2 {
			in, want := archive.Files[i], archive.Files[i+1]
			if want.Name != in.Name+".want" {
				t.Fatalf("%s: %s follows %s", p, want.Name, in.Name)
			}
			cases = append(cases, textCase{in.Name, string(in.Data), string(want.Data)})
		}
	}
	return cases
}

// short returns findings as the test data has them: line and rule.
func short(findings []api.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%d %s\n", f.Line, strings.TrimPrefix(f.Rule, "dockerfile/"))
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	said := map[string]bool{}
	clean := 0
	for _, file := range []string{"linking", "runtime", "practice", "clean"} {
		for _, tc := range load(t, file+".txtar") {
			t.Run(file+"/"+tc.name, func(t *testing.T) {
				findings, err := Check(tc.name, []byte(tc.text), setting())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, short(findings)); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
					for _, f := range findings {
						t.Logf("%d %s: %s", f.Line, f.Rule, f.Message)
					}
				}
				if len(findings) == 0 {
					clean++
				}
				for _, f := range findings {
					said[f.Rule] = true
					if strings.Contains(f.Message, unknown) || f.Hint == "" || f.Message == "" {
						t.Errorf("bad finding %+v", f)
					}
				}
			})
		}
	}
	for _, r := range Rules {
		if !said[r.ID] {
			t.Errorf("no case has a finding of %s", r.ID)
		}
	}
	if clean < 10 {
		t.Errorf("only %d cases without a finding", clean)
	}
}

// No message or hint repeats a credential.
func TestSecretsAreNotShown(t *testing.T) {
	for _, tc := range load(t, "practice.txtar") {
		findings, err := Check(tc.name, []byte(tc.text), setting())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			for _, secret := range []string{"hunter2", "abcdef", "ghp_"} {
				if strings.Contains(f.Message+f.Hint, secret) {
					t.Errorf("%s: %s shows %s", tc.name, f.Message, secret)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range load(t, "errors.txtar") {
		_, err := Check(tc.name, []byte(tc.text), setting())
		if fault.CodeOf(err) != fault.Invalid || fault.HintOf(err) == "" || !strings.Contains(fmt.Sprint(err), strings.TrimSpace(tc.want)) {
			t.Errorf("%s: error %v (%s)\nwant %s", tc.name, err, fault.CodeOf(err), tc.want)
		}
	}
	for name, tc := range map[string]struct {
		text string
		code fault.Code
	}{
		"too large":       {strings.Repeat("# comment\n", MaxSize/10+1), fault.Limit},
		"too many stages": {strings.Repeat("FROM scratch\n", maxStages+1), fault.Limit},
		"binary":          {"FROM a\nRUN \x00\n", fault.Invalid},
		"long line":       {"FROM a\nRUN " + strings.Repeat("x", 1<<17), fault.Invalid},
	} {
		if _, err := Check("Dockerfile", []byte(tc.text), setting()); fault.CodeOf(err) != tc.code {
			t.Errorf("%s: error %v, want code %s", name, err, tc.code)
		}
	}
	if _, err := Check("Dockerfile", []byte("FROM a"), Setting{}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("without a setting: %v", err)
	}
}

// Text that is made to cost much costs little.
func TestHostile(t *testing.T) {
	doubling := "FROM alpine\nENV A=xxxxxxxx\n" + strings.Repeat("ENV A=$A$A\n", 200) + "RUN go build -o $A\n"
	for name, text := range map[string]string{
		"doubling":     doubling,
		"deep shell":   "FROM alpine\nRUN " + strings.Repeat("(", 60_000),
		"deep quotes":  "FROM alpine\nRUN " + strings.Repeat("$(", 30_000),
		"deep if":      "FROM alpine\nRUN " + strings.Repeat("if a; then ", 5_000),
		"many words":   "FROM alpine\n" + strings.Repeat("RUN cp $A $B ${C:-${D}}\n", 20_000),
		"many stages":  "FROM alpine AS a\nENV " + strings.Repeat("A=b ", 10_000) + "\n" + strings.Repeat("FROM a AS a\nRUN go build -o b\nCOPY --from=a / /\n", 250),
		"many copies":  "FROM golang:1.26 AS a\n" + strings.Repeat("RUN go build -o /a/b\n", 5_000) + "FROM scratch\n" + strings.Repeat("COPY --from=a / /\n", 5_000) + "CMD [\"/a/b\"]",
		"no base name": "FROM $A\nFROM ${A:-$B}\nCOPY --from= a b\nENTRYPOINT []\nCMD\nUSER $X",
	} {
		begin := time.Now()
		if _, err := Check("Dockerfile", []byte(text), setting()); err != nil {
			t.Logf("%s: %.100v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestIsDockerfile(t *testing.T) {
	for name, want := range map[string]bool{
		"Dockerfile": true, "Containerfile": true, "deploy/Dockerfile": true, "Dockerfile.dev": true, `deploy\Dockerfile`: true,
		"app.Dockerfile": true, "app.dockerfile": true, "x/app.containerfile": true, "Containerfile.arm": true,
		"dockerfile": false, "Dockerfile-dev": false, "MyDockerfile": false, "registry/dockerfile:v1": false, "": false, "oci:dir": false,
	} {
		if IsDockerfile(name) != want {
			t.Errorf("IsDockerfile(%q) is %v", name, !want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, tc := range load(f, "*.txtar") {
		f.Add([]byte(tc.text))
	}
	set := setting()
	f.Fuzz(func(t *testing.T, data []byte) {
		findings, err := Check("Dockerfile", data, set)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit {
				t.Fatalf("error %v has the code %s", err, code)
			}
			return
		}
		for _, f := range findings {
			if f.Line < 1 || f.Line > 1+strings.Count(string(data), "\n") || strings.Contains(f.Message, unknown) {
				t.Fatalf("bad finding %+v", f)
			}
		}
	})
}

// The documentation has every rule, with its severity and what it is about.
func TestDocumentedRules(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "formats", "dockerfile.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range Rules {
		when, _, _ := strings.Cut(strings.TrimSuffix(r.Description, "."), ". ")
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", r.ID, r.Severity, when))
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "| `dockerfile/") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/formats/dockerfile.md (-want +got):\n%s", diff)
	}
}
