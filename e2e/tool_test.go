//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/gopherwood-dev/gopherwood/api"
)

// tool runs gopherwood in a directory.
type tool struct {
	t    *testing.T
	file string
	dir  string
	env  []string
}

// newTool builds gopherwood, to be run in dir with caches of its own. The go
// command keeps the user's build cache.
func newTool(t *testing.T, dir string) tool {
	t.Helper()
	return tool{t, buildCommand(t), dir, []string{"GOPHERWOOD_CACHE_DIR=" + t.TempDir(), "GOFLAGS=-buildvcs=auto", "GOWORK=off"}}
}

// with returns the tool with further environment variables.
func (g tool) with(env ...string) tool {
	g.env = slices.Concat(g.env, env)
	return g
}

// in returns the tool for another directory.
func (g tool) in(dir string) tool {
	g.dir = dir
	return g
}

// ran is how a run of the command ended.
type ran struct {
	stdout, stderr string
	code           int
}

// command is a run that was not started yet.
func (g tool) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.file, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), g.env...)
	return cmd
}

// run runs the command, which may fail.
func (g tool) run(args ...string) ran {
	g.t.Helper()
	cmd := g.command(g.t.Context(), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		g.t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// build builds one package, which must succeed.
func (g tool) build(args ...string) api.Build {
	g.t.Helper()
	r := g.run(append([]string{"build", "--format", "json"}, args...)...)
	if r.code != 0 {
		g.t.Fatalf("gopherwood build %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return onlyBuild(g.t, r)
}

// refused builds one package, which must be refused, and returns its image.
func (g tool) refused(args ...string) api.BuiltImage {
	g.t.Helper()
	r := g.run(append([]string{"build", "--format", "json"}, args...)...)
	if r.code != exitDenied {
		g.t.Fatalf("gopherwood build %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, exitDenied, r.stdout, r.stderr)
	}
	b := onlyBuild(g.t, r)
	if len(b.Refs) > 0 || len(b.Images) != 1 || b.Images[0].Verdict.Verdict != api.Deny {
		g.t.Fatalf("a refused build says %+v", b)
	}
	return b.Images[0]
}

func onlyBuild(t *testing.T, r ran) api.Build {
	t.Helper()
	var list api.BuildList
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list.Items) != 1 || len(list.Errors) > 0 {
		t.Fatalf("no list of one build: %v\n%s%s", err, r.stdout, r.stderr)
	}
	return list.Items[0]
}

// module writes a Go module; files are by name.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := tempDir(t)
	writeFile(t, dir, "go.mod", 0o644, "module example.org/hello\n\ngo 1.26\n")
	for name, text := range files {
		writeFile(t, dir, name, 0o644, text)
	}
	return dir
}

// helloModule is a module whose program says that it started. The text makes it
// differ from others.
func helloModule(t *testing.T, text string) string {
	t.Helper()
	return module(t, map[string]string{"main.go": helloProgram(text)})
}

func helloProgram(text string) string {
	return fmt.Sprintf("package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\tfmt.Println(\"started\")\n\tfmt.Fprintln(os.Stderr, %q)\n}\n", text)
}

// publishedModule copies a module from the module proxy to where it can be built.
func publishedModule(t *testing.T, path, version string) string {
	t.Helper()
	text := command(t, []string{"GOFLAGS=-mod=mod", "GOWORK=off"}, "go", "mod", "download", "-json", path+"@"+version)
	var downloaded struct{ Dir string }
	if err := json.Unmarshal([]byte(text), &downloaded); err != nil {
		t.Fatal(err)
	}
	return copyTree(t, downloaded.Dir)
}

// copyTree copies a directory to a temporary one that can be changed.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	dir := tempDir(t)
	command(t, nil, "cp", "--recursive", "--no-preserve=mode", from+"/.", dir)
	return dir
}

// reference parses a reference to a registry of this machine.
func reference(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// pulled reads an image from a registry.
func pulled(t *testing.T, ref string) v1.Image {
	t.Helper()
	img, err := remote.Image(reference(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// exists says whether the registry knows a reference.
func exists(t *testing.T, ref string) bool {
	t.Helper()
	_, err := remote.Head(reference(t, ref))
	return err == nil
}

// unpackImage lays the layers of an image into a directory.
func unpackImage(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := tempDir(t)
	files := mutate.Extract(img)
	defer files.Close()
	cmd := exec.CommandContext(t.Context(), "tar", "-x", "-p", "--numeric-owner", "--same-owner", "-f", "-", "-C", dir)
	cmd.Stdin = files
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack the image: %v: %s", err, out)
	}
	return dir
}

// imageContainer is a container of an image, as a runtime makes it.
func imageContainer(t *testing.T, img v1.Image) container {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	return container{
		Layers: []string{unpackImage(t, img), runtimeLayer(t)}, Mount: tempDir(t), Changes: tempDir(t),
		Args: slices.Concat(c.Entrypoint, c.Cmd), Env: c.Env, User: c.User, WorkDir: c.WorkingDir,
	}
}

// runtimeLayer is what a container runtime adds to a root file system.
func runtimeLayer(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	makeDir(t, dir, "proc")
	return dir
}

// userOfImages is whom built images run as.
const userOfImages = "65532:65532"

// requireUser fails when an image does not run as the user of built images.
func requireUser(t *testing.T, img v1.Image) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Config.User != userOfImages {
		t.Errorf("the image runs as %q, want %q", file.Config.User, userOfImages)
	}
}

// filesBelow lists the files below a directory, for tests that want none left.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && file != dir {
			names = append(names, strings.TrimPrefix(file, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
