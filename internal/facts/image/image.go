// Package image reads container images from registries, OCI layouts and docker
// archives, without unpacking them: each layer is streamed once, verified
// against its digests and indexed, and what was learnt is kept by digest.
package image

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Image is a container image of one platform.
type Image struct {
	// Ref is the reference as it was given, completed by the tag where the
	// source holds several images and the reference named none.
	Ref string
	// Platform is what the configuration claims.
	Platform api.Platform
	// Config is what manifest and configuration say.
	Config api.Image
	// Layers are the indexes of the layers, the lowest first, and Root is the file
	// system that they make.
	Layers []*rootfs.Layer
	Root   *rootfs.Tree
	// Entrypoint is the real path of the file that the configuration starts;
	// empty when it starts nothing or the file cannot be found.
	Entrypoint string
	// Files are the Go executables and libraries, and the entrypoint when it is
	// an executable of any kind, sorted by path. A file with several names (hard
	// links) is there once.
	Files []File
	// Problems are the files that may be executed and could not be measured. What
	// is wrong with others, such as libraries, shows when Root is asked for them.
	Problems []error
}

// File is an executable of an image.
type File struct {
	// Facts has Ref, Path, Entrypoint and Image filled in.
	Facts api.Facts
	// Layer is the index in Config.Layers of the layer that the file is from.
	Layer int
}

// Options says how images are read. The zero value reads all platforms with the
// default limits and without a cache.
type Options struct {
	// Platforms narrows multi-platform images; empty means all. A platform
	// without a Level stands for all levels.
	Platforms []api.Platform
	// PlainHTTP also talks HTTP to registries.
	PlainHTTP bool
	// PlainHTTPHosts are the registries ("host[:port]") that HTTP is talked to.
	PlainHTTPHosts []string
	// Keychain finds the credentials for registries; nil means those of `docker
	// login`.
	Keychain Keychain
	// Mirrors are, by registry ("docker.io", "host[:port]"), the base URLs of the
	// mirrors that are asked before it, in their order. A mirror that does not
	// answer, refuses, or serves other content than its digest says is passed
	// over. It gets the credentials that Keychain has for the mirror itself.
	Mirrors map[string][]string
	// Transport sends the requests; nil means one of its own. Timeouts are then
	// the Transport's.
	Transport http.RoundTripper
	// Buffers holds executables while they are measured; nil means one of its
	// own. What shares one shares its bounds.
	Buffers *rootfs.Buffers
	// CacheDir keeps what was learnt by digest; empty means no cache. CacheSize
	// bounds it in bytes; 0 means cache.DefaultSize.
	CacheDir  string
	CacheSize int64
	// KeepEntries is the largest layer, in the terms of Limits.Entries, that is
	// kept in the cache, since writing and reading one takes memory; 0 means any.
	KeepEntries int
	// Jobs is how many layers are read at once; 0 means GOMAXPROCS.
	Jobs   int
	Limits Limits
	// Timeouts bounds how long a registry may keep silent.
	Timeouts Timeouts
	// Progress hears of the compressed bytes of layers.
	Progress progress.Sink
}

// Limits bounds what hostile input can cost. A zero field means its default.
type Limits struct {
	// File is the largest executable that is measured, in bytes. Of an image, one
	// of more than 64 MiB is held in memory at a time.
	File int64
	// Image is the most uncompressed bytes read of one image.
	Image int64
	// Entries is the most files of one image or tree. Each KiB that is kept of a
	// file or its name counts as one more.
	Entries int
	// Window is the most memory that the compression of a layer may ask for, in
	// bytes.
	Window int64
}

// DefaultLimits is what zero fields of Limits stand for.
var DefaultLimits = Limits{File: 512 << 20, Image: 64 << 30, Entries: 2_000_000, Window: 128 << 20}

// OrDefault returns the limits with every zero field filled in.
func (l Limits) OrDefault() Limits {
	return Limits{
		File:    or(l.File, DefaultLimits.File),
		Image:   or(l.Image, DefaultLimits.Image),
		Entries: or(l.Entries, DefaultLimits.Entries),
		Window:  or(l.Window, DefaultLimits.Window),
	}
}

// Timeouts bounds how long a registry may take; see package transport.
type Timeouts = transport.Timeouts

func (o Options) withDefaults() Options {
	o.Jobs = or(o.Jobs, runtime.GOMAXPROCS(0))
	o.Limits = o.Limits.OrDefault()
	o.Progress = progress.Or(o.Progress)
	o.Timeouts = o.Timeouts.OrDefault()
	return o
}

// or returns value, or fallback for the zero value.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Open reads the images that ref names and yields one for each platform, sorted
// by tag and platform. Forms of ref:
//
//	oci:DIR[:tag|@digest]        an OCI image layout
//	docker-archive:FILE[:tag]    what `docker save` writes, or compressed with gzip or zstd
//	registry/repo[:tag|@digest]  a registry, with the credentials of `docker login`
//
// A layout or archive that holds several images yields all of them unless ref
// has a tag. An error about one image is yielded in its place and the others
// follow. All errors are *fault.Error.
func Open(ctx context.Context, ref string, opt Options) iter.Seq2[*Image, error] {
	return func(yield func(*Image, error) bool) {
		opt := opt.withDefaults()
		r := &reader{
			ref:    ref,
			opt:    opt,
			layers: newLayerReader(opt),
		}
		src, err := openSource(ctx, ref, opt, r.layers)
		if err != nil {
			yield(nil, r.fail("", err))
			return
		}
		defer src.close()
		r.source = src
		candidates, other, err := src.candidates(ctx)
		if err != nil {
			yield(nil, r.fail("", err))
			return
		}
		slices.SortStableFunc(candidates, func(a, b candidate) int { return strings.Compare(a.String(), b.String()) })
		answered := false
		for _, c := range candidates {
			img, err := r.image(ctx, c)
			var skipped *otherPlatform
			if errors.As(err, &skipped) {
				other = append(other, skipped.Platform)
				continue
			}
			if err != nil {
				err = r.fail(c.String(), err)
			}
			answered = true
			if !yield(img, err) || ctx.Err() != nil {
				return
			}
		}
		if !answered {
			yield(nil, r.fail("", opt.noPlatform(other)))
		}
	}
}

// reader reads the images of one reference.
type reader struct {
	ref    string
	opt    Options
	source source
	layers *layerReader
}

// fail returns err as an error about the reference, or one image of it.
func (r *reader) fail(part string, err error) error {
	input := r.ref
	if part != "" {
		input += " (" + part + ")"
	}
	return &fault.Error{Code: codeOf(err), Op: "read image", Input: input, Err: err, Hint: fault.HintOf(err)}
}

// image reads one image whole.
func (r *reader) image(ctx context.Context, c candidate) (*Image, error) {
	if c.err != nil {
		return nil, c.err
	}
	parts, err := r.source.parts(ctx, c)
	if err != nil {
		return nil, err
	}
	platform := configPlatform(parts.config)
	// An index's claim is what a runtime chooses by; without one it is this.
	if c.platform == nil && !r.opt.wanted(platform) {
		return nil, &otherPlatform{platform}
	}
	if parts.config.OS == "windows" {
		return nil, &fault.Error{Code: fault.Unsupported, Err: errors.New("the layers of Windows images are not read"),
			Hint: "choose another platform with --platform"}
	}
	layers, err := r.layers.read(ctx, parts.layers)
	if err != nil {
		return nil, err
	}
	ref := r.ref
	if c.name != "" {
		ref += ":" + c.name
	}
	return stack(ref, describe(parts), layers)
}

// Assemble returns img, which need not be stored anywhere, as Open would; layers
// are the indexes of its layers.
func Assemble(ref string, img v1.Image, layers []*rootfs.Layer) (*Image, error) {
	p, err := partsOf(img)
	if err != nil {
		return nil, err
	}
	return stack(ref, describe(p), layers)
}

// partsOf returns the parts of an image that the program has made.
func partsOf(img v1.Image) (*parts, error) {
	p := &parts{}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if p.config, err = img.ConfigFile(); err != nil {
		return nil, err
	}
	if p.manifest, err = img.Digest(); err != nil {
		return nil, err
	}
	p.configID = manifest.Config.Digest
	for i, desc := range manifest.Layers {
		p.layers = append(p.layers, layerRef{desc: desc, diffID: p.config.RootFS.DiffIDs[i]})
	}
	return p, nil
}

// stack makes the image of layers and what its configuration says.
func stack(ref string, config api.Image, layers []*rootfs.Layer) (*Image, error) {
	root, err := rootfs.Stack(layers)
	if err != nil {
		return nil, err
	}
	img := &Image{Ref: ref, Platform: config.Platform, Config: config, Layers: layers, Root: root}
	img.findFiles()
	return img, nil
}

// findFiles fills in what the root file system holds.
func (img *Image) findFiles() {
	img.Entrypoint = entrypoint(img.Root, &img.Config)
	for x := range img.Root.Executables() {
		started := slices.Contains(x.Paths, img.Entrypoint)
		if x.Err != nil && (x.Node.Mode&0o111 != 0 || started) {
			img.Problems = append(img.Problems, &fault.Error{Code: codeOf(x.Err), Op: "read image",
				Input: img.Ref + " (" + img.Platform.String() + ")", Err: x.Err, Hint: fault.HintOf(x.Err)})
		}
		if x.Err != nil || x.File.Object.Facts.Go == nil && !started {
			continue
		}
		f := File{Facts: x.File.Object.Facts, Layer: x.Layer}
		f.Facts.Ref, f.Facts.Path, f.Facts.Image = img.Ref, x.Paths[0], &img.Config
		if started {
			f.Facts.Path, f.Facts.Entrypoint = img.Entrypoint, true
		}
		img.Files = append(img.Files, f)
	}
	slices.SortFunc(img.Files, func(a, b File) int { return strings.Compare(a.Facts.Path, b.Facts.Path) })
}

// entrypoint returns the real path of the file that cfg starts, as a runtime
// looks for it, or "".
func entrypoint(root rootfs.FS, cfg *api.Image) string {
	args := slices.Concat(cfg.Entrypoint, cfg.Cmd)
	if len(args) == 0 {
		return ""
	}
	// Whether the user exists and may execute the file is not asked here.
	user, err := rootfs.LookupUser(root, cfg.User)
	if err != nil {
		user = rootfs.User{}
	}
	searchPath := rootfs.DefaultPath
	for _, v := range cfg.Env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			searchPath = value
		}
	}
	// A file that may not be executed is still what would be started.
	file, _ := rootfs.LookPath(root, user, searchPath, cfg.WorkingDir, args[0])
	real, node, err := rootfs.Resolve(root, rootfs.User{}, "/", file)
	if err != nil || !node.Mode.IsRegular() {
		return ""
	}
	return real
}

// cacheVersion names the code that makes cached records. It is raised when a
// layer's index or what is measured of an executable changes.
const cacheVersion = 1

// Version names the code that measures, for caches of what was measured.
func Version() string { return fmt.Sprintf("%d %s", cacheVersion, buildVersion()) }

func cacheKey(kind, digest string) cache.Key {
	return cache.Key{Kind: kind, Version: Version(), Digest: digest}
}
