package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Both sides are built with the same flags, each from its own files, and what does
// not differ gives the same binary wherever it lies.
func TestBuild(t *testing.T) {
	r := newRepo(t, shop())
	r.write(map[string]string{"shop.go": "package shop\n\nfunc Answer() int { return 42 }\n"})
	opt := r.options("HEAD")
	headOpt := r.options("")
	headOpt.CacheDir = opt.CacheDir
	base, head := open(t, opt), open(t, headOpt)
	b, h := built(t, base, build.BuildOptions{}), built(t, head, build.BuildOptions{})
	for _, x := range []*build.Built{b, h} {
		if diff := cmp.Diff([]string{"example.com/shop", "example.com/shop/cart"}, packages(x)); diff != "" {
			t.Fatalf("packages (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]string{"BenchmarkAdd", "BenchmarkSub"}, x.Binaries[1].Benchmarks); diff != "" {
			t.Errorf("benchmarks (-want +got)\n%s", diff)
		}
	}
	if b.Linked != 2 || h.Linked != 1 {
		t.Errorf("%d and %d linked: what does not differ need be linked once", b.Linked, h.Linked)
	}
	if b.Binaries[0].Dir != base.Root || h.Binaries[1].Dir != filepath.Join(r.dir, "cart") || len(b.Binaries[0].Path) != len(h.Binaries[0].Path) {
		t.Errorf("%+v\n%+v", b.Binaries, h.Binaries)
	}
	if b.Binaries[0].Digest == h.Binaries[0].Digest || b.Binaries[1].Digest != h.Binaries[1].Digest {
		t.Errorf("digests %+v\n%+v", b.Binaries, h.Binaries)
	}
	for answer, x := range map[string]build.Binary{"41.00 answer": b.Binaries[0], "42.00 answer": h.Binaries[0]} {
		if out := run(t, x); !strings.Contains(out, answer) {
			t.Errorf("%q lacks %q", out, answer)
		}
	}
	if notes := build.Differences(base.Facts(b.Binaries).Binaries, head.Facts(h.Binaries).Binaries); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	if x := b.Binaries[0]; !strings.HasPrefix(x.GoVersion, "go") || x.Settings["-trimpath"] != "true" || x.Settings["vcs"] != "" || !strings.HasPrefix(x.Digest, "sha256:") {
		t.Errorf("%+v", x.BenchBinary)
	}
}

// wrapped is an environment whose go command runs a script before the real one,
// which GO in the script names.
func wrapped(t *testing.T, env []string, script string) []string {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "#!/bin/sh\n" + strings.ReplaceAll(script, "GO", "'"+real+"'") + "\nexec '" + real + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return append(env, "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// Files that git ignores are compiled too, and not in the hash of the work tree.
func TestIgnoredFiles(t *testing.T) {
	r := newRepo(t, shop())
	r.commit(map[string]string{"shop.go": "package shop\n\nfunc Answer() int { return answer }\n"})
	opt := r.options("")
	opt.Env = append(opt.Env, "GOWORK=off") // nothing else tells the sides apart
	for _, answer := range []string{"1", "2"} {
		r.write(map[string]string{"a.gen.go": "package shop\n\nconst answer = " + answer + "\n"})
		s := open(t, opt)
		b := built(t, s, build.BuildOptions{Packages: []string{"."}})
		if out := run(t, b.Binaries[0]); !strings.Contains(out, answer+".000 answer") || b.Linked != 1 || s.Dirty {
			t.Errorf("linked %d, dirty %v:\n%s", b.Linked, s.Dirty, out)
		}
	}
	// A checkout lacks them, and the work tree's binary is not taken for its own.
	opt.Name, opt.Revision = "base", "HEAD"
	b, err := open(t, opt).Build(t.Context(), build.BuildOptions{})
	if err != nil || len(b.Failed) != 1 || len(b.Binaries) > 0 {
		t.Fatalf("%+v, %v", b, err)
	}
	failure(t, b.Failed[0].Err, fault.Invalid, "build the base's benchmarks of example.com/shop", "undefined: answer", "git ignores", "a revision that compiles")
}

// What does not compile is named, and the rest is built.
func TestFailures(t *testing.T) {
	files := shop()
	files["cart/cart_test.go"] += "\nvar _ = absent\n"
	files["syntax/a.go"] = "package syntax\n"
	files["syntax/a_test.go"] = "package syntax\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) {}\n\nfunc {\n"
	files["import/a_test.go"] = "package a\n\nimport (\n\t\"testing\"\n\n\t_ \"example.org/absent\"\n)\n\nfunc BenchmarkX(b *testing.B) {}\n"
	files["two/a.go"], files["two/b.go"] = "package a\n", "package b\n"
	files["two/a_test.go"] = "package a\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) {}\n"
	files["broken/a.go"] = "package 1\n" // without benchmarks nobody minds
	r := newRepo(t, files)
	for side, revision := range map[string]string{"base": "HEAD", "head": ""} {
		s := open(t, r.options(revision))
		for range 2 { // also with those that compile in the cache
			b, err := s.Build(t.Context(), build.BuildOptions{Packages: []string{"./..."}, Layouts: 2})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"example.com/shop", "example.com/shop"}, packages(b)); diff != "" {
				t.Errorf("built (-want +got)\n%s", diff)
			}
			want := map[string]string{"cart": "undefined: absent", "import": "example.org/absent", "syntax": "a_test.go:7", "two": "found packages a (a.go) and b (b.go)"}
			for _, f := range b.Failed {
				name := strings.TrimPrefix(f.Package, "example.com/shop/")
				if want[name] == "" {
					t.Errorf("%s failed (again): %v", f.Package, f.Err)
					continue
				}
				code := fault.Invalid
				if name == "import" {
					code = fault.CodeOf(f.Err)
				}
				failure(t, f.Err, code, want[name], side+"'s benchmarks of "+f.Package)
				delete(want, name)
			}
			if len(want) > 0 {
				t.Errorf("%v did not fail", want)
			}
		}
	}
}

func TestBuildErrors(t *testing.T) {
	r := newRepo(t, shop())
	for _, tc := range []struct {
		name  string
		opt   build.BuildOptions
		code  fault.Code
		parts []string
	}{
		{"no benchmarks", build.BuildOptions{Packages: []string{"./quiet"}}, fault.NotFound, []string{"./quiet", "no benchmark in any package", "./..."}},
		{"none matches", build.BuildOptions{Bench: "Absent"}, fault.NotFound, []string{`no benchmark matches "Absent"`}},
		{"no packages", build.BuildOptions{Packages: []string{"./absent/..."}}, fault.NotFound, []string{"./absent/..."}},
		{"pattern", build.BuildOptions{Bench: "("}, fault.Usage, []string{"regular expression"}},
		{"file", build.BuildOptions{Packages: []string{"shop_test.go"}}, fault.Usage, []string{"shop_test.go", "package"}},
		{"option", build.BuildOptions{Packages: []string{"-x"}}, fault.Usage, []string{"-x"}},
		{"flag", build.BuildOptions{Flags: []string{"-absent"}}, fault.Usage, []string{"-absent", "go build"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := open(t, r.options("HEAD")).Build(t.Context(), tc.opt)
			failure(t, err, tc.code, tc.parts...)
		})
	}
	for name, dir := range map[string]string{"named": "./absent", "in the head only": filepath.Join(r.dir, "later")} {
		r.write(map[string]string{"later/x_test.go": "package later\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) {}\n"})
		b, err := open(t, r.options("HEAD")).Build(t.Context(), build.BuildOptions{Packages: []string{dir, "."}})
		if err != nil || len(b.Failed) != 1 || len(b.Binaries) != 1 {
			t.Fatalf("%s: %+v, %v", name, b, err)
		}
		failure(t, b.Failed[0].Err, fault.Invalid, filepath.Base(dir), "directory not found")
	}
	outside := &repo{t: t, dir: tempDir(t), env: environ(t)}
	outside.git("init", "-q")
	outside.commit(map[string]string{"x_test.go": benchmark})
	_, err := open(t, outside.options("HEAD")).Build(t.Context(), build.BuildOptions{})
	failure(t, err, fault.NotFound, "module")
	opt := r.options("HEAD")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(git, filepath.Join(dir, "git")); err != nil {
		t.Fatal(err)
	}
	opt.Env = append(opt.Env, "PATH="+dir)
	_, err = open(t, opt).Build(t.Context(), build.BuildOptions{})
	failure(t, err, fault.Unsupported, "go", "PATH")
}

// The work tree must not change while it is built.
func TestWorkTreeChangesMeanwhile(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("")
	opt.Env = wrapped(t, opt.Env, `if [ "$1" = test ]; then echo >> '`+r.dir+`/shop.go'; fi`)
	_, err := open(t, opt).Build(t.Context(), build.BuildOptions{})
	failure(t, err, fault.Invalid, "changed meanwhile", "run again")
}

// An interrupted build ends the go command's processes and leaves nothing.
func TestInterruptedBuild(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	opt.Env = wrapped(t, opt.Env, `if [ "$1" = test ]; then GO "$@"; echo done > '`+r.dir+`/../made'; sleep 60; fi`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !exists(filepath.Join(r.dir, "..", "made")) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	defer cancel()
	s := open(t, opt)
	start := time.Now()
	if _, err := s.Build(ctx, build.BuildOptions{}); !errors.Is(err, context.Canceled) || time.Since(start) > 50*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	closeSide(t, s)
	for _, dir := range []string{"work", "binaries"} {
		if left, err := os.ReadDir(filepath.Join(opt.CacheDir, dir)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", dir, left, err)
		}
	}
	opt.Env = r.env
	if b := built(t, open(t, opt), build.BuildOptions{}); b.Linked != 2 {
		t.Errorf("%d linked", b.Linked)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// Packages whose binaries have one name are built apart.
func TestSameNames(t *testing.T) {
	files := map[string]string{"go.mod": goMod}
	var want []string
	for _, dir := range []string{"a/x", "a/x/v2", "b/x", "v2", "v3"} {
		files[dir+"/x_test.go"] = "package x\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) { b.ReportMetric(1, \"" + dir + "\") }\n"
		want = append(want, "example.com/shop/"+dir)
	}
	r := newRepo(t, files)
	b := built(t, open(t, r.options("HEAD")), build.BuildOptions{})
	if diff := cmp.Diff(want, packages(b)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	for _, x := range b.Binaries {
		if out := run(t, x); !strings.Contains(out, strings.TrimPrefix(x.Package, "example.com/shop/")) {
			t.Errorf("%s printed\n%s", x.Package, out)
		}
	}
}

// The workspace of the user's is that of the revision.
func TestWorkspaces(t *testing.T) {
	files := map[string]string{
		"go.work": "go 1.21\n\nuse ./app\nuse ./lib\n", "other.work": "go 1.21\n\nuse ./app\nuse ./lib2\n",
		"lib/go.mod": "module example.com/lib\n\ngo 1.21\n", "lib/lib.go": "package lib\n\nconst Answer = 41\n",
		"lib2/go.mod": "module example.com/lib\n\ngo 1.21\n", "lib2/lib.go": "package lib\n\nconst Answer = 43\n",
		"app/go.mod":      "module example.com/app\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n",
		"app/app_test.go": "package app\n\nimport (\n\t\"testing\"\n\n\t\"example.com/lib\"\n)\n\nfunc BenchmarkX(b *testing.B) { b.ReportMetric(lib.Answer, \"answer\") }\n",
	}
	r := newRepo(t, files)
	r.commit(map[string]string{"lib/lib.go": "package lib\n\nconst Answer = 42\n"})
	for _, tc := range []struct {
		name, revision, env, answer string
	}{
		{"base", "HEAD~1", "GOWORK=", "41.00 answer"},
		{"head", "", "GOWORK=", "42.00 answer"},
		{"named in the base", "HEAD~1", "GOWORK=" + filepath.Join(r.dir, "other.work"), "43.00 answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.lend(t)
			opt := r.options(tc.revision)
			opt.Dir, opt.Env = filepath.Join(r.dir, "app"), append(opt.Env, tc.env)
			b := built(t, open(t, opt), build.BuildOptions{})
			if out := run(t, b.Binaries[0]); !strings.Contains(out, tc.answer) {
				t.Errorf("no %q in\n%s", tc.answer, out)
			}
		})
	}
	outside := filepath.Join(tempDir(t), "go.work")
	write(t, filepath.Dir(outside), map[string]string{"go.work": fmt.Sprintf("go 1.21\n\nuse %s/app\nuse %[1]s/lib\n", r.dir)})
	opt := r.options("HEAD")
	opt.Dir, opt.Env = filepath.Join(r.dir, "app"), append(opt.Env, "GOWORK="+outside)
	_, err := open(t, opt).Build(t.Context(), build.BuildOptions{})
	failure(t, err, fault.Unsupported, "outside of the repository", "GOWORK=off")
	opt.Env = append(opt.Env, "GOWORK=off")
	b, err := open(t, opt).Build(t.Context(), build.BuildOptions{})
	if err != nil || len(b.Failed) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	failure(t, b.Failed[0].Err, fault.CodeOf(b.Failed[0].Err), "example.com/lib")
}

// Modules below the top, vendored modules, and directories outside.
func TestModules(t *testing.T) {
	app := "package app\n\nimport (\n\t\"testing\"\n\n\t\"example.com/lib\"\n)\n\nfunc BenchmarkX(b *testing.B) { b.ReportMetric(lib.Answer, \"answer\") }\n"
	r := newRepo(t, map[string]string{
		"go.mod": goMod, "vendored/go.mod": "module example.com/app\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n", "vendored/app_test.go": app,
		"vendored/vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit; go 1.21\nexample.com/lib\n", "vendored/vendor/example.com/lib/lib.go": "package lib\n\nconst Answer = 44\n",
		"inside/go.mod": "module example.com/app\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../lib\n", "inside/app_test.go": app,
		"lib/go.mod": "module example.com/lib\n\ngo 1.21\n", "lib/lib.go": "package lib\n\nconst Answer = 45\n",
		"outside/go.mod": "module example.com/app\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../../beside\n", "outside/app_test.go": app,
	})
	for dir, answer := range map[string]string{"vendored": "44.00 answer", "inside": "45.00 answer"} {
		opt := r.options("HEAD")
		opt.Dir = filepath.Join(r.dir, dir)
		s := open(t, opt)
		b := built(t, s, build.BuildOptions{Packages: []string{filepath.Join(opt.Dir, "...")}})
		if out := run(t, b.Binaries[0]); !strings.Contains(out, answer) || s.Root == s.Dir || b.Binaries[0].Dir != s.Dir {
			t.Errorf("no %q in\n%s", answer, out)
		}
	}
	opt := r.options("HEAD")
	opt.Dir = filepath.Join(r.dir, "outside")
	b, err := open(t, opt).Build(t.Context(), build.BuildOptions{})
	if err == nil {
		err = b.Failed[0].Err
	}
	failure(t, err, fault.Invalid, "beside", "outside of the repository")
}
