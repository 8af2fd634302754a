package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Options says how references are read. The zero value reads everything with
// the default limits and without a cache.
type Options struct {
	// Platforms narrows multi-platform images; empty means all.
	Platforms []api.Platform
	// NoDigest leaves out the sha256 of files on disk, which then are not read whole.
	NoDigest bool
	// PlainHTTP talks HTTP to registries.
	PlainHTTP bool
	// PlainHTTPHosts, Keychain, Mirrors, Transport and Buffers are those of
	// package image.
	PlainHTTPHosts []string
	Keychain       Keychain
	Mirrors        map[string][]string
	Transport      http.RoundTripper
	Buffers        *rootfs.Buffers
	// CacheDir keeps the facts of image layers by digest, up to CacheSize bytes
	// (0: the default of package cache); empty means no cache.
	CacheDir  string
	CacheSize int64
	// KeepEntries is the largest layer that the cache keeps; see package image.
	KeepEntries int
	// Jobs is how many files or layers are read at once; 0 means GOMAXPROCS.
	Jobs     int
	Limits   Limits
	Progress progress.Sink
}

// What is known of images in registries; see package image.
type (
	Credentials      = image.Credentials
	Keychain         = image.Keychain
	Resolved         = image.Resolved
	PlatformManifest = image.PlatformManifest
)

// Limits bounds what hostile input can cost; see package image.
type Limits = image.Limits

// DefaultLimits is what zero fields of Limits stand for.
var DefaultLimits = image.DefaultLimits

// withDefaults returns opt with every zero field filled in.
func (opt Options) withDefaults() Options {
	opt.Limits = opt.Limits.OrDefault()
	if opt.Jobs == 0 {
		opt.Jobs = runtime.GOMAXPROCS(0)
	}
	opt.Progress = progress.Or(opt.Progress)
	return opt
}

// processPrefix begins the reference of a process.
const processPrefix = "pid:"

// Open resolves ref and yields its subjects one by one, in the order of their
// names. The forms of ref are a file, a directory, pid:N, oci:DIR[:tag],
// docker-archive:FILE and registry/repository[:tag|@digest].
//
// An error about one of several subjects is yielded in its place and the others
// follow; iteration ends early when ctx does. The caller closes each subject.
func Open(ctx context.Context, ref string, opt Options) iter.Seq2[*Subject, error] {
	opt = opt.withDefaults()
	if pid, ok := strings.CutPrefix(ref, processPrefix); ok {
		return one(func() (*Subject, error) { return running(ctx, ref, pid, opt) })
	}
	info, err := os.Stat(ref)
	switch {
	case err == nil && info.IsDir():
		return walkTree(ctx, ref, ref, opt)
	case err == nil:
		return one(func() (*Subject, error) { return openFile(ctx, ref, ref, opt) })
	case errors.Is(err, fs.ErrNotExist) && image.Named(ref):
		return images(ctx, ref, opt)
	}
	return one(func() (*Subject, error) { return nil, refError(ref, err) })
}

func one(open func() (*Subject, error)) iter.Seq2[*Subject, error] {
	return func(yield func(*Subject, error) bool) { yield(open()) }
}

// refError says that ref is neither a path nor an image's name.
func refError(ref string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fileError(ref, err)
	}
	return &fault.Error{
		Code: fault.NotFound, Op: "inspect", Input: ref, Err: errors.New("there is no such file or directory"),
		Hint: "an image is named with its registry (registry.example.com/team/app:tag), or as oci:DIR, docker-archive:FILE; a process as pid:N",
	}
}

// running is the process pid with the root file system that it sees.
func running(ctx context.Context, ref, pid string, opt Options) (*Subject, error) {
	n, err := strconv.ParseInt(pid, 10, 32)
	if err != nil || n <= 0 {
		return nil, &fault.Error{Code: fault.Usage, Op: "inspect", Input: ref,
			Err: errors.New("the process id is no positive number"), Hint: "write pid:1234"}
	}
	s, err := openProcess(ctx, ref, int(n), opt)
	if err != nil {
		return nil, err
	}
	root, err := rootfs.OpenDir(fmt.Sprintf("/proc/%d/root", n), opt.Limits.File)
	if err != nil {
		return nil, fileError(fmt.Sprintf("/proc/%d/root", n), err)
	}
	s.Root, s.dir = root, root
	return s, nil
}

// OpenImage is Open for a reference that is known to be an image's: no path is
// looked for.
func OpenImage(ctx context.Context, ref string, opt Options) iter.Seq2[*Subject, error] {
	return images(ctx, ref, opt.withDefaults())
}

// Resolve asks a registry which digest ref has and for which platforms there are
// images, without reading any layer; see package image.
func Resolve(ctx context.Context, ref string, opt Options) (Resolved, error) {
	return image.Resolve(ctx, ref, opt.withDefaults().image())
}

// Digest asks a registry which digest ref has, and believes nothing that is
// cached; see package image.
func Digest(ctx context.Context, ref string, opt Options) (string, error) {
	return image.Digest(ctx, ref, opt.withDefaults().image())
}

// images yields the container images that ref names.
func images(ctx context.Context, ref string, opt Options) iter.Seq2[*Subject, error] {
	return func(yield func(*Subject, error) bool) {
		for img, err := range image.Open(ctx, ref, opt.image()) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if !yield(imageSubject(img), nil) {
				return
			}
			for _, problem := range img.Problems {
				if !yield(nil, problem) {
					return
				}
			}
		}
	}
}

func (opt Options) image() image.Options {
	return image.Options{
		Platforms: opt.Platforms,
		PlainHTTP: opt.PlainHTTP, PlainHTTPHosts: opt.PlainHTTPHosts,
		Keychain: opt.Keychain, Mirrors: opt.Mirrors, Transport: opt.Transport,
		CacheDir: opt.CacheDir, CacheSize: opt.CacheSize, KeepEntries: opt.KeepEntries,
		Jobs: opt.Jobs, Limits: opt.Limits, Buffers: opt.Buffers,
		Progress: opt.Progress,
	}
}

// Assembled is the subject of an image that need not be stored anywhere; layers
// are the indexes of its layers, and ref names it. The problems are the files of
// it that may be executed and could not be measured.
func Assembled(ref string, built v1.Image, layers []*rootfs.Layer) (s *Subject, problems []error, err error) {
	img, err := image.Assemble(ref, built, layers)
	if err != nil {
		return nil, nil, err
	}
	return imageSubject(img), img.Problems, nil
}

func imageSubject(img *image.Image) *Subject {
	s := &Subject{
		Ref: img.Ref, Platform: img.Platform, Image: &img.Config, Root: img.Root,
		Process: imageProcess(&img.Config),
	}
	for _, f := range img.Files {
		s.Files = append(s.Files, f.Facts)
	}
	return s
}

// imageProcess is what a container runtime starts when it is told nothing else.
func imageProcess(img *api.Image) *Process {
	return &Process{
		Args: slices.Concat(img.Entrypoint, img.Cmd), Env: img.Env, User: img.User, WorkingDir: img.WorkingDir,
	}
}
