package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// Rebuilt is an image that was made again. It must be closed after its layers
// have been read.
type Rebuilt struct {
	io.Closer
	Image v1.Image
	Build api.BuildFacts
}

// Rebuild makes the image that f records once more, from the sources in dir: with
// the same toolchain, flags, environment and base. It puts nothing anywhere.
func Rebuild(ctx context.Context, dir string, f api.BuildFacts, opt Options) (*Rebuilt, error) {
	pinned, err := pin(ctx, f.Base, opt.PlainHTTP)
	if err != nil {
		return nil, err
	}
	created, err := time.Parse(time.RFC3339, f.Created)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "rebuild", Input: f.Package, Err: fmt.Errorf("the recorded time: %w", err)}
	}
	opt.Env = append(withoutKey(opt.Env, epochKey), fmt.Sprintf("%s%d", epochKey, created.Unix()))
	b, err := newBuilder(dir, api.BuildConfig{
		Platforms: []string{f.Platform.String()}, Compression: f.Compression, Labels: f.Labels, Annotations: f.Annotations,
	}, opt)
	if err != nil {
		return nil, err
	}
	packages, err := compile.Load(ctx, []string{f.Package}, b.compile)
	if err != nil {
		return nil, err
	}
	if len(packages) != 1 {
		return nil, &fault.Error{Code: fault.NotFound, Op: "rebuild", Input: f.Package,
			Err: errors.New("the directory has no such package"), Hint: "run it in a checkout of the module that the image was built from"}
	}
	b.bases.pinned = map[string]string{f.Base.Ref: pinned}
	img, err := b.image(ctx, ctx, packages[0], f.Platform, recordedConfig(f))
	if err != nil {
		return nil, err
	}
	return &Rebuilt{Closer: img, Image: img.image, Build: img.Build}, nil
}

// pin names a recorded base by its digest.
func pin(ctx context.Context, choice api.BaseChoice, plainHTTP bool) (string, error) {
	if choice.Ref == base.StaticRef {
		return choice.Ref, nil
	}
	digest, err := v1.NewHash(choice.Digest)
	if err != nil {
		return "", &fault.Error{Code: fault.Invalid, Op: "rebuild", Input: choice.Ref, Err: fmt.Errorf("the recorded digest of the base: %w", err)}
	}
	s, err := store.Open(ctx, choice.Ref, store.Options{PlainHTTP: plainHTTP})
	if err != nil {
		return "", err
	}
	return s.Ref(digest), nil
}

// recordedConfig is how the package was built, with everything that was decided
// then asked for now.
func recordedConfig(f api.BuildFacts) api.PackageConfig {
	cfg := f.Config
	cfg.Base = f.Base.Ref
	cfg.CGO = api.CGOOff
	if f.CGO.Enabled {
		cfg.CGO = api.CGOOn
	}
	if v, err := goversion.Parse(f.Go); err == nil && cfg.Go == "" && "go"+v.String() == f.Go {
		cfg.Go = v.String()
	}
	cfg.Env = maps.Clone(f.Env)
	return cfg
}

func withoutKey(env []string, key string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, key) {
			out = append(out, v)
		}
	}
	return out
}
