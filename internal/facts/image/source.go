package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// source is where the images of one reference come from.
type source interface {
	// candidates lists the images, without those that are known to be of a
	// platform that the options leave out: other holds these platforms.
	candidates(ctx context.Context) (list []candidate, other []api.Platform, err error)
	// parts reads all of an image but its layers.
	parts(ctx context.Context, c candidate) (*parts, error)
	close()
}

// candidate is an image that may be read.
type candidate struct {
	// name is its tag in the source, if any.
	name string
	// desc is the manifest's descriptor.
	desc v1.Descriptor
	// platform is what an index claims; nil when only the configuration says it.
	platform *api.Platform
	// err is why it cannot be read, if that is known already.
	err error
}

// String names the candidate among the images of its reference.
func (c candidate) String() string {
	switch {
	case c.platform != nil:
		return strings.TrimSpace(c.name + " " + c.platform.String())
	case c.name != "":
		return c.name
	}
	return ""
}

// parts is an image without its layers' contents.
type parts struct {
	// manifest is the manifest's digest; zero for a docker archive without one.
	manifest v1.Hash
	config   *v1.ConfigFile
	configID v1.Hash
	layers   []layerRef
}

// describe returns what users see of the image.
func describe(p *parts) api.Image {
	c := p.config.Config
	img := api.Image{
		ConfigDigest: p.configID.String(),
		Platform:     configPlatform(p.config),
		Entrypoint:   c.Entrypoint,
		Cmd:          c.Cmd,
		User:         c.User,
		Env:          c.Env,
		WorkingDir:   c.WorkingDir,
		ExposedPorts: sortedKeys(c.ExposedPorts),
	}
	if p.manifest != (v1.Hash{}) {
		img.Digest = p.manifest.String()
	}
	for _, l := range p.layers {
		layer := api.Layer{
			Digest:    or(l.desc.Digest, l.diffID).String(),
			Size:      l.desc.Size,
			MediaType: string(l.desc.MediaType),
		}
		if l.diffID != (v1.Hash{}) {
			layer.DiffID = l.diffID.String()
		}
		img.Layers = append(img.Layers, layer)
	}
	return img
}

// The schemes of references that are not to a registry.
const (
	LayoutScheme  = "oci:"
	ArchiveScheme = "docker-archive:"
)

// Named reports whether ref has the form of an image's name, and not of a path. A
// registry's host is told, by the rule of Docker, by a dot, a port, or localhost
// before the first slash.
func Named(ref string) bool {
	if strings.HasPrefix(ref, LayoutScheme) || strings.HasPrefix(ref, ArchiveScheme) {
		return true
	}
	host, _, ok := strings.Cut(ref, "/")
	return ok && host != "." && host != ".." && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// openSource finds what ref names.
func openSource(ctx context.Context, ref string, opt Options, layers *layerReader) (source, error) {
	if rest, ok := strings.CutPrefix(ref, LayoutScheme); ok {
		dir, selector, err := SplitPath(rest)
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		return newOCISource(&layout{files: directory{root}, selector: selector}, opt, layers), nil
	}
	if rest, ok := strings.CutPrefix(ref, ArchiveScheme); ok {
		file, selector, err := SplitPath(rest)
		if err != nil {
			return nil, err
		}
		return openArchive(ctx, file, selector, opt, layers)
	}
	reg, err := newRegistry(ref, opt, layers.cache != nil)
	if err != nil {
		return nil, err
	}
	return newOCISource(reg, opt, layers), nil
}

// SplitPath splits "PATH[:tag|@digest]" after the shortest PATH that exists, so
// that paths may contain colons.
func SplitPath(s string) (path, selector string, err error) {
	for i := range len(s) + 1 {
		if i < len(s) && s[i] != ':' && s[i] != '@' || i == 0 {
			continue
		}
		if _, err := os.Stat(s[:i]); err == nil {
			return s[:i], s[i:], nil
		}
	}
	return "", "", &fault.Error{Code: fault.NotFound, Err: fmt.Errorf("there is no file or directory %q", s),
		Hint: "write oci:DIR[:tag] or docker-archive:FILE[:tag]"}
}

// The longest documents that are read, in bytes. Registries refuse manifests
// over 4 MiB; configurations grow with the image's history.
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
)

// ReadDocument reads a manifest or a configuration whole and checks it against
// want, whose Size may be unknown (negative).
func ReadDocument(r io.Reader, want v1.Descriptor, limit int64) ([]byte, error) {
	if want.Size > limit {
		return nil, tooLong(limit)
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLong(limit)
	}
	if want.Size >= 0 && int64(len(data)) != want.Size {
		return nil, other("it has %d bytes, not the %d of its descriptor", len(data), want.Size)
	}
	got, err := digestOf(want.Digest.Algorithm, data)
	if err != nil {
		return nil, err
	}
	if got != want.Digest {
		return nil, mismatch("content", got, want.Digest)
	}
	return data, nil
}

func tooLong(limit int64) error {
	return &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the document is longer than %d bytes", limit)}
}

// errMissing is a part of an image that a local source does not hold.
var errMissing = errors.New("not in this archive or layout")
