package facts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Place asks what s, a lone executable, would be in another root file system: it
// returns it as the program that starts in rootRef, a directory or an image, laid
// over what is there at the path at. An empty at means /usr/local/bin/NAME. The
// image's environment, user and working directory hold; its entrypoint does not.
//
// The caller closes the new subject.
func Place(ctx context.Context, s *Subject, rootRef, at string, opt Options) (*Subject, error) {
	if s.Root != nil || len(s.Files) != 1 {
		return nil, &fault.Error{Code: fault.Usage, Op: "place", Input: s.Ref,
			Err: errors.New("it brings its own root file system"), Hint: "give --rootfs only with executables"}
	}
	opt = opt.withDefaults()
	placed, err := emptyRoot(ctx, s, rootRef, opt)
	if err != nil {
		return nil, err
	}
	if err := placed.lay(s, at); err != nil {
		return nil, errors.Join(err, placed.Close())
	}
	return placed, nil
}

// emptyRoot is the root file system of rootRef with nothing to start in it.
func emptyRoot(ctx context.Context, s *Subject, rootRef string, opt Options) (*Subject, error) {
	if info, err := os.Stat(rootRef); err == nil && info.IsDir() {
		dir, err := rootfs.OpenDir(rootRef, opt.Limits.File)
		if err != nil {
			return nil, fileError(rootRef, err)
		}
		return &Subject{Ref: s.Ref, Platform: s.Platform, Root: dir, Process: &Process{}, dir: dir}, nil
	}
	var found *Subject
	for img, err := range image.Open(ctx, rootRef, opt.image()) {
		if err != nil {
			return nil, err
		}
		if found == nil || img.Platform.Arch == s.Platform.Arch && found.Platform.Arch != s.Platform.Arch {
			process := imageProcess(&img.Config)
			process.Args = nil
			found = &Subject{Ref: s.Ref, Platform: img.Platform, Root: img.Root, Process: process}
		}
	}
	if found == nil {
		return nil, refError(rootRef, os.ErrNotExist)
	}
	return found, nil
}

// lay puts the file of s into the root and makes it the program that starts.
func (placed *Subject) lay(s *Subject, at string) error {
	facts := s.Files[0]
	name := facts.Ref
	if facts.Path != "" {
		name = filepath.Join(facts.Ref, filepath.FromSlash(facts.Path))
	}
	f, size, err := openRegular(name)
	if err != nil {
		return fileError(name, err)
	}
	defer f.Close()
	object, err := exe.Measure(f, size, exe.Options{Links: true})
	if err != nil {
		return fileError(name, err)
	}
	if at == "" {
		at = "/usr/local/bin/" + filepath.Base(name)
	}
	at, err = landing(placed.Root, path.Clean("/"+at))
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "place " + name + " at", Input: at, Err: err}
	}
	placed.Root = rootfs.Overlay(placed.Root, at, rootfs.Node{Mode: 0o755, Size: size}, rootfs.File{Object: object})
	placed.Process.Args = []string{at}
	facts.Path, facts.Entrypoint = at, true
	placed.Files = append(placed.Files, facts)
	return nil
}

// landing resolves the symbolic links in the directories above the file at, as
// far as they exist.
func landing(root rootfs.FS, at string) (string, error) {
	dir, rest := path.Dir(at), path.Base(at)
	for {
		real, node, err := rootfs.Resolve(root, rootfs.User{}, "/", dir)
		switch {
		case err == nil && node.Mode.IsDir():
			return path.Join(real, rest), nil
		case err == nil:
			return at, fmt.Errorf("%s is no directory", dir)
		case dir == "/" || !errors.Is(err, os.ErrNotExist):
			return at, err
		}
		dir, rest = path.Dir(dir), path.Join(path.Base(dir), rest)
	}
}
