// Package store is where images and what is attached to them are put: a
// registry, an OCI image layout, or a docker archive. What refers to other
// content is written after it, so that a reader never sees half an image.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/base/transport"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Store keeps manifests and blobs. All errors are *fault.Error. Its methods may
// be called from several goroutines.
type Store interface {
	// Ref names a digest in the store, for example
	// "registry.example.org/team/app@sha256:…"; of an archive, its own name.
	Ref(digest v1.Hash) string
	// Put writes item, a v1.Image or v1.ImageIndex with all that it refers to:
	// blobs first, the item's own manifest last. It gets the tag of the store's
	// reference when tagged is true. What is there already is not sent again.
	//
	// An image whose manifest has a subject is listed as its referrer, on a
	// registry without the referrers API by the tag that the OCI distribution
	// specification has for that.
	Put(ctx context.Context, item partial.WithRawManifest, tagged bool) error
	// Get returns the image or index (a v1.Image or v1.ImageIndex) that the
	// reference names, with its descriptor.
	Get(ctx context.Context) (partial.WithRawManifest, v1.Descriptor, error)
	// Image returns the image with the digest, verified as it is read.
	Image(ctx context.Context, digest v1.Hash) (v1.Image, error)
	// Referrers lists the manifests whose subject is digest; empty when there
	// are none. The descriptors have ArtifactType and Annotations.
	Referrers(ctx context.Context, digest v1.Hash) ([]v1.Descriptor, error)
}

// Options says how stores are reached. The zero value has the defaults.
type Options struct {
	// PlainHTTP talks HTTP to registries, also where they are not on this machine.
	PlainHTTP bool
	// Keychain finds the credentials, of which the first are used; nil means those
	// of `docker login`.
	Keychain image.Keychain
	// Transport sends the requests; nil means one of its own, with Timeouts.
	Transport http.RoundTripper
	// Timeouts bounds how long a registry may keep silent.
	Timeouts transport.Timeouts
	// Jobs is how many blobs are sent at once; 0 means 4.
	Jobs int
	// Progress hears of the bytes that are sent.
	Progress progress.Sink
	// Sent hears of every blob and manifest that was really written, not of what
	// was there already or mounted. It may be called from several goroutines.
	Sent func(v1.Descriptor)
}

func (o Options) withDefaults() Options {
	o.Timeouts = o.Timeouts.OrDefault()
	o.Jobs = cmp.Or(o.Jobs, 4)
	o.Progress = progress.Or(o.Progress)
	if o.Sent == nil {
		o.Sent = func(v1.Descriptor) {}
	}
	return o
}

// defaultTag is the tag of references without one.
const defaultTag = "latest"

// Open returns the store that ref names. Nothing is read or written yet, so that
// what ref names need not exist. Forms of ref:
//
//	registry/repo[:tag|@digest]  a registry, with the credentials of `docker login`
//	oci:DIR[:tag|@digest]        an OCI image layout
//	docker-archive:FILE[:name]   what `docker load` reads
func Open(_ context.Context, ref string, opt Options) (Store, error) {
	opt = opt.withDefaults()
	if rest, ok := strings.CutPrefix(ref, image.LayoutScheme); ok {
		path, selector, err := splitPath(rest)
		if err != nil {
			return nil, fail("open", ref, err)
		}
		return &layout{dir: path, selector: selector, opt: opt}, nil
	}
	if rest, ok := strings.CutPrefix(ref, image.ArchiveScheme); ok {
		path, selector, err := splitPath(rest)
		if err != nil {
			return nil, fail("open", ref, err)
		}
		return newArchive(ref, path, selector, opt)
	}
	if !image.Named(ref) {
		return nil, fail("open", ref, &fault.Error{Code: fault.Usage, Err: errors.New("it names no place for images"),
			Hint: "write registry/repository[:tag] with the registry's host, oci:DIR[:tag] or docker-archive:FILE"})
	}
	return newRegistry(ref, opt)
}

// splitPath splits "PATH[:tag|@digest]". A PATH that does not exist yet ends at
// the first colon that does not belong to a volume's name.
func splitPath(s string) (path, selector string, err error) {
	path, selector, err = image.SplitPath(s)
	if fault.CodeOf(err) != fault.NotFound {
		return path, selector, err
	}
	volume := len(filepath.VolumeName(s))
	end := len(s)
	if i := strings.IndexAny(s[volume:], ":@"); i >= 0 {
		end = volume + i
	}
	if end == 0 {
		return "", "", &fault.Error{Code: fault.Usage, Err: errors.New("the path is missing"), Hint: fault.HintOf(err)}
	}
	return s[:end], s[end:], nil
}

// fail returns err as an error about what was done to input.
func fail(op, input string, err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: op, Input: input, Err: err, Hint: fault.HintOf(err)}
}

// noTag is the error of giving a tag to a reference that has a digest instead.
func noTag() error {
	return &fault.Error{Code: fault.Usage, Err: errors.New("it names a digest, which is not known before the image is made"),
		Hint: "name a tag"}
}

// unexpected is the error of a digest that names something else than what was
// asked for, "an image" or "an index".
func unexpected(digest v1.Hash, is types.MediaType, want string) error {
	return &fault.Error{Code: fault.Unsupported, Err: fmt.Errorf("%s has the type %q, which is not %s", digest, is, want)}
}
