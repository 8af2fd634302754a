package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxCopies is how many checkouts of one tree may be in use at once.
	maxCopies = 256
	// lfsPointer is what begins a file that stands for one in Git LFS
	// (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
	lfsPointer = "version https://git-lfs.github.com/spec/"
	// maxNamed is how many things are named in a sentence.
	maxNamed = 3
)

// The names in the directory of a checkout, besides lockFile.
const (
	filesDir  = "files"
	indexFile = "index"
	// sizeFile has the bytes of all files. It is written when they are complete.
	sizeFile = "size"
)

// Checkout is a directory with the files of a tree, used by one side at a time.
type Checkout struct {
	dir, tree string
	lock      *os.File
	// git writes into the checkout, with the objects of the user's repository.
	git *Repository
}

// OpenCheckout returns a checkout of the tree that nobody else uses, with its
// files as they are in git. The error is a *fault.Error, Unsupported on systems
// without locks of files, or that of ctx.
func (c *Cache) OpenCheckout(ctx context.Context, repo *Repository, tree string) (*Checkout, error) {
	for n := range maxCopies {
		dir := filepath.Join(c.dir, treesDir, tree+"."+strconv.Itoa(n))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, CacheError(err)
		}
		lock, err := lockDir(dir)
		if err != nil {
			return nil, CacheError(err)
		}
		if lock == nil {
			continue
		}
		out := &Checkout{dir: dir, tree: tree, lock: lock}
		out.git = repo.with(out.Root(), "GIT_DIR="+repo.dir, "GIT_WORK_TREE="+out.Root(), "GIT_INDEX_FILE="+filepath.Join(dir, indexFile))
		if err := out.Restore(ctx); err != nil {
			return nil, errors.Join(err, out.Close())
		}
		return out, nil
	}
	return nil, &fault.Error{Code: fault.Limit, Op: "check out", Input: tree, Err: fmt.Errorf("%d checkouts of it are in use", maxCopies)}
}

// Root is the directory with the files.
func (o *Checkout) Root() string { return filepath.Join(o.dir, filesDir) }

// Close lets others use the checkout.
func (o *Checkout) Close() error {
	now := time.Now()
	err := os.Chtimes(filepath.Join(o.dir, lockFile), now, now)
	return CacheError(errors.Join(err, o.lock.Close()))
}

// Restore makes the files what they are in git, should a benchmark or a person
// have changed them. The error is as that of Cache.OpenCheckout.
func (o *Checkout) Restore(ctx context.Context) error {
	if _, err := readSize(o.dir); err == nil && o.unchanged(ctx) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range []string{sizeFile, filesDir, indexFile, indexFile + ".lock"} {
		if err := os.RemoveAll(filepath.Join(o.dir, name)); err != nil {
			return CacheError(err)
		}
	}
	if err := os.Mkdir(o.Root(), 0o700); err != nil {
		return CacheError(err)
	}
	for _, args := range [][]string{{"read-tree", o.tree}, {"checkout-index", "--all", "--index", "--quiet"}} {
		if _, err := o.git.run(ctx, args...); err != nil {
			return gitFailed("check out", o.tree, err, "try git checkout of the revision in another clone")
		}
	}
	size, err := sizeOf(ctx, o.Root())
	if err == nil {
		err = os.WriteFile(filepath.Join(o.dir, sizeFile), []byte(strconv.FormatInt(size, 10)), 0o600)
	}
	return CacheError(err)
}

// unchanged says whether the files are those of the index, and no others.
func (o *Checkout) unchanged(ctx context.Context) bool {
	if _, err := o.git.run(ctx, "update-index", "--refresh", "-q"); err != nil {
		return false
	}
	others, err := o.git.run(ctx, "ls-files", "--others", "-z")
	return err == nil && len(others) == 0
}

// Missing says what is not in a checkout although the tree has it.
func (o *Checkout) Missing(ctx context.Context, side string) (notes []string, err error) {
	if _, err := os.Stat(filepath.Join(o.Root(), ".gitmodules")); err == nil {
		staged, err := o.git.run(ctx, "ls-files", "--stage", "-z")
		if err != nil {
			return nil, gitFailed("list", o.tree, err, "")
		}
		if found := submodules(staged); len(found) > 0 {
			notes = append(notes, fmt.Sprintf("%s: submodules are not checked out: %s", side, Enumerate(found)))
		}
	}
	large, err := o.git.run(ctx, "ls-files", "-z", ":(attr:filter=lfs)")
	if err != nil {
		return nil, gitFailed("list", o.tree, err, "")
	}
	if found := o.pointers(large); len(found) > 0 {
		notes = append(notes, fmt.Sprintf("%s: files of Git LFS are not there, only what stands for them (install git-lfs): %s", side, Enumerate(found)))
	}
	return notes, nil
}

// submodules are the paths of those in the output of git ls-files --stage -z.
func submodules(staged []byte) (paths []string) {
	for entry := range bytes.SplitSeq(staged, []byte{0}) {
		if head, path, ok := bytes.Cut(entry, []byte{'\t'}); ok && bytes.HasPrefix(head, []byte("160000 ")) {
			paths = append(paths, string(path))
		}
	}
	return paths
}

// pointers are those of the files in the output of git ls-files -z that stand for
// others.
func (o *Checkout) pointers(list []byte) (paths []string) {
	for path := range bytes.SplitSeq(list, []byte{0}) {
		if len(path) == 0 || !startsWith(filepath.Join(o.Root(), filepath.FromSlash(string(path))), lfsPointer) {
			continue
		}
		paths = append(paths, string(path))
	}
	return paths
}

func startsWith(name, prefix string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(prefix))
	n, err := f.Read(head)
	return err == nil && string(head[:n]) == prefix
}

// Enumerate names the first of many things.
func Enumerate(all []string) string {
	if len(all) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNamed], ", "), len(all)-maxNamed)
	}
	return strings.Join(all, ", ")
}

// readSize returns the bytes of a complete checkout.
func readSize(dir string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(dir, sizeFile))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(data), 10, 64)
}

// sizeOf adds up the bytes of the files below dir.
func sizeOf(ctx context.Context, dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return ctx.Err()
	})
	return total, err
}
