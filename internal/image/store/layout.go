package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/base/filesystem"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// layout is an OCI image layout (image-layout.md of the OCI image specification)
// in a directory. Writers hold a lock; readers need none, since files appear
// whole and index.json last.
type layout struct {
	dir string
	// selector is "", ":tag" or "@digest".
	selector string
	opt      Options
}

// The files of a layout besides its blobs.
const (
	layoutIndex  = "index.json"
	layoutMarker = "oci-layout"
)

// Ref implements Store.
func (l *layout) Ref(digest v1.Hash) string {
	return image.LayoutScheme + l.dir + "@" + digest.String()
}

func (l *layout) name() string { return image.LayoutScheme + l.dir + l.selector }

// tag returns the tag that the reference has.
func (l *layout) tag() (string, error) {
	switch {
	case l.selector == "" || l.selector == ":":
		return defaultTag, nil
	case strings.HasPrefix(l.selector, "@"):
		return "", noTag()
	}
	return l.selector[1:], nil
}

// Put implements Store. What only a replaced image needed is removed, together
// with what was attached to it.
func (l *layout) Put(ctx context.Context, source partial.WithRawManifest, tagged bool) error {
	it, err := newItem(source)
	if err != nil {
		return fail("write", l.name(), err)
	}
	tag := ""
	if tagged {
		if tag, err = l.tag(); err != nil {
			return fail("write", l.name(), err)
		}
	}
	return fail("write", l.name(), l.put(ctx, it, tag))
}

func (l *layout) put(ctx context.Context, it *item, tag string) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	lock, err := lockLayout(ctx, root)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := removeTemps(root); err != nil {
		return err
	}
	index, err := readLayoutIndex(root)
	if err != nil {
		return err
	}
	w := &layoutWriter{root: root, opt: l.opt}
	if err := w.writeAll(ctx, it, index, tag); err != nil {
		w.undo()
		return err
	}
	return nil
}

// lockLayout returns the locked marker of the layout; closing it ends the lock.
func lockLayout(ctx context.Context, root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(layoutMarker, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, writeError(root, layoutMarker, err)
	}
	for {
		locked, err := filelock.TryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, &fault.Error{Code: fault.Unsupported, Op: "lock", Input: f.Name(), Err: err, Hint: "choose a directory on another file system"}
		}
		if locked {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		}
	}
	if err := mark(f); err != nil {
		_ = f.Close()
		return nil, writeError(root, layoutMarker, err)
	}
	return f, nil
}

// mark writes what the specification wants of the marker, if it is new.
func mark(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() > 0 {
		return err
	}
	if _, err := f.WriteString(`{"imageLayoutVersion":"1.0.0"}`); err != nil {
		return errors.Join(err, f.Truncate(0))
	}
	return f.Sync()
}

// readLayoutIndex returns index.json, or an empty one for a new layout.
func readLayoutIndex(root *os.Root) (*v1.IndexManifest, error) {
	index := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	f, err := root.Open(layoutIndex)
	if errors.Is(err, os.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readBounded(f)
	if err == nil {
		_, err = image.ParseIndex(data)
	}
	if err == nil {
		err = json.Unmarshal(data, index)
	}
	if err != nil {
		return nil, fail("read", layoutIndex, err)
	}
	return index, nil
}

// layoutWriter writes into a layout whose lock is held.
type layoutWriter struct {
	root *os.Root
	opt  Options

	mu sync.Mutex
	// started holds the blobs that were looked for, written those that were new.
	started map[v1.Hash]bool
	written []v1.Hash
}

// writeAll writes the item, and index.json last.
func (w *layoutWriter) writeAll(ctx context.Context, it *item, index *v1.IndexManifest, tag string) error {
	if err := w.write(ctx, it); err != nil {
		return err
	}
	before := slices.Clone(index.Manifests)
	replaced := place(index, it, tag)
	if slices.EqualFunc(before, index.Manifests, sameEntry) {
		return nil
	}
	dead := sweep(layoutReader{w.root.Name()}, index, replaced)
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := filesystem.SyncDirIn(w.root, path.Dir(image.BlobName(it.desc.Digest))); err != nil {
		return writeError(w.root, layoutIndex, err)
	}
	if err := writeFile(w.root, layoutIndex, writeTo(bytes.NewReader(data))); err != nil {
		return err
	}
	w.written = nil // index.json refers to it now
	if err := filesystem.SyncDirIn(w.root, "."); err != nil {
		return writeError(w.root, layoutIndex, err)
	}
	for _, digest := range dead {
		_ = w.root.Remove(image.BlobName(digest)) // what stays takes room and does no harm
	}
	return nil
}

func sameEntry(a, b v1.Descriptor) bool {
	return a.Digest == b.Digest && a.Annotations[image.AnnotationTag] == b.Annotations[image.AnnotationTag]
}

// place puts the item into the index, with the tag unless that is "". It returns
// the entries that it took the place of.
func place(index *v1.IndexManifest, it *item, tag string) (replaced []v1.Descriptor) {
	desc := it.desc
	desc.Annotations = map[string]string{}
	for key, value := range it.desc.Annotations {
		desc.Annotations[key] = value
	}
	delete(desc.Annotations, image.AnnotationTag)
	if tag != "" {
		desc.Annotations[image.AnnotationTag] = tag
	}
	kept := index.Manifests[:0:0]
	for _, have := range index.Manifests {
		name := have.Annotations[image.AnnotationTag]
		switch {
		case have.Digest == desc.Digest && (tag == "" || name == tag):
			return nil // it is there
		case tag != "" && name == tag, have.Digest == desc.Digest && name == "":
			replaced = append(replaced, have)
		default:
			kept = append(kept, have)
		}
	}
	index.Manifests = append(kept, desc)
	return replaced
}

// write writes an item's blobs and children, at once, and then its manifest.
func (w *layoutWriter) write(ctx context.Context, it *item) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(w.opt.Jobs)
	for _, blob := range it.blobs {
		group.Go(func() error { return w.writeBlob(groupCtx, blob) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, c := range it.children {
		if err := w.write(ctx, c); err != nil {
			return err
		}
	}
	return w.add(ctx, it.desc, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(it.raw)), nil })
}

func (w *layoutWriter) writeBlob(ctx context.Context, blob v1.Layer) error {
	desc, err := partial.Descriptor(blob)
	if err != nil {
		return err
	}
	return w.add(ctx, *desc, blob.Compressed)
}

// add writes content unless it is there already.
func (w *layoutWriter) add(ctx context.Context, desc v1.Descriptor, open func() (io.ReadCloser, error)) error {
	name := image.BlobName(desc.Digest)
	if info, err := w.root.Stat(name); err == nil && info.Size() == desc.Size || !w.start(desc.Digest) {
		return nil
	}
	if err := w.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return writeError(w.root, name, err)
	}
	body, err := open()
	if err != nil {
		return err
	}
	defer body.Close()
	w.opt.Progress.Expect(desc.Size)
	verified, err := image.Verify(contextReader{ctx, body}, desc, w.opt.Progress)
	if err != nil {
		return err
	}
	if err := writeFile(w.root, name, writeTo(verified)); err != nil {
		return err
	}
	w.mu.Lock()
	w.written = append(w.written, desc.Digest)
	w.mu.Unlock()
	w.opt.Sent(desc)
	return nil
}

// start reports whether nobody else has begun to write the blob.
func (w *layoutWriter) start(digest v1.Hash) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started == nil {
		w.started = map[v1.Hash]bool{}
	}
	first := !w.started[digest]
	w.started[digest] = true
	return first
}

// undo removes what was written, which index.json does not refer to.
func (w *layoutWriter) undo() {
	for _, digest := range w.written {
		_ = w.root.Remove(image.BlobName(digest)) // the error that led here is the one to tell
	}
}

func writeTo(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}
}
