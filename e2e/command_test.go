//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

// buildCommand builds gopherwood and returns its path.
func buildCommand(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gopherwood")
	command(t, []string{"GOFLAGS=", "CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", file, "../cmd/gopherwood")
	return file
}

// inspect runs `gopherwood inspect`.
func inspect(t *testing.T, args ...string) api.FactsList {
	t.Helper()
	var list api.FactsList
	text := command(t, private(t), buildCommand(t), append([]string{"inspect", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// private gives a run of the command a cache of its own.
func private(t *testing.T) []string {
	t.Helper()
	return []string{"XDG_CACHE_HOME=" + t.TempDir()}
}

// exitDenied is how the command ends when a verdict is deny.
const exitDenied = 3

// verdict runs `gopherwood check` on one reference and returns its verdict. The
// exit code must fit it.
func verdict(t *testing.T, binary string, env []string, args ...string) api.Verdict {
	t.Helper()
	text, err := output(t.Context(), env, binary, append([]string{"check", "-o", "json"}, args...)...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var list api.VerdictList
	if jsonErr := json.Unmarshal([]byte(text), &list); jsonErr != nil || len(list.Items) != 1 {
		t.Fatalf("%v: no list of one verdict: %v\n%s\n%v", args, jsonErr, text, err)
	}
	v := list.Items[0]
	if denied := v.Verdict == api.Deny; denied != (code == exitDenied) || code != 0 && code != exitDenied {
		t.Errorf("%v: verdict %s with exit code %d", args, v.Verdict, code)
	}
	return v
}

// startDenials are the findings of start-up rules, which the default policy does
// not soften.
func startDenials(v api.Verdict) []api.Finding {
	return slices.DeleteFunc(slices.Clone(v.Findings), func(f api.Finding) bool {
		return f.Severity != api.Deny || filepath.Dir(f.Rule) != "start"
	})
}

// TestCommandChecks runs the command itself on some images of the cross product
// and, with --rootfs, on lone programs and root directories.
func TestCommandChecks(t *testing.T) {
	s := setStage(t, openArchive(t),
		pick(roots, rootName, "scratch", "bullseye", "trixie", "musl", "without-libz"),
		pick(programs(), programName, "static", "cgo-2.36", "libz", "musl", "arm64", "script"))
	lone := []string{"static", "cgo-2.36", "libz", "musl"} // judged without an image, arm64 would start on an arm64 machine
	real := s.allReal(t, nil)
	binary, env := buildCommand(t), private(t)
	for _, p := range s.pairs() {
		s.compare(t, p, real[p], startDenials(verdict(t, binary, env, s.image(p))))
		if slices.Contains(lone, s.programs[p.program].name) {
			file := filepath.Join(s.tops[p.program], "app")
			s.compare(t, p, real[p], startDenials(verdict(t, binary, env, "--rootfs", s.bases[p.root], file)))
		}
	}
}
