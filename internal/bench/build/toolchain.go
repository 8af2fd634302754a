package build

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build/command"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// settingNames are the variables of `go env` that a binary depends on, by what they
// are or, GOMOD and GOWORK, by what is in the files that they name.
var settingNames = []string{
	"GOVERSION", "GOROOT", "GOOS", "GOARCH", "GOEXE", "GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GO_EXTLINK_ENABLED", "GOMOD", "GOWORK", "GOMODCACHE", "GO111MODULE",
	"CGO_ENABLED", "CC", "CXX", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS",
	"GO386", "GOAMD64", "GOARM", "GOARM64", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64",
}

// manyBinaries is the first release of Go whose go test -c makes several.
const manyBinaries = "go1.21.0"

// toolchain is the go command that the files of a side choose.
type toolchain struct {
	command.Command
	// settings are what the go command makes of the environment: `go env`.
	settings map[string]string
	// compiler is the C compiler's version, "" when cgo is off or there is none.
	compiler string
}

// toolchain asks the side's go command for its settings.
func (s *Side) toolchain(ctx context.Context) (*toolchain, error) {
	t := &toolchain{Command: command.Command{Name: "go", Dir: s.Dir, Env: s.opt.Env, Log: s.opt.Log}}
	if s.pristine() {
		workspace, err := s.workspace(ctx)
		if err != nil {
			return nil, err
		}
		t.Env = slices.Concat(t.Env, []string{"GOWORK=" + workspace})
	}
	if err := t.ask(ctx); err != nil {
		return nil, s.explain("ask the go command about", s.Dir, err)
	}
	return t, nil
}

func (t *toolchain) ask(ctx context.Context) error {
	out, err := t.Output(ctx, append([]string{"env", "-json"}, settingNames...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &t.settings); err != nil {
		return &fault.Error{Code: fault.Internal, Op: "read", Input: "go env", Err: err}
	}
	if t.settings["CGO_ENABLED"] != "1" || strings.ContainsAny(t.settings["CC"], ` '"`) {
		return nil
	}
	cc := command.Command{Name: t.settings["CC"], Dir: t.Dir, Env: slices.Concat(t.Env, []string{"LC_ALL=C"})}
	version, err := cc.Output(ctx, "--version")
	if ctx.Err() != nil {
		return err
	}
	t.compiler = string(version) // without one, only packages without C code compile
	return nil
}

// workspace is the go.work of a checkout: that which the user has, in this
// revision, or "off".
func (s *Side) workspace(ctx context.Context) (string, error) {
	user := command.Command{Name: "go", Dir: filepath.Join(s.repo.Top, s.repo.Prefix), Env: s.opt.Env}
	if _, err := os.Stat(user.Dir); err != nil {
		user.Dir = s.repo.Top
	}
	out, err := user.Output(ctx, "env", "GOWORK")
	if err != nil {
		return "", s.explain("ask the go command about", user.Dir, err)
	}
	file := strings.TrimSpace(string(out))
	if file == "off" {
		return file, nil
	}
	if file != "" {
		inside, ok := within(s.repo.Top, file)
		if !ok {
			return "", &fault.Error{Code: fault.Unsupported, Op: "build the " + s.opt.Name + " with", Input: file,
				Err:  errors.New("the workspace file is outside of the repository, so that the modules in it are not those of " + s.Revision),
				Hint: "set GOWORK=off for both sides, or keep go.work in the repository"}
		}
		if file = filepath.Join(s.Root, inside); filepath.Base(file) != "go.work" && isRegular(file) {
			return file, nil
		}
	}
	for dir := s.Dir; ; dir = filepath.Dir(dir) {
		if file := filepath.Join(dir, "go.work"); isRegular(file) {
			return file, nil
		}
		if dir == s.Root {
			return "off", nil
		}
	}
}

func isRegular(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// within returns where in dir a file is; ok is false for one outside.
func within(dir, name string) (rel string, ok bool) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	rel, err := filepath.Rel(dir, name)
	return rel, err == nil && filepath.IsLocal(rel)
}

// makesMany says whether one go test -c may make several binaries.
func (t *toolchain) makesMany() bool {
	version, _, _ := strings.Cut(t.settings["GOVERSION"], " ")
	order, err := goversion.Compare(version, manyBinaries)
	return err != nil || order >= 0 // a development version is newer
}

// messages are what the go command says about causes that are not in the code
// that is compiled.
var messages = []struct {
	text string
	code fault.Code
	hint string
}{
	{"no space left on device", fault.Limit, "make room on the disk of the build cache (go env GOCACHE) or of the cache directory"},
	{"toolchain not available", fault.Unsupported, "let the go command fetch the toolchain that go.mod asks for (go env GOPROXY)"},
	{"GOTOOLCHAIN=local", fault.Unsupported, "install the release of Go that go.mod asks for, or unset GOTOOLCHAIN"},
	{"module lookup disabled by GOPROXY=off", fault.Unavailable, "let the go command reach a module proxy, or fetch the modules of both sides before (go mod download)"},
	{"dial tcp", fault.Unavailable, "let the go command reach its module proxy (go env GOPROXY), or fetch the modules of both sides before (go mod download)"},
	{"go: cannot find main module", fault.NotFound, "run in the directory of a module, or below"},
	{"go.mod file not found", fault.NotFound, "run in the directory of a module, or below"},
	{"-race requires cgo", fault.Unsupported, "install a C compiler and set CGO_ENABLED=1, or leave out -race"},
	{"C compiler", fault.Unsupported, "install the C compiler, or set CGO_ENABLED=0 for both sides"},
	{"flag provided but not defined", fault.Usage, "flags are those of go build"},
	{"replacement directory", fault.Invalid, "a directory outside of the repository is not in a checkout of a revision: put it into the repository, or require a version of the module"},
}

// explain gives an error of the go command its code and way out. Errors of ctx and
// structured ones are as they were.
func (s *Side) explain(op, input string, err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	e := &fault.Error{Code: fault.Invalid, Op: op, Input: input, Err: errors.New(command.FirstLines(failed.Message, maxCompilerLines)), Hint: s.wayOut()}
	for _, m := range messages {
		if strings.Contains(failed.Message, m.text) {
			e.Code, e.Hint = m.code, m.hint
			break
		}
	}
	return e
}

// maxCompilerLines is how many lines of the compiler's messages an error has.
const maxCompilerLines = 12

// wayOut is what to do about code that does not compile.
func (s *Side) wayOut() string {
	if !s.pristine() {
		return "make it compile: go test -run='^$' in the package says the same"
	}
	hint := "compare with a revision that compiles, or leave the package out; files that git ignores (generated code) are not in a checkout"
	if len(s.Notes) > 0 {
		hint += "; " + strings.Join(s.Notes, "; ")
	}
	return hint
}
