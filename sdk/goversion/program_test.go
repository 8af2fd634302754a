package goversion_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// guarded is a program that refuses to run when its Go is older than its
// argument, and otherwise prints what it was built with.
const guarded = `package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

func main() {
	if err := goversion.Require(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(goversion.Info())
}
`

// buildGuarded builds the program in a committed Git repository with the go
// command and the given extra arguments, and returns the executable's path.
func buildGuarded(t *testing.T, args ...string) string {
	t.Helper()
	sdk, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/guarded\n\ngo 1.21\n\n"+
		"require github.com/gopherwood-dev/gopherwood/sdk v0.1.0\n\n"+
		"replace github.com/gopherwood-dev/gopherwood/sdk => "+sdk+"\n")
	write(t, filepath.Join(dir, "main.go"), guarded)
	run(t, dir, "git", "init", "-q")
	run(t, dir, "git", "add", ".")
	run(t, dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first")
	exe := filepath.Join(t.TempDir(), "guarded.exe")
	run(t, dir, "go", append(append([]string{"build", "-buildvcs=true"}, args...), "-o", exe, ".")...)
	return exe
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func TestInfoOfRealProgram(t *testing.T) {
	exe := buildGuarded(t, "-trimpath")
	out, err := exec.Command(exe, "1.21").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version, Minor, Main, Module string
		Settings                     map[string]string
		VCS                          struct {
			System, Revision, Time string
			Modified               bool
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != runtime.Version() || !strings.HasPrefix(got.Version, "go"+got.Minor) {
		t.Errorf("version %q of minor %q, built with %s", got.Version, got.Minor, runtime.Version())
	}
	if got.Main != "example.com/guarded" || got.Module != "example.com/guarded" {
		t.Errorf("main package %q of module %q", got.Main, got.Module)
	}
	if got.Settings["-trimpath"] != "true" || got.Settings["CGO_ENABLED"] != "0" {
		t.Errorf("settings %v", got.Settings)
	}
	if got.VCS.System != "git" || len(got.VCS.Revision) < 40 || got.VCS.Modified || strings.HasPrefix(got.VCS.Time, "0001") {
		t.Errorf("vcs %+v", got.VCS)
	}
}

// The linker writes the version that runtime.Version returns; -X puts another
// toolchain's in its place.
func TestRequireInRealPrograms(t *testing.T) {
	for _, test := range []struct {
		version, min string
		ok           bool
	}{
		{"", "1.21", true},
		{"", "1.999", false},
		{"go1.19.13", "1.21", false},
		{"go1.22.5-acme.1", "1.22.5", true},
		{"go1.22rc1", "1.22", true},
	} {
		var args []string
		if test.version != "" {
			args = []string{"-ldflags=-X=runtime.buildVersion=" + test.version}
		}
		out, err := exec.Command(buildGuarded(t, args...), test.min).CombinedOutput()
		if (err == nil) != test.ok {
			t.Errorf("built with %q, Require(%q): %v\n%s", test.version, test.min, err, out)
		}
		built := test.version
		if built == "" {
			built = runtime.Version()
		}
		if !strings.Contains(string(out), built) {
			t.Errorf("the output does not name %s:\n%s", built, out)
		}
	}
}
