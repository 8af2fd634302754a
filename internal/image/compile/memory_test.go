package compile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

// What was learnt holds until something changes that decides about imports.
func TestMemory(t *testing.T) {
	write := func(t *testing.T, dir, name, content string) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const main = "package main\n\nimport \"example.org/app/lib\"\n\nfunc main() { lib.Do() }\n"
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, dir string)
		holds  bool
	}{
		{"nothing", func(*testing.T, string) {}, true},
		{"a body", func(t *testing.T, dir string) {
			write(t, dir, "lib/lib.go", "package lib\n\nfunc Do() { println() }\n")
		}, true},
		{"a test", func(t *testing.T, dir string) { write(t, dir, "lib/lib_test.go", "package lib\n\nimport \"C\"\n") }, true},
		{"an import", func(t *testing.T, dir string) {
			write(t, dir, "lib/lib.go", "package lib\n\nimport _ \"os\"\n\nfunc Do() {}\n")
		}, false},
		{"a constraint", func(t *testing.T, dir string) {
			write(t, dir, "lib/lib.go", "//go:build !x\n\npackage lib\n\nfunc Do() {}\n")
		}, false},
		{"a file", func(t *testing.T, dir string) { write(t, dir, "lib/more.go", "package lib\n\nimport \"C\"\n") }, false},
		{"a removed package", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "lib")); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a broken file", func(t *testing.T, dir string) { write(t, dir, "lib/lib.go", "pack") }, false},
		{"the module", func(t *testing.T, dir string) { write(t, dir, "go.mod", "module example.org/app\n\ngo 1.22\n") }, false},
		{"vendoring", func(t *testing.T, dir string) { write(t, dir, "vendor/modules.txt", "") }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "go.mod", "module example.org/app\n\ngo 1.21\n")
			write(t, dir, "main.go", main)
			write(t, dir, "lib/lib.go", "package lib\n\nfunc Do() {}\n")
			b, err := newBuild(t.Context(), Package{ImportPath: "example.org/app", Dir: dir}, api.Platform{OS: "linux", Arch: "amd64"},
				api.PackageConfig{}, Options{Dir: dir, Env: append(os.Environ(), "GOENV=off", "GOFLAGS=", "GOWORK=off")})
			if err != nil {
				t.Fatal(err)
			}
			m, err := b.survey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Digest == "" {
				t.Fatal("nothing was learnt")
			}
			if diff := cmp.Diff([]string{dir, filepath.Join(dir, "lib")}, m.Dirs); diff != "" {
				t.Error(diff)
			}
			tc.change(t, dir)
			if m.holds() != tc.holds {
				t.Errorf("it holds: %v", !tc.holds)
			}
		})
	}
	now := t.TempDir()
	if m := (&memory{Dirs: []string{now}}); m.unchangedSince(time.Now().Add(-time.Minute)) || !m.unchangedSince(time.Now().Add(time.Minute)) {
		t.Error("a directory that was made now is taken for an old one, or the other way round")
	}
	if (&memory{}).holds() {
		t.Error("a build that has learnt nothing has something to go by")
	}
}
