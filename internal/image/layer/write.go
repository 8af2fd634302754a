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
	"github.com/klauspost/pgzip"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// write makes a layer in one pass: it is compressed, hashed and measured at the
// same time.
func write(ctx context.Context, entries []Entry, opt Options) (*head, []byte, error) {
	group, ctx := errgroup.WithContext(ctx)
	measured, toMeasure := io.Pipe()
	var made head
	group.Go(func() (err error) {
		made.Index, err = rootfs.ReadLayer(ctx, measured, rootfs.LayerOptions{
			MaxFile: opt.MaxFile,
			Budget:  rootfs.NewBudget(image.DefaultLimits.Image, image.DefaultLimits.Entries),
			Buffers: rootfs.NewBuffers(),
		})
		measured.CloseWithError(err)
		return err
	})
	var blob bytes.Buffer
	group.Go(func() error {
		err := compress(ctx, &blob, toMeasure, entries, opt, &made)
		toMeasure.CloseWithError(err)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	return &made, blob.Bytes(), nil
}

// compress writes the layer compressed to blob and plain to plain, and fills in
// the digests of made.
func compress(ctx context.Context, blob *bytes.Buffer, plain io.Writer, entries []Entry, opt Options, made *head) error {
	digest, diffID := sha256.New(), sha256.New()
	packed, err := compressor(io.MultiWriter(blob, digest), opt.Compression)
	if err != nil {
		return err
	}
	if err := writeTar(ctx, io.MultiWriter(plain, packed, diffID), entries, opt.Time); err != nil {
		packed.Close() // ends its goroutines
		return err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	made.Digest, made.DiffID, made.Size = hashOf(digest), hashOf(diffID), int64(blob.Len())
	return nil
}

// How layers are compressed. The bytes depend on the level and on the block's
// size, not on how many blocks are compressed at a time. Level 3 of gzip is as
// fast here as the fastest and gives smaller layers than that of the standard
// library.
const (
	gzipLevel  = 3
	gzipBlock  = 1 << 20
	gzipBlocks = 8
)

func compressor(w io.Writer, compression string) (io.WriteCloser, error) {
	if compression == Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2))
	}
	out, err := pgzip.NewWriterLevel(w, gzipLevel)
	if err != nil {
		return nil, err
	}
	return out, out.SetConcurrency(gzipBlock, gzipBlocks)
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// formatVersion is raised when the same entries make another layer.
const formatVersion = 1

// key names what goes into the layer.
func (l *Layer) key(kind string) cache.Key {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %d %d\n", formatVersion, l.opt.Compression, l.opt.Time.Unix(), l.opt.MaxFile)
	for _, e := range l.entries {
		fmt.Fprintf(h, "%q %d %d %d %q %d %s\n", e.Path, e.Mode, e.UID, e.GID, e.Target, e.Size, e.Digest)
	}
	return cache.Key{Kind: kind, Version: image.Version(), Digest: hashOf(h).String()}
}

func (l *Layer) headKey() cache.Key { return l.key("built layer") }
func (l *Layer) blobKey() cache.Key { return l.key("built blob") }

// recall fills in the head from the cache.
func (l *Layer) recall() bool {
	data, ok := l.opt.Cache.Get(l.headKey())
	if !ok {
		return false
	}
	if err := json.Unmarshal(data, &l.head); err != nil || l.head.Index == nil {
		l.opt.Cache.Remove(l.headKey())
		l.head = head{}
		return false
	}
	return true
}

// keep puts the layer into the cache.
func (l *Layer) keep() {
	if l.opt.Cache == nil {
		return
	}
	data, err := json.Marshal(l.head)
	if err != nil {
		return // it has been made: that it cannot be kept is no failure
	}
	l.opt.Cache.Put(l.blobKey(), l.blob)
	l.opt.Cache.Put(l.headKey(), data)
}
