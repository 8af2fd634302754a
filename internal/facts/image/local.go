package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// files is a set of named files: a directory, or what an archive holds.
type files interface {
	// open returns a file and its size; the error of one that does not exist
	// matches errMissing.
	open(name string) (io.ReadCloser, int64, error)
	close()
}

// readFile reads a whole file that is not verified by a digest.
func readFile(f files, name string) ([]byte, error) {
	body, _, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, tooLong(maxManifest)
	}
	return data, nil
}

// directory is files on disk; symbolic links cannot lead out of it.
type directory struct{ root *os.Root }

func (d directory) close() { _ = d.root.Close() }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	info, err := d.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s: %w", name, errMissing)
	}
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() { // opening a FIFO would wait for its writer
		return nil, 0, &fault.Error{Code: fault.Invalid, Op: "open", Input: name, Err: errors.New("no regular file")}
	}
	f, err := d.root.Open(name)
	return f, info.Size(), err
}

// tarFiles is the files of an uncompressed archive, found by their offsets.
type tarFiles struct {
	file    *os.File
	entries map[string]tarEntry
}

type tarEntry struct {
	offset, size int64
	// link is the name of the file that this one stands for.
	link string
}

// maxArchiveEntries is the most files that an archive of images may have.
const maxArchiveEntries = 100_000

// listTar finds the files of an archive without reading their contents.
func listTar(file *os.File) (*tarFiles, error) {
	t := &tarFiles{file: file, entries: map[string]tarEntry{}}
	r := tar.NewReader(file)
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		// The reader takes whole blocks, so the file is where the content is.
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if len(t.entries) >= maxArchiveEntries {
			return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the archive has more than %d files", maxArchiveEntries)}
		}
		name := path.Clean(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeReg:
			t.entries[name] = tarEntry{offset: offset, size: hdr.Size}
		case tar.TypeSymlink:
			t.entries[name] = tarEntry{link: path.Join(path.Dir(name), hdr.Linkname)}
		case tar.TypeLink:
			t.entries[name] = tarEntry{link: path.Clean(hdr.Linkname)}
		}
	}
}

func (t *tarFiles) close() { _ = t.file.Close() }

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	e, ok := t.entries[path.Clean(name)]
	// `docker save` wrote a layer that several images share once and linked to it.
	if ok && e.link != "" {
		e, ok = t.entries[e.link]
	}
	if !ok || e.link != "" {
		return nil, 0, fmt.Errorf("%s: %w", name, errMissing)
	}
	return io.NopCloser(io.NewSectionReader(t.file, e.offset, e.size)), e.size, nil
}

// layout is an OCI image layout (image-layout.md of the OCI specification).
type layout struct {
	files files
	// selector is "", ":tag" or "@digest".
	selector string
}

func (l *layout) close() { l.files.close() }

// The annotations that name an image within a layout: OCI's tag, and the full
// name that Docker and containerd write.
const (
	AnnotationTag  = "org.opencontainers.image.ref.name"
	annotationName = "io.containerd.image.name"
)

const layoutIndex = "index.json"

func (l *layout) heads(context.Context) ([]head, error) {
	data, err := readFile(l.files, layoutIndex)
	if errors.Is(err, errMissing) {
		return nil, &fault.Error{Code: fault.NotFound, Err: errors.New("it is no OCI layout: it has no " + layoutIndex)}
	}
	if err != nil {
		return nil, err
	}
	manifests, err := ParseIndex(data)
	if err != nil {
		return nil, &fault.Error{Code: codeOf(err), Op: "read", Input: layoutIndex, Err: err}
	}
	return selectHeads(manifests, l.selector)
}

// ParseIndex returns what an index lists, such as a layout's index.json.
func ParseIndex(data []byte) ([]v1.Descriptor, error) {
	index, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	if !index.isIndex() {
		return nil, &fault.Error{Code: fault.Invalid, Err: errors.New("it is an image, not an index")}
	}
	for i, desc := range index.Manifests {
		if desc.Digest == (v1.Hash{}) {
			return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("entry %d of the index has no digest", i)}
		}
	}
	return index.Manifests, nil
}

// Select returns the images and indexes among what a layout lists that selector
// names: "" all, ":tag" those with the tag. Attachments are left out.
func Select(manifests []v1.Descriptor, selector string) ([]v1.Descriptor, error) {
	heads, err := selectHeads(manifests, selector)
	if err != nil {
		return nil, err
	}
	found := make([]v1.Descriptor, len(heads))
	for i, h := range heads {
		found[i] = h.desc
	}
	return found, nil
}

// selectHeads returns the manifests that the selector names; all for "".
func selectHeads(manifests []v1.Descriptor, selector string) ([]head, error) {
	if len(selector) > 0 && selector[0] == '@' {
		digest, err := v1.NewHash(selector[1:])
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Err: err}
		}
		return []head{{desc: v1.Descriptor{Digest: digest, Size: -1}}}, nil
	}
	var found []head
	var tags []string
	for _, desc := range manifests {
		if IsAttachment(desc) {
			continue
		}
		tag, name := desc.Annotations[AnnotationTag], desc.Annotations[annotationName]
		tags = append(tags, or(tag, or(name, desc.Digest.String())))
		switch {
		case selector == "":
			found = append(found, head{name: tag, desc: desc})
		case selector[1:] == tag, names(selector[1:], name):
			found = append(found, head{desc: desc})
		}
	}
	switch {
	case len(found) > 0:
		if len(found) == 1 {
			found[0].name = ""
		}
		return found, nil
	case selector == "":
		return nil, &fault.Error{Code: fault.NotFound, Err: errors.New("it holds no image")}
	}
	return nil, errNoTag(selector[1:], tags)
}

func (l *layout) manifest(_ context.Context, digest v1.Hash) (io.ReadCloser, error) {
	return l.openBlob(digest)
}

func (l *layout) blob(_ context.Context, digest v1.Hash) (io.ReadCloser, error) {
	return l.openBlob(digest)
}

func (l *layout) openBlob(digest v1.Hash) (io.ReadCloser, error) {
	body, _, err := l.files.open(BlobName(digest))
	return body, err
}

// BlobName is the path of content in a layout, slash-separated.
func BlobName(digest v1.Hash) string { return path.Join("blobs", digest.Algorithm, digest.Hex) }

// memoryFile is a file that was read already.
func memoryFile(data []byte) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}
