//go:build e2e

package compile_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// These programs need gcc with the static C library, and musl-gcc.
var (
	pureProgram = map[string]string{"go.mod": goMod, "main.go": "package main\n\nimport (\n\t\"net\"\n\t\"os/user\"\n)\n\n" +
		"func main() { u, _ := user.LookupId(\"0\"); println(u.Username, net.IPv4len) }\n"}
	cProgram = map[string]string{"go.mod": goMod, "main.go": "package main\n\nimport \"example.com/shop/c\"\n\nfunc main() { println(c.Answer()) }\n",
		"c/c.go": "package c\n\n// static int answer(void) { return __LINE__; }\n// static const char *when(void) { return __DATE__ __TIME__ __FILE__; }\nimport \"C\"\n\n" +
			"func Answer() string { return C.GoString(C.when()) }\n"}
)

func interpreter(t *testing.T, file string) string {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name := make([]byte, p.Filesz-1)
			if _, err := p.ReadAt(name, 0); err != nil {
				t.Fatal(err)
			}
			return string(name)
		}
	}
	return ""
}

func TestLinkWithC(t *testing.T) {
	const gnuLoader, muslLoader = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
	for _, tc := range []struct {
		name     string
		files    map[string]string
		cfg      api.PackageConfig
		interp   string
		cgo      bool
		packages []string
	}{
		{"pure", pureProgram, api.PackageConfig{}, "", false, nil},
		{"static-pie", pureProgram, api.PackageConfig{PIE: &yes}, "", true, nil},
		{"static-pie, cgo off", pureProgram, api.PackageConfig{PIE: &yes, CGO: api.CGOOff}, "", true, nil},
		{"on", pureProgram, api.PackageConfig{CGO: api.CGOOn}, gnuLoader, true, nil},
		{"race", pureProgram, api.PackageConfig{Race: &yes}, gnuLoader, true, nil},
		{"C", cProgram, api.PackageConfig{}, gnuLoader, true, []string{"example.com/shop/c"}},
		{"C, PIE", cProgram, api.PackageConfig{PIE: &yes}, gnuLoader, true, []string{"example.com/shop/c"}},
		{"on, musl", pureProgram, api.PackageConfig{CGO: api.CGOOn, Env: map[string]string{"CC": "musl-gcc"}}, muslLoader, true, nil},
		{"C, musl", cProgram, api.PackageConfig{Env: map[string]string{"CC": "musl-gcc"}}, muslLoader, true, []string{"example.com/shop/c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opt := options(t, tree(t, tc.files))
			for range 2 { // the second build begins with what the first one remembered
				p := build(t, opt, linux, tc.cfg)
				d := p.Build.CGO
				if got := interpreter(t, p.Path); got != tc.interp || d.Enabled != tc.cgo || (d.Compiler != nil) != tc.cgo {
					t.Errorf("interpreter %q, decision %+v", got, d)
				}
				if diff := cmp.Diff(tc.packages, d.Packages); diff != "" {
					t.Errorf("packages (-want +got)\n%s", diff)
				}
				if d.Compiler != nil && (!strings.Contains(d.Compiler.Version, "gcc") || d.Compiler.Target != "x86_64-linux-gnu") {
					t.Errorf("compiler %+v", d.Compiler)
				}
				if out, err := exec.Command(p.Path).CombinedOutput(); err != nil {
					t.Errorf("the program fails: %v\n%s", err, out)
				}
			}
		})
	}
}

func TestStaticPIEErrors(t *testing.T) {
	opt := options(t, tree(t, pureProgram))
	pkg := load(t, opt)
	// musl-gcc takes -static-pie and links dynamically all the same.
	_, err := compile.Compile(t.Context(), pkg, linux, api.PackageConfig{PIE: &yes, Env: map[string]string{"CC": "musl-gcc"}}, opt)
	failure(t, err, fault.Unsupported, "musl-gcc", "leave out --pie")
	// A base of the user's choice may have the loader that Go's linker names.
	p := build(t, options(t, opt.Dir, onlyGo(t)), linux, api.PackageConfig{PIE: &yes, Base: "example.org/glibc"})
	if got := interpreter(t, p.Path); got != "/lib64/ld-linux-x86-64.so.2" || p.Build.CGO.Enabled {
		t.Errorf("interpreter %q, %+v", got, p.Build.CGO)
	}
}

// The C compiler's and linker's part is reproducible too.
func TestReproducibleWithC(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		cfg   api.PackageConfig
	}{
		{"static-pie", pureProgram, api.PackageConfig{PIE: &yes}},
		{"C", cProgram, api.PackageConfig{}},
		{"C, PIE", cProgram, api.PackageConfig{PIE: &yes}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first := build(t, options(t, tree(t, tc.files), "GOCACHE="+t.TempDir()), linux, tc.cfg)
			second := build(t, options(t, tree(t, tc.files), "TMPDIR="+t.TempDir(), "HOME="+hometest.New(t), "GOCACHE="+t.TempDir()), linux, tc.cfg)
			if digest(t, first.Path) != digest(t, second.Path) {
				t.Error("another directory and a cold cache give another program")
			}
		})
	}
}

// A program whose need for C code changes is compiled as it is now, whatever the
// last build remembers.
func TestDecisionChanges(t *testing.T) {
	dir := tree(t, cProgram)
	opt := options(t, dir)
	for i, text := range []string{cProgram["main.go"], "package main\n\nfunc main() {}\n", cProgram["main.go"]} {
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p := build(t, opt, linux, api.PackageConfig{})
		if enabled := i != 1; p.Build.CGO.Enabled != enabled || (interpreter(t, p.Path) != "") != enabled {
			t.Errorf("build %d: %+v", i, p.Build.CGO)
		}
	}
}
