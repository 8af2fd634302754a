package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/bench/build"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// workerEnv makes the test binary a process that builds what it names.
const workerEnv = "GOPHERWOOD_BUILD_WORKER"

// goCache keeps what the tests compile: the standard library is in the user's.
var goCache string

func TestMain(m *testing.M) {
	if job := os.Getenv(workerEnv); job != "" {
		os.Exit(work(job))
	}
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "go env:", err, "(install Go: https://go.dev/dl)")
		os.Exit(1)
	}
	goCache = strings.TrimSpace(string(out))
	os.Exit(m.Run())
}

const (
	goMod = "module example.com/shop\n\ngo 1.21\n"
	// benchmark reads a file beside it, as benchmarks do.
	benchmark = `package shop

import (
	"os"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	for i := 0; i < b.N; i++ {
		if _, err := os.ReadFile("testdata/in"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(Answer()), "answer")
}
`
)

// shop is a module with benchmarks in the packages shop and shop/cart.
func shop() map[string]string {
	return map[string]string{
		"go.mod": goMod, "shop.go": "package shop\n\nfunc Answer() int { return 41 }\n", "shop_test.go": benchmark, "testdata/in": "x",
		"cart/cart.go":      "package cart\n",
		"cart/cart_test.go": "package cart_test\n\nimport \"testing\"\n\nfunc BenchmarkAdd(b *testing.B) {}\n\nfunc BenchmarkSub(b *testing.B) {}\n\nfunc Benchmarking(b *testing.B) {}\n",
		"quiet/quiet.go":    "package quiet\n", "quiet/quiet_test.go": "package quiet\n\nimport \"testing\"\n\nfunc TestNothing(t *testing.T) {}\n",
		".gitignore": "*.gen.go\nignored\n",
	}
}

// repo is a git repository with a work tree.
type repo struct {
	t   testing.TB
	dir string
	env []string
}

// environ is what git and the go command run in: the test's own, without what it
// was told about repositories and builds.
func environ(t testing.TB) []string {
	t.Helper()
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "GIT_") })
	return append(env, "HOME="+hometest.New(t), "GOCACHE="+goCache, "GOENV=off", "GOFLAGS=", "GOWORK=", "GOTOOLCHAIN=local", "GOPROXY=off", "GOAMD64=", "GOEXPERIMENT=",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
}

// newRepo makes a repository and commits files.
func newRepo(t testing.TB, files map[string]string) *repo {
	t.Helper()
	r := &repo{t: t, dir: tempDir(t), env: environ(t)}
	r.git("init", "-q", "-b", "main")
	r.commit(files)
	return r
}

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", slices.Concat([]string{"-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always", "-c", "commit.gpgsign=false"}, args)...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s(git must be installed: Debian: apt install git)", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// write writes files into the work tree; an empty text removes.
func (r *repo) write(files map[string]string) {
	r.t.Helper()
	write(r.t, r.dir, files)
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if text == "" {
			err = errors.Join(err, os.RemoveAll(name))
		} else {
			err = errors.Join(err, os.WriteFile(name, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// commit writes files and returns the commit that they are in.
func (r *repo) commit(files map[string]string) string {
	r.t.Helper()
	r.write(files)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "x")
	return r.git("rev-parse", "HEAD")
}

// lend lets a subtest use the repository, with temporary directories of its own.
func (r *repo) lend(t *testing.T) {
	own := r.t
	r.t = t
	t.Cleanup(func() { r.t = own })
}

// options are those of a side, with a cache of its own.
func (r *repo) options(revision string) build.Options {
	name := "base"
	if revision == "" {
		name = "head"
	}
	return build.Options{Name: name, Dir: r.dir, Revision: revision, CacheDir: filepath.Join(r.t.TempDir(), "cache"), Env: r.env}
}

// open opens a side, which is closed with the test.
func open(t testing.TB, opt build.Options) *build.Side {
	t.Helper()
	s, err := build.Open(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	t.Cleanup(func() { closeSide(t, s) })
	return s
}

func closeSide(t testing.TB, s *build.Side) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// built builds all packages, which must all compile.
func built(t testing.TB, s *build.Side, opt build.BuildOptions) *build.Built {
	t.Helper()
	if opt.Packages == nil {
		opt.Packages = []string{"./..."}
	}
	b, err := s.Build(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	for _, f := range b.Failed {
		t.Fatalf("%s: %v\n%s", f.Package, f.Err, fault.HintOf(f.Err))
	}
	return b
}

// run runs a binary's benchmarks where it must run.
func run(t testing.TB, b build.Binary, args ...string) string {
	t.Helper()
	cmd := exec.Command(b.Path, append([]string{"-test.run=^$", "-test.bench=.", "-test.benchtime=1x"}, args...)...)
	cmd.Dir = b.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", b.Package, err, out)
	}
	return string(out)
}

func packages(b *build.Built) (all []string) {
	for _, x := range b.Binaries {
		all = append(all, x.Package)
	}
	return all
}

// failure fails unless err is a fault of a code, whose text and hint have parts.
func failure(t testing.TB, err error, code fault.Code, parts ...string) {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v (%s), want code %s", err, fault.CodeOf(err), code)
	}
	text := err.Error() + "\n" + fault.HintOf(err)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

// below returns the files below dir and what is in them.
func below(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		files[strings.TrimPrefix(name, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// work is a process that builds all of a revision: "DIR,CACHE,REVISION".
func work(job string) int {
	parts := strings.Split(job, ",")
	s, err := build.Open(context.Background(), build.Options{Name: "base", Dir: parts[0], CacheDir: parts[1], Revision: parts[2], Env: os.Environ()})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var errs []error
	b, err := s.Build(context.Background(), build.BuildOptions{Packages: []string{"./..."}})
	if err == nil {
		for _, x := range b.Binaries {
			cmd := exec.Command(x.Path, "-test.run=^$", "-test.bench=.", "-test.benchtime=1x")
			cmd.Dir = x.Dir
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("PASS")) {
				errs = append(errs, fmt.Errorf("%s: %w: %s", x.Path, err, out))
			}
			errs = append(errs, os.WriteFile(filepath.Join(x.Dir, "junk"), nil, 0o600)) // as benchmarks do
		}
		if len(b.Binaries) != 2 || len(b.Failed) > 0 {
			errs = append(errs, fmt.Errorf("built %v, failed %v", packages(b), b.Failed))
		}
	}
	if err := errors.Join(append(errs, err, s.Close())...); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
