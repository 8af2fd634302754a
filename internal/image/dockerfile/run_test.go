//go:build !windows

package dockerfile_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/dockerfile"
	check "github.com/gopherwood-dev/gopherwood/internal/policy/dockerfile"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// module writes a module with a program below cmd/hello and a module that it is
// replaced with, and returns its directory.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                      "module example.org/hello\n\ngo 1.26\n\nrequire example.org/dep v1.0.0\n\nreplace example.org/dep => ./third_party/dep\n",
		"third_party/dep/go.mod":      "module example.org/dep\n\ngo 1.26\n",
		"third_party/dep/dep.go":      "package dep\n\nconst Word = \"dependency\"\n",
		"cmd/hello/main.go":           "package main\n\nimport (\n\t\"runtime\"\n\n\t\"example.org/dep\"\n)\n\nvar version = \"none\"\n\nfunc main() { println(dep.Word, version, tagged, runtime.GOARCH) }\n",
		"cmd/hello/tag.go":            "//go:build special\n\npackage main\n\nconst tagged = true\n",
		"cmd/hello/notag.go":          "//go:build !special\n\npackage main\n\nconst tagged = false\n",
		"cmd/hello/kodata/index.html": "hello\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(dir string) compile.Options {
	return compile.Options{Dir: dir, Env: append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPRIVATE=", "CGO_ENABLED=0")}
}

func planFor(t *testing.T, opt compile.Options, cfg api.PackageConfig) (dockerfile.Plan, error) {
	t.Helper()
	pkgs, err := compile.Load(context.Background(), []string{"./cmd/hello"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return dockerfile.PlanFor(context.Background(), pkgs[0], cfg, opt)
}

// builderScripts returns the scripts of the builder's RUN lines that run the go
// command.
func builderScripts(t *testing.T, data []byte) []string {
	t.Helper()
	var scripts []string
	for _, cmd := range parse(t, data)[0].Commands {
		if run, ok := cmd.(*instructions.RunCommand); ok && strings.Contains(run.CmdLine[0], "go ") {
			scripts = append(scripts, run.CmdLine[0])
		}
	}
	return scripts
}

// What a RUN line says really builds the program that the plan is for, with its
// flags, and for the platform that BuildKit would ask for.
func TestRunLinesBuild(t *testing.T) {
	dir := module(t)
	opt := options(dir)
	p, err := planFor(t, opt, api.PackageConfig{
		Tags:    []string{"special"},
		Ldflags: []string{"-s", `-X main.version=it is $5 "now"`},
		Env:     map[string]string{"GOEXPERIMENT": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "hello" || p.CGO.Enabled || p.Assets != "cmd/hello/kodata" || fmt.Sprint(p.ModuleDirs) != "[. third_party/dep]" || p.StaticPIE {
		t.Errorf("plan %+v", p)
	}
	data, err := dockerfile.Generate(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ arch, variant string }{{runtime.GOARCH, ""}, {"amd64", "v3"}, {"arm", "v7"}, {"arm64", ""}} {
		out := runScripts(t, dir, data, opt.Env, "TARGETOS="+runtime.GOOS, "TARGETARCH="+tc.arch, "TARGETVARIANT="+tc.variant)
		info, err := exec.Command("go", "version", "-m", filepath.Join(out, "hello")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, info)
		}
		wants := []string{"GOARCH=" + tc.arch, "CGO_ENABLED=0", "-trimpath=true", "-tags=special"}
		switch {
		case tc.arch == "amd64" && tc.variant != "":
			wants = append(wants, "GOAMD64="+tc.variant)
		case tc.arch == "arm":
			wants = append(wants, "GOARM=7")
		}
		for _, want := range wants {
			if !strings.Contains(string(info), want) {
				t.Errorf("%s/%s: no %s in\n%s", tc.arch, tc.variant, want, info)
			}
		}
		if tc.arch != runtime.GOARCH || tc.variant != "" {
			continue
		}
		said, err := exec.Command(filepath.Join(out, "hello")).CombinedOutput()
		if want := fmt.Sprintf("dependency it is $5 \"now\" true %s\n", runtime.GOARCH); err != nil || string(said) != want {
			t.Errorf("the program says %q, %v; want %q", said, err, want)
		}
	}
}

// runScripts runs the builder's scripts in dir, with a new directory in the place
// of /out, and returns that directory.
func runScripts(t *testing.T, dir string, data []byte, env []string, more ...string) string {
	t.Helper()
	out := t.TempDir()
	scripts := builderScripts(t, data)
	if len(scripts) != 2 {
		t.Fatalf("scripts %q", scripts)
	}
	for _, script := range scripts {
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(script, "/out/", out+"/"))
		cmd.Dir, cmd.Env = dir, append(env[:len(env):len(env)], more...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, text)
		}
	}
	return out
}

func TestPlanFor(t *testing.T) {
	dir := module(t)
	opt := options(dir)
	yes := true
	for name, tc := range map[string]struct {
		cfg  api.PackageConfig
		want []string
	}{
		"cgo on":       {api.PackageConfig{CGO: api.CGOOn}, []string{"CGO_ENABLED=1", "FROM debian:${DEBIAN}-slim", "gcc"}},
		"cgo and musl": {api.PackageConfig{CGO: api.CGOOn, Base: "alpine:3.23"}, []string{"CGO_ENABLED=1", "FROM alpine:3.23", "build-base"}},
		"pie":          {api.PackageConfig{PIE: &yes}, []string{"CGO_ENABLED=1", "FROM scratch", "-extldflags=-static-pie", "netgo"}},
		"base":         {api.PackageConfig{Base: "gcr.io/distroless/static:nonroot"}, []string{"FROM gcr.io/distroless/static:nonroot"}},
		"profile":      {api.PackageConfig{PGO: "cmd/hello/cpu.pprof"}, []string{"-pgo=cmd/hello/cpu.pprof"}},
	} {
		p, err := planFor(t, opt, tc.cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data, err := dockerfile.Generate(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s: no %q in\n%s", name, want, data)
			}
		}
		findings, err := check.Check("Dockerfile", data, setting())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Severity != api.Info {
				t.Errorf("%s: %s %s\n%s", name, f.Rule, f.Message, data)
			}
		}
	}
}

// What a Dockerfile cannot reach is said before it is written.
func TestOutsideOfTheContext(t *testing.T) {
	for name, tc := range map[string]struct {
		moved string // where the replaced module is
		cfg   api.PackageConfig
	}{
		"profile":  {"third_party/moved", api.PackageConfig{PGO: "../cpu.pprof"}},
		"assets":   {"third_party/moved", api.PackageConfig{Assets: "../web"}},
		"replaced": {"../dep", api.PackageConfig{}},
	} {
		dir := module(t)
		if err := os.Rename(filepath.Join(dir, "third_party", "dep"), filepath.Join(dir, tc.moved)); err != nil {
			t.Fatal(err)
		}
		text := "module example.org/hello\n\ngo 1.26\n\nrequire example.org/dep v1.0.0\n\nreplace example.org/dep => ./" + tc.moved + "\n"
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := planFor(t, options(dir), tc.cfg)
		if fault.CodeOf(err) != fault.Usage || !strings.Contains(fmt.Sprint(err), "build context") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
