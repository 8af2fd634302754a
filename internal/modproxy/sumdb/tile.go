package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/internal/base/lru"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	tileDir = "tile"
	// full is the width of a complete tile.
	full = 1 << height
	// maxData is the largest tile of records.
	maxData = 4 << 20
)

// place is where a tile of the height is in the tree; all widths share it, since
// a tile only ever grows at its end.
type place struct {
	level int
	n     int64
}

// tileCache has verified tiles, of each the widest that is known.
type tileCache struct{ *lru.Cache[place, []byte] }

func (c tileCache) read(t tlog.Tile) ([]byte, bool) {
	data, ok := c.Get(place{t.L, t.N})
	if !ok || len(data) < t.W*tlog.HashSize {
		return nil, false
	}
	return data[: t.W*tlog.HashSize : t.W*tlog.HashSize], true
}

func (c tileCache) keep(t tlog.Tile, data []byte) {
	c.PutUnless(place{t.L, t.N}, data, int64(len(data))+128, func(there []byte) bool { return len(there) >= len(data) })
}

// knownHashes reads hashes from verified tiles in memory, which need no further
// proof, and otherwise proves them.
type knownHashes struct {
	tiles tileCache
	rest  tlog.HashReader
}

func (k *knownHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		t := tlog.TileForIndex(height, index)
		data, ok := k.tiles.read(t)
		if !ok {
			return k.rest.ReadHashes(indexes)
		}
		var err error
		if hashes[i], err = tlog.HashFromTile(t, data, index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// tileReader reads tiles for tlog.TileHashReader, which verifies them.
type tileReader struct {
	ctx context.Context
	db  *DB
	// fresh says that nothing is to be taken from where tiles are kept.
	fresh bool

	mu     sync.Mutex
	onDisk map[tlog.Tile]bool
	saved  []tlog.Tile
	data   [][]byte
}

func (r *tileReader) Height() int { return height }

// ReadTiles reads the tiles in parallel.
func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data, errs := make([][]byte, len(tiles)), make([]error, len(tiles))
	var all sync.WaitGroup
	for i, t := range tiles {
		var ok bool
		if data[i], ok = r.local(t); !ok {
			all.Go(func() { data[i], errs[i] = r.db.fetchTile(r.ctx, t, r.fresh) })
		}
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (r *tileReader) local(t tlog.Tile) ([]byte, bool) {
	if r.fresh {
		return nil, false
	}
	if data, ok := r.db.tiles.read(t); ok {
		return data, true
	}
	data, ok := r.db.disk.readTile(t)
	if ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.onDisk == nil {
			r.onDisk = make(map[tlog.Tile]bool)
		}
		r.onDisk[t] = true
	}
	return data, ok
}

// SaveTiles notes what fits the tree. It is kept when it is known that the tree
// is to be trusted.
func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saved, r.data = append(r.saved, tiles...), append(r.data, data...)
}

// keep keeps what SaveTiles noted.
func (r *tileReader) keep() {
	for i, t := range r.saved {
		if _, ok := r.db.tiles.read(t); ok && !r.fresh {
			continue
		}
		r.db.tiles.keep(t, r.data[i])
		if !r.onDisk[t] {
			r.db.disk.writeTile(t, r.data[i])
		}
	}
}

// fetchTile gets a tile of hashes that is not verified yet: from the database,
// or, unless it is to be fresh, the same as others got a moment ago.
func (d *DB) fetchTile(ctx context.Context, t tlog.Tile, fresh bool) ([]byte, error) {
	key := t.Path()
	if fresh {
		key = "fresh " + key
	}
	return shared(ctx, d, key, func(ctx context.Context) ([]byte, error) {
		if data, ok := d.fetched.Get(t); ok && !fresh {
			return data, nil
		}
		data, err := d.fetchWidest(ctx, t, full*tlog.HashSize)
		if err != nil {
			return nil, err
		}
		want := t.W * tlog.HashSize
		if len(data) < want {
			return nil, d.invalid(t.Path(), fmt.Errorf("it has %d bytes", len(data)))
		}
		data = data[:want:want]
		d.fetched.Put(t, data, int64(want))
		return data, nil
	})
}

// fetchWidest gets a tile, or the complete one in its place: the incomplete ones
// need not be there any longer after that.
func (d *DB) fetchWidest(ctx context.Context, t tlog.Tile, limit int64) ([]byte, error) {
	data, err := d.remote.get(ctx, "tile", "/"+t.Path(), limit)
	if complete, _ := tileNames(t); fault.CodeOf(err) == fault.NotFound && complete != t.Path() {
		if data, wholeErr := d.remote.get(ctx, "tile", "/"+complete, limit); wholeErr == nil {
			return data, nil
		}
	}
	return data, err
}

// Tile returns the tile, verified with the latest signed tree. Tiles of hashes
// may have another height than the database's own.
func (d *DB) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if t.H > height || t.L > 62/t.H || t.N < 0 || t.N > maxTree || t.L < 0 && t.H != height {
		return nil, d.noTile(t)
	}
	if t.H == height && t.L >= 0 {
		if data, ok := d.tiles.read(t); ok {
			return data, nil
		}
	}
	return shared(ctx, d, "serve "+t.Path(), func(ctx context.Context) ([]byte, error) {
		h, err := d.covering(ctx, t)
		if err != nil {
			return nil, err
		}
		if t.L < 0 {
			return d.dataTile(ctx, h, t)
		}
		return d.hashTile(ctx, h, t)
	})
}

func (d *DB) noTile(t tlog.Tile) error {
	return &fault.Error{Code: fault.NotFound, Op: "checksum database", Input: d.name + "/" + t.Path(), Err: errors.New("there is no such tile")}
}

// covering returns a signed tree that has the tile.
func (d *DB) covering(ctx context.Context, t tlog.Tile) (*head, error) {
	has := func(h *head) bool {
		return h != nil && t.N<<t.H+int64(t.W) <= h.tree.N>>(t.H*max(t.L, 0))
	}
	h, err := d.current()
	if err == nil && !has(h) {
		h, err = d.refresh(ctx, askAgain)
	}
	if err == nil && !has(h) {
		err = d.noTile(t)
	}
	return h, err
}

func (d *DB) hashTile(ctx context.Context, h *head, t tlog.Tile) (data []byte, err error) {
	err = d.verified(ctx, h, func(r tlog.HashReader) error {
		data, err = tlog.ReadTileData(t, r)
		return err
	})
	return data, err
}

// dataTile returns a tile of records, each checked against its hash.
func (d *DB) dataTile(ctx context.Context, h *head, t tlog.Tile) ([]byte, error) {
	leaves := t
	leaves.L = 0
	hashes, err := d.hashTile(ctx, h, leaves)
	if err != nil {
		return nil, err
	}
	complete, _ := tileNames(t)
	if data, ok := d.disk.read(complete); ok {
		if data, err := checkData(data, hashes); err == nil {
			return data, nil
		}
	}
	all, err := d.fetchWidest(ctx, t, maxData)
	if err != nil {
		return nil, err
	}
	data, err := checkData(all, hashes)
	if err != nil {
		return nil, d.invalid(t.Path(), err)
	}
	if t.W == full {
		d.disk.write(complete, data)
	}
	return data, nil
}

// checkData returns the start of data with as many records as there are hashes.
// Records end with an empty line (tlog.FormatRecord).
func checkData(data, hashes []byte) ([]byte, error) {
	end := 0
	for len(hashes) > 0 {
		n := bytes.Index(data[end:], []byte("\n\n"))
		if n < 0 {
			return nil, fmt.Errorf("it lacks %d records", len(hashes)/tlog.HashSize)
		}
		sum := tlog.RecordHash(data[end : end+n+1])
		if !bytes.Equal(sum[:], hashes[:tlog.HashSize]) {
			return nil, errors.New("a record is not the one that is in the tree")
		}
		end, hashes = end+n+2, hashes[tlog.HashSize:]
	}
	return data[:end], nil
}
