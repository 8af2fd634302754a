// Package tree has the files of git's trees: it finds revisions, hashes work trees,
// and keeps checkouts, and the binaries that are built of them, in a cache
// directory.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build/command"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// misleading are the variables that tell git of a repository; hooks of git are
// run with them. They are those of `git rev-parse --local-env-vars`, but for the
// ones with settings.
var misleading = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE",
	"GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
	"GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS",
}

// plain are settings under which git does no more than it is told: no hooks and no
// daemons.
var plain = []string{
	"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false",
	"-c", "core.splitIndex=false", "-c", "core.looseCompression=1", "-c", "advice.addEmbeddedRepo=false",
}

// Repository is the user's, which is only read.
type Repository struct {
	// git is the command in the directory that was named.
	git command.Command
	// Top is the work tree, Prefix the directory in it that was named, "" for Top.
	Top, Prefix string
	// dir, index and objects are git's own directory and what is in it.
	dir, index, objects string
	shallow             bool
}

// OpenRepository finds the repository of a directory; env is the environment of
// git, as KEY=VALUE. The error is a *fault.Error, NotFound for a directory that is
// in no work tree, or that of ctx.
func OpenRepository(ctx context.Context, named string, env []string) (*Repository, error) {
	dir, err := filepath.Abs(named)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "open", Input: named, Err: err}
	}
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(misleading, name)
	})
	r := &Repository{git: command.Command{Name: "git", Dir: dir, Env: append(env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0")}}
	out, err := r.run(ctx, "rev-parse", "--show-toplevel", "--show-prefix", "--absolute-git-dir", "--git-path", "index", "--git-path", "objects", "--is-shallow-repository")
	if err != nil {
		return nil, notRepository(named, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) != 7 { // the last one ends with a newline, too
		return nil, &fault.Error{Code: fault.Unsupported, Op: "open the git repository of", Input: named,
			Err: errors.New("git did not answer as it should"), Hint: "use git 2.15 or newer, and no newlines in names of directories"}
	}
	r.Top, r.Prefix, r.dir = filepath.FromSlash(lines[0]), filepath.FromSlash(strings.TrimSuffix(lines[1], "/")), filepath.FromSlash(lines[2])
	r.index, r.objects = r.absolute(lines[3]), r.absolute(lines[4])
	r.shallow = lines[5] == "true"
	return r, nil
}

func (r *Repository) absolute(name string) string {
	if name = filepath.FromSlash(name); filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.git.Dir, name)
}

func notRepository(dir string, err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	e := &fault.Error{Code: fault.NotFound, Op: "open the git repository of", Input: dir, Err: failed}
	switch {
	case strings.Contains(failed.Message, "not a git repository"):
		e.Err, e.Hint = errors.New("the directory is in none"), "run in a work tree of git, or compare results of `bench run` with `bench compare`"
	case strings.Contains(failed.Message, "must be run in a work tree"):
		e.Err, e.Hint = errors.New("it has no work tree"), "run in a clone with a work tree"
	case strings.Contains(failed.Message, "dubious ownership"):
		e.Code, e.Hint = fault.Denied, "tell git that you trust it: git config --global --add safe.directory DIRECTORY"
	}
	return e
}

// run runs git in the directory that was named.
func (r *Repository) run(ctx context.Context, args ...string) ([]byte, error) {
	return r.git.Output(ctx, slices.Concat(plain, args)...)
}

// with returns r with variables laid over git's environment.
func (r *Repository) with(dir string, env ...string) *Repository {
	other := *r
	other.git.Dir, other.git.Env = dir, slices.Concat(r.git.Env, env)
	return &other
}

// Names are those of a revision in git; Commit is empty for a tree.
type Names struct{ Commit, Tree string }

// Resolve finds a revision. The error is a *fault.Error, NotFound when there is no
// such revision and Usage for what git would take for an option, or that of ctx.
func (r *Repository) Resolve(ctx context.Context, revision string) (Names, error) {
	if strings.HasPrefix(revision, "-") || strings.ContainsAny(revision, "\n\x00") {
		return Names{}, &fault.Error{Code: fault.Usage, Op: "find revision", Input: revision, Err: errors.New("it is no name of a revision")}
	}
	tree, err := r.run(ctx, "rev-parse", "--verify", revision+"^{tree}")
	if err != nil {
		return Names{}, r.noRevision(ctx, revision, err)
	}
	names := Names{Tree: strings.TrimSpace(string(tree))}
	commit, err := r.run(ctx, "rev-parse", "--verify", "--quiet", revision+"^{commit}")
	if err != nil && ctx.Err() != nil {
		return Names{}, err
	}
	names.Commit = strings.TrimSpace(string(commit))
	return names, nil
}

func (r *Repository) noRevision(ctx context.Context, revision string, err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	e := &fault.Error{Code: fault.NotFound, Op: "find revision", Input: revision, Err: errors.New("the repository has no such commit"),
		Hint: "name a commit, tag or branch that git log shows; git fetch gets those of others"}
	if r.shallow {
		e.Err = errors.New("the clone is shallow and has no such commit")
		e.Hint = "fetch the history: git fetch --unshallow, in GitHub Actions fetch-depth: 0 for actions/checkout, in GitLab GIT_DEPTH: 0"
	}
	out, listErr := r.run(ctx, "for-each-ref", "--count=1", "--format=%(refname:short)", "refs/remotes/*/"+revision)
	if remote := strings.TrimSpace(string(out)); listErr == nil && remote != "" {
		e.Hint = "there is a branch of a remote: " + remote
	}
	return e
}

// Snapshot returns git's name of a tree with all files of the work tree that git
// does not ignore. It is computed beside the user's index and objects.
func (r *Repository) Snapshot(ctx context.Context) (tree string, err error) {
	temp, err := os.MkdirTemp("", "gopherwood-")
	if err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "hash the work tree", Err: err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	index, objects := filepath.Join(temp, "index"), filepath.Join(temp, "objects")
	if err := errors.Join(os.Mkdir(objects, 0o700), copyFile(index, r.index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "hash the work tree", Err: err} // a new repository has no index
	}
	apart := r.with(r.Top, "GIT_INDEX_FILE="+index, "GIT_OBJECT_DIRECTORY="+objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+alternate(r.objects))
	if _, err := apart.run(ctx, "add", "--all", "--", "."); err != nil {
		return "", gitFailed("hash", r.Top, err, "let git ignore what is not to be counted (.gitignore), and make the rest readable")
	}
	out, err := apart.run(ctx, "write-tree", "--missing-ok")
	if err != nil {
		return "", gitFailed("hash", r.Top, err, "")
	}
	return strings.TrimSpace(string(out)), nil
}

// alternate writes a directory for GIT_ALTERNATE_OBJECT_DIRECTORIES, where a
// quoted one may have the character that separates them.
func alternate(dir string) string {
	if !strings.ContainsRune(dir, filepath.ListSeparator) && !strings.HasPrefix(dir, `"`) {
		return dir
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(dir) + `"`
}

// gitFailed says what git could not do. Errors of ctx are as they were.
func gitFailed(op, input string, err error, hint string) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	e := &fault.Error{Code: fault.Invalid, Op: op, Input: input, Err: fmt.Errorf("git: %s", command.FirstLines(failed.Message, 5)), Hint: hint}
	if strings.Contains(failed.Message, "No space left") {
		e.Code, e.Hint = fault.Limit, "make room on the disk"
	}
	return e
}

// copyFile copies a file with its time: git compares that of an index with those
// of files to know which may have changed since it looked.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, info.ModTime())
}
