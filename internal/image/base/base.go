// Package base holds what programs are put on: the built-in base for static
// programs, and base images of registries, layouts and archives.
package base

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// StaticRef is the reference of the built-in base.
const StaticRef = "static"

// Base is a base image of one platform.
type Base struct {
	// Ref is the reference as it was given, Digest the manifest's.
	Ref    string
	Digest v1.Hash
	// Image is what layers are appended to; Layers are the indexes of its own.
	Image  v1.Image
	Layers []*rootfs.Layer
}

// Options says how base images are read.
type Options struct {
	Store store.Options
	// CacheDir keeps what was learnt of layers by digest; empty means no cache.
	CacheDir string
	// Limits bounds what a base image can cost.
	Limits image.Limits
}

// Open reads the base image that ref names for the platform. One that is listed
// without a level serves every level.
func Open(ctx context.Context, ref string, platform api.Platform, opt Options) (*Base, error) {
	b, err := open(ctx, ref, platform, opt)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "base image", Input: ref, Err: err, Hint: fault.HintOf(err)}
	}
	return b, nil
}

func open(ctx context.Context, ref string, platform api.Platform, opt Options) (*Base, error) {
	s, err := store.Open(ctx, ref, opt.Store)
	if err != nil {
		return nil, err
	}
	item, desc, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	// From here on the base is named by its digest: a tag may move at any time.
	pinned := s.Ref(desc.Digest)
	read, err := choose(ctx, pinned, platform, opt)
	if err != nil {
		return nil, vanished(err, ref)
	}
	b := &Base{Ref: ref, Digest: desc.Digest, Layers: read.Layers}
	if img, ok := item.(v1.Image); ok {
		b.Image = img
		return b, nil
	}
	if b.Digest, err = v1.NewHash(read.Config.Digest); err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Err: err}
	}
	b.Image, err = s.Image(ctx, b.Digest)
	return b, vanished(err, ref)
}

// vanished says what to do when a base that was there a moment ago is not.
func vanished(err error, ref string) error {
	if fault.CodeOf(err) != fault.NotFound {
		return err
	}
	return &fault.Error{Code: fault.NotFound, Err: err,
		Hint: fmt.Sprintf("see whether %s still exists, has an image for the platform and was not replaced meanwhile; then build again", ref)}
}

// choose reads the image of the platform: of exactly its level if there is one,
// else the first.
func choose(ctx context.Context, ref string, platform api.Platform, opt Options) (*image.Image, error) {
	var found *image.Image
	for img, err := range image.Open(ctx, ref, image.Options{
		Platforms: []api.Platform{{OS: platform.OS, Arch: platform.Arch}},
		PlainHTTP: opt.Store.PlainHTTP, CacheDir: opt.CacheDir, Limits: opt.Limits,
	}) {
		if err != nil {
			return nil, err
		}
		if found == nil || img.Platform == platform {
			found = img
		}
	}
	if found == nil {
		return nil, errors.New("it holds no image")
	}
	return found, nil
}
