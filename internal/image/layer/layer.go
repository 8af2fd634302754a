// Package layer makes image layers: the same files give the same bytes, on every
// machine and at any time, and each layer is measured while it is written.
package layer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The values of Options.Compression.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

// Options says how layers are made.
type Options struct {
	// Compression is Gzip or Zstd.
	Compression string
	// Time is the modification time of every file.
	Time time.Time
	// Cache keeps layers by what went into them; nil keeps nothing.
	Cache *cache.Dir
	// Fresh says that the cache cannot have the layer, and need not be asked.
	Fresh bool
	// Series is what the layer belongs to; nil stands alone.
	Series *Series
	// MaxFile is the largest executable that is measured, in bytes.
	MaxFile int64
}

// Layer is a layer whose digests are known. It implements v1.Layer.
type Layer struct {
	ctx     context.Context
	entries []Entry
	opt     Options
	// id names what went into the layer, once it has been asked for; made is true
	// when the layer was made now.
	id   string
	made bool
	head head

	mu   sync.Mutex
	blob []byte // nil until it is needed, when the cache has it
}

var _ v1.Layer = (*Layer)(nil)

// head is what is known of a layer besides its bytes.
type head struct {
	Digest v1.Hash       `json:"digest"`
	DiffID v1.Hash       `json:"diffId"`
	Size   int64         `json:"size"`
	Index  *rootfs.Layer `json:"index"`
	// Blocks are those of a layer that is compressed with gzip.
	Blocks []block `json:"blocks,omitempty"`
}

// New makes the layer of entries, which are written in the order of their paths.
// ctx also holds for the methods of the layer, which may have to write it again
// when the cache has lost it.
func New(ctx context.Context, entries []Entry, opt Options) (*Layer, error) {
	l := &Layer{ctx: ctx, entries: sorted(entries), opt: opt}
	if !opt.Fresh && opt.Cache != nil {
		if err := l.identify(); err != nil {
			return nil, err
		}
		if l.recall() {
			return l, nil
		}
	}
	made, blob, err := write(ctx, l.entries, opt)
	if err != nil {
		return nil, err
	}
	l.head, l.blob, l.made = *made, blob, true
	return l, nil
}

// Index is what the layer holds, with its executables measured.
func (l *Layer) Index() *rootfs.Layer { return l.head.Index }

// Digest implements v1.Layer.
func (l *Layer) Digest() (v1.Hash, error) { return l.head.Digest, nil }

// DiffID implements v1.Layer.
func (l *Layer) DiffID() (v1.Hash, error) { return l.head.DiffID, nil }

// Size implements v1.Layer.
func (l *Layer) Size() (int64, error) { return l.head.Size, nil }

// MediaType implements v1.Layer.
func (l *Layer) MediaType() (types.MediaType, error) {
	if l.opt.Compression == Zstd {
		return types.OCILayerZStd, nil
	}
	return types.OCILayer, nil
}

// Compressed implements v1.Layer.
func (l *Layer) Compressed() (io.ReadCloser, error) {
	blob, err := l.load()
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(blob)), nil
}

// Uncompressed implements v1.Layer.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(l.ctx, w, l.entries, l.opt.Time)) }()
	return r, nil
}

// load returns the compressed bytes from memory, from the cache, or by writing
// them again.
func (l *Layer) load() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blob != nil {
		return l.blob, nil
	}
	if blob, ok := l.opt.Cache.Get(blobKey(l.id)); ok {
		l.blob = blob
		return blob, nil
	}
	made, blob, err := write(l.ctx, l.entries, l.opt)
	if err != nil {
		return nil, err
	}
	if made.Digest != l.head.Digest {
		return nil, &fault.Error{Code: fault.Invalid, Op: "write layer",
			Err:  fmt.Errorf("a file changed while the image was built: the layer has the digest %s, not %s", made.Digest, l.head.Digest),
			Hint: "build again"}
	}
	l.blob = blob
	return blob, nil
}
