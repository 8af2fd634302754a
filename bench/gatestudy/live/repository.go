// Package live runs the benchmark gate as people do, on the commits of a git
// repository that is made for it, and go test beside it.
package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The branches of the repository. The base is the commit before each.
const (
	// Base is what both sides are made from.
	Base = "base"
	// Same differs from it in a text that nothing depends on.
	Same = "same"
	// Slow does 10 % more work.
	Slow = "slow"
)

// Repository is a git repository with a module of the study's benchmarks.
type Repository struct{ Dir string }

// NewRepository makes the repository in dir, which is empty or not there, from
// the sources of package subjects. The go command runs in the working directory,
// the module of the study, to find the version of its dependency.
func NewRepository(ctx context.Context, dir string, sources fs.FS) (*Repository, error) {
	r := &Repository{dir}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	if err := r.module(ctx); err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, sources); err != nil {
		return nil, err
	}
	if err := r.git(ctx, "init", "--quiet", "--initial-branch", Base); err != nil {
		return nil, err
	}
	if err := r.commit(ctx, "the base"); err != nil {
		return nil, err
	}
	if err := r.branch(ctx, Same, `label = "base"`, `label = "head"`); err != nil {
		return nil, err
	}
	return r, r.branch(ctx, Slow, `percent = "00"`, `percent = "10"`)
}

// branch makes a branch from the base with one edit.
func (r *Repository) branch(ctx context.Context, name, old, edited string) error {
	if err := r.git(ctx, "checkout", "--quiet", "-b", name, Base); err != nil {
		return err
	}
	if err := r.replace("subjects.go", old, edited); err != nil {
		return err
	}
	return r.commit(ctx, name)
}

// module writes go.mod and go.sum.
func (r *Repository) module(ctx context.Context) error {
	const needed = "golang.org/x/mod"
	said, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}\n\ngo {{.GoVersion}}", needed))
	if err != nil {
		return err
	}
	root, err := output(exec.CommandContext(ctx, "go", "env", "GOMOD"))
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(filepath.Dir(root), "go.sum"))
	if err != nil {
		return err
	}
	text := "module example.com/subjects\n\nrequire " + needed + " " + said + "\n"
	return errors.Join(
		os.WriteFile(filepath.Join(r.Dir, "go.mod"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(r.Dir, "go.sum"), sums, 0o600),
	)
}

// replace edits a file in which old stands once.
func (r *Repository) replace(name, old, edited string) error {
	file := filepath.Join(r.Dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.Count(string(text), old) != 1 {
		return fmt.Errorf("%s: %q does not stand there once", file, old)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(text), old, edited, 1)), 0o600)
}

func (r *Repository) commit(ctx context.Context, message string) error {
	if err := r.git(ctx, "add", "."); err != nil {
		return err
	}
	return r.git(ctx, "-c", "user.name=study", "-c", "user.email=study@example.com", "commit", "--quiet", "-m", message)
}

// Checkout puts the files of a branch into the work tree.
func (r *Repository) Checkout(ctx context.Context, branch string) error {
	return r.git(ctx, "checkout", "--quiet", branch)
}

func (r *Repository) git(ctx context.Context, args ...string) error {
	_, err := output(r.command(ctx, "git", args...))
	return err
}

// command runs in the work tree, with settings of nobody.
func (r *Repository) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = r.Dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	return cmd
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, exit.Stderr)
	}
	return "", fmt.Errorf("%v: %w", cmd.Args, err)
}
