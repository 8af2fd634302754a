package image

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// openArchive opens a docker archive. Since version 25 `docker save` writes an
// OCI layout into it, which says more and is preferred.
func openArchive(ctx context.Context, path, selector string, opt Options, layers *layerReader) (source, error) {
	found, err := openTar(ctx, path, opt, layers)
	if err != nil {
		return nil, err
	}
	if body, _, err := found.open(layoutIndex); err == nil {
		_ = body.Close()
		return newOCISource(&layout{files: found, selector: selector}, opt, layers), nil
	}
	return &dockerArchive{files: found, selector: selector}, nil
}

// openTar returns the files of an archive. A compressed one cannot be read at
// random: it is read once, and what looks like a layer is indexed on the way.
func openTar(ctx context.Context, path string, opt Options, layers *layerReader) (files, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	plain, err := decompress(file, opt.Limits.Window)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	if _, compressed := plain.(uncompressed); !compressed {
		defer file.Close()
		defer plain.Close()
		s := &streamedFiles{
			layers:  layers,
			budget:  rootfs.NewBudget(opt.Limits.Image, opt.Limits.Entries),
			content: map[string][]byte{}, links: map[string]string{}, failed: map[string]error{},
		}
		return s, s.read(ctx, plain)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		_ = file.Close()
		return nil, err
	}
	list, err := listTar(file)
	if err != nil {
		_ = file.Close()
		return nil, &fault.Error{Code: codeOf(err), Err: fmt.Errorf("it is no whole tar archive: %w", err)}
	}
	return list, nil
}

// streamedFiles is what was learnt from a compressed archive in one pass.
type streamedFiles struct {
	layers *layerReader
	budget *rootfs.Budget
	// content holds the JSON documents, links what stands for another file, and
	// failed why the rest is not known as a layer.
	content map[string][]byte
	links   map[string]string
	failed  map[string]error
	kept    int64
}

// maxDocuments bounds the JSON documents of an archive together, in bytes.
const maxDocuments = 64 << 20

func (s *streamedFiles) read(ctx context.Context, plain io.Reader) error {
	r := tar.NewReader(plain)
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fault.Error{Code: codeOf(err), Err: fmt.Errorf("it is no whole tar archive: %w", err)}
		}
		if err := s.budget.Take(0, 1); err != nil {
			return err
		}
		file := path.Clean(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeReg:
			if err := s.add(ctx, file, hdr.Size, r); err != nil {
				return err
			}
		case tar.TypeSymlink:
			s.links[file] = path.Join(path.Dir(file), hdr.Linkname)
		case tar.TypeLink:
			s.links[file] = path.Clean(hdr.Linkname)
		}
	}
}

// add keeps a document or indexes a layer.
func (s *streamedFiles) add(ctx context.Context, file string, size int64, r io.Reader) error {
	in := bufio.NewReader(r)
	first, err := in.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if size > 0 && size <= maxConfig && (first[0] == '{' || first[0] == '[') {
		if s.kept += size; s.kept > maxDocuments {
			return tooLong(maxDocuments)
		}
		s.content[file], err = io.ReadAll(in)
		return err
	}
	sum := newSHA256()
	layer, diffID, err := s.layers.index(ctx, io.TeeReader(in, sum), s.budget)
	switch {
	case fault.CodeOf(err) == fault.Limit || ctx.Err() != nil:
		return err
	case err != nil:
		s.failed[file] = err
		return nil
	}
	// It is only asked for again when the configuration names another digest.
	s.failed[file] = &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the uncompressed content has the digest %s, which is not the configuration's", diffID)}
	s.layers.put(layerKey(sumOf(sum), diffID), layer)
	s.layers.put(layerKey(v1.Hash{}, diffID), layer)
	return nil
}

func (s *streamedFiles) open(file string) (io.ReadCloser, int64, error) {
	file = path.Clean(file)
	if target, ok := s.links[file]; ok {
		file = target
	}
	if data, ok := s.content[file]; ok {
		return memoryFile(data)
	}
	if err := s.failed[file]; err != nil {
		return nil, 0, err
	}
	return nil, 0, fmt.Errorf("%s: %w", file, errMissing)
}

func (s *streamedFiles) close() {}

// dockerArchive is what `docker save` wrote before version 25: manifest.json
// lists configurations and layers by file name, and there are no manifests.
type dockerArchive struct {
	files    files
	selector string
	images   map[v1.Hash]savedImage // by the digest of the configuration
}

// savedImage is an element of manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
	config   *v1.ConfigFile
}

func (d *dockerArchive) close() { d.files.close() }

// candidates implements source.
func (d *dockerArchive) candidates(context.Context) ([]candidate, []api.Platform, error) {
	data, err := readFile(d.files, "manifest.json")
	if errors.Is(err, errMissing) {
		return nil, nil, &fault.Error{Code: fault.Invalid, Err: errors.New("it is no archive of images: it has neither manifest.json nor index.json")}
	}
	if err != nil {
		return nil, nil, err
	}
	var saved []savedImage
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, nil, &fault.Error{Code: fault.Invalid, Op: "read", Input: "manifest.json", Err: err}
	}
	d.images = map[v1.Hash]savedImage{}
	var found []candidate
	var tags []string
	for _, img := range saved {
		tags = append(tags, img.RepoTags...)
		if !img.selected(d.selector) {
			continue
		}
		c, err := d.load(img)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, nil, errNoTag(d.selector, tags)
	}
	if len(found) == 1 {
		found[0].name = ""
	}
	return found, nil, nil
}

// load reads the configuration of a saved image.
func (d *dockerArchive) load(img savedImage) (candidate, error) {
	if len(img.Layers) > maxLayers {
		return candidate{}, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the image has more than %d layers", maxLayers)}
	}
	data, err := readFile(d.files, img.Config)
	if err != nil {
		return candidate{}, &fault.Error{Code: codeOf(err), Op: "configuration", Input: img.Config, Err: err}
	}
	if img.config, err = parseConfig(data); err != nil {
		return candidate{}, &fault.Error{Code: codeOf(err), Op: "configuration", Input: img.Config, Err: err}
	}
	digest, err := digestOf("sha256", data)
	if err != nil {
		return candidate{}, err
	}
	d.images[digest] = img
	c := candidate{desc: v1.Descriptor{Digest: digest}}
	if len(img.RepoTags) > 0 {
		c.name = img.RepoTags[0]
	}
	return c, nil
}

// selected reports whether the image has the tag that the selector names.
func (s savedImage) selected(selector string) bool {
	if selector == "" {
		return true
	}
	for _, tag := range s.RepoTags {
		if names(selector[1:], tag) {
			return true
		}
	}
	return false
}

// names reports whether selector, a tag or a whole name, means the image that
// is called full.
func names(selector, full string) bool {
	if selector == full {
		return true
	}
	have, err := name.NewTag(full)
	if err != nil {
		return false
	}
	want, err := name.NewTag(selector)
	return selector == have.TagStr() || err == nil && want.Name() == have.Name()
}

// parts implements source.
func (d *dockerArchive) parts(_ context.Context, c candidate) (*parts, error) {
	img := d.images[c.desc.Digest]
	diffIDs := img.config.RootFS.DiffIDs
	if len(diffIDs) != len(img.Layers) {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("manifest.json has %d layers, the configuration %d", len(img.Layers), len(diffIDs))}
	}
	p := &parts{config: img.config, configID: c.desc.Digest}
	for i, file := range img.Layers {
		p.layers = append(p.layers, layerRef{
			desc:   v1.Descriptor{MediaType: types.DockerUncompressedLayer, Size: d.size(file)},
			diffID: diffIDs[i],
			open: func(context.Context) (io.ReadCloser, error) {
				body, _, err := d.files.open(file)
				return body, err
			},
		})
	}
	return p, nil
}

// size returns the size of a layer as it is in the archive; 0 if that is not
// known, as in a compressed archive.
func (d *dockerArchive) size(file string) int64 {
	body, size, err := d.files.open(file)
	if err != nil {
		return 0
	}
	_ = body.Close()
	return size
}
