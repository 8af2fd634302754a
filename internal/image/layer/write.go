package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// write makes a layer: it is compressed and measured at the same time.
func write(ctx context.Context, entries []Entry, opt Options) (*head, []byte, error) {
	group, ctx := errgroup.WithContext(ctx)
	var made head
	group.Go(func() (err error) {
		made.Index, err = measure(ctx, entries, opt)
		return err
	})
	// Programs compress to about a half.
	blob := bytes.NewBuffer(make([]byte, 0, plainSize(entries)/2))
	group.Go(func() error { return compress(ctx, blob, entries, opt, &made) })
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	return &made, blob.Bytes(), nil
}

// measure reads the layer as whoever gets the image will.
func measure(ctx context.Context, entries []Entry, opt Options) (*rootfs.Layer, error) {
	plain, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(ctx, w, entries, opt.Time)) }()
	defer plain.Close()
	return rootfs.ReadLayer(ctx, plain, rootfs.LayerOptions{
		MaxFile: opt.MaxFile,
		Budget:  rootfs.NewBudget(image.DefaultLimits.Image, image.DefaultLimits.Entries),
		Buffers: rootfs.NewBuffers(),
	})
}

// compress writes the layer compressed to blob and fills in the digests of made.
func compress(ctx context.Context, blob *bytes.Buffer, entries []Entry, opt Options, made *head) error {
	digest, diffID := sha256.New(), sha256.New()
	packed, err := compressor(io.MultiWriter(blob, digest), opt)
	if err != nil {
		return err
	}
	if err := writeTar(ctx, io.MultiWriter(packed, diffID), entries, opt.Time); err != nil {
		packed.Close() // ends its goroutines
		return err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	if gz, ok := packed.(*gzipWriter); ok {
		made.Blocks = gz.blocks
	}
	made.Digest, made.DiffID, made.Size = hashOf(digest), hashOf(diffID), int64(blob.Len())
	return nil
}

func plainSize(entries []Entry) (n int64) {
	for _, e := range entries {
		n += e.Size
	}
	return n
}

func compressor(w io.Writer, opt Options) (io.WriteCloser, error) {
	if opt.Compression == Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2))
	}
	return newGzip(w, opt.Series.find), nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// formatVersion is raised when the same entries make another layer.
const formatVersion = 1

// identify names what goes into the layer.
func (l *Layer) identify() error {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %d %d\n", formatVersion, l.opt.Compression, l.opt.Time.Unix(), l.opt.MaxFile)
	for _, e := range l.entries {
		if err := e.identify(); err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %d %d %d %q %d %s\n", e.Path, e.Mode, e.UID, e.GID, e.Target, e.Size, e.digest)
	}
	l.id = hashOf(h).Hex
	return nil
}

func headKey(id string) cache.Key {
	return cache.Key{Kind: "built layer", Version: image.Version(), Digest: id}
}

func blobKey(id string) cache.Key {
	return cache.Key{Kind: "built blob", Version: image.Version(), Digest: id, Packed: true}
}

// recall fills in the head from the cache.
func (l *Layer) recall() bool {
	data, ok := l.opt.Cache.Get(headKey(l.id))
	if !ok {
		return false
	}
	if err := json.Unmarshal(data, &l.head); err != nil || l.head.Index == nil {
		l.opt.Cache.Remove(headKey(l.id))
		l.head = head{}
		return false
	}
	return true
}

// Keep puts a layer that was made into the cache. It may be called while the
// layer is in use; without a cache, and for one that the cache has, it does
// nothing.
func (l *Layer) Keep() {
	if l.opt.Cache == nil || !l.made {
		return
	}
	data, err := json.Marshal(l.head)
	if err == nil && l.id == "" {
		err = l.identify()
	}
	if err != nil {
		return // it has been made: that it cannot be kept is no failure
	}
	l.mu.Lock()
	blob := l.blob
	l.mu.Unlock()
	l.opt.Cache.Put(blobKey(l.id), blob)
	l.opt.Cache.Put(headKey(l.id), data)
	l.opt.Series.follow(l.id)
}
