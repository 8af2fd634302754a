//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is a real program whose image is built.
type program struct {
	name string
	// module is path@version; empty means this repository.
	module string
	// pkg is the main package's directory in the module.
	pkg string
}

// buildPrograms are the programs that both tools make images of.
var buildPrograms = []program{
	{name: "caddy", module: "github.com/caddyserver/caddy/v2@v2.11.9", pkg: "./cmd/caddy"},
	{name: "nats-server", module: "github.com/nats-io/nats-server/v2@v2.15.2", pkg: "."},
	{name: "gopherwood", pkg: "./cmd/gopherwood"},
}

// source is a program's module as its developers have it: a directory that can
// be changed, under version control.
type source struct {
	program
	dir string
}

// checkout copies the program's module into a new directory below work.
func (p program) checkout(ctx context.Context, work string) (*source, error) {
	s := &source{program: p, dir: filepath.Join(work, "source", p.name)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.copyModule(ctx); err != nil {
		return nil, fmt.Errorf("check out %s: %w", p.name, err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "--all"},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "--message", "as published"},
	} {
		if _, err := capture(exec.CommandContext(ctx, "git", append([]string{"-C", s.dir}, args...)...)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *source) copyModule(ctx context.Context) error {
	if s.module == "" {
		return s.copyRepository(ctx)
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", s.module)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := capture(cmd)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	_, err = capture(exec.CommandContext(ctx, "cp", "--recursive", "--no-preserve=mode", module.Dir+"/.", s.dir))
	return err
}

// copyRepository copies the files of this repository as they are now.
func (s *source) copyRepository(ctx context.Context) error {
	out, err := capture(exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"))
	if err != nil {
		return err
	}
	args := []string{"--parents", "--target-directory=" + s.dir}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if _, err := os.Lstat(file); err == nil { // what git knows may be deleted
			args = append(args, file)
		}
	}
	_, err = capture(exec.CommandContext(ctx, "cp", args...))
	return err
}

// change edits one line of the main package, which no build has seen before when
// the text is new.
func (s *source) change(text string) error {
	code := fmt.Sprintf("package main\n\nimport \"os\"\n\nfunc init() {\n\tif len(os.Args) > 9 {\n\t\tprintln(%q)\n\t}\n}\n", text)
	return os.WriteFile(filepath.Join(s.dir, s.pkg, "bench_change.go"), []byte(code), 0o644)
}
