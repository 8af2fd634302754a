//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
)

// reproducible are modules whose images must come out the same everywhere, with
// further flags of the build.
var reproducible = []struct {
	name  string
	files map[string]string
	cgo   bool
}{
	{"go", map[string]string{"main.go": helloProgram("same"), "kodata/words.txt": "started\n", "kodata/more/words.txt": "again\n"}, false},
	{"cgo", map[string]string{"main.go": cgoProgram}, true},
}

// cgoProgram has C code that knows where its source is, unless a build hides it.
const cgoProgram = `package main

// #include <stdio.h>
// static const char *here(void) { return __FILE__; }
import "C"

import "fmt"

func main() {
	if C.GoString(C.here()) != "" {
		fmt.Println("started")
	}
}
`

// TestReproducible builds the same source in different surroundings: every image
// has the same digest.
func TestReproducible(t *testing.T) {
	layout := baseLayout(t, trixie)
	for _, source := range reproducible {
		t.Run(source.name, func(t *testing.T) {
			first := newTool(t, module(t, source.files))
			args := []string{"-o", "oci:" + t.TempDir(), "--platform", "linux/amd64,linux/arm64"}
			if source.cgo {
				args = []string{"-o", "oci:" + t.TempDir(), "--base", layout}
			}
			want := first.build(args...).Digest
			if got := first.build(args...).Digest; got != want {
				t.Errorf("again, with warm caches: %s, want %s", got, want)
			}
			for _, other := range []struct {
				name string
				env  []string
			}{
				{"directory", nil},
				{"TMPDIR", []string{"TMPDIR=" + tempDir(t)}},
				{"home", []string{"HOME=" + tempDir(t), "GOCACHE=" + goCache(t)}},
				{"number of processes", []string{"GOFLAGS=-p=1", "GOMAXPROCS=1"}},
				{"build cache, a cold one", []string{"GOCACHE=" + t.TempDir()}},
				{"time zone and language", []string{"TZ=Asia/Tokyo", "LC_ALL=de_DE.UTF-8"}},
			} {
				g := first.in(module(t, source.files)).with("GOPHERWOOD_CACHE_DIR=" + t.TempDir()).with(other.env...)
				if got := g.build(args...).Digest; got != want {
					t.Errorf("another %s: %s, want %s", other.name, got, want)
				}
			}
			if got := asOtherUser(t, first, args[2:]); got != want {
				t.Errorf("another user with another umask: %s, want %s", got, want)
			}
		})
	}
}

// goCache is where the go command keeps what it built.
func goCache(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(command(t, nil, "go", "env", "GOCACHE"))
}

// baseLayout is a base image in a layout, by its reference.
func baseLayout(t *testing.T, name string) string {
	t.Helper()
	dir := pick(baseRoots(), rootName, name)[0].build(t, openArchive(t))
	layout := writeLayout(t, map[string]v1.Image{name: imageOf(t, v1.Config{Env: []string{defaultPath}}, layerOf(t, dir))})
	command(t, nil, "chmod", "-R", "a+rX", filepath.Dir(layout)) // users without rights read it, too
	return "oci:" + layout + ":" + name
}

// nobody is a user without rights, whom every Debian system has.
const nobody = 65534

// asOtherUser builds the tool's module as a user without rights, whose files
// nobody else may read, and returns the image's digest.
func asOtherUser(t *testing.T, g tool, args []string) string {
	t.Helper()
	home := tempDir(t)
	source, program := filepath.Join(home, "source"), filepath.Join(home, "gopherwood")
	command(t, nil, "cp", "--recursive", "--no-preserve=all", g.dir, source)
	command(t, nil, "cp", g.file, program)
	command(t, nil, "chmod", "-R", "go=", source)
	command(t, nil, "chown", "-R", strconv.Itoa(nobody), home)
	g = tool{t, program, source, g.env}.with("HOME="+home, "TMPDIR="+home, "XDG_CACHE_HOME=",
		"GOCACHE="+filepath.Join(home, "go-build"), "GOPHERWOOD_CACHE_DIR="+filepath.Join(home, "cache"))
	cmd := g.command(t.Context(), append([]string{"build", "--format", "json", "-o", "oci:" + filepath.Join(home, "layout")}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	return onlyBuild(t, ran{stdout: stdout.String(), stderr: stderr.String()}).Digest
}

// TestVerify builds images again from what is recorded of them.
func TestVerify(t *testing.T) {
	host := startRegistry(t, openArchive(t), false)
	files := map[string]string{"main.go": helloProgram("recorded"), "kodata/words.txt": "recorded\n"}
	ref := host + "/team/hello:v1"
	built := newTool(t, module(t, files)).build("--plain-http", "--push", ref, "--platform", "linux/amd64,linux/arm64",
		"--ldflags", "-X main.unused=1", "--tags", "extra")
	for _, test := range []struct {
		name    string
		change  map[string]string
		verdict string
		// names are what the differences are about.
		names []string
	}{
		{"same", nil, api.RebuildSame, nil},
		{"program", map[string]string{"main.go": helloProgram("changed")}, api.RebuildDifferent, []string{"/usr/local/bin/hello"}},
		{"asset", map[string]string{"kodata/words.txt": "changed\n"}, api.RebuildDifferent, []string{"words.txt"}},
		{"asset added", map[string]string{"kodata/new.txt": "new\n"}, api.RebuildDifferent, []string{"new.txt"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := module(t, files)
			for name, text := range test.change {
				writeFile(t, dir, name, 0o644, text)
			}
			report, code := verifyImage(t, newTool(t, dir), ref)
			if want := map[string]int{api.RebuildSame: 0, api.RebuildDifferent: exitDenied}[test.verdict]; code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			var recorded []string
			for _, item := range report.Items {
				recorded = append(recorded, item.Recorded)
				if item.Verdict != test.verdict {
					t.Errorf("%s: %s, want %s: %+v", item.Platform, item.Verdict, test.verdict, item.Differences)
				}
				requireNamed(t, item, test.names)
				requireOnlyFile(t, item, test.names)
			}
			if diff := cmp.Diff([]string{built.Images[0].Digest, built.Images[1].Digest}, recorded); diff != "" {
				t.Errorf("images (-built +verified):\n%s", diff)
			}
		})
	}
}

// requireNamed fails when no difference names what was changed.
func requireNamed(t *testing.T, item api.Rebuild, names []string) {
	t.Helper()
	for _, name := range names {
		if !slices.ContainsFunc(item.Differences, func(d api.Difference) bool { return strings.Contains(d.Name, name) }) {
			t.Errorf("%s: no difference names %s: %+v", item.Platform, name, item.Differences)
		}
	}
}

// requireOnlyFile fails when a difference is about a file that was not changed.
func requireOnlyFile(t *testing.T, item api.Rebuild, names []string) {
	t.Helper()
	for _, d := range item.Differences {
		if d.Kind == "file" && !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(d.Name, name) }) {
			t.Errorf("%s: the file %s did not change", item.Platform, d.Name)
		}
	}
}

// verifyImage runs `gopherwood build --verify`.
func verifyImage(t *testing.T, g tool, ref string) (api.RebuildReport, int) {
	t.Helper()
	r := g.run("build", "--format", "json", "--plain-http", "--verify", ref)
	var report api.RebuildReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Items) == 0 {
		t.Fatalf("no report: %v: exit code %d\n%s%s", err, r.code, r.stdout, r.stderr)
	}
	return report, r.code
}

// TestVerifyCommit builds again from another commit with the same files, which
// the go command stamps into the program.
func TestVerifyCommit(t *testing.T) {
	dir := helloModule(t, "committed")
	commit := func(message string) {
		t.Helper()
		command(t, nil, "git", "-C", dir, "-c", "user.name=e2e", "-c", "user.email=e2e@example.org", "commit", "--quiet", "--allow-empty", "--message", message)
	}
	command(t, nil, "git", "-C", dir, "init", "--quiet")
	command(t, nil, "git", "-C", dir, "add", "--all")
	commit("first")
	layout := "oci:" + t.TempDir() + ":v1"
	g := newTool(t, dir)
	g.build("-o", layout)
	if report, code := verifyImage(t, g, layout); code != 0 {
		t.Errorf("the same commit: exit code %d: %+v", code, report)
	}
	commit("second")
	report, code := verifyImage(t, g, layout)
	if code != exitDenied {
		t.Errorf("another commit: exit code %d", code)
	}
	requireNamed(t, report.Items[0], []string{"vcs.revision"})
}
