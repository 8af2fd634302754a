package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Base is a root file system, of a directory or an image, in which lone
// executables can be placed. It is read once, whatever is placed in it.
type Base struct {
	// dir is nil when the base is an image, of one platform or of several.
	dir    *rootfs.Dir
	images []*image.Image
}

// OpenBase opens the directory or image that ref names. The caller closes it.
func OpenBase(ctx context.Context, ref string, opt Options) (*Base, error) {
	opt = opt.withDefaults()
	info, err := os.Stat(ref)
	switch {
	case err == nil && info.IsDir():
		dir, err := rootfs.OpenDir(ref, opt.Limits.File)
		if err != nil {
			return nil, fileError(ref, err)
		}
		return &Base{dir: dir}, nil
	case err == nil:
		return nil, &fault.Error{Code: fault.Invalid, Op: "open root file system", Input: ref, Err: errors.New("it is no directory"),
			Hint: "give a directory or an image; an archive as docker-archive:FILE"}
	case !errors.Is(err, fs.ErrNotExist) || !image.Named(ref):
		return nil, refError(ref, err)
	}
	b := &Base{}
	for img, err := range image.Open(ctx, ref, opt.image()) {
		if err != nil {
			return nil, err
		}
		b.images = append(b.images, img)
	}
	if len(b.images) == 0 {
		return nil, refError(ref, fs.ErrNotExist)
	}
	return b, nil
}

// Close ends the use of the base and of what was placed in it.
func (b *Base) Close() error {
	if b.dir == nil {
		return nil
	}
	return b.dir.Close()
}

// Place returns s, a lone executable, as the program that starts in the base, laid
// over what is there at the path at; an empty at means /usr/local/bin/NAME. Of an
// image its environment, user and working directory hold, its entrypoint does
// not, and the platform is the executable's own if the image has that.
func (b *Base) Place(s *Subject, at string) (*Subject, error) {
	if s.Root != nil || len(s.Files) != 1 {
		return nil, &fault.Error{Code: fault.Usage, Op: "place", Input: s.Ref,
			Err: errors.New("it brings its own root file system"), Hint: "give --rootfs only with executables"}
	}
	placed := b.empty(s)
	return placed, placed.lay(s, at)
}

// empty is the base with nothing to start in it yet.
func (b *Base) empty(s *Subject) *Subject {
	if b.dir != nil {
		return &Subject{Ref: s.Ref, Platform: s.Platform, Root: b.dir, Process: &Process{}}
	}
	fits := func(img *image.Image) bool { return img.Platform.Arch == s.Platform.Arch }
	img := b.images[max(0, slices.IndexFunc(b.images, fits))]
	process := imageProcess(&img.Config)
	process.Args = nil
	return &Subject{Ref: s.Ref, Platform: img.Platform, Root: img.Root, Process: process}
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
		case dir == "/" || !errors.Is(err, fs.ErrNotExist):
			return at, err
		}
		dir, rest = path.Dir(dir), path.Join(path.Base(dir), rest)
	}
}
