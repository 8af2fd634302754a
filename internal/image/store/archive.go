package store

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// archive is a file as `docker save` writes and `docker load` reads it: one image
// of one platform.
type archive struct {
	ref, file string
	// tag is the name that `docker load` gives the image; nil for none.
	tag *name.Tag
	opt Options
}

func newArchive(ref, file, selector string, opt Options) (*archive, error) {
	a := &archive{ref: ref, file: file, opt: opt}
	if len(selector) > 1 {
		tag, err := name.NewTag(selector[1:])
		if err != nil || selector[0] == '@' {
			return nil, fail("open", ref, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("%q is no name with a tag", selector[1:]),
				Hint: "write docker-archive:FILE:name:tag"})
		}
		a.tag = &tag
	}
	return a, nil
}

// Ref implements Store.
func (a *archive) Ref(v1.Hash) string { return a.ref }

// Put implements Store. The file is replaced whole, so tagged makes no difference.
func (a *archive) Put(ctx context.Context, source partial.WithRawManifest, _ bool) error {
	it, err := newItem(source)
	if err != nil {
		return fail("write", a.ref, err)
	}
	if it.subject != nil {
		return fail("write", a.ref, &fault.Error{Code: fault.Unsupported, Err: errors.New("a docker archive has no place for attachments"),
			Hint: "use oci:DIR or a registry"})
	}
	img, err := onlyImage(source)
	if err != nil {
		return fail("write", a.ref, err)
	}
	root, err := os.OpenRoot(filepath.Dir(a.file))
	if err != nil {
		return fail("write", a.ref, err)
	}
	defer root.Close()
	err = writeFile(root, filepath.Base(a.file), func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, 256<<10)
		if err := a.write(ctx, buffered, img); err != nil {
			return err
		}
		return buffered.Flush()
	})
	if err != nil {
		return fail("write", a.ref, err)
	}
	return fail("write", a.ref, filesystem.SyncDirIn(root, "."))
}

// onlyImage returns the one image of source.
func onlyImage(source partial.WithRawManifest) (v1.Image, error) {
	switch source := source.(type) {
	case v1.Image:
		return source, nil
	case v1.ImageIndex:
		children, err := partial.Manifests(source)
		if err != nil {
			return nil, err
		}
		if len(children) == 1 {
			return onlyImage(children[0].(partial.WithRawManifest)) // newItem has checked it
		}
		return nil, &fault.Error{Code: fault.Usage, Err: fmt.Errorf("there are %d platforms, and a docker archive holds one", len(children)),
			Hint: "choose one with --platform, or write oci:DIR"}
	}
	return nil, fmt.Errorf("a %T is no image", source)
}

// write writes the configuration, the layers, and manifest.json, which names them.
func (a *archive) write(ctx context.Context, out io.Writer, img v1.Image) error {
	w := tar.NewWriter(out)
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	configName, err := img.ConfigName()
	if err != nil {
		return err
	}
	entry := tarball.Descriptor{Config: configName.String()}
	if a.tag != nil {
		given := strings.TrimSuffix(a.tag.String(), ":"+a.tag.TagStr())
		entry.RepoTags = []string{given + ":" + a.tag.TagStr()}
	}
	if err := addFile(w, entry.Config, int64(len(config)), bytes.NewReader(config)); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	plain := slices.ContainsFunc(layers, func(l v1.Layer) bool { return !isGzip(l) })
	written := map[string]bool{}
	for _, l := range layers {
		name, err := a.writeLayer(ctx, w, l, plain, written)
		if err != nil {
			return err
		}
		entry.Layers = append(entry.Layers, name)
	}
	manifest, err := json.Marshal(tarball.Manifest{entry})
	if err != nil {
		return err
	}
	if err := addFile(w, "manifest.json", int64(len(manifest)), bytes.NewReader(manifest)); err != nil {
		return err
	}
	return w.Close()
}

// writeLayer writes the layer once and returns its file name.
func (a *archive) writeLayer(ctx context.Context, w *tar.Writer, l v1.Layer, plain bool, written map[string]bool) (string, error) {
	name, size, open, err := loadable(l, plain)
	if err != nil || written[name] {
		return name, err
	}
	written[name] = true
	body, err := open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	a.opt.Progress.Expect(size)
	if err := addFile(w, name, size, contextReader{ctx, progressReader{body, a.opt.Progress}}); err != nil {
		return "", err
	}
	desc, err := partial.Descriptor(l)
	if err != nil {
		return "", err
	}
	a.opt.Sent(*desc)
	return name, nil
}

// isGzip reports whether the layer is compressed with gzip.
func isGzip(l v1.Layer) bool {
	mediaType, err := l.MediaType()
	return err == nil && (mediaType == types.OCILayer || mediaType == types.DockerLayer)
}

// loadable returns the layer as it is, or uncompressed. Readers tell the
// compression from the first bytes, some of them from those of the first layer
// for all; zstd is known to few. So the layers are written either all as gzip has
// them or all uncompressed.
func loadable(l v1.Layer, plain bool) (name string, size int64, open func() (io.ReadCloser, error), err error) {
	if plain {
		diffID, err := l.DiffID()
		if err != nil {
			return "", 0, nil, err
		}
		size, err := lengthOf(l.Uncompressed)
		return diffID.Hex + ".tar", size, l.Uncompressed, err
	}
	digest, err := l.Digest()
	if err != nil {
		return "", 0, nil, err
	}
	size, err = l.Size()
	return digest.Hex + ".tar.gz", size, l.Compressed, err
}

func lengthOf(open func() (io.ReadCloser, error)) (int64, error) {
	body, err := open()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.Copy(io.Discard, body)
}

func addFile(w *tar.Writer, name string, size int64, content io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}

// progressReader tells a sink what is read.
type progressReader struct {
	io.Reader
	sink progress.Sink
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.sink.Done(int64(n))
	return n, err
}

// Get implements Store.
func (a *archive) Get(context.Context) (partial.WithRawManifest, v1.Descriptor, error) {
	img, err := tarball.ImageFromPath(a.file, a.tag)
	if err != nil {
		return nil, v1.Descriptor{}, fail("read", a.ref, err)
	}
	desc, err := partial.Descriptor(img)
	if err != nil {
		return nil, v1.Descriptor{}, fail("read", a.ref, err)
	}
	return img, *desc, nil
}

// Image implements Store.
func (a *archive) Image(ctx context.Context, digest v1.Hash) (v1.Image, error) {
	source, desc, err := a.Get(ctx)
	if err != nil {
		return nil, err
	}
	if desc.Digest != digest {
		return nil, fail("read", a.ref, &fault.Error{Code: fault.NotFound, Err: fmt.Errorf("it holds %s, not %s", desc.Digest, digest)})
	}
	return source.(v1.Image), nil // as Get returns it
}

// Referrers implements Store. A docker archive holds none.
func (a *archive) Referrers(context.Context, v1.Hash) ([]v1.Descriptor, error) { return nil, nil }
