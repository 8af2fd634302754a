// Command demo shows what gopherwood does, on programs that every machine with
// Go has or can build: it prints each command, runs it, and fails when an exit
// code is not what it should be. Its argument is the gopherwood to show.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/cli/ocitest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo GOPHERWOOD")
		os.Exit(64)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is the state of a demonstration.
type demo struct {
	// dir holds what the demonstration builds.
	dir string
	// gopherwood is the command's absolute path.
	gopherwood string
	// err is the first failure; everything after it does nothing.
	err   error
	shown []string
}

func run(gopherwood string) error {
	dir, err := os.MkdirTemp("", "gopherwood-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gopherwood, err = filepath.Abs(gopherwood)
	if err != nil {
		return err
	}
	d := &demo{dir: dir, gopherwood: gopherwood}
	d.toolchain()
	d.modules()
	d.images()
	d.policy()
	d.builds()
	if d.err != nil {
		return d.err
	}
	fmt.Println("\nShown, each with the exit code it should have:")
	for _, s := range d.shown {
		fmt.Println("  -", s)
	}
	return nil
}

// toolchain reads executables that every Go installation has.
func (d *demo) toolchain() {
	goroot := strings.TrimSpace(d.output("go", "env", "GOROOT"))
	d.chapter("the Go toolchain's own executables")
	d.run(0, "inspect", filepath.Join(goroot, "bin"))
	d.run(0, "inspect", "-v", filepath.Join(goroot, "bin", "gofmt"+exeSuffix()))
	d.chapter("which Go versions are supported today")
	d.run(0, "versions")
}

// modules reads a program built from a module of the module proxy.
func (d *demo) modules() {
	d.chapter("a program from a published module, with what is linked into it")
	name := "testscript" + exeSuffix()
	d.build(nil, ".", "-trimpath", "-o", filepath.Join(d.dir, name), "github.com/rogpeppe/go-internal/cmd/testscript")
	d.run(0, "inspect", "-v", name)
}

// images asks of two images whether they start.
func (d *demo) images() {
	linux := []string{"GOWORK=off", "GOOS=linux", "GOARCH=" + runtime.GOARCH}
	hello := filepath.Join(d.dir, "hello")
	d.module(hello, "example.org/hello", "", `package main

import "fmt"

func main() { fmt.Println("hello") }
`)
	d.build(linux, hello, "-trimpath", "-buildvcs=false", "-o", "static", ".")
	d.build(linux, hello, "-trimpath", "-buildvcs=false", "-buildmode=pie", "-o", "pie", ".")
	for _, name := range []string{"static", "pie"} {
		d.do(func() error {
			program, err := os.ReadFile(filepath.Join(hello, name))
			if err != nil {
				return err
			}
			return ocitest.Write(filepath.Join(d.dir, name+"-image"), "v1", ocitest.Image{
				OS: "linux", Arch: runtime.GOARCH, Entrypoint: []string{"/hello"}, User: "65532",
				Files: map[string][]byte{"/hello": program},
			})
		})
	}
	d.chapter("a static program alone in an image: it will start")
	d.run(0, "check", "oci:static-image:v1")
	d.chapter("the same program built as PIE, which names a loader that the image lacks: it will not start")
	d.run(3, "check", "oci:pie-image:v1")
}

// policy checks a program that cannot be built again.
func (d *demo) policy() {
	shop := filepath.Join(d.dir, "shop")
	d.module(filepath.Join(shop, "price"), "example.org/price", "", "package price\n\nconst Of = 3\n")
	d.module(shop, "example.org/shop", `
require example.org/price v0.0.0

replace example.org/price => ./price
`, `package main

import "example.org/price"

func main() { println(price.Of) }
`)
	git := func(args ...string) {
		d.output("git", append([]string{"-C", shop, "-c", "user.name=demo", "-c", "user.email=demo@example.org"}, args...)...)
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "shop: sell")
	d.do(func() error { return os.WriteFile(filepath.Join(shop, "notes.txt"), []byte("uncommitted"), 0o644) })
	program := filepath.Join("shop", "shop"+exeSuffix())
	d.build([]string{"GOWORK=off"}, shop, "-buildvcs=true", "-o", filepath.Join(d.dir, program), ".")
	d.chapter("a program with uncommitted changes and a module replaced by a directory: a warning")
	d.run(0, "check", program)
	d.chapter("a stricter policy of one's own, with a test case, says no")
	d.do(func() error { return os.WriteFile(filepath.Join(d.dir, "strict.yaml"), []byte(strict), 0o644) })
	d.run(0, "policy", "test", "strict.yaml")
	d.run(3, "check", "--policy", "strict.yaml", program)
	d.chapter("the same verdict as Markdown, for a merge request, and why a rule is there")
	d.run(3, "check", "--policy", "strict.yaml", "-o", "markdown", program)
	d.run(0, "policy", "explain", "build/local-replace")
}

// strict is a policy that builds on the built-in one.
const strict = `schemaVersion: gopherwood/v1
kind: Policy
metadata:
  name: strict
  description: What is not reproducible is not shipped.
extends: default
severities:
- rule: build/*
  severity: deny
cases:
- name: uncommitted changes
  today: 2026-06-01
  files:
  - {go: {version: go1.26.0, trimpath: true, vcs: {modified: true}}}
  expect: {verdict: deny, rules: [build/dirty-vcs]}
`

// module writes a module of one package.
func (d *demo) module(dir, path, more, source string) {
	d.do(func() error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		mod := "module " + path + "\n\ngo 1.26\n" + more
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644)
	})
}

// build runs `go build` in dir, without cgo.
func (d *demo) build(env []string, dir string, args ...string) {
	d.do(func() error {
		fmt.Printf("\n$ %s\n", strings.Join(append(append(env, "CGO_ENABLED=0 go build"), d.short(args)...), " "))
		cmd := exec.Command("go", append([]string{"build"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append([]string{"CGO_ENABLED=0"}, env...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	})
}

// chapter announces what comes next.
func (d *demo) chapter(title string) {
	d.do(func() error {
		fmt.Printf("\n=== %s\n", title)
		d.shown = append(d.shown, title)
		return nil
	})
}

// run runs gopherwood and wants an exit code.
func (d *demo) run(want int, args ...string) { d.runIn(d.dir, nil, want, args...) }

// runIn is run in a directory, with changes of the environment.
func (d *demo) runIn(dir string, env []string, want int, args ...string) {
	d.do(func() error {
		fmt.Printf("\n$ %s\n", strings.Join(append(append([]string{}, env...), "gopherwood "+strings.Join(args, " ")), " "))
		cmd := exec.Command(d.gopherwood, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append([]string{"GOWORK=off", "GOPHERWOOD_CACHE_DIR=" + filepath.Join(d.dir, "cache")}, env...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return err
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			return fmt.Errorf("gopherwood %s: exit code %d, want %d", strings.Join(args, " "), got, want)
		}
		fmt.Println("exit code", want)
		return nil
	})
}

// output runs a command and returns what it printed.
func (d *demo) output(name string, args ...string) string {
	var out []byte
	d.do(func() (err error) {
		cmd := exec.Command(name, args...)
		cmd.Stderr = os.Stderr
		out, err = cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
		return nil
	})
	return string(out)
}

// do runs step unless one before it failed.
func (d *demo) do(step func() error) {
	if d.err == nil {
		d.err = step()
	}
}

// short leaves the demonstration's directory out of args, for printing.
func (d *demo) short(args []string) []string {
	return strings.Split(strings.ReplaceAll(strings.Join(args, "\x00"), d.dir+string(filepath.Separator), ""), "\x00")
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
