package compile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	goMod = "module example.com/shop\n\ngo 1.21\n"
	hello = "package main\n\nimport \"fmt\"\n\nvar version = \"none\"\n\nfunc main() { fmt.Println(version) }\n"
)

var (
	linux = api.Platform{OS: "linux", Arch: "amd64"}
	yes   = true
)

// tree writes files into a new directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// options run the go command in dir with the environment of the test, without
// what the test's own go command was told, and with a new cache directory.
func options(t testing.TB, dir string, env ...string) compile.Options {
	t.Helper()
	return compile.Options{
		Dir:      dir,
		CacheDir: t.TempDir(),
		Env: append(os.Environ(), append([]string{
			"GOWORK=off", "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOAMD64=", "GOEXPERIMENT=", "CC=", "CXX=", "GOPROXY=off"}, env...)...),
	}
}

func load(t testing.TB, opt compile.Options, patterns ...string) compile.Package {
	t.Helper()
	found, err := compile.Load(t.Context(), patterns, opt)
	if err != nil || len(found) != 1 {
		t.Fatalf("Load(%q) = %v, %v", patterns, found, err)
	}
	return found[0]
}

// build compiles the package in opt.Dir; the program is closed with the test.
func build(t testing.TB, opt compile.Options, platform api.Platform, cfg api.PackageConfig) *compile.Program {
	t.Helper()
	p, err := compile.Compile(t.Context(), load(t, opt), platform, cfg, opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func digest(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func stat(t testing.TB, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestLoad(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod": goMod, "shop.go": "package shop\n", "cmd/web/main.go": hello, "cmd/job/v2/main.go": hello, "cmd/job/doc.go": "package job\n",
		"cmd/v2/main.go": hello, "cmd/c/c.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n",
	})
	for _, tc := range []struct {
		dir      string
		patterns []string
		want     []string
	}{
		{".", []string{"./..."}, []string{"./cmd/c c", "./cmd/job/v2 job", "./cmd/v2 cmd", "./cmd/web web"}},
		{".", []string{"./cmd/web", "example.com/shop/cmd/web"}, []string{"./cmd/web web"}},
		{"cmd/web", nil, []string{". web"}},
		{"cmd/web", []string{"../v2"}, []string{"../v2 cmd"}},
		{"cmd/web", []string{"../../..."}, []string{"../c c", "../job/v2 job", "../v2 cmd", ". web"}},
	} {
		found, err := compile.Load(t.Context(), tc.patterns, options(t, filepath.Join(dir, tc.dir)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range found {
			got = append(got, p.Rel+" "+p.Name())
			if p.Dir != filepath.Join(dir, strings.TrimPrefix(p.ImportPath, "example.com/shop")) {
				t.Errorf("%s lies in %s", p.ImportPath, p.Dir)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s %v (-want +got)\n%s", tc.dir, tc.patterns, diff)
		}
	}
}

func TestCompileFacts(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": goMod, "go.sum": "", "cmd/web/main.go": hello, "cmd/web/default.pgo": profile(t)})
	opt := options(t, filepath.Join(dir, "cmd/web"), "GOAMD64=v2", "SECRET=hush")
	platform := api.Platform{OS: "linux", Arch: "amd64", Level: "v3"}
	cfg := api.PackageConfig{
		Tags: []string{"a", "b"}, Ldflags: []string{"-s", "-X main.version=it's 1.0"}, Gcflags: []string{"all=-N", "-l"},
		Env: map[string]string{"GOEXPERIMENT": "nodwarf5", "GOPROXY": "https://u:p@example.org", "TOKEN": "hush"},
	}
	if runtime.GOOS+runtime.GOARCH != "linuxamd64" {
		platform.Level = ""
	}
	p := build(t, opt, platform, cfg)
	got := p.Build
	want := api.BuildFacts{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBuildFacts, Package: "example.com/shop/cmd/web", Platform: platform,
		Module: api.Module{Path: "example.com/shop", Version: "(devel)"}, Dir: "cmd/web",
		ModuleGraph: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		Go:          runtime.Version(),
		CGO:         api.CGODecision{Asked: "auto", Reason: "cgo is off because no package that is linked needs C code; net and os/user have pure Go forms"},
		Flags:       []string{"-trimpath", "-gcflags=all=-N -l", "-tags=a,b", `-ldflags=-s "-X=main.version=it's 1.0"`},
		Env:         map[string]string{"CGO_ENABLED": "0", "GOAMD64": "v3", "GOEXPERIMENT": "nodwarf5", "GOFIPS140": "off"},
		Profile:     "sha256:" + digest(t, filepath.Join(dir, "cmd/web/default.pgo")),
		Config:      cfg,
	}
	want.Config.Env = map[string]string{"GOEXPERIMENT": "nodwarf5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got)\n%s", diff)
	}
	if runtime.GOOS == "linux" {
		if out, err := exec.Command(p.Path).CombinedOutput(); string(out) != "it's 1.0\n" {
			t.Errorf("the program says %q, %v", out, err)
		}
	}
}

// profile is a CPU profile without samples, made by the runtime itself.
func profile(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		t.Fatal(err)
	}
	pprof.StopCPUProfile()
	return out.String()
}

func TestModuleGraphAndSource(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod":  goMod + "require example.com/lib v1.0.0\nreplace example.com/lib => ./lib\n",
		"main.go": "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n", "lib/go.mod": "module example.com/lib\n", "lib/lib.go": "package lib\n",
	})
	git(t, dir, "init", "-q")
	git(t, dir, "add", ".")
	git(t, dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "all")
	p := build(t, options(t, dir), linux, api.PackageConfig{CGO: api.CGOOff})
	sum := sha256.Sum256([]byte("./lib (devel) \n"))
	if want := "sha256:" + hex.EncodeToString(sum[:]); p.Build.ModuleGraph != want {
		t.Errorf("module graph %s, want %s", p.Build.ModuleGraph, want)
	}
	if s := p.Build.Source; s == nil || s.System != "git" || len(s.Revision) != 40 || s.Time == "" || s.Modified {
		t.Errorf("source %+v", s)
	}
	if p.Build.Dir != "." || p.Build.CGO.Reason != "cgo is off because that was asked for" {
		t.Errorf("dir %q, cgo %+v", p.Build.Dir, p.Build.CGO)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// The go command replaces an executable that it links and leaves alone one that
// is up to date.
func TestNothingIsLinkedTwice(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": goMod, "main.go": hello})
	opt := options(t, dir)
	first := build(t, opt, linux, api.PackageConfig{})
	again := build(t, opt, linux, api.PackageConfig{})
	if !first.Linked || again.Linked {
		t.Errorf("the first build says linked: %v, the second %v", first.Linked, again.Linked)
	}
	if !os.SameFile(stat(t, first.Path), stat(t, again.Path)) {
		t.Error("a build without a change linked again")
	}
	before := digest(t, first.Path)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(strings.Replace(hello, "none", "some", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := build(t, opt, linux, api.PackageConfig{})
	if !changed.Linked {
		t.Error("a changed program was not linked")
	}
	if os.SameFile(stat(t, first.Path), stat(t, changed.Path)) || digest(t, changed.Path) == before {
		t.Error("the change is not in the program")
	}
	if digest(t, first.Path) != before {
		t.Error("a program changed while it was in use")
	}
	stamped := build(t, opt, linux, api.PackageConfig{Ldflags: []string{"-X=main.version=2"}})
	if digest(t, stamped.Path) == digest(t, changed.Path) {
		t.Error("new linker flags linked nothing")
	}
}

func TestCloseLeavesOneProgram(t *testing.T) {
	opt := options(t, tree(t, map[string]string{"go.mod": goMod, "main.go": hello}))
	for range 2 {
		p := build(t, opt, linux, api.PackageConfig{})
		if err := errors.Join(p.Close(), p.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(p.Path); err == nil {
			t.Error("a closed program is still there")
		}
	}
	if diff := cmp.Diff([]string{"lock", "packages.json", "program"}, kept(t, opt.CacheDir)); diff != "" {
		t.Errorf("what the cache keeps (-want +got)\n%s", diff)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	opt.CacheDir = ""
	if err := build(t, opt, linux, api.PackageConfig{}).Close(); err != nil {
		t.Fatal(err)
	}
	if left := kept(t, temp); len(left) > 0 {
		t.Errorf("without a cache directory, %q are left", left)
	}
}

// kept are the names of the files below dir.
func kept(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestParallelBuilds(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": goMod, "main.go": hello})
	opt := options(t, dir)
	pkg := load(t, opt)
	digests := make([]string, 6)
	var wg sync.WaitGroup
	for i := range digests {
		wg.Go(func() {
			cfg := api.PackageConfig{Ldflags: []string{fmt.Sprintf("-X=main.version=%d", i%2)}}
			p, err := compile.Compile(t.Context(), pkg, linux, cfg, opt)
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			digests[i] = digest(t, p.Path)
		})
	}
	wg.Wait()
	for i, d := range digests {
		if d != digests[i%2] || d == digests[(i+1)%2] {
			t.Errorf("program %d is another's: %q", i, digests)
		}
	}
}

func TestCancel(t *testing.T) {
	// The package takes long to compile, so that it is the compiler that is stopped.
	var long strings.Builder
	long.WriteString("package main\n\nfunc main() {}\n")
	for i := range 20000 {
		fmt.Fprintf(&long, "func f%d(a map[string][]int, b string) int { for i := range a[b] { if i > %d { return len(b) } }; return len(a) }\n", i, i)
	}
	dir := tree(t, map[string]string{"go.mod": goMod, "main.go": long.String()})
	opt := options(t, dir)
	pkg := load(t, opt)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 700*time.Millisecond, context.Canceled)
	defer cancel()
	began := time.Now()
	_, err := compile.Compile(ctx, pkg, linux, api.PackageConfig{}, opt)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the build ended with %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if diff := cmp.Diff([]string{"lock"}, kept(t, opt.CacheDir)); diff != "" {
		t.Errorf("what is left (-want +got)\n%s", diff)
	}
}

func TestReproducible(t *testing.T) {
	files := map[string]string{"go.mod": goMod, "main.go": hello, "lib/lib.go": "package lib\n"}
	first := build(t, options(t, tree(t, files)), linux, api.PackageConfig{})
	second := build(t, options(t, tree(t, files), "TMPDIR="+t.TempDir(), "HOME="+hometest.New(t), "GOCACHE="+t.TempDir()), linux, api.PackageConfig{})
	if digest(t, first.Path) != digest(t, second.Path) {
		t.Error("another directory, temporary directory, home and a cold cache give another program")
	}
	if diff := cmp.Diff(first.Build, second.Build); diff != "" {
		t.Errorf("and other facts:\n%s", diff)
	}
}

func TestPlatforms(t *testing.T) {
	opt := options(t, tree(t, map[string]string{"go.mod": goMod, "main.go": "package main\n\nfunc main() {}\n"}))
	for _, tc := range []struct {
		platform api.Platform
		machine  elf.Machine
		env      string
	}{
		{api.Platform{OS: "linux", Arch: "arm64", Level: "v8.2"}, elf.EM_AARCH64, "GOARM64=v8.2"},
		{api.Platform{OS: "linux", Arch: "arm", Level: "6"}, elf.EM_ARM, "GOARM=6"},
	} {
		p := build(t, opt, tc.platform, api.PackageConfig{})
		f, err := elf.Open(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		name, value, _ := strings.Cut(tc.env, "=")
		if f.Machine != tc.machine || p.Build.Env[name] != value {
			t.Errorf("%v: %v, %v", tc.platform, f.Machine, p.Build.Env)
		}
	}
}

// The toolchains are fetched by the go command where they are not there yet.
func TestToolchain(t *testing.T) {
	var log bytes.Buffer
	opt := options(t, tree(t, map[string]string{"go.mod": goMod, "main.go": "package main\n\nfunc main() {}\n"}), "GOPROXY=")
	opt.Log = &log
	p := build(t, opt, linux, api.PackageConfig{Go: "1.21.13"})
	if p.Build.Go != "go1.21.13" {
		t.Errorf("compiled by %s", p.Build.Go)
	}
	_, err := compile.Compile(t.Context(), load(t, opt), api.Platform{OS: "linux", Arch: "arm64", Level: "v8.1"}, api.PackageConfig{Go: "1.21.13"}, opt)
	failure(t, err, fault.Unsupported, "GOARM64=v8.1", "go1.21.13 does not have it: it came with Go 1.23", "--go")
}

// What the last build of a slot remembers is only a guess.
func TestNewNeedForCgo(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": goMod, "main.go": hello})
	opt := options(t, dir, onlyGo(t))
	platform := api.Platform{OS: "linux", Arch: runtime.GOARCH}
	build(t, opt, platform, api.PackageConfig{})
	needsC := "package main\n\nimport \"plugin\"\n\nfunc main() { plugin.Open(\"\") }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(needsC), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := compile.Compile(t.Context(), load(t, opt), platform, api.PackageConfig{}, opt)
	failure(t, err, fault.Unsupported, "C compiler")
	p := build(t, opt, platform, api.PackageConfig{CGO: api.CGOOff})
	if p.Build.CGO.Enabled || p.Build.Env["CGO_ENABLED"] != "0" {
		t.Errorf("cgo is on: %+v", p.Build.CGO)
	}
}

// A main package that only a build tag makes one is found with that tag.
func TestLoadTags(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.org/tagged\n\ngo 1.21\n", "main.go": "//go:build special\n\npackage main\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opt := compile.Options{Dir: dir, Env: append(os.Environ(), "GOENV=off", "GOFLAGS=", "GOWORK=off")}
	if _, err := compile.Load(t.Context(), []string{"."}, opt); err == nil {
		t.Error("it was found without the tag")
	}
	opt.Tags = []string{"special"}
	if found, err := compile.Load(t.Context(), []string{"."}, opt); err != nil || len(found) != 1 {
		t.Errorf("with the tag: %v, %v", found, err)
	}
	opt.Go = "1.2.3"
	if _, err := compile.Load(t.Context(), []string{"."}, opt); err == nil {
		t.Error("a toolchain that cannot be had was taken")
	}
}
