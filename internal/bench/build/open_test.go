package build_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// A revision is checked out as it is in git, and neither it nor the hash of the
// work tree leaves a trace in the user's repository.
func TestOpen(t *testing.T) {
	r := newRepo(t, shop())
	first, firstTree := r.git("rev-parse", "HEAD"), r.git("rev-parse", "HEAD^{tree}")
	r.commit(map[string]string{"shop.go": "package shop\n\nfunc Answer() int { return 42 }\n"})
	r.write(map[string]string{"new.go": "package shop\n", "cart/cart.go": "package cart // x\n"})
	r.git("add", "cart")
	r.write(map[string]string{"cart/cart.go": "package cart // y\n"})
	before := below(t, filepath.Join(r.dir, ".git"))

	base, head := open(t, r.options("HEAD~1")), open(t, r.options(""))
	if diff := cmp.Diff(api.BenchSide{Revision: "HEAD~1", Commit: first, Tree: firstTree}, base.Facts(nil)); diff != "" {
		t.Errorf("base (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(shop(), trimmed(below(t, base.Dir))); diff != "" || base.Root != base.Dir {
		t.Errorf("%s, %s (-want +got)\n%s", base.Root, base.Dir, diff)
	}
	if head.Root != r.dir || head.Dir != r.dir || !head.Dirty || head.Commit != r.git("rev-parse", "HEAD") {
		t.Errorf("head %+v in %s", head.BenchSide, head.Dir)
	}
	if diff := cmp.Diff(before, below(t, filepath.Join(r.dir, ".git"))); diff != "" {
		t.Errorf("the repository was changed (-want +got)\n%s", diff)
	}
	if len(base.Notes)+len(head.Notes) > 0 {
		t.Errorf("notes %q, %q", base.Notes, head.Notes)
	}
}

// trimmed has names without the first slash.
func trimmed(files map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range files {
		out[strings.TrimPrefix(filepath.ToSlash(name), "/")] = text
	}
	return out
}

// The hash of a work tree is that which git gives it when all of it is committed.
func TestWorkTreeHash(t *testing.T) {
	r := newRepo(t, shop())
	for _, tc := range []struct {
		name  string
		files map[string]string
		dirty bool
	}{
		{"nothing", nil, false},
		{"ignored", map[string]string{"a.gen.go": "package shop\n", "ignored/x": "x"}, false},
		{"as long as before", map[string]string{"testdata/in": "y"}, true},
		{"new", map[string]string{"b/c/d": "x"}, true},
		{"removed", map[string]string{"quiet": ""}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.lend(t)
			r.write(tc.files)
			s := open(t, r.options(""))
			r.commit(nil)
			if want := r.git("rev-parse", "HEAD^{tree}"); s.Tree != want || s.Dirty != tc.dirty {
				t.Errorf("tree %s, dirty %v; want %s, %v", s.Tree, s.Dirty, want, tc.dirty)
			}
		})
	}
}

// A file that was changed within the tick of the clock in which git looked at it,
// and is as long as before, is one whose content has to be looked at.
func TestChangeWithinATick(t *testing.T) {
	r := newRepo(t, shop())
	r.git("config", "core.checkStat", "minimal")
	r.git("config", "core.trustctime", "false")
	name, index := filepath.Join(r.dir, "testdata", "in"), filepath.Join(r.dir, ".git", "index")
	tick := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(name string) {
		if err := os.Chtimes(name, tick, tick); err != nil {
			t.Fatal(err)
		}
	}
	at(name)
	r.git("update-index", "--refresh")
	at(index)
	r.write(map[string]string{"testdata/in": "y"})
	at(name)
	if s := open(t, r.options("")); !s.Dirty {
		t.Error("the change was not seen")
	}
}

func TestWithoutCommits(t *testing.T) {
	r := &repo{t: t, dir: tempDir(t), env: environ(t)}
	r.git("init", "-q")
	r.write(shop())
	if s := open(t, r.options("")); s.Commit != "" || s.Tree == "" || !s.Dirty {
		t.Errorf("%+v", s.BenchSide)
	}
}

// Hooks of git are run with variables that name a repository, and their own is
// another one than the gate's.
func TestMisleadingEnvironment(t *testing.T) {
	r, other := newRepo(t, shop()), newRepo(t, map[string]string{"x": "y"})
	opt := r.options("HEAD")
	opt.Env = append(opt.Env, "GIT_DIR="+filepath.Join(other.dir, ".git"), "GIT_WORK_TREE="+other.dir, "GIT_INDEX_FILE="+filepath.Join(other.dir, ".git", "index"))
	if s := open(t, opt); s.Tree != r.git("rev-parse", "HEAD^{tree}") {
		t.Errorf("tree %s", s.Tree)
	}
}

// Linked work trees and directories below the top are the user's, too.
func TestOpenInLinkedWorkTree(t *testing.T) {
	r := newRepo(t, shop())
	r.write(map[string]string{"testdata/in": "dirty"})
	linked := filepath.Join(tempDir(t), "linked")
	r.git("worktree", "add", "-q", linked, "-b", "side")
	opt := r.options("")
	opt.Dir = filepath.Join(linked, "cart")
	if s := open(t, opt); s.Dirty || s.Root != linked || s.Dir != opt.Dir || s.Tree != r.git("rev-parse", "side^{tree}") {
		t.Errorf("%+v in %s", s.BenchSide, s.Dir)
	}
	opt.Revision = "main"
	if s := open(t, opt); s.Dir != filepath.Join(s.Root, "cart") {
		t.Errorf("%s in %s", s.Dir, s.Root)
	}
}

func TestOpenErrors(t *testing.T) {
	r := newRepo(t, shop())
	r.git("branch", "feature")
	r.commit(map[string]string{"later/x.go": "package later\n"})
	clone := func(args ...string) *repo {
		c := &repo{t: t, dir: filepath.Join(tempDir(t), "clone"), env: r.env}
		r.git(append(append([]string{"clone", "-q"}, args...), "file://"+r.dir, c.dir)...)
		return c
	}
	full, shallow, bare := clone(), clone("--depth=1"), clone("--bare")
	for _, tc := range []struct {
		name, dir, revision string
		code                fault.Code
		parts               []string
	}{
		{"no repository", tempDir(t), "HEAD", fault.NotFound, []string{"in none", "bench compare"}},
		{"no directory", filepath.Join(r.dir, "absent"), "", fault.NotFound, []string{"absent"}},
		{"no work tree", bare.dir, "HEAD", fault.NotFound, []string{"no work tree"}},
		{"no revision", r.dir, "v9.9.9", fault.NotFound, []string{"v9.9.9", "no such commit", "git log"}},
		{"shallow", shallow.dir, "HEAD~1", fault.NotFound, []string{"shallow", "--unshallow", "fetch-depth: 0", "GIT_DEPTH"}},
		{"branch of a remote", full.dir, "feature", fault.NotFound, []string{"origin/feature"}},
		{"option", r.dir, "--all", fault.Usage, []string{"--all"}},
		{"directory of the head only", filepath.Join(r.dir, "later"), "HEAD~1", fault.NotFound, []string{"base HEAD~1", "later", "no such directory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opt := build.Options{Name: "base", Dir: tc.dir, Revision: tc.revision, Env: r.env}
			_, err := build.Open(t.Context(), opt)
			failure(t, err, tc.code, tc.parts...)
		})
	}
	// What a shallow clone has can be built.
	if s := open(t, shallow.options("HEAD")); s.Tree != r.git("rev-parse", "HEAD^{tree}") {
		t.Errorf("tree %s", s.Tree)
	}
	opt := r.options("HEAD")
	opt.Env = []string{"PATH=" + t.TempDir()}
	_, err := build.Open(t.Context(), opt)
	failure(t, err, fault.Unsupported, "git", "install git")
}

func TestCanceled(t *testing.T) {
	r := newRepo(t, shop())
	ctx, cancel := context.WithCancel(t.Context())
	opt := r.options("HEAD")
	s, err := build.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Build(ctx, build.BuildOptions{Packages: []string{"./..."}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v", err)
	}
	closeSide(t, s)
	closeSide(t, s)
	if _, err := build.Open(ctx, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(opt.CacheDir, "work")); err != nil || len(left) > 0 {
		t.Errorf("%v left, %v", left, err)
	}
}

// Two sides of one revision do not meet, and what the benchmarks of one have done
// to its files is undone for the next.
func TestCheckoutsAreApart(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	first, second := open(t, opt), open(t, opt)
	if first.Root == second.Root {
		t.Fatalf("both are in %s", first.Root)
	}
	root := first.Root
	for name, damage := range map[string]func() error{
		"changed": func() error { return os.WriteFile(filepath.Join(root, "testdata/in"), []byte("y"), 0o644) },
		"new":     func() error { return os.WriteFile(filepath.Join(root, "ignored"), []byte("y"), 0o644) },
		"removed": func() error { return os.RemoveAll(filepath.Join(root, "cart")) },
		"mode":    func() error { return os.Chmod(filepath.Join(root, "shop.go"), 0o755) },
		"index":   func() error { return os.WriteFile(filepath.Join(root, "../index"), []byte("x"), 0o644) },
		"half":    func() error { return os.Remove(filepath.Join(root, "../size")) },
		"all":     func() error { return os.RemoveAll(root) },
	} {
		t.Run(name, func(t *testing.T) {
			closeSide(t, first)
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			first = open(t, opt)
			if first.Root != root {
				t.Fatalf("%s instead of %s", first.Root, root)
			}
			if diff := cmp.Diff(shop(), trimmed(below(t, root))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if info, err := os.Stat(filepath.Join(root, "shop.go")); err != nil || info.Mode()&0o111 != 0 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// A checkout that is as it should be is not made again.
func TestCheckoutIsKept(t *testing.T) {
	r := newRepo(t, shop())
	opt := r.options("HEAD")
	inode := func() os.FileInfo {
		s := open(t, opt)
		defer closeSide(t, s)
		info, err := os.Stat(filepath.Join(s.Root, "shop.go"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if !os.SameFile(inode(), inode()) {
		t.Error("it was checked out again")
	}
}

func TestSparseWorkTree(t *testing.T) {
	r := newRepo(t, shop())
	r.git("sparse-checkout", "set", "cart")
	s := open(t, r.options("HEAD"))
	if diff := cmp.Diff(shop(), trimmed(below(t, s.Root))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s := open(t, r.options("")); s.Dirty {
		t.Error("a sparse work tree is dirty")
	}
}

func TestNotes(t *testing.T) {
	library := newRepo(t, map[string]string{"x": "y"})
	files := shop()
	files[".gitattributes"] = "*.bin filter=lfs\n"
	files["testdata/a.bin"] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
	files["testdata/b.bin"] = "what is there"
	r := newRepo(t, files)
	r.git("submodule", "--quiet", "add", "file://"+library.dir, "third party")
	r.commit(nil)
	want := []string{
		"base: submodules are not checked out: third party",
		"base: files of Git LFS are not there, only what stands for them (install git-lfs): testdata/a.bin",
	}
	if diff := cmp.Diff(want, open(t, r.options("HEAD")).Notes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s := open(t, r.options("")); len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "submodules") || s.Dirty {
		t.Errorf("%q, dirty %v", s.Notes, s.Dirty)
	}
}

// No hook and no trace of the user's settings runs for a checkout.
func TestHooksDoNotRun(t *testing.T) {
	r := newRepo(t, shop())
	for _, hook := range []string{"post-index-change", "post-checkout"} {
		name := filepath.Join(r.dir, ".git", "hooks", hook)
		write(t, r.dir, map[string]string{".git/hooks/" + hook: "#!/bin/sh\ntouch '" + r.dir + "/.git/ran'\n"})
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	open(t, r.options("HEAD"))
	open(t, r.options(""))
	if _, err := os.Stat(filepath.Join(r.dir, ".git", "ran")); err == nil {
		t.Error("a hook ran")
	}
}
