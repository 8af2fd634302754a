package live_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/live"
)

// pretended is what this program is in place of gopherwood.
const pretended = "PRETENDED_GATE"

func TestMain(m *testing.M) {
	switch os.Getenv(pretended) {
	case "fail":
		_ = json.NewEncoder(os.Stdout).Encode(api.BenchGate{Kind: api.KindBenchGate, Verdict: api.BenchFail, Measuring: 0.01, Errors: []api.Error{{Message: strings.Join(os.Args[1:], " ")}}})
		os.Exit(3)
	case "broken":
		_, _ = os.Stderr.WriteString("no such revision\n")
		os.Exit(1)
	case "other":
		_, _ = os.Stdout.WriteString(`{"kind":"Facts"}`)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sources are small ones.
var sources = fstest.MapFS{
	"subjects.go":      {Data: []byte("package subjects\n\nvar (\n\tpercent = \"00\"\n\tlabel = \"base\"\n)\n\nfunc Text() string { return percent + label }\n")},
	"subjects_test.go": {Data: []byte("package subjects\n\nimport (\n\t\"testing\"\n\n\t_ \"golang.org/x/mod/semver\"\n)\n\nfunc BenchmarkText(b *testing.B) {\n\tfor b.Loop() {\n\t\tText()\n\t}\n}\n")},
}

func repository(t *testing.T) *live.Repository {
	t.Helper()
	r, err := live.NewRepository(t.Context(), filepath.Join(t.TempDir(), "repository"), sources)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRepository has branches that differ in one text of the same length, and compiles.
func TestRepository(t *testing.T) {
	r := repository(t)
	sizes := map[string]int{}
	for _, branch := range []string{live.Base, live.Same, live.Slow} {
		if err := r.Checkout(t.Context(), branch); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(r.Dir, "subjects.go"))
		if err != nil {
			t.Fatal(err)
		}
		sizes[branch] = len(text)
		if slow := strings.Contains(string(text), `"10"`); slow != (branch == live.Slow) {
			t.Errorf("%s: %s", branch, text)
		}
		if head := strings.Contains(string(text), `"head"`); head != (branch == live.Same) {
			t.Errorf("%s: %s", branch, text)
		}
	}
	if sizes[live.Base] != sizes[live.Same] || sizes[live.Base] != sizes[live.Slow] {
		t.Errorf("%v bytes", sizes)
	}
	cmd := exec.CommandContext(t.Context(), "git", "diff", "--stat", live.Base, live.Slow)
	cmd.Dir = r.Dir
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "1 file changed, 1 insertion(+), 1 deletion(-)") {
		t.Errorf("%s: %v", out, err)
	}
	cmd = exec.CommandContext(t.Context(), "go", "vet", ".")
	cmd.Dir, cmd.Env = r.Dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// TestRepositoryRefused is of sources that were changed without the study.
func TestRepositoryRefused(t *testing.T) {
	changed := fstest.MapFS{"subjects.go": {Data: []byte("package subjects\n")}}
	if _, err := live.NewRepository(t.Context(), filepath.Join(t.TempDir(), "r"), changed); err == nil || !strings.Contains(err.Error(), "does not stand there once") {
		t.Error(err)
	}
}

func TestGate(t *testing.T) {
	r := repository(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(pretended, "fail")
	g, err := r.Gate(t.Context(), self, live.Slow, "--bench", "X")
	if err != nil {
		t.Fatal(err)
	}
	if g.Code != 3 || g.Document.Verdict != api.BenchFail || g.Overhead() != g.Wall-10*time.Millisecond {
		t.Errorf("%+v", g)
	}
	if want := "bench gate --base base -o json --bench X"; !slices.ContainsFunc(g.Document.Errors, func(e api.Error) bool { return e.Message == want }) {
		t.Errorf("the command was %v", g.Document.Errors)
	}
	for how, want := range map[string]string{"broken": "no such revision", "other": `it printed "Facts"`} {
		t.Setenv(pretended, how)
		if _, err := r.Gate(t.Context(), self, live.Same); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if _, err := r.Gate(t.Context(), self, "none"); !errors.As(err, new(*exec.ExitError)) {
		t.Errorf("no such branch: %v", err)
	}
}
