package direct

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream/upstreamtest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// insteadOf lets git find what is at https://FROM in the file TO: a repository on
// this machine's disk, as the real go command asks for it.
func insteadOf(t testing.TB, from, to string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(path, fmt.Appendf(nil, "[url \"file://%s\"]\n\tinsteadOf = https://%s\n", filepath.ToSlash(to), from), 0o600); err != nil {
		t.Fatal(err)
	}
	return "GIT_CONFIG_GLOBAL=" + path
}

// TestDirect gets modules of every form from a real repository over file://.
func TestDirect(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	repo := n.Repository("lib")
	const path = "corp.example.com/Lib.git"
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(path), "lib.go": "package lib\n", "LICENSE": "free\n", ".gitattributes": "lib.go export-ignore\n"}, "v1.0.0")
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(path, "retract v1.0.0")}, "v1.1.0")
	repo.Commit(map[string]string{"sub/go.mod": upstreamtest.GoMod(path + "/sub"), "sub/a.go": "package sub\n", "sub/Deep/b.go": "package deep\n"}, "sub/v0.1.0")
	repo.Commit(map[string]string{"v2/go.mod": upstreamtest.GoMod(path + "/v2"), "v2/a.go": "package lib\n"}, "v2.0.0-rc.1")
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(path), "new.go": "package lib\n", "vendor/modules.txt": "", "a b.go": "package lib\n"})
	head := repo.Git("rev-parse", "HEAD")
	env := n.Environ(insteadOf(t, "corp.example.com/Lib", repo.Bare))
	dir := t.TempDir()
	s := newSource(t, Options{Dir: dir, Environ: env})

	versions, err := s.Versions(ctx, path)
	if want := []string{"v1.0.0", "v1.1.0"}; err != nil || !slices.Equal(versions, want) {
		t.Errorf("versions %v, %v; want %v, the retracted one too", versions, err, want)
	}
	info, err := s.Latest(ctx, path)
	if err != nil || upstreamtest.VersionIn(t, info) != "v1.1.0" {
		t.Errorf("latest %s, %v", info, err)
	}
	info, err = s.Info(ctx, path, "main")
	if err != nil {
		t.Fatal(err)
	}
	pseudo := upstreamtest.VersionIn(t, info)
	if !module.IsPseudoVersion(pseudo) || !strings.HasSuffix(pseudo, head[:12]) || !strings.HasPrefix(pseudo, "v1.1.1-0.20240506070809-") {
		t.Errorf("main is %s", info)
	}
	for _, m := range []module.Version{{Path: path, Version: "v1.0.0"}, {Path: path, Version: pseudo}, {Path: path + "/sub", Version: "v0.1.0"}, {Path: path + "/v2", Version: "v2.0.0-rc.1"}} {
		checkDirect(t, s, m, env)
	}
	for what, f := range map[string]func() error{
		"unknown revision v1.9.0": func() error { _, err := s.Info(ctx, path, "v1.9.0"); return err },
		"unknown revision nowhere": func() error {
			_, err := s.Info(ctx, path, "nowhere")
			return err
		},
		"unknown revision v1.9.1": func() error {
			_, err := s.Fetch(ctx, module.Version{Path: path, Version: "v1.9.1"}, dir, upstream.Known{})
			return err
		},
		"unknown revision v1.9.2": func() error { _, err := s.Mod(ctx, module.Version{Path: path, Version: "v1.9.2"}); return err },
		"no matching versions":    func() error { _, err := s.Latest(ctx, path+"/nothing"); return err },
		"only at a module proxy":  func() error { _, err := s.Versions(ctx, "golang.org/toolchain"); return err },
	} {
		upstreamtest.CheckCode(t, f(), fault.NotFound, what)
	}
	if hosts := n.Asked(); len(hosts) > 0 {
		t.Errorf("a path with .git takes no host, but %v were asked", hosts)
	}
	checkTidy(t, dir)
}

// checkDirect compares with what the go command itself has of a version.
func checkDirect(t *testing.T, s upstream.Source, m module.Version, env []string) {
	t.Helper()
	dir := t.TempDir()
	d, err := s.Fetch(ctx, m, dir, upstream.Known{})
	if err != nil {
		t.Errorf("%s: %v", m, err)
		return
	}
	cache := t.TempDir()
	upstreamtest.Run(t, t.TempDir(), append(slices.Clone(env), "GOPROXY=direct", "GOSUMDB=off", "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOWORK=off"), "go", "mod", "download", m.String())
	path, _ := module.EscapePath(m.Path)
	version, _ := module.EscapeVersion(m.Version)
	base := filepath.Join(cache, "cache", "download", filepath.FromSlash(path), "@v", version)
	want, err := dirhash.HashZip(base+".zip", dirhash.Hash1)
	if err != nil || d.Sum != want || d.Origin != "direct" {
		t.Errorf("%s: sum %s, %v; the go command's %s", m, d.Sum, err, want)
	}
	mod, err := os.ReadFile(base + ".mod")
	if err != nil || string(mod) != string(d.Mod) || d.GoModSum != upstreamtest.GoModSum(t, string(mod)) {
		t.Errorf("%s: mod %q, %v; want %q", m, d.Mod, err, mod)
	}
	got, err := s.Mod(ctx, m)
	if err != nil || string(got) != string(mod) {
		t.Errorf("%s: mod alone %q, %v", m, got, err)
	}
	info, err := s.Info(ctx, m.Path, m.Version)
	if err != nil || upstreamtest.VersionIn(t, d.Info) != m.Version || upstreamtest.VersionIn(t, info) != m.Version || !strings.Contains(string(info), "2024-05-06T07:08:09Z") {
		t.Errorf("%s: info %s and %s, %v", m, info, d.Info, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	upstreamtest.CheckEmpty(t, dir)
}

// checkTidy expects no zips and no files of modules in the directory, and the
// repositories in it.
func checkTidy(t *testing.T, dir string) {
	t.Helper()
	upstreamtest.CheckEmpty(t, filepath.Join(dir, "work"))
	if kept, err := os.ReadDir(moduleCache(filepath.Join(dir, "mod")).repositories()); err != nil || len(kept) == 0 {
		t.Errorf("repositories %v, %v", kept, err)
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(path, "/vcs/") && slices.Contains([]string{".zip", ".ziphash", ".go"}, filepath.Ext(path)) {
			t.Errorf("%s was left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNewerGo serves modules that are for a newer Go than the module proxy has.
// What it makes is the same as the go command would.
func TestNewerGo(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	repo := n.Repository("lib")
	const path = "corp.example.com/lib.git"
	files := func(goVersion string) map[string]string {
		mod := func(path string) string { return "module " + path + "\n\ngo " + goVersion + "\n" }
		return map[string]string{
			"go.mod": mod(path), "lib.go": "package lib // $Format:%H$\n", "LICENSE": "free\n", ".gitattributes": "*.go export-subst\nx.go export-ignore\n", "x.go": "package lib\n",
			"vendor/modules.txt": "", "vendor/a.example.com/a/a.go": "package a\n", "sub/go.mod": mod(path + "/sub"), "sub/a.go": "package sub\n",
			"sub/v3/go.mod": mod(path + "/sub/v3"), "sub/v3/a.go": "package sub\n", "subway/a.go": "package subway\n",
		}
	}
	repo.Commit(files("1.24"), "v1.0.0", "sub/v0.1.0", "sub/v3.0.0")
	repo.Commit(files("1.99"), "v1.1.0", "sub/v0.2.0", "sub/v3.1.0")
	env := n.Environ(insteadOf(t, "corp.example.com/lib", repo.Bare))
	dir := t.TempDir()
	s := newSource(t, Options{Dir: dir, Environ: env})
	work := filepath.Join(dir, "work")
	for name, age := range map[string]time.Duration{"temporary-killed": 2 * time.Hour, "temporary-running": time.Minute} {
		if err := os.MkdirAll(filepath.Join(work, name, ".git"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(work, name), time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]module.Version{
		{{Path: path, Version: "v1.0.0"}, {Path: path, Version: "v1.1.0"}},
		{{Path: path + "/sub", Version: "v0.1.0"}, {Path: path + "/sub", Version: "v0.2.0"}},
		{{Path: path + "/sub/v3", Version: "v3.0.0"}, {Path: path + "/sub/v3", Version: "v3.1.0"}},
	} {
		dir := t.TempDir()
		old, err := s.Fetch(ctx, pair[0], dir, upstream.Known{})
		if err != nil {
			t.Fatal(err)
		}
		recent, err := s.Fetch(ctx, pair[1], dir, upstream.Known{})
		if err != nil {
			t.Errorf("%s: %v", pair[1], err)
			continue
		}
		if !strings.Contains(string(recent.Mod), "go 1.99") || upstreamtest.VersionIn(t, recent.Info) != pair[1].Version {
			t.Errorf("%s: %s, %s", pair[1], recent.Mod, recent.Info)
		}
		// They differ in the version and in the line of go.mod only.
		got := strings.ReplaceAll(contents(t, recent.Path, pair[1]), "go 1.99", "go 1.24")
		if want := contents(t, old.Path, pair[0]); got != want {
			t.Errorf("%s has\n%s\nwant\n%s", pair[1], got, want)
		}
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		if err := recent.Close(); err != nil {
			t.Error(err)
		}
		upstreamtest.CheckEmpty(t, dir)
	}
	if entries, err := os.ReadDir(work); err != nil || len(entries) != 1 || entries[0].Name() != "temporary-running" {
		t.Errorf("%v, %v", entries, err)
	}
}

// contents writes out a zip: names below the version, and what they have.
func contents(t testing.TB, path string, m module.Version) string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var lines []string
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		lines = append(lines, fmt.Sprintf("%s: %q", strings.TrimPrefix(f.Name, m.String()+"/"), data))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestVanity follows a go-import tag to a repository over https that wants
// credentials, from a page that wants others: both come from the environment, and
// each goes to its host only.
func TestVanity(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	const path = "corp.example.com/team/lib"
	n.Repository("lib").Commit(map[string]string{"go.mod": upstreamtest.GoMod(path), "lib.go": "package lib\n"}, "v1.0.0")
	n.Vanity(path, path, "https://git.example.com/lib.git")
	n.Lock("git.example.com/lib", "oauth2", "git-t0ken")
	n.Lock("corp.example.com", "ci", "corp-t0ken")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := module.Version{Path: path, Version: "v1.0.0"}
	fetch := func(env ...string) error {
		dir := t.TempDir()
		s := newSource(t, Options{Private: "corp.example.com/*", Dir: t.TempDir(), Environ: n.Environ(env...), CredentialCommand: []string{program, "credential"}})
		d, err := s.Fetch(ctx, m, dir, upstream.Known{})
		if err != nil {
			upstreamtest.CheckEmpty(t, dir)
			return err
		}
		if strings.Contains(string(d.Info), "t0ken") || !strings.Contains(string(d.Info), "https://git.example.com/lib.git") {
			t.Errorf("info %s", d.Info)
		}
		return d.Close()
	}
	corp := []string{"GOPHERWOOD_GIT_TOKEN_CORP_EXAMPLE_COM=corp-t0ken", "GOPHERWOOD_GIT_USER_CORP_EXAMPLE_COM=ci"}
	if err := fetch(append(corp, "GOPHERWOOD_GIT_TOKEN_GIT_EXAMPLE_COM=git-t0ken", "GOAUTH=off")...); err != nil {
		t.Errorf("by the environment: %v", err)
	}
	netrc := filepath.Join(t.TempDir(), "a netrc file")
	if err := os.WriteFile(netrc, []byte("machine git.example.com login oauth2 password git-t0ken\nmachine corp.example.com login ci password corp-t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fetch("NETRC=" + netrc); err != nil {
		t.Errorf("by netrc: %v", err)
	}
	if hosts := n.Authorized(); !slices.Equal(hosts, []string{"corp.example.com", "git.example.com"}) {
		t.Errorf("credentials went to %v", hosts)
	}
	for _, r := range n.Seen() {
		user, password, ok := r.BasicAuth()
		if ok && (r.Host == "git.example.com") != (user == "oauth2" && password == "git-t0ken") {
			t.Errorf("%s got the credentials of another host", r.Host)
		}
	}
	n.Forget()

	err = fetch(corp...)
	upstreamtest.CheckCode(t, err, fault.Denied, "GOPHERWOOD_GIT_TOKEN_", "git.example.com")
	err = fetch(append(corp, "GOPHERWOOD_GIT_TOKEN_GIT_EXAMPLE_COM=wr0ng-t0ken")...)
	upstreamtest.CheckCode(t, err, fault.Denied, "git.example.com")
	if err != nil && strings.Contains(err.Error(), "t0ken") {
		t.Error(err)
	}
	// A token that is for another host does not help, and does not leave.
	n.Forget()
	err = fetch("GOPHERWOOD_GIT_TOKEN_OTHER_EXAMPLE_COM=git-t0ken")
	if err == nil || len(n.Authorized()) > 0 {
		t.Errorf("%v; credentials went to %v", err, n.Authorized())
	}
}

// TestDirectFaults breaks what the go command needs.
func TestDirectFaults(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	repo := n.Repository("lib")
	const path = "corp.example.com/lib.git"
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(path), "lib.go": "package lib\n"}, "v1.0.0")
	repo.Commit(map[string]string{"a/A.go": "package a\n", "a/a.go": "package a\n"}, "v1.1.0")
	found := insteadOf(t, "corp.example.com/lib", repo.Bare)
	goOnly := t.TempDir()
	goProgram := filepath.Join(upstreamtest.GOROOT(t), "bin", "go")
	if err := os.Symlink(goProgram, filepath.Join(goOnly, "go")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opt     Options
		env     []string
		version string
		code    fault.Code
		words   []string
	}{
		"no go":         {Options{}, []string{"PATH=" + t.TempDir()}, "v1.0.0", fault.Unsupported, []string{"go: it is not on PATH", "install go"}},
		"no such go":    {Options{GoCommand: "/nowhere/go"}, nil, "v1.0.0", fault.Unsupported, []string{"/nowhere/go", "install go"}},
		"no git":        {Options{}, []string{"PATH=" + goOnly, "GOROOT=" + upstreamtest.GOROOT(t)}, "v1.0.0", fault.Unsupported, []string{"git", "install"}},
		"GOVCS":         {Options{}, []string{found, "GOVCS=*:off"}, "v1.0.0", fault.Unsupported, []string{"GOVCS disallows"}},
		"no repository": {Options{}, nil, "v1.0.0", fault.NotFound, []string{"repository 'https://corp.example.com/lib/' not found"}},
		"no directory":  {Options{Dir: "-"}, []string{found}, "v1.0.0", fault.Usage, []string{"directory"}},
		"two cases":     {Options{}, []string{found}, "v1.1.0", fault.Invalid, []string{"case-insensitive"}},
		"a large zip":   {Options{MaxZip: 100}, []string{found}, "v1.0.0", fault.Limit, []string{"more than 100 bytes"}},
		"no time":       {Options{Timeout: time.Millisecond}, []string{found}, "v1.0.0", fault.Unavailable, []string{"more than 1ms"}},
		"git settings":  {Options{}, []string{found, "GIT_DIR=/nowhere", "GIT_WORK_TREE=/nowhere", "GOFLAGS=-mod=vendor", "GOPROXY=off", "GO111MODULE=off"}, "v1.0.0", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := c.opt
			opt.Environ = n.Environ(c.env...)
			switch opt.Dir {
			case "":
				opt.Dir = t.TempDir()
			case "-":
				opt.Dir = ""
			}
			dir := t.TempDir()
			_, err := newSource(t, opt).Fetch(ctx, module.Version{Path: path, Version: c.version}, dir, upstream.Known{})
			upstreamtest.CheckCode(t, err, c.code, c.words...)
			if err != nil {
				upstreamtest.CheckEmpty(t, dir)
				if opt.Dir != "" && strings.Contains(err.Error(), opt.Dir) {
					t.Errorf("the error has a path of this machine: %v", err)
				}
			}
		})
	}
}

// TestDirectCanceled ends git, too, when nobody waits for it any more.
func TestDirectCanceled(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its programs are no scripts
	}
	bin, mark := t.TempDir(), filepath.Join(t.TempDir(), "mark")
	script := fmt.Sprintf("#!/bin/sh\ntrap '' INT TERM\necho $$ >%s\nwhile :; do sleep 0.1; echo >>%s; done\n", mark, mark)
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + hometest.New(t), "PATH=" + bin + ":" + os.Getenv("PATH")}
	s := newSource(t, Options{Dir: t.TempDir(), Environ: env})
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(mark); err == nil {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	dir := t.TempDir()
	_, err := s.Fetch(asking, module.Version{Path: "corp.example.com/lib.git", Version: "v1.0.0"}, dir, upstream.Known{})
	upstreamtest.CheckCode(t, err, fault.Canceled)
	upstreamtest.CheckEmpty(t, dir)
	before, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if after, err := os.ReadFile(mark); err != nil || len(after) != len(before) {
		t.Errorf("git goes on: %d bytes, then %d, %v", len(before), len(after), err)
	}
}

// TestDirectParallel fetches many versions at once with one module cache.
func TestDirectParallel(t *testing.T) {
	n := upstreamtest.NewInternet(t)
	repo := n.Repository("lib")
	const path = "corp.example.com/lib.git"
	repo.Commit(map[string]string{"go.mod": upstreamtest.GoMod(path)})
	for i := range 8 {
		repo.Commit(map[string]string{"lib.go": fmt.Sprintf("package lib // %d\n", i)}, fmt.Sprintf("v1.0.%d", i))
	}
	s := newSource(t, Options{Dir: t.TempDir(), Environ: n.Environ(insteadOf(t, "corp.example.com/lib", repo.Bare))})
	dir := t.TempDir()
	var wait sync.WaitGroup
	for i := range 8 {
		for range 3 {
			wait.Go(func() {
				d, err := s.Fetch(ctx, module.Version{Path: path, Version: fmt.Sprintf("v1.0.%d", i)}, dir, upstream.Known{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	upstreamtest.CheckEmpty(t, dir)
}

func TestFromGoEnv(t *testing.T) {
	t.Setenv("GOPROXY", "https://proxy.example.com|direct")
	t.Setenv("GOPRIVATE", "corp.example.com")
	env, err := FromGoEnv(ctx, "")
	if err != nil || env.GOPROXY != "https://proxy.example.com|direct" || env.GONOPROXY != "corp.example.com" || env.GOSUMDB == "" {
		t.Errorf("%+v, %v", env, err)
	}
	_, err = FromGoEnv(ctx, "/nowhere/go")
	upstreamtest.CheckCode(t, err, fault.Unsupported, "install go")
}
