package image

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// layerRef is a layer that has not been read.
type layerRef struct {
	// desc has a zero Digest where the source records none.
	desc v1.Descriptor
	// diffID is the digest of the uncompressed layer.
	diffID v1.Hash
	open   func(ctx context.Context) (io.ReadCloser, error)
}

// key names the layer's content. Both digests are in it: a record made for one
// must not speak for an image that pairs it with another.
func (l layerRef) key() string { return layerKey(l.desc.Digest, l.diffID) }

func layerKey(digest, diffID v1.Hash) string { return digest.String() + " " + diffID.String() }

// layerReader indexes layers, each content once.
type layerReader struct {
	opt     Options
	cache   *cache.Dir
	buffers *rootfs.Buffers
	mu      sync.Mutex
	known   map[string]*rootfs.Layer // by key
}

func newLayerReader(opt Options) *layerReader {
	return &layerReader{
		opt:     opt,
		cache:   cache.Open(opt.CacheDir, opt.CacheSize),
		buffers: cmp.Or(opt.Buffers, rootfs.NewBuffers()),
		known:   map[string]*rootfs.Layer{},
	}
}

// read returns the indexes of an image's layers, in order. Layers that are not
// known are read at the same time, and the first that fails ends the others.
func (r *layerReader) read(ctx context.Context, refs []layerRef) ([]*rootfs.Layer, error) {
	budget := rootfs.NewBudget(r.opt.Limits.Image, r.opt.Limits.Entries)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.opt.Jobs)
	started := map[string]bool{}
	for _, ref := range refs {
		if started[ref.key()] {
			continue
		}
		started[ref.key()] = true
		group.Go(func() error {
			if err := r.learn(ctx, ref, budget); err != nil {
				return &fault.Error{Code: codeOf(err), Op: "layer", Input: or(ref.desc.Digest, ref.diffID).String(), Err: err}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	layers := make([]*rootfs.Layer, len(refs))
	for i, ref := range refs {
		layers[i] = r.get(ref.key())
	}
	return layers, nil
}

func (r *layerReader) get(key string) *rootfs.Layer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[key]
}

func (r *layerReader) put(key string, layer *rootfs.Layer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[key] = layer
}

// learn makes the layer known: from memory, from the cache, or by reading it.
func (r *layerReader) learn(ctx context.Context, ref layerRef, budget *rootfs.Budget) error {
	key := ref.key()
	layer := r.get(key)
	if layer == nil {
		layer = r.cached(key)
	}
	if layer != nil {
		r.put(key, layer)
		return budget.Take(layer.Cost())
	}
	layer, err := r.fetch(ctx, ref, budget)
	if err != nil {
		return err
	}
	r.put(key, layer)
	r.keep(key, layer)
	return nil
}

func (r *layerReader) cached(key string) *rootfs.Layer {
	data, ok := r.cache.Get(cacheKey("layer", key))
	if !ok {
		return nil
	}
	layer := &rootfs.Layer{}
	if err := json.Unmarshal(data, layer); err != nil {
		r.cache.Remove(cacheKey("layer", key))
		return nil
	}
	return layer
}

// keep puts the layer into the cache, unless another run with higher limits
// would learn more.
func (r *layerReader) keep(key string, layer *rootfs.Layer) {
	if r.cache == nil || layer.Limited() {
		return
	}
	if _, entries := layer.Cost(); r.opt.KeepEntries > 0 && entries > r.opt.KeepEntries {
		return
	}
	if data, err := json.Marshal(layer); err == nil {
		r.cache.Put(cacheKey("layer", key), data)
	}
}

// fetch reads a layer, from another place when a mirror served another content.
func (r *layerReader) fetch(ctx context.Context, ref layerRef, budget *rootfs.Budget) (*rootfs.Layer, error) {
	if err := checkLayerType(string(ref.desc.MediaType)); err != nil {
		return nil, err
	}
	for {
		body, err := ref.open(ctx)
		if err != nil {
			return nil, err
		}
		layer, err := r.readBody(ctx, ref, body, budget)
		_ = body.Close()
		if err == nil || ctx.Err() != nil || fault.CodeOf(err) == fault.Limit || !distrust(body) {
			return layer, err
		}
	}
}

// readBody reads a layer and checks it against its digests.
func (r *layerReader) readBody(ctx context.Context, ref layerRef, body io.Reader, budget *rootfs.Budget) (*rootfs.Layer, error) {
	r.opt.Progress.Expect(ref.desc.Size)
	verified, err := Verify(body, ref.desc, r.opt.Progress)
	if err != nil {
		return nil, err
	}
	layer, diffID, err := r.index(ctx, verified, budget)
	if fault.CodeOf(err) == fault.Invalid {
		// When this is not the content that was asked for, that is the reason.
		if _, cause := io.Copy(io.Discard, verified); cause != nil {
			err = cause
		}
	}
	if err != nil {
		return nil, err
	}
	if ref.diffID != (v1.Hash{}) && diffID != ref.diffID {
		return nil, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("the uncompressed content has the digest %s, not %s", diffID, ref.diffID)}
	}
	return layer, nil
}

// index reads a layer, compressed or not, to the end of r.
func (r *layerReader) index(ctx context.Context, in io.Reader, budget *rootfs.Budget) (*rootfs.Layer, v1.Hash, error) {
	plain, err := decompress(in, r.opt.Limits.Window)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	defer plain.Close()
	sum := newSHA256()
	stream, stop := ahead(io.TeeReader(plain, sum))
	layer, err := rootfs.ReadLayer(ctx, stream, rootfs.LayerOptions{
		MaxFile: r.opt.Limits.File, Budget: budget, Buffers: r.buffers,
	})
	stop()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	// The digest covers what the compression format does not read.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, v1.Hash{}, err
	}
	return layer, sumOf(sum), nil
}

// decompress tells the compression from the first bytes, as runtimes do. window
// is the most memory that it may ask for, in bytes.
func decompress(r io.Reader, window int64) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, chunk)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), len(head) > 3 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return nil, &fault.Error{Code: fault.Unsupported, Err: errors.New("it is compressed with bzip2 or xz, which the OCI format does not have")}
	}
	return uncompressed{in}, nil
}

// uncompressed is a stream that needed no decompression.
type uncompressed struct{ io.Reader }

func (uncompressed) Close() error { return nil }

// checkLayerType refuses what is no layer that can be read.
func checkLayerType(mediaType string) error {
	refuse := func(why string) error {
		return &fault.Error{Code: fault.Unsupported, Err: fmt.Errorf("media type %q: %s", mediaType, why)}
	}
	if strings.Contains(mediaType, "nondistributable") || strings.Contains(mediaType, ".foreign.") {
		return refuse("the registry does not hold the content of such layers")
	}
	if strings.HasSuffix(mediaType, "+encrypted") {
		return refuse("the layer is encrypted")
	}
	for _, tar := range []string{"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"} {
		if rest, ok := strings.CutPrefix(mediaType, tar); ok {
			switch rest {
			case "", "+gzip", ".gzip", "+zstd", ".zstd":
				return nil
			}
		}
	}
	return refuse("not a file system layer")
}

// verifier checks content against a descriptor while it is read.
type verifier struct {
	r        io.Reader
	want     v1.Descriptor
	sum      hash.Hash // nil without a digest
	n        int64
	progress progress.Sink
}

// Verify returns r with an error in the place of its end when its length or its
// digest is not what want says. Without a digest nothing is checked.
func Verify(r io.Reader, want v1.Descriptor, sink progress.Sink) (io.Reader, error) {
	v := &verifier{r: r, want: want, progress: sink}
	if want.Digest == (v1.Hash{}) {
		return v, nil
	}
	var err error
	if v.sum, err = v1.Hasher(want.Digest.Algorithm); err != nil {
		return nil, &fault.Error{Code: fault.Unsupported, Err: err}
	}
	return v, nil
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	v.progress.Done(int64(n))
	if v.sum == nil {
		return n, err
	}
	v.sum.Write(p[:n]) // hash.Hash never fails
	if v.n > v.want.Size {
		return 0, other("there is more than the %d bytes that the manifest says", v.want.Size)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if v.n < v.want.Size {
		return n, other("it ends after %d of %d bytes", v.n, v.want.Size)
	}
	if got := hashOf(v.want.Digest.Algorithm, v.sum); got != v.want.Digest {
		return n, mismatch("content", got, v.want.Digest)
	}
	return n, io.EOF
}

// MismatchError says that bytes are not those that were asked for, by their digest
// or length: they say nothing about the content, which another attempt may give.
type MismatchError struct{ text string }

// Error implements error.
func (e *MismatchError) Error() string { return e.text }

func mismatch(what string, got, want v1.Hash) error {
	return other("the %s has the digest %s, not %s", what, got, want)
}

// other is an error about bytes that were not asked for.
func other(format string, args ...any) error {
	return &fault.Error{Code: fault.Invalid, Err: &MismatchError{fmt.Sprintf(format, args...)}}
}
