package direct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	pathpkg "path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/upstream"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// tooNew reports whether the go command refuses a module since it is for a newer
// Go. The proxy serves it all the same: it does not build it.
func tooNew(message string) bool {
	return strings.Contains(message, "requires go >= ") && strings.Contains(message, "GOTOOLCHAIN=local")
}

// origin is where an .info document says that a version comes from.
type origin struct{ VCS, URL, Subdir, Hash, Ref string }

// archive makes the zip of a version as the go command does, from the commit that
// its .info document names.
func (d *Source) archive(ctx context.Context, q asked, m module.Version, file *os.File) error {
	data, err := q.cache.read(m, ".info", artifact.MaxInfo)
	if err != nil {
		return err
	}
	var info struct{ Origin origin }
	if err := json.Unmarshal(data, &info); err != nil || info.Origin.VCS != "git" || !commitHash.MatchString(info.Origin.Hash) {
		return &fault.Error{Code: fault.Unsupported, Op: "get", Input: m.String(), Err: errors.New("it is for a newer Go than the module proxy has, and not in git"),
			Hint: "install a newer Go where the module proxy runs"}
	}
	mod, err := q.cache.read(m, ".mod", artifact.MaxMod)
	if err != nil {
		return err
	}
	dir, err := d.temporary()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // temporary finds what is left
	git := &git{command: command{name: "git", dir: dir, env: append(d.env, "PWD="+dir), limit: artifact.MaxMod}}
	if err := git.checkout(ctx, info.Origin); err != nil {
		return d.gitFault(ctx, q, err)
	}
	subdir, err := git.moduleDir(ctx, m.Path, info.Origin, mod)
	if err != nil {
		return d.gitFault(ctx, q, err)
	}
	if err := modzip.CreateFromVCS(file, m, dir, info.Origin.Hash, subdir); err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "make the zip of", Input: m.String(), Err: errors.New(d.scrub.said(err.Error()))}
	}
	return nil
}

// gitFault makes an error of what git says.
func (d *Source) gitFault(ctx context.Context, q asked, err error) error {
	var failed *commandError
	switch {
	case ctx.Err() != nil:
		return d.ended(ctx, q)
	case errors.As(err, &failed):
		return d.scrub.fault(q.what, failed.message)
	}
	return err
}

// commitHash is a whole hash, so that it cannot be an option of git.
var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// git is a repository of one commit.
type git struct{ command }

// checkout gets the commit into a new repository, by its name or else, from
// servers that give no commits away, by the ref that has it.
func (g *git) checkout(ctx context.Context, from origin) error {
	if _, err := g.output(ctx, "init", "--quiet"); err != nil {
		return err
	}
	// The go command has the same line, so that all zips of a commit are alike.
	attributes := filepath.Join(g.dir, ".git", "info", "attributes")
	if err := os.MkdirAll(filepath.Dir(attributes), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(attributes, []byte("\n* -export-subst -export-ignore\n"), 0o666); err != nil {
		return err
	}
	_, err := g.output(ctx, "fetch", "--quiet", "--depth=1", "--end-of-options", from.URL, from.Hash)
	if err == nil || !strings.HasPrefix(from.Ref, "refs/") || ctx.Err() != nil {
		return err
	}
	if _, err := g.output(ctx, "fetch", "--quiet", "--end-of-options", from.URL, from.Ref); err != nil {
		return err
	}
	_, err = g.output(ctx, "cat-file", "-e", from.Hash)
	return err
}

// moduleDir finds the directory that has the go.mod file: one for the major
// version (v2), or the one above.
func (g *git) moduleDir(ctx context.Context, path string, from origin, mod []byte) (string, error) {
	_, major, _ := module.SplitPathVersion(path)
	for _, dir := range []string{pathpkg.Join(from.Subdir, strings.TrimPrefix(major, "/")), from.Subdir} {
		data, err := g.output(ctx, "cat-file", "blob", from.Hash+":"+pathpkg.Join(dir, "go.mod"))
		if err == nil && bytes.Equal(data, mod) {
			return dir, nil
		}
	}
	return "", &fault.Error{Code: fault.NotFound, Op: "find the directory of", Input: path, Err: errors.New("no go.mod file of the commit is that of the version")}
}

// askGit asks git why it cannot read the repository that a path with ".git" names:
// the go command says only that no protocol works. It returns what says most, nil
// when git finds nothing wrong.
func (d *Source) askGit(ctx context.Context, q asked) error {
	repository, _, ok := strings.Cut(q.path+"/", ".git/")
	if !ok {
		return nil
	}
	ranks := []fault.Code{fault.NotFound, fault.Denied, fault.Unsupported, fault.Canceled}
	var best error
	run := command{name: "git", dir: d.work, env: append(d.env, "PWD="+d.work), limit: upstream.MaxList}
	for _, scheme := range []string{"https", "ssh"} {
		_, err := run.output(ctx, "ls-remote", "--quiet", "--end-of-options", scheme+"://"+repository)
		if err == nil {
			continue
		}
		err = d.gitFault(ctx, q, err)
		if best == nil || slices.Index(ranks, fault.CodeOf(err)) > slices.Index(ranks, fault.CodeOf(best)) {
			best = err
		}
	}
	return best
}
