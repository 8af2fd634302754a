package cli

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image"
)

func TestBoard(t *testing.T) {
	var w bytes.Buffer
	b := startBoard(&w, false)
	amd64, arm64 := api.Platform{OS: "linux", Arch: "amd64"}, api.Platform{OS: "linux", Arch: "arm64"}
	b.Step("a", amd64, image.StepCompile, "")
	b.Step("b", amd64, image.StepCompile, "")
	b.Step("a", arm64, image.StepCompile, "")
	b.Step("a", amd64, image.StepPack, "x")
	want := []string{"a linux/amd64: pack x", "b linux/amd64: compile", "a linux/arm64: compile"}
	if diff := cmp.Diff(want, b.table()); diff != "" {
		t.Error(diff)
	}
	b.Step("a", api.Platform{}, image.StepPush, "r")
	b.Step("b", api.Platform{}, image.StepDone, "")
	b.Done(1 << 10)
	if diff := cmp.Diff([]string{"a: push r", "sending 1.0 KiB"}, b.lines()); diff != "" {
		t.Error(diff)
	}
	for i := range maxBoard + 2 {
		b.Step(fmt.Sprint(i), amd64, image.StepCompile, "")
	}
	if lines := b.table(); len(lines) != maxBoard+1 || lines[maxBoard] != "and 3 more" {
		t.Errorf("got %q", lines)
	}
	b.stop()
	if w.Len() > 0 {
		t.Errorf("wrote %q where there is no terminal", w.String())
	}
}

func TestVerboseBoard(t *testing.T) {
	var w bytes.Buffer
	b := startBoard(&w, true)
	b.Step("a\x1b", api.Platform{}, image.StepPush, "r")
	b.stop()
	if got, want := w.String(), `a\x1b: push r`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSplitArguments(t *testing.T) {
	got, err := splitArguments([]string{`-s  -X "main.a=b c"`, `'x"y' z`, ""})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"-s", "-X", "main.a=b c", `x"y`, "z"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := splitArguments([]string{`'a`}); err == nil {
		t.Error("no error for an open quotation mark")
	}
}
