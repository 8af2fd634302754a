package image

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// builder is what the images of one build share.
type builder struct {
	dir       string
	config    api.BuildConfig
	opt       Options
	platforms []api.Platform
	created   time.Time
	compile   compile.Options
	layers    layer.Options
	// slots bounds how many platforms are built at once.
	slots chan struct{}
	bases bases
}

// layerCacheSize is how many bytes of layers are kept.
const layerCacheSize = 2 << 30

func newBuilder(dir string, config api.BuildConfig, opt Options) (*builder, error) {
	if opt.Progress == nil {
		opt.Progress = silent{progress.Discard}
	}
	if opt.Jobs == 0 {
		opt.Jobs = runtime.GOMAXPROCS(0)
	}
	b := &builder{dir: dir, config: config, opt: opt, slots: make(chan struct{}, opt.Jobs)}
	var err error
	if b.platforms, err = parsePlatforms(config.Platforms, runtime.GOARCH); err != nil {
		return nil, err
	}
	if b.created, err = createdTime(opt.Env); err != nil {
		return nil, err
	}
	if b.config.Compression == "" {
		b.config.Compression = layer.Gzip
	}
	if c := b.config.Compression; c != layer.Gzip && c != layer.Zstd {
		return nil, &fault.Error{Code: fault.Usage, Op: "build", Err: fmt.Errorf("%q is no compression", c), Hint: "choose gzip or zstd"}
	}
	b.compile = compile.Options{
		Dir: dir, Env: opt.Env, Go: config.Defaults.Go, Tags: config.Defaults.Tags,
		Matrix: opt.Matrix, CacheDir: below(opt.CacheDir, "programs"), Log: opt.Log,
	}
	b.layers = layer.Options{
		Compression: b.config.Compression, Time: b.created, MaxFile: image.DefaultLimits.File,
		Cache: cache.Open(below(opt.CacheDir, "layers"), layerCacheSize),
	}
	b.bases = bases{builder: b, known: map[baseKey]func() (*base.Base, error){}}
	return b, nil
}

// below is a directory of the cache; "" when there is none.
func below(cacheDir, name string) string {
	if cacheDir == "" {
		return ""
	}
	return filepath.Join(cacheDir, name)
}

func (b *builder) storeOptions() store.Options {
	return store.Options{PlainHTTP: b.opt.PlainHTTP, Progress: b.opt.Progress}
}

// built is the image of one platform, before it is put anywhere.
type built struct {
	api.BuiltImage
	image v1.Image
	// files are the facts of the image's executables.
	files []api.Facts
	// program is the executable, which the image's layer may read.
	program *compile.Program
	// kept waits for the layers that are being put into the cache.
	kept sync.WaitGroup
	// started is when the build began.
	started time.Time
}

// Close ends the use of the image.
func (b *built) Close() error {
	b.kept.Wait()
	return b.program.Close()
}

// build makes the images of one package and puts them to the targets unless one
// is denied.
func (b *builder) build(ctx context.Context, p compile.Package, targets []string) (*api.Build, error) {
	images := make([]*built, len(b.platforms))
	defer func() {
		for _, img := range images {
			if img != nil {
				_ = img.Close()
			}
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	for i, platform := range b.platforms {
		group.Go(func() (err error) {
			b.slots <- struct{}{}
			defer func() { <-b.slots }()
			images[i], err = b.image(ctx, groupCtx, p, platform, ConfigOf(b.config, p))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := &api.Build{Package: p.ImportPath, Refs: []string{}}
	denied := false
	for _, img := range images {
		out.Images = append(out.Images, img.BuiltImage)
		denied = denied || img.Verdict.Verdict == api.Deny
	}
	if denied {
		return out, nil
	}
	err := b.publish(ctx, p, images, targets, out)
	return out, err
}

// image makes the image of one platform. The executable is compiled under
// compileCtx, which ends when another platform has failed; ctx is the build's.
func (b *builder) image(ctx, compileCtx context.Context, p compile.Package, platform api.Platform, cfg api.PackageConfig) (_ *built, err error) {
	step := func(s Step, detail string) { b.opt.Progress.Step(p.ImportPath, platform, s, detail) }
	out := &built{started: time.Now()}
	step(StepCompile, "")
	c := &composition{name: p.Name(), platform: platform, config: cfg, build: b, kept: &out.kept}
	c.series = layer.NewSeries(p.Dir+" "+platform.String(), b.layers.Cache)
	program, err := compile.Compile(compileCtx, p, platform, cfg, b.compile)
	if err != nil {
		return nil, err
	}
	out.program = program
	defer func() {
		if err != nil {
			_ = out.Close()
		}
	}()
	step(StepPack, "")
	if err := c.pack(ctx, p, program); err != nil {
		return nil, err
	}
	measured, err := c.measured()
	if err != nil {
		return nil, err
	}
	choice, err := b.chooseBase(ctx, c, measured, program.Goroot)
	if err != nil {
		return nil, err
	}
	step(StepCheck, choice.Reason)
	if out.image, err = c.image(b.annotations(&program.Build, choice)); err != nil {
		return nil, err
	}
	out.Platform, out.Base, out.Build = platform, choice, program.Build
	return out, b.describe(ctx, out, c)
}

// pack makes the layers of the program and its assets.
func (c *composition) pack(ctx context.Context, p compile.Package, program *compile.Program) error {
	b := c.build
	entry, err := layer.FixedFile(programPath(c.name), 0o755, program.Path)
	if err != nil {
		return err
	}
	opt := b.layers
	opt.Series, opt.Fresh = c.series, program.Linked
	if c.program, err = layer.New(ctx, []layer.Entry{entry}, opt); err != nil {
		return err
	}
	c.kept.Go(c.program.Keep)
	entries, err := assets(ctx, c.assetsDir(p), assetsPath(c.name))
	if err != nil || entries == nil {
		return err
	}
	if c.assets, err = layer.New(ctx, entries, b.layers); err != nil {
		return err
	}
	c.kept.Go(c.assets.Keep)
	return nil
}

// assetsDir is where the package's assets are, "" when it has none.
func (c *composition) assetsDir(p compile.Package) string {
	if dir := c.config.Assets; filepath.IsAbs(dir) {
		return dir
	} else if dir != "" {
		return filepath.Join(c.build.dir, dir)
	}
	dir := filepath.Join(p.Dir, defaultAssets)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// measured returns the facts of the program, from the layer that holds it.
func (c *composition) measured() (*api.Facts, error) {
	tree, err := rootfs.Stack([]*rootfs.Layer{c.program.Index()})
	if err != nil {
		return nil, err
	}
	file, err := tree.File(programPath(c.name))
	if err != nil {
		return nil, err
	}
	if file.Object == nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "measure", Input: c.name, Err: fmt.Errorf("the compiled program is no executable")}
	}
	return &file.Object.Facts, nil
}

// describe fills in what is known of the finished image, and the verdict on it.
func (b *builder) describe(ctx context.Context, out *built, c *composition) error {
	name := c.name
	subject, problems, err := facts.Assembled(name, out.image, c.indexes())
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return problems[0]
	}
	out.Digest, out.Layers = subject.Image.Digest, subject.Image.Layers
	out.files, out.Facts = subject.Files, entrypoint(subject)
	if out.Size, err = storedSize(out.image); err != nil {
		return err
	}
	f := &out.Build
	f.Program, f.Digest, f.Size = out.Facts.Path, out.Facts.Digest, out.Facts.Size
	f.Base, f.Compression, f.Created = out.Base, b.config.Compression, b.created.Format(time.RFC3339)
	f.Labels, f.Annotations = b.config.Labels, b.config.Annotations
	if out.Verdict, err = b.opt.Judge(ctx, subject); err != nil {
		return err
	}
	waysOut(&out.BuiltImage)
	return nil
}

// entrypoint returns the facts of the program that the image starts, without the
// image itself, which the caller describes.
func entrypoint(s *facts.Subject) api.Facts {
	for _, f := range s.Files {
		if f.Entrypoint {
			f.Image = nil
			return f
		}
	}
	return api.Facts{}
}

// storedSize is what a registry holds of an image, in bytes.
func storedSize(img v1.Image) (int64, error) {
	size, err := img.Size()
	if err != nil {
		return 0, err
	}
	m, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size += m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}

// The annotations that the OCI image specification has names for.
const (
	annotationCreated    = "org.opencontainers.image.created"
	annotationRevision   = "org.opencontainers.image.revision"
	annotationBaseName   = "org.opencontainers.image.base.name"
	annotationBaseDigest = "org.opencontainers.image.base.digest"
)

// annotations are those of a platform's manifest: what is known, and over it
// what was asked for.
func (b *builder) annotations(f *api.BuildFacts, choice api.BaseChoice) map[string]string {
	known := map[string]string{
		annotationCreated:    b.created.Format(time.RFC3339),
		annotationBaseDigest: choice.Digest,
	}
	if f.Source != nil && f.Source.Revision != "" {
		known[annotationRevision] = f.Source.Revision
		if f.Source.Modified {
			known[annotationRevision] += "-dirty"
		}
	}
	if inRegistry(choice.Ref) {
		known[annotationBaseName] = choice.Ref
	}
	return union(known, b.config.Annotations)
}

// inRegistry tells names of images in registries from the rest.
func inRegistry(ref string) bool {
	return image.Named(ref) && !strings.HasPrefix(ref, image.LayoutScheme) && !strings.HasPrefix(ref, image.ArchiveScheme)
}

// bases opens each base image once.
type bases struct {
	builder *builder
	// pinned has, for references that stand for one digest, that reference.
	pinned map[string]string
	mu     sync.Mutex
	known  map[baseKey]func() (*base.Base, error)
}

type baseKey struct {
	ref, goroot string
	platform    api.Platform
}

// get returns the base that ref names; goroot matters to the built-in one.
func (s *bases) get(ctx context.Context, ref, goroot string, platform api.Platform) (*base.Base, error) {
	b := s.builder
	s.mu.Lock()
	key := baseKey{ref: ref, platform: platform}
	if ref == base.StaticRef {
		key.goroot = goroot
	}
	open, ok := s.known[key]
	if !ok {
		open = sync.OnceValues(func() (*base.Base, error) {
			if ref == base.StaticRef {
				return base.Static(ctx, goroot, platform, b.layers)
			}
			return base.Open(ctx, cmp.Or(s.pinned[ref], ref), platform, base.Options{Store: b.storeOptions(), CacheDir: b.opt.CacheDir})
		})
		s.known[key] = open
	}
	s.mu.Unlock()
	return open()
}
