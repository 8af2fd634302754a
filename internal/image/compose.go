package image

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/layer"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// programPath is where the program called name is in an image.
func programPath(name string) string { return "/usr/local/bin/" + name }

// assetsPath is where its assets are, and what assetsEnv holds: the variable
// that programs written for ko read.
func assetsPath(name string) string { return "/usr/local/share/" + name }

const (
	assetsEnv = "KO_DATA_PATH"
	// defaultAssets is the directory of a package that ko takes assets from.
	defaultAssets = "kodata"
)

// assets returns the entries of the directory dir, below at; none when dir is
// "". Symbolic links are followed, and permissions reduced to whether a file may
// be executed, so that the umask of a checkout does not matter.
func assets(ctx context.Context, dir, at string) ([]layer.Entry, error) {
	if dir == "" {
		return nil, nil
	}
	w := assetWalk{ctx: ctx}
	if err := w.add(dir, at, 0); err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read assets", Input: dir, Err: err, Hint: fault.HintOf(err)}
	}
	return w.entries, nil
}

type assetWalk struct {
	ctx     context.Context
	entries []layer.Entry
}

// The bounds of assets, which symbolic links could make endless.
const (
	maxAssetDepth = 40
	maxAssets     = 200_000
)

func (w *assetWalk) add(name, at string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxAssetDepth || len(w.entries) > maxAssets {
		return &fault.Error{Code: fault.Limit, Input: name, Err: fmt.Errorf("there are more than %d files, or more than %d levels", maxAssets, maxAssetDepth),
			Hint: "look for a symbolic link that leads upwards"}
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return w.addDir(name, at, depth)
	case info.Mode().IsRegular():
		mode := fs.FileMode(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		entry, err := layer.File(at, mode, name)
		w.entries = append(w.entries, entry)
		return err
	}
	return &fault.Error{Code: fault.Invalid, Input: name, Err: fmt.Errorf("it is neither a file nor a directory (%s)", info.Mode().Type())}
}

func (w *assetWalk) addDir(name, at string, depth int) error {
	w.entries = append(w.entries, layer.Dir(at, 0o755))
	children, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := w.add(filepath.Join(name, c.Name()), path.Join(at, c.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// composition is what an image is made of.
type composition struct {
	name     string
	platform api.Platform
	base     *base.Base
	// assets is nil where there are none.
	assets, program *layer.Layer
	// series is what the program's layer belongs to.
	series *layer.Series
	// kept hears of the layers that are being put into the cache.
	kept   *sync.WaitGroup
	config api.PackageConfig
	build  *builder
}

// layers are the image's own, the lowest first: what changes least lies deepest.
func (c *composition) layers() []*layer.Layer {
	if c.assets == nil {
		return []*layer.Layer{c.program}
	}
	return []*layer.Layer{c.assets, c.program}
}

// indexes are those of all layers.
func (c *composition) indexes() []*rootfs.Layer {
	all := slices.Clone(c.base.Layers)
	for _, l := range c.layers() {
		all = append(all, l.Index())
	}
	return all
}

// image makes the image.
func (c *composition) image(annotations map[string]string) (v1.Image, error) {
	under, err := ociImage(c.base.Image)
	if err != nil {
		return nil, err
	}
	cfg, err := under.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	c.configure(cfg)
	img, err := mutate.ConfigFile(under, cfg)
	if err != nil {
		return nil, err
	}
	for _, l := range c.layers() {
		history := v1.History{Created: cfg.Created, CreatedBy: "gopherwood build", Comment: "program"}
		if l == c.assets {
			history.Comment = "assets"
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: history}); err != nil {
			return nil, err
		}
	}
	if len(annotations) == 0 {
		return img, nil
	}
	return mutate.Annotations(img, annotations).(v1.Image), nil
}

// configure says what the image starts, as whom, and in which environment.
func (c *composition) configure(cfg *v1.ConfigFile) {
	p := image.OCIPlatform(c.platform)
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	cfg.Created = v1.Time{Time: c.build.created}
	cfg.Author = ""
	run := &cfg.Config
	run.Entrypoint = append([]string{programPath(c.name)}, c.config.Args...)
	run.Cmd, run.Healthcheck, run.OnBuild = nil, nil, nil
	run.User = c.config.User
	if run.User == "" {
		run.User = base.NonrootUser
	}
	for _, key := range slices.Sorted(maps.Keys(c.config.ImageEnv)) {
		run.Env = setEnv(run.Env, key, c.config.ImageEnv[key])
	}
	if c.assets != nil {
		run.Env = setEnv(run.Env, assetsEnv, assetsPath(c.name))
	}
	run.Labels = union(run.Labels, c.build.config.Labels)
	for _, port := range c.config.Ports {
		if run.ExposedPorts == nil {
			run.ExposedPorts = map[string]struct{}{}
		}
		run.ExposedPorts[port] = struct{}{}
	}
}

// setEnv returns env with key set to value.
func setEnv(env []string, key, value string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, key+"=") })
	return append(env, key+"="+value)
}

// ociTypes are OCI's names for layers that Docker names otherwise.
var ociTypes = map[types.MediaType]types.MediaType{
	types.DockerLayer:             types.OCILayer,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
}

// ociImage returns img with the media types of OCI: Docker's own name the same
// bytes, and an image has those of one family.
func ociImage(img v1.Image) (v1.Image, error) {
	mt, err := img.MediaType()
	if err != nil || mt == types.OCIManifestSchema1 {
		return img, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		if out, err = mutate.Append(out, mutate.Addendum{Layer: l, MediaType: ociTypes[mt]}); err != nil {
			return nil, err
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(out, cfg)
}
