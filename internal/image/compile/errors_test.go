package compile_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// failure checks an error's code and what a person reads of it.
func failure(t *testing.T, err error, code fault.Code, wants ...string) {
	t.Helper()
	text := fmt.Sprint(err) + "\n" + fault.HintOf(err)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the error lacks %q:\n%s", want, text)
		}
	}
	if fault.CodeOf(err) != code {
		t.Errorf("code %q, want %q:\n%s", fault.CodeOf(err), code, text)
	}
}

// onlyGo is a PATH that has the go command and no C compiler.
func onlyGo(t *testing.T) string {
	t.Helper()
	name, err := exec.LookPath("go")
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	dir := t.TempDir()
	if err == nil {
		err = os.Symlink(name, filepath.Join(dir, "go"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir
}

func TestLoadErrors(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod": goMod, "lib/lib.go": "package lib\n", "shop.go": "package shop\n", "cmd/web/main.go": hello, "bad/bad.go": "package\n",
		"two/a.go": "package main\n", "two/b.go": "package other\n",
	})
	for _, tc := range []struct {
		pattern string
		code    fault.Code
		want    string
	}{
		{".", fault.Invalid, "is package shop, not a main package\nthe main packages below it are ./cmd/web"},
		{"./lib", fault.Invalid, "is package lib, not a main package\nname a package"},
		{"./lib/...", fault.NotFound, "none of the packages is one"},
		{"./none", fault.NotFound, "none"},
		{"example.org/none", fault.NotFound, "example.org/none"},
		{"shop", fault.NotFound, "./cmd/app"},
		{"./bad", fault.Invalid, "bad.go:1:9"},
		{"./two", fault.Invalid, "found packages main (a.go) and other (b.go)"},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			_, err := compile.Load(t.Context(), []string{tc.pattern}, options(t, dir))
			failure(t, err, tc.code, tc.want)
		})
	}
	t.Run("no module", func(t *testing.T) {
		_, err := compile.Load(t.Context(), nil, options(t, tree(t, map[string]string{"main.go": hello})))
		failure(t, err, fault.NotFound, "go.mod", "go mod init")
	})
	t.Run("no go command", func(t *testing.T) {
		_, err := compile.Load(t.Context(), nil, options(t, dir, "PATH="+t.TempDir()))
		failure(t, err, fault.Unsupported, "go.dev/dl")
	})
	t.Run("newer module", func(t *testing.T) {
		_, err := compile.Load(t.Context(), nil, options(t, tree(t, map[string]string{"go.mod": "module a.b/c\n\ngo 1.99\n", "main.go": hello})))
		failure(t, err, fault.Unsupported, "go >= 1.99", "GOTOOLCHAIN")
	})
}

func TestCompileErrors(t *testing.T) {
	const broken = "package main\n\nfunc main() { undefinedThing() }\n"
	needsC := map[string]string{"main.go": "package main\n\nimport _ \"example.com/shop/c\"\n\nfunc main() {}\n", "c/c.go": "package c\n\nimport \"C\"\n"}
	noTools := onlyGo(t)
	for _, tc := range []struct {
		name     string
		files    map[string]string
		platform api.Platform
		cfg      api.PackageConfig
		env      []string
		code     fault.Code
		wants    []string
	}{
		{name: "source", files: map[string]string{"main.go": broken}, code: fault.Invalid, wants: []string{"./main.go:3:15: undefined: undefinedThing"}},
		{name: "import", files: map[string]string{"main.go": "package main\n\nimport _ \"example.com/shop/none\"\n\nfunc main() {}\n"}, code: fault.NotFound, wants: []string{"example.com/shop/none"}},
		{name: "platform", platform: api.Platform{OS: "linux", Arch: "amd46"}, code: fault.Usage, wants: []string{"linux/amd46", "has no such platform", "linux/amd64"}},
		{name: "level", platform: api.Platform{OS: "linux", Arch: "amd64", Level: "v9"}, code: fault.Usage, wants: []string{"GOAMD64 knows no", "v1, v2"}},
		{name: "level of arm64", platform: api.Platform{OS: "linux", Arch: "arm64", Level: "v7"}, code: fault.Invalid, wants: []string{"invalid GOARM64"}},
		{name: "no levels", platform: api.Platform{OS: "linux", Arch: "s390x", Level: "z13"}, code: fault.Usage, wants: []string{"no levels of s390x"}},
		{name: "race without cgo", cfg: api.PackageConfig{Race: &yes, CGO: api.CGOOff}, code: fault.Usage, wants: []string{"race detector needs cgo"}},
		{name: "race elsewhere", platform: api.Platform{OS: "linux", Arch: "386"}, cfg: api.PackageConfig{Race: &yes, CGO: api.CGOOn, Env: map[string]string{"CC": "true"}}, code: fault.Unsupported, wants: []string{"-race is not supported on linux/386"}},
		{name: "no such cgo", cfg: api.PackageConfig{CGO: "maybe"}, code: fault.Usage, wants: []string{`cgo is "maybe"`}},
		{name: "no C compiler", files: needsC, env: []string{noTools}, code: fault.Unsupported, wants: []string{"apt install gcc libc6-dev", "--cgo off"}},
		{name: "no cross compiler", files: needsC, platform: api.Platform{OS: "linux", Arch: "riscv64"}, env: []string{noTools}, code: fault.Unsupported, wants: []string{"apt install gcc-riscv64-linux-gnu)"}},
		{name: "CC is missing", files: needsC, cfg: api.PackageConfig{Env: map[string]string{"CC": "no-such-cc -m64"}}, code: fault.Unsupported, wants: []string{"no-such-cc", "unset CC"}},
		{name: "PIE without C compiler", cfg: api.PackageConfig{PIE: &yes}, env: []string{noTools}, code: fault.Unsupported, wants: []string{"leave out --pie", "--base", "apt install gcc libc6-dev"}},
		{name: "PIE, C and cgo off", files: needsC, cfg: api.PackageConfig{PIE: &yes, CGO: api.CGOOff}, code: fault.Usage, wants: []string{"example.com/shop/c", "--cgo off"}},
		{name: "profile", cfg: api.PackageConfig{PGO: "none.pgo"}, code: fault.NotFound, wants: []string{"none.pgo"}},
		{name: "quotes", cfg: api.PackageConfig{Ldflags: []string{`-X=a.b='"`}}, code: fault.Usage, wants: []string{"both kinds of quotes"}},
		{name: "no version", cfg: api.PackageConfig{Go: "latest"}, code: fault.Usage, wants: []string{"latest"}},
		{name: "no such toolchain", cfg: api.PackageConfig{Go: "1.22.99"}, code: fault.Unsupported, wants: []string{"1.22.99"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"go.mod": goMod, "main.go": hello}
			for name, text := range tc.files {
				files[name] = text
			}
			if tc.platform == (api.Platform{}) {
				tc.platform = api.Platform{OS: "linux", Arch: runtime.GOARCH}
			}
			dir := tree(t, files)
			opt := options(t, dir, tc.env...)
			p, err := compile.Compile(t.Context(), compile.Package{ImportPath: "example.com/shop", Dir: dir, Rel: "."}, tc.platform, tc.cfg, opt)
			if err == nil {
				p.Close()
				t.Fatal("no error")
			}
			failure(t, err, tc.code, tc.wants...)
			if tc.name == "source" && !strings.HasPrefix(err.Error(), "# example.com/shop\n./main.go") {
				t.Errorf("the compiler's message does not come first: %q", err)
			}
		})
	}
}
