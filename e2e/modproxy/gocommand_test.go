//go:build e2e

package modproxy

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goCommand is a go command on the island with a module cache of its own.
type goCommand struct {
	t *testing.T
	// program is its file.
	program string
	// dir is where it runs.
	dir string
	env []string
}

// newGoCommand makes a go command of this machine, or the release that is named,
// which it gets from its GOPROXY.
func newGoCommand(t *testing.T, toolchain string, env ...string) *goCommand {
	t.Helper()
	fast, dir := tempDir(t, lab.fast), tempDir(t, lab.dir)
	g := &goCommand{t: t, program: lab.goCommand, dir: dir}
	g.env = append(baseEnvironment(dir),
		"GOTOOLCHAIN="+toolchain, "GOMODCACHE="+filepath.Join(fast, "mod"), "GOPATH="+filepath.Join(fast, "path"),
		// What was compiled does not come from the proxy, and is the same in all runs.
		"GOCACHE="+filepath.Join(lab.cache, "build", toolchain),
		"GOFLAGS=-modcacherw -mod=mod", "GOENV=off", "GOWORK=off", "GOSUMDB="+lab.sumdb, "CGO_ENABLED=0", "GIT_TERMINAL_PROMPT=0",
		// The go command may look for nothing but its GOPROXY.
		"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1",
	)
	g.env = append(g.env, env...)
	return g
}

// with returns the same command with more environment.
func (g *goCommand) with(env ...string) *goCommand {
	c := *g
	c.env = append(append([]string(nil), g.env...), env...)
	return &c
}

// in returns the same command in a new module with a go.mod file.
func (g *goCommand) in(goMod string) *goCommand {
	g.t.Helper()
	c := *g
	c.dir = tempDir(g.t, lab.dir)
	writeFile(g.t, filepath.Join(c.dir, "go.mod"), goMod)
	return &c
}

// run runs it, which may fail.
func (g *goCommand) run(args ...string) output {
	ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	return finish(cmd)
}

// must runs it and returns its standard output; a failure ends the test.
func (g *goCommand) must(args ...string) string {
	g.t.Helper()
	out := g.run(args...)
	if out.code != 0 {
		g.t.Fatalf("go %s: %s", strings.Join(args, " "), out)
	}
	return strings.TrimSpace(out.stdout)
}

// fails runs it and returns what it says; success ends the test.
func (g *goCommand) fails(args ...string) string {
	g.t.Helper()
	out := g.run(args...)
	if out.code == 0 {
		g.t.Fatalf("go %s: succeeds: %s", strings.Join(args, " "), out)
	}
	return out.stderr
}

// finishProgram runs a program and returns its standard output.
func finishProgram(t *testing.T, file string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), file, args...)
	out := finish(cmd)
	if out.code != 0 {
		t.Fatalf("%s: %s", file, out)
	}
	return out.stdout
}
